"""Text that every Python has: docstrings, with their summaries held out as queries."""

from __future__ import annotations

import ast
import hashlib
import json
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_cache_path

from bitryoshka.atomic_file import replacing

_SKIPPED_FOLDERS = {"test", "tests", "testing", "idlelib", "lib2to3", "site-packages", "_vendor"}
_MAX_SOURCE_BYTES = 500_000
_MIN_SUMMARY, _MAX_SUMMARY, _MIN_BODY = 25, 200, 80


class Corpus(NamedTuple):
    """``names[i]`` and ``texts[i]`` are a document; ``questions[j]`` is answered by ``answers[j]``.

    The document is a docstring without its summary, the question is that summary.
    """

    names: list[str]
    texts: list[str]
    questions: list[str]
    answers: list[int]


def read_corpus(limit: int, questions: int) -> Corpus:
    """Docstrings of the standard library and of the installed packages.

    Source files are read in the order of their names' hashes until ``limit`` documents are
    found, so that every package has its share; ``questions`` of the summaries are taken. What was
    read is kept in the user's cache, for as long as the same files are installed.
    """
    files = _files()
    digest = hashlib.sha256(repr((limit, questions)).encode())
    for module, file in files.items():
        facts = file.stat()
        digest.update(f"{module} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    cached = user_cache_path("bitryoshka") / f"corpus-{digest.hexdigest()}.json"
    if cached.is_file():
        return Corpus(**json.loads(cached.read_text("utf-8")))
    corpus = _read(files, limit, questions)
    cached.parent.mkdir(parents=True, exist_ok=True)
    with replacing(cached) as output:
        output.write(json.dumps(corpus._asdict()).encode())
    return corpus


def _read(files: dict[str, Path], limit: int, questions: int) -> Corpus:
    found: dict[str, tuple[str, str]] = {}
    docstrings = (d for module, file in files.items() for d in _docstrings_of(file, module))
    for name, summary, body in docstrings:
        found.setdefault(body, (name, summary))
        if len(found) == limit:
            break
    texts = list(found)
    asked: dict[str, int] = {}
    for i, text in enumerate(texts):
        asked.setdefault(found[text][1], i)
    step = max(1, len(asked) // max(1, questions))
    picked = list(asked.items())[::step][:questions]
    return Corpus(
        names=[found[text][0] for text in texts],
        texts=texts,
        questions=[summary for summary, _ in picked],
        answers=[i for _, i in picked],
    )


def _files() -> dict[str, Path]:
    """Source files by module, in the order of their names' hashes."""
    paths = sysconfig.get_paths()
    files = {}
    for root in dict.fromkeys((paths["stdlib"], paths["purelib"], paths["platlib"])):
        for file in Path(root).rglob("*.py"):
            inside = file.relative_to(root)
            if _SKIPPED_FOLDERS.isdisjoint(inside.parts[:-1]) and file.is_file():
                files[".".join(inside.with_suffix("").parts)] = file
    order = sorted(files, key=lambda name: hashlib.sha256(name.encode()).digest())
    return {module: files[module] for module in order}


def _docstrings_of(file: Path, module: str) -> Iterator[tuple[str, str, str]]:
    """(qualified name, summary, rest) of every docstring that has both parts."""
    try:
        if file.stat().st_size > _MAX_SOURCE_BYTES:
            return
        source = file.read_bytes()
        if b'"""' not in source and b"'''" not in source:
            return
        with warnings.catch_warnings():
            # about the style of other people's code
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (OSError, SyntaxError, ValueError):
        return
    pending: list[tuple[str, ast.AST]] = [(module.removesuffix(".__init__"), tree)]
    while pending:
        name, node = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                pending.append((f"{name}.{child.name}", child))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            summary, _, body = (ast.get_docstring(node) or "").partition("\n\n")
            summary, body = " ".join(summary.split()), body.strip()
            fits = _MIN_SUMMARY <= len(summary) <= _MAX_SUMMARY and len(body) >= _MIN_BODY
            # a query that its own document repeats would be too easy
            if fits and summary.rstrip(".").lower() not in " ".join(body.split()).lower():
                yield name, summary, body
