"""The command line, ``bitryoshka``."""

from bitryoshka.cli.main import main

__all__ = ["main"]
