"""Documents to search: what Python's own library says of itself, for three tenants."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

MODULES = {
    "files": ("glob", "os.path", "pathlib", "shutil", "tarfile", "tempfile", "zipfile"),
    "numbers": ("cmath", "fractions", "math", "random", "statistics"),
    "text": ("csv", "difflib", "html", "json", "string", "textwrap", "unicodedata"),
}


class Entry(NamedTuple):
    """A document: of the library, a docstring, tagged with its module and its kind."""

    tenant: str
    title: str
    text: str
    tags: tuple[str, ...]


def entries() -> Iterator[Entry]:
    """Everything that has a docstring, once."""
    for tenant, modules in MODULES.items():
        seen = set()
        for module in modules:
            for name, kind, text in _documented(module):
                if text not in seen:
                    seen.add(text)
                    yield Entry(tenant, f"{module}.{name}", text, (module, kind))


def _documented(module: str) -> Iterator[tuple[str, str, str]]:
    found = vars(import_module(module))
    public = found.get("__all__") or [name for name in found if not name.startswith("_")]
    for name in public:
        item = found[name]
        if inspect.isclass(item):
            yield from _described(name, "class", item)
            for part, method in vars(item).items():
                if not part.startswith("_") and callable(method):
                    yield from _described(f"{name}.{part}", "method", method)
        elif callable(item):
            yield from _described(name, "function", item)


def _described(name: str, kind: str, item: Any) -> Iterator[tuple[str, str, str]]:
    text = " ".join((inspect.getdoc(item) or "").split())
    if len(text) > 40:
        yield name, kind, text[:200]
