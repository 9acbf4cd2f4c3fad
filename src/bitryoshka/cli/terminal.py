"""Text for people to look at."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with whatever could steer a terminal as escapes, but for new lines and tabs.

    >>> print(printable("a name\x1b[2J"))
    a name\x1b[2J
    """
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )
