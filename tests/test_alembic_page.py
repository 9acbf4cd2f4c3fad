"""docs/alembic.md is true: its files and commands make a history, from nothing and back to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic_history import TEMPLATES, catalogs, url
from attached_rows import check_codes
from pgvector import Vector
from synthetic import clustered
from test_readme import check_pip, commands
from tests.pages import blocks

import bitryoshka
import bitryoshka.alembic
from bitryoshka.postgres import status
from bitryoshka.postgres.server import Connection

PAGE = Path(__file__).parents[1] / "docs" / "alembic.md"
INI = "[alembic]\nscript_location = migrations\nprepend_sys_path = .\npath_separator = os\n"


def alembic(arguments: list[str], folder: Path, address: str) -> str:
    environment = {**os.environ, "DATABASE_URL": address}
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_blocks_run(
    database: str, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "alembic.ini").write_text(INI)
    mako = (TEMPLATES / "generic" / "script.py.mako").read_text()
    (tmp_path / "migrations" / "script.py.mako").write_text(mako)
    rows = clustered(0, 600, 192, 40)
    connection.execute(
        "CREATE TABLE articles (id serial PRIMARY KEY, title varchar NOT NULL, "
        "embedding vector(192) NOT NULL)"
    )
    with connection.cursor() as cursor, cursor.copy("COPY articles FROM STDIN") as copy:
        for i, row in enumerate(rows):
            copy.write_row((i, f"title {i}", Vector(row).to_text()))
    before = catalogs(connection)
    address = url(database, "psycopg").render_as_string(hide_password=False)
    ran = []
    for block in blocks(PAGE):
        if block.language == "python" and block.text.startswith("# "):
            name = block.text.splitlines()[0].removeprefix("# ")
            (tmp_path / name).write_text(block.text)
        elif block.language == "python":
            exec(compile(block.text, block.place, "exec"), {"vectors": rows})
        elif block.language == "text":
            [made] = versions.glob("*_codes_of_articles.py")
            upgrade = made.read_text().split("def downgrade")[0]
            lines = [x.strip() for x in upgrade.splitlines() if x.startswith("    op.")]
            assert "\n".join(lines) == block.text.strip()
            binarizer = bitryoshka.Binarizer.load("migrations/articles.safetensors")
            assert check_codes(connection, binarizer, name="articles") == len(rows)
            assert status(connection, "articles").state == "ready"
        else:
            assert block.language == "sh"
            for program, *arguments in commands(block):
                if program == "pip":
                    check_pip(arguments)
                    continue
                assert program == "alembic"
                ran.append((arguments, alembic(arguments, tmp_path, address)))
                if arguments == ["upgrade", "head"] and (versions / "0003_renamed.py").exists():
                    found = check_codes(connection, binarizer, name="articles", column="vector")
                    assert found == len(rows)
    assert [command[0][0] for command in ran].count("upgrade") == 4
    assert catalogs(connection) == before


def test_its_table_has_every_operation() -> None:
    from alembic.operations import Operations

    own = {
        name
        for name, method in vars(Operations).items()
        if "bitryoshka" in str(getattr(method, "__globals__", {}).get("op_cls", ""))
    }
    assert len(own) == len(bitryoshka.alembic.__all__) - 1
    assert all(f"`{name}(" in PAGE.read_text("utf-8") for name in own)
