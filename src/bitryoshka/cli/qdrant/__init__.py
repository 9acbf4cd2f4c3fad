"""The commands for Qdrant."""

from bitryoshka.cli.qdrant.collections import qdrant

__all__ = ["qdrant"]
