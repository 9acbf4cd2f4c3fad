"""Speed and memory of `Binarizer.encode`: ``python -m benchmarks.encode``.

The bound is what NumPy needs for the two calls that no encoder can do without, on the same
input and in the same process:

* sign codes: ``numpy.packbits(x @ W.T > 0, axis=1)``;
* precision bits: the same product to the m projected dimensions, its comparison with 0, and a
  packbits of a boolean array that already holds the code's number of columns: no quantizer.

"whole" makes these calls on the whole input at once, as one would write them; "blockwise" makes
them on blocks of the encoder's size into reused buffers, which is the harder bound: the targets
hold for both. Encoder and bounds take turns; a ratio is that of neighbouring runs, and
the median of the ratios is reported, so that other work on the machine hits both alike.

Additive codes, which are searched for, take turns in both of their forms with the progressive code
of the same length: compiled, and in NumPy alone; 384 bits, four sweeps.

Peers take turns in the same way, all with a bit for each of 384 dimensions: `quantize_embeddings`
of sentence-transformers, which takes the signs of the vectors as they are, without a product, and
FAISS's ITQ followed by LSH. Their memory is what a process of its own holds at most, beyond input
and output.

Memory of the encoder is what Python's allocator is asked for at most (tracemalloc, which NumPy
reports to), less the output, while a memory-mapped file is encoded: pages of the file belong to the
system's cache.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

import bitryoshka
from benchmarks.results import Target, at_least, at_most, write
from benchmarks.training import Peak, watching
from bitryoshka.additive import descent
from bitryoshka.additive.compiled import descend_compiled
from bitryoshka.training.additive import Settings, additive_codes
from bitryoshka.training.closed_form import Goal
from bitryoshka.vectors import BLOCK_BYTES

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]

MIB = 2**20
ROWS, DIMENSIONS = 200_000, 384
FILE_ROWS = 1_000_000
ADDITIVE_ROWS = 20_000
FORMS = {
    "additive codes, 384 bits, compiled": (descend_compiled, 20_000),
    "additive codes, 384 bits, NumPy alone": (descent.descend_blocked, 2_500),
}


class Case(NamedTuple):
    """A code to be timed, and the share of the bound that it must reach."""

    name: str
    bits: int
    hamming_bits: int
    share: float


CASES = (
    Case("sign codes, 384 bits", 384, 384, 0.8),
    Case("precision bits, 384 bits, m = 192", 384, 192, 0.5),
    Case("precision bits, 768 bits, m = 256", 768, 256, 0.5),
)


def vectors(rows: int, dimensions: int, seed: int = 0) -> Floats:
    """Unit vectors with a falling spectrum, off centre."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, dimensions), np.float32)
    x *= np.linspace(1, 0.2, dimensions, dtype=np.float32)
    x += np.float32(0.1)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def whole(x: Floats, projection: Floats, columns: NDArray[np.bool_] | None) -> Codes:
    """The bound on the whole input; ``columns``: what is packed in place of the signs."""
    signs = x @ projection.T > 0
    return np.packbits(signs if columns is None else columns, axis=1)


def blockwise(x: Floats, projection: Floats, columns: NDArray[np.bool_] | None) -> Codes:
    """The same calls on blocks that stay in the processor's cache."""
    m, bits = len(projection), len(projection) if columns is None else columns.shape[1]
    step = BLOCK_BYTES // (4 * x.shape[1])
    weights = np.ascontiguousarray(projection.T)
    product, signs = np.empty((step, m), np.float32), np.empty((step, m), np.bool_)
    out = np.empty((len(x), bits // 8), np.uint8)
    for start in range(0, len(x), step):
        block = x[start : start + step]
        n = len(block)
        np.matmul(block, weights, out=product[:n])
        np.greater(product[:n], 0, out=signs[:n])
        out[start : start + n] = np.packbits(signs[:n] if columns is None else columns[:n], axis=1)
    return out


def seconds(action: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def binarizer(case: Case, sample: Floats) -> bitryoshka.Binarizer:
    """A closed form of the case's shape; what the arrays hold does not matter for speed."""
    method = "itq" if case.bits == case.hamming_bits else "progressive"
    kept = case.hamming_bits if method == "progressive" else None
    return bitryoshka.fit(sample, bits=case.bits, method=method, hamming_bits=kept).binarizer


def measure_speed(case: Case, x: Floats, rounds: int) -> dict[str, float]:
    """Median rows a second, and median share of both bounds."""
    b = binarizer(case, x[:2000])
    columns = None
    if case.bits > case.hamming_bits:
        columns = np.random.default_rng(1).random((len(x), case.bits), np.float32) > 0.5
    runs: tuple[Callable[[], object], ...] = (
        lambda: b.encode(x),
        lambda: whole(x, b.projection, columns),
        lambda: blockwise(x, b.projection, columns),
    )
    for run in runs:
        run()
    times = [[seconds(run) for run in runs] for _ in range(rounds)]
    return {
        "rows_per_second": round(len(x) / median(t[0] for t in times)),
        "bound_rows_per_second": round(len(x) / median(t[1] for t in times)),
        "share_of_whole": median(t[1] / t[0] for t in times),
        "share_of_blockwise": median(t[2] / t[0] for t in times),
        "lowest_share_of_whole": min(t[1] / t[0] for t in times),
    }


def measure_additive(x: Floats, rounds: int) -> dict[str, dict[str, float]]:
    """Rows a second of both forms, and the share of the progressive code's."""
    goal = Goal(DIMENSIONS, (DIMENSIONS,), "cosine", 0)
    additive = additive_codes(x[:4000], x[:0], goal, DIMENSIONS, Settings(sweeps=4))
    progressive = binarizer(CASES[1], x[:2000])

    def run(form: Callable[..., None]) -> float:
        with patch.object(descent, "_descent", lambda: form):
            return seconds(lambda: additive.encode(x))

    for form, _ in FORMS.values():
        run(form)
    times = [
        {
            "progressive": seconds(lambda: progressive.encode(x)),
            **{name: run(form) for name, (form, _) in FORMS.items()},
        }
        for _ in range(rounds)
    ]
    return {
        name: {
            "rows_per_second": round(len(x) / median(t[name] for t in times)),
            "share_of_progressive": median(t["progressive"] / t[name] for t in times),
        }
        for name in FORMS
    }


def measure_memory(case: Case, rows: int, folder: Path) -> float:
    """Peak MiB beyond the output while a memory-mapped float32 file is encoded."""
    part = vectors(10_000, DIMENSIONS)
    b = binarizer(case, part[:2000])
    path = folder / "vectors.npy"
    stored = np.lib.format.open_memmap(path, "w+", np.float32, (rows, DIMENSIONS))
    for start in range(0, rows, len(part)):
        stored[start : start + len(part)] = part[: rows - start]
    stored.flush()
    del stored
    mapped = np.load(path, mmap_mode="r")
    b.encode(mapped[:10])
    tracemalloc.start()
    try:
        codes = b.encode(mapped)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return (peak - codes.nbytes) / MIB


def sign_encoders(sample: Floats) -> dict[str, Callable[[Floats], Codes]]:
    """Ways from vectors to one sign bit a dimension, fitted to a sample."""
    import faiss
    from sentence_transformers.util.quantization import quantize_embeddings

    d = sample.shape[1]
    ours = binarizer(Case("", d, d, 0), sample)
    index = faiss.IndexPreTransform(faiss.ITQTransform(d, d, True), faiss.IndexLSH(d, d, False))
    index.train(sample)
    return {
        "ours": ours.encode,
        "quantize_embeddings": lambda x: quantize_embeddings(x, precision="ubinary"),
        "FAISS ITQ+LSH": index.sa_encode,
    }


def measure_peers(x: Floats, rounds: int) -> dict[str, dict[str, float]]:
    """Rows a second of every sign encoder, and how many times ours that is."""
    encoders = sign_encoders(x[:2000])
    for encode in encoders.values():
        encode(x)
    times = [
        {name: seconds(partial(encode, x)) for name, encode in encoders.items()}
        for _ in range(rounds)
    ]
    return {
        name: {
            "rows_per_second": round(len(x) / median(t[name] for t in times)),
            "times_ours": median(t["ours"] / t[name] for t in times),
            "mib_beyond_output": held_by(name, len(x), x.shape[1]),
        }
        for name in encoders
    }


def held_by(name: str, rows: int, dimensions: int) -> float:
    """Peak MiB beyond the output that a fresh process holds while it encodes."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=fresh) as pool:
        return pool.submit(_held, name, rows, dimensions).result()


def _held(name: str, rows: int, dimensions: int) -> float:
    x = vectors(rows, dimensions)
    encode = sign_encoders(x[:2000])[name]
    encode(x[:10])
    before = Peak()
    before.look()
    with watching(0.001) as peak:
        codes = encode(x)
    # less than nothing where the system took pages back meanwhile
    return max(0.0, peak.held - before.held - codes.nbytes / MIB)


def targets(figures: dict[str, Any]) -> list[Target]:
    """Speed against the bound, and memory that the number of rows does not change."""
    speed, memory = figures["speed"], figures["memory_mib_beyond_output"]
    found = [
        at_least(f"{c.name}: share of NumPy's speed, {bound}", c.share, speed[c.name][key])
        for c in CASES
        for bound, key in (("whole input", "share_of_whole"), ("blockwise", "share_of_blockwise"))
    ]
    for name, (_, least) in FORMS.items():
        rate = figures["additive"][name]["rows_per_second"]
        found.append(at_least(f"{name}: rows a second", least, rate))
    for name, peaks in memory.items():
        fewer, more = peaks.values()
        found.append(at_most(f"{name}: MiB beyond the output", 4 * BLOCK_BYTES / MIB, more))
        found.append(at_most(f"{name}: growth with ten times the rows", 1.1, more / fewer))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encode", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--file-rows", type=int, default=FILE_ROWS)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args(arguments)
    x = vectors(given.rows, DIMENSIONS)
    figures: dict[str, Any] = {
        "rows": given.rows,
        "dimensions": DIMENSIONS,
        "rounds": given.rounds,
        "block_mib": BLOCK_BYTES / MIB,
        "peers": measure_peers(x, given.rounds),
        "additive": measure_additive(x[:ADDITIVE_ROWS], given.rounds),
        "speed": {},
        "memory_mib_beyond_output": {},
    }
    print(figures["peers"], figures["additive"], sep="\n")
    for case in CASES:
        figures["speed"][case.name] = found = measure_speed(case, x, given.rounds)
        print(
            f"{case.name}: {found['rows_per_second']:,} rows/s, "
            f"{found['share_of_whole']:.0%} of NumPy's two calls "
            f"({found['share_of_blockwise']:.0%} of the same calls blockwise)"
        )
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            peaks = {
                str(rows): measure_memory(case, rows, Path(folder))
                for rows in (given.file_rows // 10, given.file_rows)
            }
        figures["memory_mib_beyond_output"][case.name] = peaks
        print(f"{case.name}: {peaks} MiB beyond the output")
    write("encode", figures, targets(figures))


if __name__ == "__main__":
    main()
