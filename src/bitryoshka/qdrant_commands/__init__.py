"""The commands for Qdrant."""

from bitryoshka.qdrant_commands.app import qdrant

__all__ = ["qdrant"]
