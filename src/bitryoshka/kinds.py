"""What kinds of objects an argument may be."""

from __future__ import annotations

from typing import Any

from bitryoshka.errors import OptionError


def check_kind(value: Any, kinds: type | tuple[type, ...], expected: str) -> None:
    """Raise OptionError where a value is of none of the kinds, which ``expected`` says in words.

    >>> check_kind("id", str, "the name of a column")
    """
    if not isinstance(value, kinds):
        found = type(value)
        module = "" if found.__module__ == "builtins" else f"{found.__module__}."
        raise OptionError(f"expected {expected}, found {module}{found.__qualname__}")
