"""Every example in a docstring gives what it shows."""

from __future__ import annotations

import doctest
from importlib import import_module
from pkgutil import walk_packages

import pytest

import bitryoshka

MODULES = sorted(m.name for m in walk_packages(bitryoshka.__path__, "bitryoshka."))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0, "see the captured output"


def test_what_is_central_has_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in ("binarizer", "bits", "evaluation.measures"):
        assert any(t.examples for t in finder.find(import_module(f"bitryoshka.{name}")))
