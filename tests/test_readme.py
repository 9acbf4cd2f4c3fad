"""The README does what it says: its blocks run, its figures come from result files."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from packaging.requirements import Requirement
from synthetic import clustered

from bitryoshka import cli

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), *(ROOT / "examples").glob("*/*.md")]


class Block(NamedTuple):
    language: str
    text: str
    place: str


def blocks() -> list[Block]:
    text = README.read_text("utf-8")
    return [
        Block(found[1], found[2], f"README.md, line {text.count(chr(10), 0, found.start()) + 1}")
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    ]


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a sh block, without comments and leading NAME=value."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.match(r"\w+=", words[0]):
            del words[0]
        if words:
            yield words


def check_pip(arguments: list[str]) -> None:
    assert arguments[0] == "install"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for argument in arguments[1:]:
        if not argument.startswith("-"):
            found = Requirement(re.sub(r"^\.(?=$|\[)", "bitryoshka", argument))
            assert found.name == "bitryoshka"
            assert found.extras <= set(extras)


def check_make(targets: list[str]) -> None:
    known = set(re.findall(r"^([\w-]+):(?!=)", (ROOT / "Makefile").read_text(), re.M))
    assert {t for t in targets if "=" not in t} <= known


def run_cli(arguments: list[str]) -> None:
    """Run the command; the demo takes minutes and has tests of its own."""
    with pytest.raises(SystemExit) as end:
        cli.main([*arguments, "--help"] if arguments[0] == "demo" else arguments)
    assert end.value.code == 0, arguments


def run_sh(block: Block) -> None:
    for program, *arguments in commands(block):
        match program:
            case "bitryoshka":
                run_cli(arguments)
            case "make":
                check_make(arguments)
            case "pip":
                check_pip(arguments)
            case "export":
                assert arguments == ["BITRYOSHKA_DSN=postgresql://user@host/database"]
            case "docker":
                assert (ROOT / "docker-compose.yml").is_file()
            case _:
                assert program in ("cd", "git"), f"{block.place}: nothing checks {program}"


def run_sql(block: Block, connection: psycopg.Connection[Any]) -> None:
    """Every statement of the block; what it selects must not be empty."""
    cursor = connection.execute(block.text)
    while True:
        assert cursor.description is None or cursor.rowcount > 0, block.place
        if not cursor.nextset():
            return


def test_blocks_run_in_their_order_and_sql_last(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = blocks()
    assert {block.language for block in found} >= {"python", "sh", "sql"}
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(
            "CREATE TABLE articles (id int PRIMARY KEY, tenant int, embedding vector(192))"
        )
        with connection.cursor() as cursor:
            rows = [(i, i % 5, row) for i, row in enumerate(clustered(2, 300, 192, 40).tolist())]
            cursor.executemany("INSERT INTO articles VALUES (%s, %s, %s::vector)", rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BITRYOSHKA_DSN", database)
    namespace: dict[str, Any] = {}
    for block in found:
        if block.language == "python":
            for _ in range(2):  # whoever tries it runs it again
                exec(compile(block.text, block.place, "exec"), namespace)
            assert [len(found) for found in namespace["ids"]] == [10, 10]
            assert namespace["codec"].label == "articles@1"
        elif block.language == "sh":
            run_sh(block)
    with psycopg.connect(database, autocommit=True) as connection:
        for block in found:
            if block.language == "sql":
                run_sql(block, connection)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_figures_are_those_of_the_result_files(page: Path) -> None:
    text = page.read_text("utf-8")
    begun = re.findall(r"<!-- begin:(\S+) -->", text)
    assert begun == re.findall(r"<!-- end:(\S+) -->", text)
    assert import_module("benchmarks.readme").render(text) == text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" not in target and not target.startswith("#"):
            assert (page.parent / target.partition("#")[0]).exists(), target
