"""docs/sentence_transformers.md is true: its blocks run in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.pages import blocks

PAGE = Path(__file__).parents[1] / "docs" / "sentence_transformers.md"


def test_its_blocks_run(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    namespace: dict[str, Any] = {"dsn": database}
    for block in blocks(PAGE):
        assert block.language == "python", block.place
        exec(compile(block.text, block.place, "exec"), namespace)
    assert len(namespace["found"].ids[0]) == 3
