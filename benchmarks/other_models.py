"""Sets with vectors of other models: ``python -m benchmarks.other_models --data DIR --out DIR``.

Writes one folder for each set and model, ``OUT/SET-MODEL``, in the layout that
`benchmarks.datasets` reads, for `benchmarks.quality`. `benchmarks.text_models` says what the models
are. ``synthetic-768`` and ``synthetic-1024`` have no texts, nor any judgements: a power-law
covariance around a mean that is off centre, and queries from another distribution than the rows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.text_models import MODELS, Floats, Texts, Vectors

SYNTHETIC = {"synthetic-768": 768, "synthetic-1024": 1024}
# like those of the sets' own vectors: variances fall with about the rank's inverse, and the mean
# is 0.1 to 0.5 long where the vectors have length 1
DECAY = 1.0
OFF_CENTRE = 0.4
ROWS, QUERIES = 10_000, 300


def read_texts(folder: Path) -> Texts:
    """Title and text of every document, and the text of every query, in the order of the ids."""
    ids = json.loads((folder / "ids.json").read_text(encoding="utf-8"))
    return Texts(
        _texts(folder / "corpus.jsonl.gz", ids["corpus"]),
        _texts(folder / "queries.jsonl.gz", ids["queries"]),
    )


def _texts(path: Path, ids: Sequence[str]) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found = {
            str(r["_id"]): f"{r.get('title') or ''} {r['text']}".strip()
            for r in map(json.loads, lines)
        }
    return [found[str(name)] for name in ids]


def synthetic(dimensions: int, rows: int = ROWS, queries: int = QUERIES, seed: int = 0) -> Vectors:
    """Off-centre vectors with a power-law spectrum, and queries that are distributed otherwise.

    Queries have another mean and a flatter spectrum, as short texts have beside long ones.
    """
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((dimensions, dimensions)))[0].astype(np.float32)
    mean, apart = rng.standard_normal((2, dimensions))
    mean *= OFF_CENTRE / np.linalg.norm(mean)
    apart *= 0.5 * OFF_CENTRE / np.linalg.norm(apart)

    def drawn(count: int, decay: float, middle: Floats) -> Floats:
        variances = np.arange(1, dimensions + 1.0) ** -decay
        variances *= (1 - OFF_CENTRE**2) / variances.sum()
        spread = rng.standard_normal((count, dimensions), np.float32)
        found: Floats = (spread * np.sqrt(variances, dtype=np.float32)) @ basis + middle
        return found.astype(np.float32)

    return Vectors(drawn(rows, DECAY, mean), drawn(queries, 0.8 * DECAY, mean + apart))


def write_folder(out: Path, vectors: Vectors, source: Path | None) -> None:
    """Write unit vectors as float16, with the ids and judgements of the set they come from.

    Zero vectors have no direction: their documents and queries are left out everywhere.
    """
    ids = {
        "corpus": [f"d{i}" for i in range(len(vectors.documents))],
        "queries": [f"q{i}" for i in range(len(vectors.queries))],
    }
    if source is not None:
        ids = json.loads((source / "ids.json").read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    kept: dict[str, list[str]] = {}
    for name, x in (("corpus", vectors.documents), ("queries", vectors.queries)):
        norms = np.linalg.norm(x, axis=1)
        rows = np.flatnonzero(norms > 0)
        np.save(out / f"{name}.npy", (x[rows] / norms[rows, None]).astype(np.float16))
        kept[name] = [ids[name][i] for i in rows]
    (out / "ids.json").write_text(json.dumps(kept), encoding="utf-8")
    for name in ("qrels.tsv", "exclude.tsv"):
        if source is not None and (source / name).is_file():
            _copy_pairs(source / name, out / name, kept)


def _copy_pairs(source: Path, target: Path, kept: dict[str, list[str]]) -> None:
    """Copy the lines whose query and document are kept."""
    queries, documents = set(map(str, kept["queries"])), set(map(str, kept["corpus"]))
    header, *lines = source.read_text(encoding="utf-8").splitlines()
    fields = [line.split("\t") for line in lines if line.strip()]
    found = ["\t".join(f) for f in fields if f[0] in queries and f[1] in documents]
    target.write_text("\n".join([header, *found]) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write all folders; a model whose package is missing is left out, with a word."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.other_models", description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    names = (*SYNTHETIC, *MODELS)
    parser.add_argument("--models", nargs="+", choices=names, default=names)
    given = parser.parse_args(arguments)
    for name in given.models:
        if name in SYNTHETIC:
            write_folder(given.out / name, synthetic(SYNTHETIC[name]), None)
            print(given.out / name, flush=True)
            continue
        for folder in given.data:
            out, started = given.out / f"{folder.name}-{name}", time.perf_counter()
            try:
                write_folder(out, MODELS[name](read_texts(folder)), folder)
            except ModuleNotFoundError as error:
                print(f"{name}: not measured, needs {error}", flush=True)
                break
            print(f"{out}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
