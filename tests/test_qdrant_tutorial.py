"""The pages about Qdrant are true: their blocks run in their order, on the engine in process."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge
import typer
from qdrant_client import models
from synthetic import clustered
from test_qdrant_requests import Answer, Recorder, answers, ok
from test_readme import Block, check_pip, commands, run_cli

from bitryoshka.cli.app import app
from bitryoshka.qdrant import collection_config
from bitryoshka.qdrant.edge import read_shard
from bitryoshka.qdrant.engine import having

PAGE = Path(__file__).parents[1] / "docs" / "qdrant_tutorial.md"


def blocks(page: Path = PAGE) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(found[1], found[2], f"{page.name}, line {text.count(chr(10), 0, found.start()) + 1}")
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    ]


def parse(arguments: list[str]) -> None:
    """Only parse a command that is for a server: an unknown option or a missing argument fails."""
    command: Any = typer.main.get_command(app)
    for name in arguments[:2]:
        command = command.commands[name]
    with command.make_context(arguments[1], arguments[2:]):
        pass


def existing_shard(path: Path) -> None:
    params = qdrant_edge.EdgeVectorParams(96, qdrant_edge.Distance.Cosine)
    path.mkdir()
    sparse = {"words": qdrant_edge.EdgeSparseVectorParams()}
    shard = qdrant_edge.EdgeShard.create(
        str(path), qdrant_edge.EdgeConfig({"text": params}, sparse)
    )
    points = [
        qdrant_edge.Point(
            i,
            {"text": row, "words": qdrant_edge.SparseVector([i], [1.0])},
            {"tenant": i % 5, "title": f"title {i}"},
        )
        for i, row in enumerate(clustered(0, 800, 96, 30).tolist())
    ]
    shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
    integer = qdrant_edge.PayloadSchemaType.Integer
    shard.update(qdrant_edge.UpdateOperation.create_field_index("tenant", integer))
    shard.close()


def test_the_blocks_of_the_other_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("vectors.npy", clustered(0, 800, 96, 30))
    np.save("queries.npy", clustered(1, 40, 96, 30))
    namespace: dict[str, Any] = {}
    page = blocks(PAGE.with_name("qdrant.md"))
    shell = [block for block in page if block.language == "sh"]
    *scratch, moving, many, keyed, parallel = [
        block
        for block in page
        if block.language == "python" and not re.search("langchain|with_vectors", block.text)
    ]
    for block in scratch:
        exec(compile(block.text, block.place, "exec"), namespace)
    for hit in (hit for hits in namespace["hits"] for hit in hits):
        assert hit.payload == {"tenant": 3}
        assert hit.id % 10 == 8
    for found in (namespace[name] for name in ("hits", "codes_alone", "stages", "best")):
        assert [len(hits) for hits in found] == [10] * 40
    assert namespace["plan"].reached
    assert namespace["report"].advice
    assert namespace["choice"].bytes <= 16

    shutil.rmtree("articles")
    existing_shard(tmp_path / "articles")
    exec(compile(moving.text, moving.place, "exec"), namespace)
    assert namespace["moved"].written == 800
    assert namespace["checked"].good
    with read_shard("articles_codes") as moved:
        assert moved.count(having("words")) == 800
        assert moved.indexes() == {"tenant": models.PayloadSchemaType.INTEGER}
    exec(compile(parallel.text, parallel.place, "exec"), namespace)
    assert namespace["moved"] == (0, 0, 800, 0, 0, 0)
    assert namespace["checked"].good

    config = collection_config(namespace["binarizer"])
    for block, answer in ((many, answers(config)), (keyed, with_keys(config))):
        recorder = Recorder(answer)
        namespace["client"] = recorder.sync
        exec(compile(block.text, block.place, "exec"), namespace)
        words = [sent for sent in recorder.sent if "/points" in sent.path]
        if block is many:
            assert [s.query["ordering"] for s in words[:-1]] == ["strong"] * 2
            assert words[-1].query == {"consistency": "majority"}
        else:
            assert {s.body["shard_key"] for s in words[:-1]} == {"acme"}
            assert {r["shard_key"] for r in words[-1].body["searches"]} == {"acme"}
    lines = [arguments for block in shell for arguments in commands(block)]
    assert len(lines) == 4
    for program, *arguments in lines:
        assert program == "bitryoshka"
        parse(arguments)


def with_keys(config: models.CreateCollection) -> Answer:
    """The answers of a server whose collection has shard keys."""
    answer = answers(config)

    def keyed(method: str, path: str) -> Any:
        if path.endswith("/shards"):
            return ok({"shard_keys": []} if method == "GET" else True)
        found = answer(method, path)
        if method == "GET" and path.endswith("/tenants"):
            found["result"]["config"]["params"]["sharding_method"] = "custom"
        return found

    return keyed


def test_its_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITRYOSHKA_QDRANT_URL", raising=False)
    existing_shard(tmp_path / "articles")
    namespace: dict[str, Any] = {}
    parsed = 0
    for block in blocks():
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), namespace)
            continue
        assert block.language == "sh", block.place
        for program, *arguments in commands(block):
            if program == "pip":
                check_pip(arguments)
            elif program == "bitryoshka" and "--url" in arguments:
                parse(arguments)
                parsed += 1
            elif program == "bitryoshka":
                run_cli(arguments)
            else:
                assert program == "export"
    assert parsed == 7
    assert namespace["plan"].reached
    assert namespace["hits"][0][0].payload["title"].startswith("title")
    assert all(hit.id % 5 == 3 for hits in namespace["hits"] for hit in hits)
    assert not (tmp_path / "articles_codes").exists()
    with pytest.raises(Exception, match="No such option: --no-such-option"):
        parse(["qdrant", "add", "articles", "--no-such-option"])
