"""Retrieval quality at equal bytes: ``python -m benchmarks.quality --data DIR [DIR ...]``.

Every code is fitted on a set's documents alone; its queries serve the final figures only. Recall
counts the exact float top 10 on the same documents; retention is nDCG@10 as a share of that of
exact float search. ``sign`` and ``itq`` are independent code, ``progressive`` is the library's
closed form and ``ours`` what `fit` chooses, each for one length alone: a float query against all
codes, the funnel (a Hamming list of 100 first) and the Hamming distance of the Hamming bits.
``nested`` is one code for all lengths, searched for at its cuts. ``half`` are codes fitted to half
of the documents, which then find all of them. ``faiss``, ``libraries``, ``sentence_transformers``,
``qdrant`` and ``truncated`` floats are peers at equal bytes, or the nearest that they offer;
``queries`` gives `fit` a set's unlabelled training queries too, ``pairs`` labelled ones.
``rescored`` figures order a search's first 40 rows by their floats. Sets without queries hold 500
documents out and do not count in the mean.
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
from benchmarks.judge import Coded, Judge, score_search
from benchmarks.peers import (
    peer_rows,
    qdrant_rows,
    sentence_transformers_peers,
    truncated_peers,
)
from benchmarks.quality_table import mean_rows, table, targets
from benchmarks.results import FOLDER, read, write
from bitryoshka.evaluation import bootstrap_interval

LENGTHS = (192, 256, 384, 768)
PREFIXES = (64, 128)
CUTS = (192, 384, 768)
HALVED = (384, 768)
PEER_BYTES = (24, 32, 48, 96)
PEERS = ("faiss", "libraries", "sentence_transformers", "qdrant", "truncated")
METHODS = ("sign", "itq", "progressive", "ours", "nested", "half", *PEERS, "queries", "pairs")

Rows = dict[str, Any]


def fit_nested(documents: Floats, method: str) -> bitryoshka.Binarizer:
    """One code whose prefixes and cuts are all asked for."""
    nested = (*PREFIXES, *CUTS)
    return bitryoshka.fit(documents, bits=CUTS[-1], nested_bits=nested, method=method).binarizer


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
    for bits in sorted({*PREFIXES, *LENGTHS}):
        if bits <= data.documents.shape[1]:
            made = make(data.documents, data.queries, bits)
            for kind, figures in _scored(judge, made, tuple(rows)).items():
                rows[kind][str(bits)] = figures
    return rows


def own_rows(judge: Judge, method: str, **learned_from: Any) -> Rows:
    """A code of the library's fitted for each length alone."""
    rows: Rows = {"asymmetric": {}, "funnel": {}, "hamming": {}, "chosen": {}}
    for bits in LENGTHS:
        b = bitryoshka.fit(judge.data.documents, bits=bits, method=method, **learned_from).binarizer
        coded = Coded.of(judge, b)
        for kind in ("asymmetric", "funnel", "hamming"):
            search = getattr(coded, kind)(bits)
            rows[kind][str(bits)] = judge.with_rescoring(search)
        rows["chosen"][str(bits)] = str(b.info["method"])
    return rows


def nested_rows(judge: Judge, method: str) -> Rows:
    """One code at all its prefixes and cuts."""
    coded = Coded.of(judge, fit_nested(judge.data.documents, method))
    return {
        "chosen": str(coded.binarizer.info["method"]),
        "hamming": {str(b): judge.with_rescoring(coded.hamming(b)) for b in PREFIXES},
        "asymmetric": {str(b): judge.with_rescoring(coded.asymmetric(b)) for b in CUTS},
        "funnel": {str(b): judge.with_rescoring(coded.funnel(b)) for b in CUTS},
    }


def half_rows(judge: Judge, method: str) -> Rows:
    """Ours and the closed form, fitted to half of the documents."""
    documents = judge.data.documents
    picked = np.random.default_rng(0).permutation(len(documents))[: len(documents) // 2]
    rows: Rows = {"ours": {}, "progressive": {}}
    for bits in HALVED:
        for name, used in (("ours", method), ("progressive", "progressive")):
            b = bitryoshka.fit(documents[np.sort(picked)], bits=bits, method=used).binarizer
            rows[name][str(bits)] = judge.figures(Coded.of(judge, b).asymmetric(bits))
    return rows


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
    """What unlabelled training queries add, as ours of 384 bits with them less without."""
    data = judge.data
    return _gain(judge, method, queries=data.training_queries)


def pair_rows(judge: Judge, method: str) -> Rows:
    """What labelled training queries add to the unlabelled ones."""
    data = judge.data
    if data.training_pairs is None or data.training_queries is None:
        return {}
    asked, answers = data.training_pairs
    return _gain(judge, method, pairs=(data.training_queries[asked], answers))


def _gain(judge: Judge, method: str, **learned_from: Any) -> Rows:
    bits, documents = HALVED[0], judge.data.documents
    without, learned = (
        Coded.of(judge, bitryoshka.fit(documents, bits=bits, method=method, **more).binarizer)
        for more in ({}, learned_from)
    )
    after, before = (judge.recalls(judge.found(c.asymmetric(bits))) for c in (learned, without))
    return {
        "chosen": str(learned.binarizer.info["method"]),
        "asymmetric": {str(bits): judge.with_rescoring(learned.asymmetric(bits))},
        "gain": bootstrap_interval(after - before)._asdict(),
    }


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
        "progressive": lambda: own_rows(judge, "progressive"),
        "ours": lambda: own_rows(judge, ours),
        "nested": lambda: nested_rows(judge, ours),
        "half": lambda: half_rows(judge, ours),
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
    # the targets of means were set for the judged sets of the default name
    promised = targets(figures if given.name == "quality" else {**figures, "mean": {}})
    write(given.name, figures, promised, module="quality")


if __name__ == "__main__":
    main()
