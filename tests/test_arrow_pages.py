"""docs/arrow.md, docs/duckdb.md and docs/lancedb.md are true: their blocks run in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.pages import blocks
from tests.test_readme import commands, run_cli

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["arrow.md", "duckdb.md", "lancedb.md"])
def test_their_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    statements = []
    for block in blocks(DOCS / page):
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), namespace)
        elif block.language == "sql":
            statements.append(block.text)
        else:
            assert block.language == "sh", block.place
            namespace["binarizer"].save("docs.safetensors")
            for program, *arguments in commands(block):
                assert program == "bitryoshka"
                run_cli(arguments)
    for text in statements:
        code, prefix_bits = ("beginning", 32) if "array_slice" in text else ("code", None)
        rows = namespace["connection"].execute(text, [namespace[code]]).fetchall()
        alone = namespace["search"](
            *(namespace[name] for name in ("docs", "binarizer")),
            namespace["queries"][:1],
            100,
            prefix_bits=prefix_bits,
            rescore=None,
        )
        assert [key for key, _ in rows] == alone.ids[0]
