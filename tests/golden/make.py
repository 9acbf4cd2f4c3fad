"""Make the golden files: run once for each format version, and never again for the same one.

``python tests/golden/make.py`` writes what is not there yet and refuses to replace anything.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from bitryoshka import Binarizer
from bitryoshka.training.closed_form import Goal, progressive_codes
from bitryoshka.vectors import normalized

HERE = Path(__file__).parent


def far_from_thresholds(binarizer: Binarizer, vectors: np.ndarray) -> np.ndarray:
    """Rows for which no rounding on any machine can change a bit."""
    wide = vectors.astype(np.float64)
    if binarizer.metric == "cosine":
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    u = (wide @ binarizer.projection.T - binarizer.offset) / binarizer.step
    own = binarizer.hamming_projection
    signs = wide @ (binarizer.projection if own is None else own).T - binarizer.hamming_offset
    clear = np.abs(u - np.rint(u)).min(axis=1) > 1e-3
    return clear & (np.abs(signs / binarizer.step).min(axis=1) > 1e-3)


def write(name: str, binarizer: Binarizer, vectors: np.ndarray) -> None:
    """One folder: the binarizer, vectors, their codes, and the weights of the first ones."""
    folder = HERE / name
    folder.mkdir()
    vectors = vectors[far_from_thresholds(binarizer, vectors)][:64]
    binarizer.save(folder / "binarizer.safetensors")
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "codes.npy", binarizer.encode(vectors))
    np.save(folder / "query_codes.npy", binarizer.encode_queries(vectors))
    np.save(folder / "weights.npy", binarizer.query_weights(vectors[:4]))
    expected = {
        "bits": binarizer.bits,
        "dimensions": binarizer.dimensions,
        "fingerprint": binarizer.fingerprint,
        "hamming_bits": binarizer.hamming_bits,
        "info": dict(binarizer.info),
        "metric": binarizer.metric,
        "nested_bits": binarizer.nested_bits,
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


def main() -> None:
    """Two binarizers: one as fitted, one that uses whatever else the format can hold."""
    if any(path.is_dir() and path.name.startswith("v1") for path in HERE.iterdir()):
        sys.exit("the golden files of format version 1 exist: they must never change")
    rng = np.random.default_rng(20)
    vectors = (rng.normal(size=(400, 6)) @ rng.normal(size=(6, 24)) + 1).astype(np.float32)
    vectors += 0.1 * rng.normal(size=vectors.shape).astype(np.float32)
    sample = normalized(vectors, "cosine")
    fitted = progressive_codes(sample, Goal(96, (16, 32, 64), "cosine", 0), 24)
    write("v1-fitted", replace(fitted, info={"source_model": "none", "rows": 400}), vectors)
    deep = progressive_codes(vectors, Goal(64, (8, 48), "inner_product", 0), 8)
    noise = rng.normal(size=deep.projection.shape)
    levels = deep.levels * rng.uniform(0.8, 1.2, deep.levels.shape)
    rest = {
        "weight_projection": rng.normal(size=(8 + 48 + 64, 24)),
        "hamming_projection": deep.projection + noise / 10,
        "hamming_offset": deep.offset / 3,
        "levels": levels,
    }
    write("v1-all-planes", replace(deep, **rest), vectors)


if __name__ == "__main__":
    main()
