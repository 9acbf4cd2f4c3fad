"""The main job, small: real text, the real model, a real Postgres."""

from __future__ import annotations

import json
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from bitryoshka import Binarizer, MissingExtraError, demo
from bitryoshka.cli.sample import from_postgres, from_qdrant
from bitryoshka.demo.corpus import Corpus, read_corpus
from bitryoshka.demo.quality import judge
from bitryoshka.demo.report import answers
from bitryoshka.postgres.server import Connection

LIMIT, BITS = 150, 64
SEARCHES = (
    "exact float scan",
    "float HNSW",
    "sign bits, HNSW, then exact",
    "ours, HNSW, then exact",
    "ours, HNSW, codes only",
    "ours, scan, codes only",
)


class Shown(NamedTuple):
    """A run in its own embedded server, with an empty cache, as on a terminal."""

    out: Path
    summary: dict[str, Any]
    said: str
    bars: str


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def shown(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    out = tmp_path_factory.mktemp("demo") / "out"
    said: list[str] = []
    bars = StringIO()
    with redirect_stderr(bars):
        summary = demo.run(out=out, limit=LIMIT, bits=BITS, progress=True, echo=said.append)
    return Shown(out, summary, "\n".join(said), bars.getvalue())


def test_the_summary_says_what_was_done(shown: Shown) -> None:
    found = shown.summary
    assert found["model"] == "all-MiniLM-L6-v2"
    assert found["documents"] == LIMIT
    assert 0.9 * LIMIT < found["queries"] <= LIMIT
    assert (found["dimensions"], found["bytes_before"]) == (384, 1536)
    assert (found["bits"], found["bytes_after"]) == (BITS, BITS // 8)
    assert found["rows_loaded_per_second"] > 0


@pytest.mark.parametrize("source", ["ours", "sign"])
def test_every_prefix_and_every_cut_is_judged(shown: Shown, source: str) -> None:
    found = shown.summary["quality"][source]
    binarizer = Binarizer.load(shown.out / "docs.safetensors")
    if source == "ours":
        assert tuple(found["asymmetric"]) == binarizer.nested_bits
        assert max(found["hamming"]) == binarizer.hamming_bits
    assert max(found["asymmetric"]) == BITS
    for figures in (*found["hamming"].values(), *found["asymmetric"].values(), found["funnel"]):
        assert 0 < figures["recall"] <= 1
        assert 0 < figures["retention"] < 1.1
    assert found["asymmetric"][BITS]["recall"] > found["asymmetric"][32]["recall"]


def test_float_search_in_postgres_is_exact(shown: Shown) -> None:
    found = shown.summary["searches"]
    assert tuple(found) == SEARCHES
    assert found["exact float scan"]["recall"] == pytest.approx(1, abs=1e-3)
    assert found["exact float scan"]["retention"] == pytest.approx(1, abs=1e-3)
    assert all(figures["milliseconds"] > 0 for figures in found.values())


def test_the_funnel_in_postgres_is_that_of_numpy(shown: Shown) -> None:
    """But for the query's weights, 8 bits each there, and for ties at the shortlist's end."""
    found = shown.summary["searches"]
    funnel = shown.summary["quality"]["ours"]["funnel"]
    for name in ("ours, scan, codes only", "ours, HNSW, codes only"):
        assert found[name]["recall"] == pytest.approx(funnel["recall"], abs=0.01)
        assert found[name]["retention"] == pytest.approx(funnel["retention"], abs=0.01)


def test_sizes_and_times_of_the_indexes(shown: Shown) -> None:
    found = shown.summary["searches"]
    sizes = {name: f["index_bytes"] for name, f in found.items() if "index_bytes" in f}
    assert set(sizes) == {name for name in SEARCHES if "HNSW" in name}
    assert all(found[name]["index_seconds"] > 0 for name in sizes)
    assert max(sizes, key=sizes.__getitem__) == "float HNSW"


def test_what_is_written(shown: Shown) -> None:
    names = {path.name for path in shown.out.iterdir()}
    assert names == {"demo.json", "docs.safetensors", "postgres", "recall.png"}
    written = json.loads((shown.out / "demo.json").read_text())
    assert written == json.loads(json.dumps(shown.summary))
    assert (shown.out / "recall.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    binarizer = Binarizer.load(shown.out / "docs.safetensors")
    assert binarizer.bits == BITS
    assert binarizer.info["source_model"] == "all-MiniLM-L6-v2"
    assert binarizer.info["method"] == shown.summary["method"]


def test_what_is_said(shown: Shown) -> None:
    for text in (
        f"{LIMIT} docstrings",
        "| float32 | 1,536 | 1.000 | 1.000 |",
        "| ours, float query | 8 | ",
        "bitryoshka report VECTORS",
        *(f"| {name} |" for name in SEARCHES),
    ):
        assert text in shown.said
    lines = shown.said.splitlines()
    questions = [i for i, line in enumerate(lines) if line.startswith("? ")]
    assert len(questions) == 5
    for i in questions:
        assert all(hit[:3] in ("   ", " * ") for hit in lines[i + 1 : i + 4])


def test_more_rows_are_computed_from_the_measured_bytes(shown: Shown) -> None:
    size = shown.summary["searches"]["float HNSW"]["index_bytes"] / LIMIT
    million, ten = (f"{size * rows / 2**30:.1f} GiB" for rows in (1e6, 1e7))
    assert f"| float HNSW | {size:,.0f} | {million} | {ten} |" in shown.said.splitlines()


def test_questions_that_floats_do_not_answer_are_skipped() -> None:
    texts = np.eye(12, dtype=np.float32)
    questions = np.array([texts[0], texts[1] + 0.5 * texts[2]])
    assert judge(questions, texts, [0, 2]).found_within(2) == [0, 1]
    assert judge(questions, texts, [0, 2]).found_within(1) == [0]
    corpus = Corpus([*"abcdefgh"], [*"abcdefgh"], ["first?", "second?"], [0, 2])
    said = answers(corpus, [0], [[3, 0]])
    assert "for 1 of 2\nquestions" in said
    assert "have it there for 1." in said
    assert "? first?   (expected: a)\n   d: d\n * a: a" in said
    assert "second?" not in said


def test_how_far_it_is_is_told(shown: Shown) -> None:
    for title in ("embed docstrings", "embed summaries", "fit", "load"):
        assert f"{title}: " in shown.bars


def test_a_second_run_embeds_nothing(
    shown: Shown,
    database: str,
    connection: Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In another server, where it replaces its own schema only."""
    monkeypatch.setattr("sentence_transformers.SentenceTransformer", None)
    connection.execute("CREATE TABLE kept (id int)")
    connection.execute("CREATE SCHEMA bitryoshka_demo")
    connection.execute("CREATE TABLE bitryoshka_demo.codes (id int)")
    out = tmp_path / "out"
    (out / "qdrant").mkdir(parents=True)
    (out / "qdrant" / "old").touch()
    again = demo.run(out=out, limit=LIMIT, bits=BITS, dsn=database, shard=True)
    assert again["quality"] == shown.summary["quality"]
    rows = connection.execute("SELECT count(code) FROM bitryoshka_demo.codes").fetchone()
    assert rows == (LIMIT,)
    assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    assert {path.name for path in out.iterdir()} == {
        *("demo.json", "docs.safetensors", "qdrant", "recall.png"),
    }
    assert not (out / "qdrant" / "old").exists()
    in_table = from_postgres(database, "bitryoshka_demo.floats", "vector", LIMIT)
    in_shard = from_qdrant(str(out / "qdrant"), "shard/original", LIMIT)
    assert in_table.rows == in_shard.rows == LIMIT
    # in another order, and as float16 in the shard
    table, shard = (v.sum(axis=0) for v in (in_table.vectors, in_shard.vectors))
    np.testing.assert_allclose(table, shard, atol=0.05)


def test_refresh_embeds_anew(cache: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    from bitryoshka.demo.embed import embed

    texts = ["one text", "and a longer text, which is embedded first or last"]
    before = set(cache.rglob("*.npy"))
    first = embed(texts, "all-MiniLM-L6-v2", False, False, "embed")
    (added,) = set(cache.rglob("*.npy")) - before
    assert added.parent.name == "bitryoshka"
    assert first.shape == (2, 384)
    assert (first**2).sum(axis=1) == pytest.approx(1, abs=1e-5)
    added.write_bytes(b"spoilt")
    again = embed(texts, "all-MiniLM-L6-v2", True, False, "embed")
    assert again == pytest.approx(first, abs=1e-6)
    assert (embed(texts, "all-MiniLM-L6-v2", False, False, "embed") == again).all()


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        ("matplotlib", "demo"),
        ("psycopg", "demo"),
        ("sentence_transformers", "demo"),
        ("qdrant_edge", "edge"),
    ],
)
def test_a_missing_package_is_named_before_the_work(
    package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"needs the extra '{extra}': "):
        demo.run(out=tmp_path / "out", shard=True)
    assert list(tmp_path.iterdir()) == []


# the corpus


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return read_corpus(1000, 300)


def words(text: str) -> str:
    return " ".join(text.split()).lower()


def test_no_document_holds_its_query(corpus: Corpus) -> None:
    for question, answer in zip(corpus.questions, corpus.answers, strict=True):
        assert words(question).rstrip(".") not in words(corpus.texts[answer])


def test_queries_are_different_and_answered_by_one_document(corpus: Corpus) -> None:
    assert len(corpus.names) == len(corpus.texts) == len(set(corpus.texts)) == 1000
    assert len(corpus.questions) == len(set(corpus.questions)) == len(corpus.answers) == 300
    assert len(set(corpus.answers)) == 300
    assert all(0 <= answer < 1000 for answer in corpus.answers)


def test_the_corpus_is_always_the_same(corpus: Corpus) -> None:
    again = read_corpus(1000, 300)
    assert again == corpus
    fewer = read_corpus(100, 10_000)
    assert fewer.texts == corpus.texts[:100]
    assert 0 < len(fewer.questions) <= 100


BODY = "The rest of the docstring, which is long enough to be a document: it has eighty letters."


def source(summary: str, body: str = BODY) -> str:
    return f'def documented():\n    """{summary}\n\n    {body}\n    """\n'


def test_what_counts_as_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = source("A summary of a decent length.")
    for name, content in {
        "pack/__init__.py": f'"""The package has a summary too.\n\n{BODY} A package.\n"""\n',
        "pack/good.py": f"class Outer:\n    {good.replace(chr(10), chr(10) + '    ').rstrip()}\n",
        "pack/copy.py": source("Another summary, the same document."),
        "pack/short.py": source("Too short."),
        "pack/bare.py": source("A summary of a decent length.", "Too short."),
        "pack/echo.py": source(
            "A summary that comes again.", f"A summary that comes again. {BODY}"
        ),
        "pack/tests/test_good.py": source("A summary within the tests.", f"{BODY} Tests."),
        "pack/broken.py": f"{good}\ndef (",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    paths = dict.fromkeys(("stdlib", "purelib", "platlib"), str(tmp_path))
    monkeypatch.setattr(sysconfig, "get_paths", lambda: paths)
    found = read_corpus(100, 100)
    assert sorted(found.texts) == [BODY, f"{BODY} A package."]
    assert "pack" in found.names
    assert set(found.names) <= {"pack", "pack.good.Outer.documented", "pack.copy.documented"}
    assert len(found.questions) == 2
