"""The command line, ``bitryoshka``."""

from bitryoshka.cli.entry import main

__all__ = ["main"]
