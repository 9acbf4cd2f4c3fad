"""docs/llama_index.md is true: its blocks run in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engines import url
from tests.pages import blocks

PAGE = Path(__file__).parents[1] / "docs" / "llama_index.md"


def test_its_blocks_run(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {
        "__name__": "page",
        "url": url(database, "psycopg"),
        "async_url": url(database, "asyncpg"),
    }
    for block in blocks(PAGE):
        assert block.language == "python", block.place
        exec(compile(block.text, block.place, "exec"), namespace)
    namespace["engine"].dispose()
