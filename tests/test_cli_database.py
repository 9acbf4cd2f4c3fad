"""The commands for a database: what they print, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from attached_rows import BINARIZER, LABEL, check_codes, make_table, registered, rows_of
from progress_lines import without_progress
from test_cli import interrupted

from bitryoshka import Binarizer, cli
from bitryoshka.postgres import register
from bitryoshka.postgres.server import Connection

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], installed_database: str, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a command; gives exit code, output and errors."""
    monkeypatch.setenv("BITRYOSHKA_DSN", installed_database)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, without_progress(captured.err)

    return call


def test_register_attach_and_export(run: Run, installed: Connection, tmp_path: Path) -> None:
    make_table(installed)
    BINARIZER.save(tmp_path / "b.safetensors")
    assert run("register", tmp_path / "b.safetensors", "docs") == (
        0,
        f"{LABEL} {BINARIZER.fingerprint}\n",
        "",
    )
    code, out, err = run("attach", "items", "embedding", "--codec", LABEL)
    assert (code, err) == (0, "")
    assert out.startswith("180 rows encoded; 200 rows, 20 without a vector, 0 whose vector has no")
    assert check_codes(installed) == 180
    name = LABEL.partition("@")[0]
    assert run("export", name, "-o", tmp_path / "again.safetensors")[0] == 0
    again = Binarizer.load(tmp_path / "again.safetensors")
    assert again.fingerprint == BINARIZER.fingerprint


def test_a_codec_without_a_version_is_the_newest(run: Run, installed: Connection) -> None:
    for version in (1, 2, 10):
        register(installed, "docs", BINARIZER, version)
    make_table(installed)
    assert run("attach", "items", "embedding", "--codec", "docs", "--quiet", "--no-index")[0] == 0
    found = json.loads(run("columns", "--json")[1])
    columns = {"schema": "public", "table": "items", "column": "code", "codec": "docs@10"}
    more = {"search_name": "code", "state": "ready", "prefix_bits": None}
    assert found == [columns | more]
    assert "docs@10" in run("columns")[1]
    assert run("drop-codec", "docs@2") == (0, "dropped docs@2\n", "")
    labels = [f"{c['name']}@{c['version']}" for c in json.loads(run("codecs", "--json")[1])]
    assert labels == ["docs@1", "docs@10"]
    shown = run("codecs")[1]
    assert all(label in shown for label in (*labels, BINARIZER.fingerprint))
    assert run("detach", "items")[0] == 0
    assert run("drop-codec", "docs") == (0, "dropped docs@10\n", "")


def test_an_interrupted_attach_goes_on(run: Run, installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    attach = ("attach", "items", "embedding", "--codec", LABEL, "--batch-rows", "1", "--no-index")

    def begun() -> bool:
        filled = "SELECT FROM bitryoshka.backfill WHERE rows > 1"
        return installed.execute(filled).rowcount > 0

    done = interrupted(*attach, ready=begun)
    message = "interrupted: run the same command again to go on\n"
    assert (done.code, done.out, done.err) == (130, "", message)
    kept = sum(code is not None for _, _, code in rows_of(installed))
    assert 0 < kept < 180
    assert run(*attach)[0] == 0
    assert check_codes(installed) == 180


def test_a_dry_run_prints_statements_alone(run: Run, installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    code, out, err = run("attach", "items", "embedding", "--codec", LABEL, "--dry-run")
    assert (code, err) == (0, "")
    assert "bitryoshka.add_code_column(" in out
    assert "CREATE INDEX CONCURRENTLY" in out
    assert installed.execute("SELECT FROM bitryoshka.columns").rowcount == 0


def test_status_and_verify_as_json(run: Run, installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    assert run("attach", "items", "embedding", "--codec", LABEL, "--quiet") == (0, "", "")
    code, out, _ = run("status", "items", "--json")
    found = json.loads(out)
    assert (code, found["state"], found["counts"]["missing"]) == (0, "ready", 0)
    assert json.loads(run("verify", "items", "--json")[1])["wrong_bits"] == 0
    assert "index valid: True" in run("status", "items")[1]
    installed.execute("ALTER TABLE items DISABLE TRIGGER USER; UPDATE items SET code = NULL")
    code, out, _ = run("verify", "items", "--json")
    assert (code, json.loads(out)["counts"]["missing"]) == (1, 180)


def test_the_sql_of_an_installation_needs_no_database(run: Run, installed: Connection) -> None:
    code, out, _ = run("install", "--sql")
    assert code == 0
    assert "CREATE TABLE IF NOT EXISTS bitryoshka.codecs" in out
    assert "CREATE OR REPLACE FUNCTION bitryoshka.search" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("attach", "nothing", "embedding", "--codec", LABEL), "there is no table public.nothing"),
        (("attach", "items", "embedding", "--codec", "x@1"), "there is no codec 'x@1'"),
        (("status", "items"), "no codec is attached to column 'code' of public.items"),
        (("detach", "items", "--schema", "s"), "there is no table s.items"),
        (("drop-codec", "docs@7"), "there is no codec 'docs@7'"),
        (("install", "--dsn", "port=1 host=/nowhere"), "no Postgres server could be reached"),
        (("install", "--dsn", "port=1 host=/nowhere"), "database (--dsn or BITRYOSHKA_DSN)\n"),
        (("export", LABEL, "-o", "b.txt"), "the output must be called .safetensors"),
    ],
)
def test_an_error_is_one_line(
    run: Run, installed: Connection, arguments: tuple[str, ...], message: str
) -> None:
    registered(installed)
    make_table(installed)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_command_without_a_database_says_how_to_name_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BITRYOSHKA_DSN")
    for name, value in {"PGHOST": "/nowhere", "PGPORT": "1"}.items():
        monkeypatch.setenv(name, value)
    code, _, err = run("status", "items")
    assert (code, err.count("\n")) == (2, 1)
    assert err.endswith("(neither --dsn nor BITRYOSHKA_DSN is given)\n")


def test_no_statement_is_shown(run: Run, installed: Connection) -> None:
    installed.execute("ALTER TABLE bitryoshka.backfill RENAME TO gone")
    registered(installed)
    make_table(installed)
    code, _, err = run("attach", "items", "embedding", "--codec", LABEL)
    assert (code, err) == (2, 'error: relation "bitryoshka.backfill" does not exist\n')


def test_an_error_of_the_server_is_one_line(run: Run, installed: Connection) -> None:
    registered(installed)
    make_table(installed)
    assert run("attach", "items", "embedding", "--codec", LABEL)[0] == 0
    code, _, err = run("uninstall")
    assert (code, err.count("\n")) == (2, 1)
    assert "codecs are attached to columns" in err
