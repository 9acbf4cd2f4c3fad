"""Retrieval sets on disk, one folder each, read as unit float32 vectors.

A folder holds ``corpus.npy`` (N, d) and ``ids.json`` = ``{"corpus": [...], "queries": [...]}`` in
row order, and where there are any: ``queries.npy`` (Q, d), ``qrels.tsv`` and ``exclude.tsv``
(header ``query-id corpus-id score`` and ``query-id corpus-id``), ``queries_train.npy``, with labels
where ``qrels_train.tsv`` and ``queries_train.jsonl.gz`` are there too, ``corpus.jsonl.gz`` with
``_id``, ``title`` and ``text``.

Without queries, repeated texts and vectors are dropped and random documents become the queries;
they leave the rows that are searched.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitryoshka.evaluation import read_judgements

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

HELD_OUT = 500


class Dataset(NamedTuple):
    """Documents to search (N, d) and queries (Q, d), all of unit length.

    ``judgements[i]`` maps rows to grades for query i, None where nothing is judged;
    ``excluded[i]`` are rows that query i must not find; ``training_queries`` (T, d) or None, and
    ``training_pairs``: numbers of training queries (P,) and of rows that answer them (P,).
    """

    name: str
    documents: Floats
    queries: Floats
    judgements: list[dict[int, float]] | None
    excluded: list[frozenset[int]]
    training_queries: Floats | None
    training_pairs: tuple[Rows, Rows] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What a result file says about the set."""
        return {
            "documents": len(self.documents),
            "queries": len(self.queries),
            "dimensions": int(self.documents.shape[1]),
            "kind": "held-out documents" if self.judgements is None else "judged queries",
        }


def read_dataset(folder: Path, held_out: int = HELD_OUT, seed: int = 0) -> Dataset:
    """Read one folder; ValueError where its files do not fit together."""
    documents = _unit(folder / "corpus.npy")
    ids = json.loads((folder / "ids.json").read_text(encoding="utf-8"))
    if len(ids["corpus"]) != len(documents):
        raise ValueError(
            f"{folder.name}: {len(documents)} vectors, {len(ids['corpus'])} ids of documents"
        )
    if not (folder / "queries.npy").is_file():
        kept = documents[distinct_rows(documents, _texts(folder, ids["corpus"]))]
        return hold_out(folder.name, kept, held_out, seed)
    queries = _unit(folder / "queries.npy")
    judgements = None
    if (folder / "qrels.tsv").is_file():
        judgements = read_judgements(
            folder / "qrels.tsv", folder / "ids.json", len(queries), len(documents)
        )
    training = folder / "queries_train.npy"
    return Dataset(
        name=folder.name,
        documents=documents,
        queries=queries,
        judgements=judgements,
        excluded=_excluded(folder / "exclude.tsv", ids),
        training_queries=_unit(training) if training.is_file() else None,
        training_pairs=_pairs(folder, ids["corpus"]),
    )


def hold_out(name: str, documents: Floats, queries: int, seed: int) -> Dataset:
    """Random documents as queries, taken out of the rows that are searched."""
    if not 0 < queries < len(documents):
        raise ValueError(f"{name}: cannot hold {queries} of {len(documents)} documents out")
    picked = np.random.default_rng(seed).choice(len(documents), queries, replace=False)
    rest = np.delete(documents, picked, axis=0)
    return Dataset(name, rest, documents[picked], None, [frozenset()] * queries, None)


def leave_out(found: Rows, excluded: Sequence[frozenset[int]], k: int) -> Rows:
    """The first k of each query's ranked rows that are not excluded; -1 where rows run out."""
    if not any(excluded):
        return found[:, :k]
    kept = np.full((len(found), k), -1, np.int64)
    for out, rows, banned in zip(kept, found.tolist(), excluded, strict=True):
        left = [row for row in rows if row not in banned][:k]
        out[: len(left)] = left
    return kept


def distinct_rows(documents: Floats, texts: Sequence[str] | None) -> Rows:
    """First rows of every text (but for case and spacing) and of every vector, in rising order."""
    seen: set[object] = set()
    kept = []
    for row, vector in enumerate(documents):
        keys: list[object] = [vector.tobytes()]
        if texts is not None:
            keys.append(" ".join(texts[row].casefold().split()))
        if seen.isdisjoint(keys):
            kept.append(row)
        seen.update(keys)
    return np.array(kept, np.int64)


def _unit(path: Path) -> Floats:
    vectors: Floats = np.load(path, allow_pickle=False).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def _pairs(folder: Path, corpus: list[str]) -> tuple[Rows, Rows] | None:
    labels, texts = folder / "qrels_train.tsv", folder / "queries_train.jsonl.gz"
    if not (labels.is_file() and texts.is_file()):
        return None
    with gzip.open(texts, "rt", encoding="utf-8") as lines:
        queries = {str(json.loads(line)["_id"]): i for i, line in enumerate(lines)}
    rows = {str(name): i for i, name in enumerate(corpus)}
    _, *lines_read = labels.read_text(encoding="utf-8").splitlines()
    found = [
        (queries[query], rows[document])
        for query, document, score in (line.split("\t") for line in lines_read)
        if float(score) > 0
    ]
    asked, answers = np.array(found, np.int64).T
    return asked, answers


def _texts(folder: Path, ids: list[str]) -> list[str] | None:
    path = folder / "corpus.jsonl.gz"
    if not path.is_file():
        return None
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found = {r["_id"]: f"{r.get('title', '')} {r['text']}" for r in map(json.loads, lines)}
    return [found[name] for name in ids]


def _excluded(path: Path, ids: dict[str, list[str]]) -> list[frozenset[int]]:
    banned: list[set[int]] = [set() for _ in ids["queries"]]
    if path.is_file():
        queries = {name: i for i, name in enumerate(ids["queries"])}
        rows = {name: i for i, name in enumerate(ids["corpus"])}
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        if header.split("\t")[:2] != ["query-id", "corpus-id"]:
            raise ValueError(f"{path.name}: expected the header query-id corpus-id, found {header}")
        for line in lines:
            query, document = line.split("\t")[:2]
            banned[queries[query]].add(rows[document])
    return [frozenset(rows) for rows in banned]
