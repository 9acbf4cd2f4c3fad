"""The blocks of code on a page, for the tests that run them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_readme import Block


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(found[1], found[2], f"{page.name}, line {text.count(chr(10), 0, found.start()) + 1}")
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    ]
