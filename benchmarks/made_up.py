"""Made-up vectors that behave like embeddings, of any number of rows and dimensions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

CLUSTERS, RANK = 500, 256


class World:
    """A distribution: clusters whose centres and spread have a power-law spectrum, off centre.

    ``off_centre`` is the length of the mean, where the spread around it has about length 1.
    """

    def __init__(self, dimensions: int, off_centre: float = 0.5, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        rank = min(RANK, dimensions)
        scale = np.arange(1, rank + 1, dtype=np.float32) ** -0.5
        self._scale = scale / np.linalg.norm(scale)
        self._basis = np.linalg.qr(rng.standard_normal((dimensions, rank)))[0].T.astype(np.float32)
        self._centres = rng.standard_normal((CLUSTERS, rank), np.float32)
        away = rng.standard_normal(dimensions, np.float32)
        self._mean = away * np.float32(off_centre / np.linalg.norm(away))

    def draw(self, rows: int, generator: np.random.Generator) -> Floats:
        """New rows (rows, d)."""
        rank, d = self._basis.shape
        inner = generator.standard_normal((rows, rank), np.float32)
        inner += self._centres[generator.integers(0, CLUSTERS, rows)]
        inner *= self._scale * np.float32(0.5**0.5)
        found: Floats = generator.standard_normal((rows, d), np.float32)
        found *= np.float32(0.2 / d**0.5)
        found += inner @ self._basis
        found += self._mean
        return found

    def write(self, path: Path, rows: int, seed: int = 0, block: int = 10_000) -> None:
        """Write new rows to a .npy file, a block at a time."""
        generator = np.random.default_rng(seed)
        d = self._basis.shape[1]
        stored = np.lib.format.open_memmap(path, "w+", np.float32, (rows, d))
        for start in range(0, rows, block):
            stored[start : start + block] = self.draw(min(block, rows - start), generator)
        stored.flush()
