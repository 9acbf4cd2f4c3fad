"""examples: a page, run from top to bottom, with its searches judged; files that stand alone."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alembic_history import catalogs, url
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from test_readme import Block, check_pip, commands
from tests.pages import blocks

from bitryoshka import Binarizer
from bitryoshka.errors import DatabaseError, SearchError
from bitryoshka.postgres.server import Connection

EXAMPLE = Path(__file__).parents[1] / "examples" / "document_search"
MODULES = sorted(path.stem for path in EXAMPLE.glob("*.py"))
EXPECTED = {
    ("files", "delete a whole directory tree"): "shutil.rmtree",
    ("files", "how much free space is on the disk?"): "shutil.disk_usage",
    ("files", "unpack an archive"): "shutil.unpack_archive",
    ("numbers", "shuffle a list in place"): "random.Random.shuffle",
    ("numbers", "square root"): "math.isqrt",
    ("text", "escape HTML characters"): "html.escape",
    ("text", "compare two sequences of lines"): "difflib.Differ.compare",
    ("text", "name of a unicode character"): "unicodedata.name",
}
FOREIGN = ("text", "delete a whole directory tree", "shutil.rmtree")


class Application:
    """A copy of the example in a folder of its own, with a database."""

    def __init__(self, folder: Path, address: str, output: pytest.CaptureFixture[str]) -> None:
        self.folder, self.output, self.printed = folder, output, ""
        self.engine = create_engine(address, poolclass=NullPool)

    def run(self, block: Block) -> None:
        for program, *arguments in commands(block):
            if program == "pip":
                check_pip(arguments)
            elif program == "alembic":
                self.alembic(arguments)
            elif program == "python":
                self.python(*arguments)
            else:
                assert program in ("export", "cd"), block.place

    def alembic(self, arguments: list[str]) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=self.folder,
            env=dict(os.environ),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def python(self, script: str, *arguments: str) -> None:
        """In this process, where the embedding model stays loaded."""
        before, sys.argv = sys.argv, [script, *arguments]
        self.output.readouterr()
        try:
            runpy.run_path(str(self.folder / script), run_name="__main__")
        finally:
            sys.argv = before
        self.printed = self.output.readouterr().out

    def change(self, difference: str) -> None:
        """Replace the lines with - by those with + in models.py, and forget what was imported."""
        text = (self.folder / "models.py").read_text()
        [[old, new]] = re.findall(r"\A-(.*)\n\+(.*)\n\Z", difference)
        assert text.count(f"{old}\n") == 1
        (self.folder / "models.py").write_text(text.replace(f"{old}\n", f"{new}\n"))
        forget("models", "search", "main")

    def module(self, name: str) -> ModuleType:
        return import_module(name)


def forget(*names: str) -> None:
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
def application(
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Application]:
    folder = tmp_path / "document_search"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    address = url(database, "psycopg").render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", address)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Application(folder, address, capsys)
    forget(*MODULES)


def test_its_page_runs_and_its_searches_are_good(
    application: Application, connection: Connection
) -> None:
    before = catalogs(connection)
    judged = 0
    for block in blocks(EXAMPLE / "README.md"):
        if block.language == "sh":
            application.run(block)
        elif block.language == "text":
            assert block.text.splitlines()[0] in application.printed
        elif block.language == "diff":
            application.change(block.text)
        else:
            name = block.text.splitlines()[0].removeprefix("# ")
            (application.folder / name).write_text(block.text)
        if block.language == "sh" and "alembic check" in block.text:
            judge(application)
            judged += 1
    assert judged == 2
    assert catalogs(connection) == before
    with pytest.raises(DatabaseError, match="expected schema bitryoshka"):
        application.python("main.py", "search", "anything", "--tenant", "text")


def judge(application: Application) -> None:
    """Right answers first, pages that follow each other, one tenant's documents, good recall."""
    models, search = application.module("models"), application.module("search")
    embedding = application.module("embedding")
    binarizer = Binarizer.load(models.binarizer_file())
    recalls = []
    with Session(application.engine) as session:
        for (tenant, text), title in EXPECTED.items():
            query = embedding.embed([text])[0]

            def page(number: int, *tags: str, of: str = tenant, query: Any = query) -> Any:
                return search.search(session, binarizer, query, of, tags, number)

            found = [d for number in (1, 2) for d in page(number).documents]
            assert found[0].title == title, [d.title for d in found]
            assert {d.tenant.name for d in found} == {tenant}
            exact = session.scalars(
                search.documents_of(tenant)
                .order_by(models.Document.embedding.cosine_distance(query))
                .limit(len(found))
            ).all()
            assert len(exact) == len(set(found)) == 2 * search.PAGE
            recalls.append(len(set(exact) & set(found)) / len(exact))
            tags = {tag.name for tag in found[0].tags}
            tagged = page(1, *tags).documents
            assert tagged[0].title == title
            assert all(tags == {tag.name for tag in d.tags} for d in tagged)
            assert not page(1, "no such tag").documents
        tenant, text, title = FOREIGN
        query = embedding.embed([text])[0]
        everything, number, more = [], 1, True
        while more and number * search.PAGE < search.CANDIDATES:
            documents, more = page(number, of=tenant, query=query)
            everything += documents
            number += 1
        assert len(everything) > 3 * search.PAGE
        assert len({d.id for d in everything}) == len(everything)
        assert title not in {d.title for d in everything}
        assert {d.tenant.name for d in everything} == {tenant}
        with pytest.raises(SearchError, match="candidates for all results"):
            page(1 + search.CANDIDATES // search.PAGE)
        assert session.scalar(select(models.Document.id).where(models.Document.title == title))
    assert sum(recalls) / len(recalls) >= 0.9, recalls


def printed_by(name: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    runpy.run_path(str(EXAMPLE.parent / f"{name}.py"), run_name="__main__")
    return capsys.readouterr().out.splitlines()


def test_the_postgres_table(
    database: str,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = catalogs(connection)
    monkeypatch.setenv("BITRYOSHKA_DSN", database)
    *found, last = printed_by("postgres_table", capsys)
    assert len(found) == 2
    assert last == "the trigger made the same code: True"
    assert catalogs(connection) == before


def test_qdrant_in_process(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, filtered = printed_by("qdrant_in_process", capsys)
    assert first.startswith("[(0, 1.0), ")
    assert second.startswith("[(1, 1.0), ")
    found = re.findall(r"\d+", filtered.partition("[")[2])
    assert [int(row) % 3 for row in found] == [1, 1, 1]


def test_the_langchain_store(
    database: str,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = url(database, "psycopg").render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", address)
    found = printed_by("langchain_store", capsys)
    assert found[0] == "document 7 1.0"
    assert found[-1].startswith("of chapter 3: document ")
    assert found[-1].endswith("{'chapter': 3}")
    assert connection.execute("SELECT to_regclass('example_documents')").fetchall() == [(None,)]
