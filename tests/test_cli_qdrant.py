"""The commands for Qdrant: what they print, and how they fail; on the engine in process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from progress_lines import without_progress
from synthetic import clustered
from test_qdrant_taking_over import BINARIZER as MOVED
from test_qdrant_taking_over import source_shard

import bitryoshka
from bitryoshka import Binarizer, CollectionError, cli
from bitryoshka.qdrant import collection_config
from bitryoshka.qdrant.config import body
from bitryoshka.qdrant.edge import Shard, read_shard

Run = Callable[..., tuple[int, str, str]]
ROWS = clustered(0, 300, 64, 20)
BINARIZER = bitryoshka.fit(ROWS, bits=64, hamming_bits=32, method="progressive").binarizer


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command of `qdrant` in a folder with a binarizer and vectors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITRYOSHKA_QDRANT_URL", raising=False)
    BINARIZER.save("b.safetensors")
    np.save("rows.npy", ROWS)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main(["qdrant", *arguments])
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, without_progress(captured.err)

    return call


def test_create_upsert_search_and_move(run: Run) -> None:
    assert run("create", "items", "b.safetensors") == (0, "items is there\n", "")
    lines = [json.dumps({"id": 1000 + i, "n": i}) for i in range(300)]
    Path("payloads.jsonl").write_text("\n".join(lines))
    upsert = ("upsert", "items", "b.safetensors", "rows.npy", "--payloads", "payloads.jsonl")
    assert json.loads(run(*upsert, "--json")[1]) == {"written": 300, "skipped": 0}
    assert run(*upsert, "--resume")[1] == "written: 0\nskipped: 300\n"
    np.save("queries.npy", ROWS[:3])
    search = ("search", "items", "b.safetensors", "queries.npy")
    code, out, err = run(*search)
    assert (code, err) == (0, "")
    assert run(*search, "--rescore", "exact", "--candidates", "100")[1] == out
    found = [json.loads(line) for line in out.splitlines()]
    assert [hits[0]["payload"] for hits in found] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [hits[0]["id"] for hits in found] == [1000, 1001, 1002]
    assert {len(hits) for hits in found} == {10}
    where = ("--filter", '{"must": [{"key": "n", "match": {"value": 7}}]}')
    for rescore in ("asymmetric", "none"):
        _, out, _ = run(*search, *where, "-k", "3", "--rescore", rescore)
        assert [[hit["id"] for hit in json.loads(line)] for line in out.splitlines()] == [
            [1007]
        ] * 3

    assert run("create", "other", "b.safetensors", "--quantization", "code")[0] == 0
    move = ("move", "items", "other", "b.safetensors", "--vector", "original", "--json")
    code, out, err = run(*move, "--parallel", "2")
    assert (code, err) == (0, "")
    moved = json.loads(out)
    assert (moved["written"], moved["target_points"], moved["good"]) == (300, 300, True)
    assert run(*move, "--least-recall", "1")[0] in (0, 1)


def test_a_move_that_finds_too_little_is_told_by_the_exit_code(run: Run) -> None:
    run("create", "items", "b.safetensors")
    run("upsert", "items", "b.safetensors", "rows.npy", "--quiet")
    run("create", "other", "b.safetensors", "--no-keep-vectors", "--quantization", "code")
    move = ("move", "items", "other", "b.safetensors", "--vector", "original", "--json")
    code, out, _ = run(*move, "--least-recall", "1")
    assert code == 1
    assert json.loads(out)["good"] is False
    assert run(*move, "--least-recall", "0")[0] == 0


def test_all_of_a_shard_is_moved_or_what_is_lost_is_named(run: Run) -> None:
    source_shard(Path("given"))
    MOVED.save("m.safetensors")
    run("create", "plain", "m.safetensors")
    move = ("move", "given", "plain", "m.safetensors", "--vector", "text", "--json")
    code, out, err = run(*move)
    assert (code, out, err.count("\n")) == (2, "", 1)
    for named in ("vector 'image'", "multivector 'colbert'", "sparse vector 'terms'", "--like"):
        assert named in err
    drop = ("--drop", "image", "--drop", "colbert", "--drop", "terms")
    code, out, _ = run(*move, *drop)
    assert (code, json.loads(out)["written"]) == (0, 300)

    like = ("--like", "given", "--vector", "text")
    assert run("create", "whole", "m.safetensors", *like, "--dry-run", "--drop", "terms")[0] == 0
    assert run("create", "whole", "m.safetensors", *like) == (0, "whole is there\n", "")
    move = ("move", "given", "whole", "m.safetensors", "--vector", "text", "--json")
    code, out, _ = run(*move)
    found = json.loads(out)
    assert (code, found["good"], found["written"]) == (0, True, 300)
    assert (found["without_vector"], found["lost"], found["settings"]) == (30, [], [])
    with read_shard("given") as source:
        source.delete([2, 4])
        source.shard.update(edge.UpdateOperation.set_payload([6], {"n": "new"}))
    code, out, _ = run(*move)
    found = json.loads(out)
    assert (code, found["good"], found["updated"], found["skipped"]) == (1, False, 1, 297)
    assert (found["extra"], found["examples"]) == (2, {"extra": [2, 4]})
    code, out, _ = run(*move[:-1], "--delete-extra")
    assert code == 0
    for line in ("deleted: 2", "extra: 0", "examples: none", "lost: none", "good: True"):
        assert f"\n{line}\n" in f"{out}\n"


def test_a_dry_run_prints_the_body_and_does_nothing(run: Run) -> None:
    options = ("--prefixes", "32", "--shards", "3", "--replicas", "2", "--write-consistency", "2")
    code, out, err = run("create", "items", "b.safetensors", *options, "--dry-run")
    assert (code, err) == (0, "")
    config = collection_config(BINARIZER, prefixes=(32,), shards=3, replicas=2, write_consistency=2)
    assert json.loads(out) == body(config)
    assert not Path("items").exists()


def test_choose_and_compare(run: Run) -> None:
    choose = ("choose", "rows.npy", "16", "-o", "c.safetensors", "--held-out", "30", "--json")
    code, out, err = run(*choose)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["bytes"] <= 16
    assert found["recall"] == max(found["tried"].values())
    assert Binarizer.load("c.safetensors").info["budget_bytes"] == 16
    code, out, err = run(*choose[:-1])
    assert (code, err) == (0, "")
    assert out.startswith("file: c.safetensors\nquantization: ")
    assert all(label in out for label in found["tried"])
    assert "{" not in out
    compare = ("compare", "rows.npy", "--held-out", "30", "--budgets", "16")
    code, out, err = run(*compare)
    assert (code, err) == (0, "")
    assert "TurboQuant 4 bits" in out
    assert "within 16 bytes take " in out
    code, out, err = run(*compare, "--binarizer", "b.safetensors", "--json")
    labels = [row["label"] for row in json.loads(out)["rows"]]
    assert "ours 64 bits, 8-bit query" in labels


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "items", "none.safetensors"), "none.safetensors"),
        (("create", "items", "b.safetensors", "--prefixes", "x"), "such as 64,128, found 'x'"),
        (("upsert", "items", "b.safetensors", "rows.npy"), "shard items does not exist"),
        (
            ("search", "items", "b.safetensors", "rows.npy", "--filter", '{"mus": []}'),
            """found '{"mus": []}': mus: Extra inputs are not permitted""",
        ),
        (
            ("search", "items", "b.safetensors", "rows.npy", "--filter", "n = 7"),
            "--filter must be a filter of Qdrant as JSON",
        ),
        (("create", "a", "b.safetensors", "--shard-key", "x"), "shard keys need a server: give"),
        (
            ("create", "a", "b.safetensors", "--sharding-method", "custom"),
            "shard a cannot have shard keys; leave them out with",
        ),
        (("alias", "a", "b"), "aliases need a server: give --url"),
        (("add", "a", "b.safetensors", "--vector", "v"), "add needs a server"),
        (("move", "a", "b", "b.safetensors"), "directory a does not exist"),
        (
            ("alias", "a", "b", "--url", "http://127.0.0.1:9"),
            "no answer from the server of alias 'a'",
        ),
    ],
)
def test_failures_are_one_line(run: Run, arguments: tuple[str, ...], words: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err


def test_the_words_for_many_nodes_need_a_server(run: Run) -> None:
    run("create", "items", "b.safetensors")
    upsert = ("upsert", "items", "b.safetensors", "rows.npy")
    code, out, err = run(*upsert, "--shard-key", "a", "--ordering", "strong", "--no-wait")
    assert (code, out) == (2, "")
    assert "in process, which has no shard_key_selector, ordering, wait" in err
    search = ("search", "items", "b.safetensors", "rows.npy")
    for consistency in ("2", "majority"):
        assert "which has no consistency" in run(*search, "--consistency", consistency)[2]
    assert "found 'most'" in run(*search, "--consistency", "most")[2]


def test_a_failing_upsert_tells_what_is_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("create", "items", "b.safetensors")
    write = Shard.write

    def failing(self: Shard, ids: Any, *rest: Any) -> None:
        if 200 in ids:
            raise CollectionError("the disk is full")
        write(self, ids, *rest)

    monkeypatch.setattr(Shard, "write", failing)
    upsert = ("upsert", "items", "b.safetensors", "rows.npy", "--batch-rows", "100")
    written = "of rows 0 to 299 these are written: 0 to 199; to repeat all is safe"
    assert run(*upsert)[2] == f"error: the disk is full; {written}\n"


def test_payloads_must_fit_the_rows(run: Run) -> None:
    run("create", "items", "b.safetensors")
    Path("p.jsonl").write_text('{"n": 1}\n')
    upsert = ("upsert", "items", "b.safetensors", "rows.npy", "--payloads", "p.jsonl")
    assert "expected 300 JSON objects, one a vector, found 1" in run(*upsert)[2]
    Path("p.jsonl").write_text("n = 1\n")
    assert "p.jsonl: expected a JSON object a line: " in run(*upsert)[2]
