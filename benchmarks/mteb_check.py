"""Our measure of a search beside MTEB's: ``python -m benchmarks.mteb_check --data DIR [DIR ...]``.

nDCG@10 of each kind of comparison, once as `bitryoshka.evaluation` measures what its own searches
find, and once as ``mteb.evaluate`` does, on a task made of the same documents, queries and
judgements. A model that looks vectors up by row stands for the one that made them.

``by_ids``: what MTEB says where it scores codes itself, by ``similarity``, and orders equal scores
by its own rule, the ids of documents from last to first.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import mteb
import numpy as np
from mteb.abstasks import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import ModelMeta, SearchEncoderWrapper
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ScoringFunction
from mteb.types import PromptType

import bitryoshka
from benchmarks.datasets import Dataset, Floats, read_dataset
from benchmarks.judge import CANDIDATES, OVERSAMPLING, Coded, Judge, K, Search, best_rows
from benchmarks.results import at_most, write
from bitryoshka.evaluation import ndcg_at_k
from bitryoshka.mteb import BinarizedModel

BITS, HAMMING_BITS, PREFIX = 384, 192, 128
METHODS = ("additive", "progressive")
MOST = 0.00005


class RowTask(AbsTaskRetrieval):
    """A retrieval task of a set's documents and judged queries, whose texts are row numbers."""

    def __init__(self, data: Dataset) -> None:
        if data.judgements is None or any(data.excluded):
            raise ValueError(f"{data.name}: expected judgements, and no rows to leave out")
        self.metadata = TaskMetadata(
            name=data.name,
            description="Row numbers in place of texts.",
            dataset={"path": "made/here", "revision": "1"},
            type="Retrieval",
            category="t2t",
            eval_langs=["eng-Latn"],
            main_score="ndcg_at_10",
        )
        super().__init__()

        def rows(count: int) -> datasets.Dataset:
            numbers = [str(row) for row in range(count)]
            return datasets.Dataset.from_dict({"id": numbers, "text": numbers})

        relevant = {
            str(query): {str(row): int(grade) for row, grade in grades.items() if grade > 0}
            for query, grades in enumerate(data.judgements)
        }
        split = {
            "corpus": rows(len(data.documents)),
            "queries": rows(len(data.queries)),
            "relevant_docs": relevant,
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


class RowModel(AbsEncoder):
    """Vectors by row number: of queries for a query's text, else of documents."""

    def __init__(self, documents: Floats, queries: Floats) -> None:
        self._documents, self._queries = documents, queries
        self.mteb_model_meta = ModelMeta.create_empty(
            {"name": "made/rows", "similarity_fn_name": ScoringFunction.COSINE}
        )

    def encode(
        self, inputs: Any, *, prompt_type: PromptType | None = None, **kwargs: Any
    ) -> Floats:
        """Look the rows up, (N, d)."""
        table = self._queries if prompt_type == PromptType.query else self._documents
        return table[[int(text) for batch in inputs for text in batch["text"]]]


def mteb_ndcg(model: Any, task: RowTask) -> float:
    """nDCG@10 as mteb says it, to five decimals."""
    result = mteb.evaluate(
        model, task, cache=None, co2_tracker=False, show_progress_bar=False, num_proc=None
    )
    return float(result.task_results[0].scores["test"][0]["ndcg_at_10"])


def comparisons(coded: Coded) -> dict[str, tuple[dict[str, Any], Search]]:
    """By name, what a `BinarizedModel` is given, and the search of our own that it should equal."""
    whole, prefix = coded.binarizer.hamming_bits, PREFIX
    data = coded.judge.data

    def exact(n: int) -> Any:
        listed = coded.encoded.hamming(whole, CANDIDATES)
        scores = np.einsum("qd,qnd->qn", data.queries, data.documents[listed])
        return np.take_along_axis(listed, best_rows(scores, n), axis=1)

    staged = {"candidates": CANDIDATES}
    return {
        "asymmetric": ({}, coded.asymmetric(BITS)),
        "hamming": ({"rescore": None}, coded.hamming(whole)),
        f"hamming, {prefix} bits": (
            {"rescore": None, "prefix_bits": prefix},
            coded.hamming(prefix),
        ),
        "candidates, asymmetric": (staged, coded.funnel(BITS)),
        "candidates, exact": ({**staged, "rescore": "exact"}, exact),
        "candidates, shortlist": (
            {**staged, "rescore": "exact", "shortlist": OVERSAMPLING * K},
            coded.judge.rescored(coded.funnel(BITS)),
        ),
    }


def compare(data: Dataset, method: Any) -> dict[str, dict[str, float]]:
    """Both measures of every comparison, by its name."""
    judge, task = Judge.of(data), RowTask(data)
    model = RowModel(data.documents, data.queries)
    binarizer = bitryoshka.fit(
        data.documents,
        bits=BITS,
        nested_bits=(PREFIX, HAMMING_BITS, BITS),
        hamming_bits=HAMMING_BITS if method == "progressive" else None,
        method=method,
    ).binarizer
    figures = {"float": {"mteb": mteb_ndcg(model, task), "own": judge.ndcg or 0.0}}
    for name, (given, search) in comparisons(Coded.of(judge, binarizer)).items():
        coded = BinarizedModel(model, binarizer, **given)
        own = ndcg_at_k(judge.found(search), data.judgements or [], K).mean()
        figures[name] = {"mteb": mteb_ndcg(coded, task), "own": float(own)}
        if coded.comparison.candidates is None:
            figures[name]["by_ids"] = mteb_ndcg(SearchEncoderWrapper(coded), task)
    for found in figures.values():
        found["difference"] = abs(found["mteb"] - found["own"])
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mteb_check", description=__doc__)
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    given = parser.parse_args(arguments)
    figures: dict[str, Any] = {"mteb": mteb.__version__, "bits": BITS}
    worst: dict[str, float] = {}
    for folder in given.data:
        data = read_dataset(folder)
        for method in METHODS:
            found = figures.setdefault(data.name, {})[method] = compare(data, method)
            for name, figure in found.items():
                print(data.name, method, name, figure, flush=True)
                worst[name] = max(worst.get(name, 0.0), figure["difference"])
    targets = [at_most(f"{n}: abs difference of nDCG@10", MOST, d) for n, d in worst.items()]
    write("mteb_check", figures, targets)


if __name__ == "__main__":
    main()
