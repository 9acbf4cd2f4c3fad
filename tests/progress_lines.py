"""What a command says of its progress where its errors are no terminal."""

from __future__ import annotations


def without_progress(err: str) -> str:
    """The other lines: those of a stage begin with its title, and the first is ``title ...``."""
    lines = err.splitlines(keepends=True)
    titles = {line.removesuffix(" ...\n") for line in lines if line.endswith(" ...\n")}
    told = tuple(f"{title}{more}" for title in titles for more in (" ...\n", ": "))
    return "".join(line for line in lines if not line.startswith(told))
