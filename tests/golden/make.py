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
from bitryoshka.training.additive import Settings, additive_codes
from bitryoshka.training.closed_form import Goal, progressive_codes
from bitryoshka.vectors import normalized

HERE = Path(__file__).parent


def far_from_thresholds(binarizer: Binarizer, vectors: np.ndarray) -> np.ndarray:
    """Rows for which no rounding on any machine can change a bit."""
    wide = vectors.astype(np.float64)
    if binarizer.metric == "cosine":
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    u = (wide @ binarizer.projection.T - binarizer.offset) / binarizer.step
    if binarizer.additive is not None:  # signs alone
        u = np.where(np.abs(u) < 0.5, u, 0.5)
    own = binarizer.hamming_projection
    signs = wide @ (binarizer.projection if own is None else own).T - binarizer.hamming_offset
    clear = np.abs(u - np.rint(u)).min(axis=1) > 1e-3
    steps = binarizer.step[: signs.shape[1]]
    return clear & (np.abs(signs / steps).min(axis=1) > 1e-3)


def far_from_ties(binarizer: Binarizer, vectors: np.ndarray) -> np.ndarray:
    """Rows whose additive codes stay the same when every number moves by more than rounding."""
    rng = np.random.default_rng(21)
    codes, same = binarizer.encode(vectors), np.ones(len(vectors), bool)
    for _ in range(50):
        moved = vectors * (1 + 3e-5 * rng.normal(size=vectors.shape))
        same &= (binarizer.encode(moved) == codes).all(axis=1)
    return same


def write(name: str, binarizer: Binarizer, vectors: np.ndarray) -> None:
    """One folder: the binarizer, vectors, their codes, and the weights of the first ones."""
    folder = HERE / name
    folder.mkdir()
    clear = far_from_thresholds(binarizer, vectors)
    if binarizer.additive is not None:
        clear &= far_from_ties(binarizer, vectors)
    vectors = vectors[clear][:64]
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
    """Write the files of each format version that has none."""
    made = {path.name[:2] for path in HERE.iterdir() if path.is_dir()}
    versions = {"v1": version_1, "v2": version_2}
    if made >= set(versions):
        sys.exit("the golden files exist: they must never change")
    for version in set(versions) - made:
        versions[version]()


def version_2() -> None:
    """Additive codes: whole, and at several lengths with restarts, cut short."""
    rng = np.random.default_rng(22)
    vectors = (rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 24)) + 1).astype(np.float32)
    vectors += 0.3 * rng.normal(size=vectors.shape).astype(np.float32)
    sample, none = normalized(vectors, "cosine"), np.empty((0, 24), np.float32)
    whole = additive_codes(sample, none, Goal(24, None, "cosine", 0), 24, Settings())
    write("v2-fitted", replace(whole, info={"source_model": "none", "rows": 4000}), vectors)
    goal = Goal(48, (8, 32), "inner_product", 0)
    nested = additive_codes(vectors, none, goal, 16, Settings(restarts=2))
    write("v2-nested", nested.truncate(32), vectors)


def version_1() -> None:
    """Two binarizers: one as fitted, one that uses whatever else the format can hold."""
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
