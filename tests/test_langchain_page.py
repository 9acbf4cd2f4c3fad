"""docs/langchain.md is true: its blocks run in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engines import url
from tests.pages import blocks
from tests.test_readme import check_pip, commands

PAGE = Path(__file__).parents[1] / "docs" / "langchain.md"


def test_its_blocks_run(
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {
        "url": url(database, "psycopg"),
        "async_url": url(database, "asyncpg"),
    }
    for block in blocks(PAGE):
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), namespace)
            continue
        assert block.language == "sh", block.place
        for program, *arguments in commands(block):
            assert program == "pip"
            check_pip(arguments)
    namespace["engine"].dispose()
    assert "holds codes of another binarizer" in capsys.readouterr().out
