"""Additive codes: the bits of a sum of signed rows that comes nearest to a vector."""

from bitryoshka.additive.encoder import Additive

__all__ = ["Additive"]
