"""Retrieval quality at equal bits: ``python -m benchmarks.quality --data DIR [DIR ...]``.

Every code is fitted on a set's documents alone; its queries serve the final figures only. Recall
counts the exact float top 10 on the same documents; retention is nDCG@10 as a share of that of
exact float search. ``sign`` and ``itq`` (one separate fit for each length) are independent code,
``progressive`` is the library's closed form fitted for each length alone, and ``ours`` is one code
for all lengths: Hamming on its prefixes, float query on its cuts, and the funnel (Hamming top 100
on the sign bits, then float query). ``faiss``, other ``libraries``, ``sentence_transformers``,
``qdrant`` and ``truncated`` floats are peers at equal bytes, or the nearest that they offer;
``queries`` gives `fit` a set's unlabelled training queries too. ``rescored`` figures order a
search's first 40 rows by their floats. Sets without queries hold 500 documents out and do not
count in the mean.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import bitryoshka
from benchmarks import baselines, faiss_codes, library_codes
from benchmarks.datasets import Dataset, Floats, read_dataset
from benchmarks.faiss_codes import Variant
from benchmarks.judge import Coded, Judge, Search, score_search
from benchmarks.peers import (
    peer_rows,
    qdrant_rows,
    sentence_transformers_peers,
    truncated_peers,
)
from benchmarks.quality_table import mean_rows, table, targets
from benchmarks.results import FOLDER, read, write
from bitryoshka.evaluation import bootstrap_interval

PREFIXES = (64, 128, 256)
CUTS = (192, 384, 768)
PEER_BYTES = (24, 32, 48, 96)
PEERS = ("faiss", "libraries", "sentence_transformers", "qdrant", "truncated")
METHODS = ("sign", "itq", "progressive", "ours", *PEERS, "queries", "pairs")

Rows = dict[str, Any]


def fit_ours(documents: Floats, method: str, **learned_from: Any) -> bitryoshka.Binarizer:
    """The one code whose prefixes and cuts are all judged."""
    nested = tuple(sorted({*PREFIXES, *CUTS}))
    return bitryoshka.fit(
        documents, bits=CUTS[-1], nested_bits=nested, method=method, **learned_from
    ).binarizer


def fit_closed_form(documents: Floats, bits: int) -> bitryoshka.Binarizer:
    """The closed form for one length, its number of sign bits chosen on held-out documents."""
    return bitryoshka.fit(documents, bits=bits, method="progressive").binarizer


def _scored(judge: Judge, found: baselines.Scored, kinds: Sequence[str]) -> Rows:
    queries = {"hamming": found.hamming, "asymmetric": found.asymmetric}
    return {
        kind: judge.with_rescoring(score_search(queries[kind], found.documents)) for kind in kinds
    }


def sign_rows(judge: Judge) -> Rows:
    """Signs of the first dimensions, at every prefix and cut that the dimensions reach."""
    return _plain_rows(judge, baselines.sign_codes)


def itq_rows(judge: Judge) -> Rows:
    """ITQ fitted anew for each length."""
    return _plain_rows(judge, baselines.itq_codes)


def _plain_rows(judge: Judge, make: Callable[..., baselines.Scored]) -> Rows:
    data = judge.data
    rows: Rows = {"hamming": {}, "asymmetric": {}}
    for bits in sorted({*PREFIXES, *CUTS}):
        if bits <= data.documents.shape[1]:
            made = make(data.documents, data.queries, bits)
            for kind, figures in _scored(judge, made, tuple(rows)).items():
                rows[kind][str(bits)] = figures
    return rows


def progressive_rows(judge: Judge) -> Rows:
    """The closed form fitted for each length alone."""
    rows: Rows = {"asymmetric": {}, "funnel": {}, "hamming_bits": {}}
    for bits in CUTS:
        coded = Coded.of(judge, fit_closed_form(judge.data.documents, bits))
        rows["asymmetric"][str(bits)] = judge.with_rescoring(coded.asymmetric(bits))
        rows["funnel"][str(bits)] = judge.with_rescoring(coded.funnel(bits))
        rows["hamming_bits"][str(bits)] = coded.binarizer.hamming_bits
    return rows


def our_rows(judge: Judge, binarizer: bitryoshka.Binarizer) -> Rows:
    """One code at all its prefixes and cuts."""
    coded = Coded.of(judge, binarizer)
    return {
        "method": str(binarizer.info["method"]),
        "hamming": {str(b): judge.with_rescoring(coded.hamming(b)) for b in PREFIXES},
        "asymmetric": {str(b): judge.with_rescoring(coded.asymmetric(b)) for b in CUTS},
        "funnel": {str(b): judge.with_rescoring(coded.funnel(b)) for b in CUTS},
    }


def variant_rows(
    judge: Judge, variants: Callable[[Floats, Floats, int], Iterator[Variant]]
) -> Rows:
    """Figures by family and bytes; of a family's variants the one with most recall."""
    rows: Rows = {}
    for code_bytes in PEER_BYTES:
        for variant in variants(judge.data.documents, judge.data.queries, code_bytes):
            figures = judge.with_rescoring(variant.search)
            held = rows.setdefault(variant.family, {}).get(str(code_bytes))
            if held is None or figures["recall"] > held["recall"]:
                kept = {
                    "variant": variant.label,
                    "code_bytes": variant.code_bytes,
                    "shared_bytes": variant.shared_bytes,
                }
                rows[variant.family][str(code_bytes)] = {**figures, **kept}
    return rows


def query_rows(judge: Judge, method: str) -> Rows:
    """The gain from unlabelled training queries, as ours with them less ours without."""
    data = judge.data
    without = Coded.of(judge, fit_ours(data.documents, method))
    binarizer = fit_ours(data.documents, method, queries=data.training_queries)
    coded = Coded.of(judge, binarizer)
    rows = our_rows(judge, binarizer)
    gains = [
        judge.recalls(judge.found(after)) - judge.recalls(judge.found(before))
        for after, before in zip(_searches(coded), _searches(without), strict=True)
    ]
    gain = bootstrap_interval(np.mean(gains, axis=0))
    return {**rows, "gain": gain._asdict()}


def pair_rows(judge: Judge, method: str) -> Rows:
    """One code that may learn from the training queries' labels."""
    data = judge.data
    if data.training_pairs is None or data.training_queries is None:
        return {}
    asked, answers = data.training_pairs
    pairs = (data.training_queries[asked], answers)
    return our_rows(judge, fit_ours(data.documents, method, pairs=pairs))


def _searches(coded: Coded) -> list[Search]:
    return [coded.hamming(b) for b in PREFIXES] + [coded.asymmetric(b) for b in CUTS]


@contextmanager
def _timed(label: str, seconds: dict[str, float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[label] = round(time.perf_counter() - started, 1)
    print(f"  {label}: {seconds[label]} s", flush=True)


def measure(
    data: Dataset, methods: Sequence[str], ours: str, known: Rows | None = None
) -> dict[str, Any]:
    """All rows of one set, with the seconds that each part took.

    ``known``: rows that were measured before and are taken as they are.
    """
    judge, seconds = Judge.of(data), dict[str, float]()
    known = known or {}
    parts: dict[str, Callable[[], Rows]] = {
        "sign": lambda: sign_rows(judge),
        "itq": lambda: itq_rows(judge),
        "progressive": lambda: progressive_rows(judge),
        "ours": lambda: our_rows(judge, fit_ours(data.documents, ours)),
        "faiss": lambda: variant_rows(judge, faiss_codes.variants),
        "libraries": lambda: variant_rows(judge, library_codes.variants),
        "sentence_transformers": lambda: peer_rows(judge, sentence_transformers_peers(data)),
        "qdrant": lambda: qdrant_rows(judge),
        "truncated": lambda: peer_rows(judge, truncated_peers(data)),
    }
    if data.training_queries is not None:
        parts["queries"] = lambda: query_rows(judge, ours)
    if data.training_pairs is not None:
        parts["pairs"] = lambda: pair_rows(judge, ours)
    rows: Rows = {}
    for name in methods:
        if name in known:
            rows[name] = known[name]
        elif name in parts:
            with _timed(name, seconds):
                rows[name] = parts[name]()
    return {**data.facts, "float_ndcg": judge.ndcg, "rows": rows, "seconds": seconds}


def known_rows(name: str, data: Dataset, keep: Sequence[str]) -> Rows:
    """Rows to keep from the result file, if its set is this one."""
    path = FOLDER / f"{name}.json"
    if not (keep and path.is_file()):
        return {}
    held = read(path)["figures"]["sets"].get(data.name, {})
    if any(held.get(key) != value for key, value in data.facts.items()):
        return {}
    return {row: found for row, found in held["rows"].items() if row in keep}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument(
        "--keep",
        nargs="+",
        choices=METHODS,
        default=(),
        help="codes whose figures are kept from the result file, where it has them",
    )
    parser.add_argument("--ours", default="auto", help="method of the library's fit")
    parser.add_argument("--name", default="quality", help="name of the result file")
    given = parser.parse_args(arguments)
    sets: dict[str, Any] = {}
    for folder in given.data:
        print(folder.name, flush=True)
        data = read_dataset(folder)
        known = known_rows(given.name, data, given.keep)
        sets[folder.name] = measure(data, given.methods, given.ours, known)
    judged = [name for name, found in sets.items() if found["kind"] == "judged queries"]
    figures = {
        "k": 10,
        "candidates": 100,
        "method": given.ours,
        "kept": list(given.keep),
        "mean_over": judged,
        "mean": mean_rows([sets[name]["rows"] for name in judged]),
        "sets": sets,
    }
    for name in sets:
        print(f"\n{name}\n{table(sets[name]['rows'])}")
    print(f"\nmean of {', '.join(judged)}\n{table(figures['mean'])}")
    print(f"\n{sum(sum(s['seconds'].values()) for s in sets.values()):.0f} s in all")
    # the targets were set for the judged sets of the default name
    promised = targets(figures) if given.name == "quality" else []
    write(given.name, figures, promised, module="quality")


if __name__ == "__main__":
    main()
