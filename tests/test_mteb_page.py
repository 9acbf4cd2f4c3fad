"""docs/mteb.md is true: its blocks run in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.pages import blocks

PAGE = Path(__file__).parents[1] / "docs" / "mteb.md"


# mteb gives its own constructor an argument that it warns of, and asks the model by an old name
@pytest.mark.filterwarnings("ignore:The fill_missing parameter is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The `get_sentence_embedding_dimension` method:FutureWarning")
def test_its_blocks_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in blocks(PAGE):
        assert block.language == "python", block.place
        exec(compile(block.text, block.place, "exec"), namespace)
    told = capsys.readouterr().out.splitlines()
    assert len([line for line in told if line.startswith(tuple(namespace["kinds"]))]) == 5
