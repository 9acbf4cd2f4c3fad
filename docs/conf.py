"""Configuration of the site, which `make docs` builds."""

from __future__ import annotations

import logging
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
logging.getLogger("alembic").setLevel(logging.WARNING)

project = "bitryoshka"
release = metadata.version("bitryoshka")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference_pages"]
# a copy of it has another name, since the site's own page of searches has this one
exclude_patterns = ["search.md"]
# two classes of one name in two packages
suppress_warnings = ["ref.python"]
html_theme = "furo"
html_title = f"bitryoshka {release}"
html_copy_source = False
html_show_copyright = False
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
# as they are written, not what they stand for
autodoc_type_aliases = {name: name for name in ("ArrayLike", "NDArray", "Floats")}


def skip_unwritten(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> Any:
    """Leave out fields of named tuples, and what has no docstring of ours."""
    owner = getattr(getattr(value, "fget", value), "__module__", None) or ""
    foreign = name == "cache_ok" or owner.partition(".")[0] == "pydantic"
    return True if foreign or type(value).__name__ == "_tuplegetter" else None


def mark_code(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Single backquotes mean code in docstrings, as they do in Markdown."""
    for i, line in enumerate(lines):
        marked = re.sub(r"(?<![`:\w])`([^`]+)`(?![`_])", r"``\1``", line)
        # a codec's label, which would become an address
        lines[i] = re.sub(r"(?<![`\w])(\w+@\w+)(?![`\w])", r"``\1``", marked)


def name_types(
    app: Any, what: str, name: str, value: Any, options: Any, signature: str, returned: str
) -> tuple[str | None, ...]:
    """Sphinx gives an alias beside None its own wrapper."""
    wrapped = re.compile(r"TypeAliasForwardRef\('(\w+)'\)")
    return tuple(text and wrapped.sub(r"\1", text) for text in (signature, returned))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", skip_unwritten)
    app.connect("autodoc-process-docstring", mark_code)
    app.connect("autodoc-process-signature", name_types)
