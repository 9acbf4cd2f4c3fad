"""The site is whole: what is public has an entry, and every block of a page is run by a test.

That it can be built, and that its links lead somewhere, `make docs` finds out.
"""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from docs import reference_pages
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.pages import blocks
from tests.test_readme import check_make, check_pip, commands

import bitryoshka
from bitryoshka.postgres.server import Connection

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*DOCS.glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "examples").glob("*/*.md")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# which test runs the blocks of a page; before one that none can run stands `<!-- not run: why -->`
RUN_BY = {
    "README.md": "test_readme.py",
    "CONTRIBUTING.md": "test_docs.py",
    "docs/alembic.md": "test_alembic_page.py",
    "docs/django.md": "test_django_page.py",
    "docs/arrow.md": "test_arrow_pages.py",
    "docs/duckdb.md": "test_arrow_pages.py",
    "docs/lancedb.md": "test_arrow_pages.py",
    "docs/index.md": "test_quickstart.py",
    "docs/installing.md": "test_docs.py",
    "docs/langchain.md": "test_langchain_page.py",
    "docs/llama_index.md": "test_llama_index_page.py",
    "docs/living.md": "test_living_page.py",
    "docs/loading.md": "test_loading.py",
    "docs/measuring.md": "test_docs.py",
    "docs/memory.md": "test_memory_page.py",
    "docs/mteb.md": "test_mteb_page.py",
    "docs/partitions.md": "test_partitions_page.py",
    "docs/qdrant.md": "test_qdrant_tutorial.py",
    "docs/qdrant_tutorial.md": "test_qdrant_tutorial.py",
    "docs/quickstart.md": "test_quickstart.py",
    "docs/report.md": "test_docs.py",
    "docs/sentence_transformers.md": "test_sentence_transformers_page.py",
    "docs/sqlalchemy.md": "test_sqlalchemy_docs.py",
    "docs/training_loss.md": "test_training_loss_page.py",
    "docs/tutorial.md": "test_tutorial.py",
    "examples/document_search/README.md": "test_example.py",
    "examples/ray_load/README.md": "loads_by_engines.py",
    "examples/spark_load/README.md": "loads_by_engines.py",
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def runnable(text: str) -> list[str]:
    """What stands before each block of Python, SQL or shell, which says whether it is run."""
    before = re.findall(r"^(.*)\n```(?:python|sql|sh)\n", text, re.M)
    return [line for line in before if not line.startswith("<!-- not run: ")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    if not runnable(page.read_text("utf-8")):
        assert name_of(page) not in RUN_BY
        return
    assert name_of(page) in RUN_BY, "name the test that runs its blocks"
    named = "README.md" if page.name == "README.md" else page.name
    assert named in (ROOT / "tests" / RUN_BY[name_of(page)]).read_text("utf-8")


def test_the_table_names_pages_that_exist() -> None:
    assert set(RUN_BY) <= {name_of(page) for page in PAGES}


# Python


def public_packages() -> list[str]:
    """The packages whose `__init__` is for users; commands have a page of their own."""
    folders = [path.parent for path in (ROOT / "src" / "bitryoshka").glob("*/__init__.py")]
    names = {folder.name for folder in folders if folder.name != "cli"}
    return ["bitryoshka", *(f"bitryoshka.{name}" for name in sorted(names))]


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return reference_pages.pages()


@pytest.mark.parametrize("package", public_packages())
def test_what_is_public_has_an_entry(package: str, generated: dict[str, str]) -> None:
    page = generated[f"reference/{package}.rst"]
    module = import_module(package)
    for name in module.__all__:
        assert re.search(rf"\b{name}\b", page), name
        if f".. py:data:: {package}.{name}\n" in page:
            continue
        described = inspect.getdoc(getattr(module, name)) or ""
        # without a docstring of its own a class is left out, or shown with its signature alone
        assert described, name
        assert not described.startswith(f"{name}("), name


def test_what_pages_import_has_an_entry(generated: dict[str, str]) -> None:
    for page in PAGES:
        text = "\n".join(block.text for block in blocks(page) if block.language == "python")
        for module, names in re.findall(r"^ *from (bitryoshka[\w.]*) import ([\w, ]+)", text, re.M):
            for name in names.split(", "):
                inner = f"reference/{module}.{name}.rst" in generated
                listed = generated.get(f"reference/{module}.rst", "")
                assert inner or re.search(rf"\b{name}\b", listed), f"{page}: {module}.{name}"


# commands


def registered(app: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command, as Typer's own lists have them."""
    for command in app.registered_commands:
        if not command.hidden:
            yield (*path, command.name or command.callback.__name__.replace("_", "-"))
    for group in app.registered_groups:
        below = group.typer_instance
        named = group.name or below.info.name
        yield from registered(below, (*path, named) if isinstance(named, str) else path)


def section(page: str, heading: str) -> str:
    return page.split(f"\n## {heading}\n", 1)[1].split("\n## ")[0]


def test_every_command_has_an_entry(generated: dict[str, str]) -> None:
    page = generated["reference/command_line.md"]
    found = list(registered(reference_pages.typer_app()))
    assert ("fit",) in found
    assert ("qdrant", "move") in found
    for words in found:
        assert f"\n## {' '.join(words)}\n" in page


def test_what_pages_call_is_described(generated: dict[str, str]) -> None:
    """Every command of a page with every option that it is given."""
    page = generated["reference/command_line.md"]
    for shown in PAGES:
        for block in blocks(shown):
            for program, *arguments in commands(block) if block.language == "sh" else ():
                if program == "bitryoshka":
                    name = " ".join(arguments[: 2 if arguments[0] == "qdrant" else 1])
                    for option in (a.partition("=")[0] for a in arguments if a.startswith("-")):
                        assert f"`{option}`" in section(page, name), f"{block.place}: {option}"


def test_every_environment_variable_has_an_entry(generated: dict[str, str]) -> None:
    found = {
        name
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r"\bBITRYOSHKA_[A-Z_]+", path.read_text("utf-8"))
    }
    assert len(found) >= 3
    assert all(f"| `{name}` |" in generated["reference/settings.md"] for name in found)


# SQL


def test_every_function_in_the_database_has_an_entry(
    installed: Connection, generated: dict[str, str]
) -> None:
    page = generated["reference/sql.md"]
    rows = installed.execute(
        "SELECT proname::text, proargnames::text[], obj_description(oid, 'pg_proc') FROM pg_proc "
        "WHERE pronamespace = 'bitryoshka'::regnamespace"
    ).fetchall()
    assert len(rows) > 30
    documented = reference_pages.sql_functions()
    for name, arguments, comment in rows:
        assert comment in [one.comment for one in documented[name]]
        if name in {n for names in reference_pages.SQL_FUNCTIONS.values() for n in names}:
            assert f"\n### {name}\n" in page
            assert all(argument in section_of(page, name) for argument in arguments)
        else:
            assert f"\n| `{name}` |" in page
    relations = installed.execute(
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'bitryoshka'::regnamespace "
        "AND relkind IN ('r', 'v') AND relname <> 'schema_version'"
    ).fetchall()
    for (name,) in relations:
        assert f"\n| `{name}` |" in page, name


def section_of(page: str, function: str) -> str:
    return re.split(r"\n##", page.split(f"\n### {function}\n", 1)[1])[0]


def test_what_pages_call_in_sql_is_for_users() -> None:
    users = {name for names in reference_pages.SQL_FUNCTIONS.values() for name in names}
    called = {
        name
        for page in PAGES
        for block in blocks(page)
        if block.language == "sql"
        for name in re.findall(r"\bbitryoshka\.(\w+)\(", block.text)
    }
    assert called >= {"search", "encode"}
    assert called <= users


# installing and contributing


def distributions(extra: str) -> set[str]:
    """What an extra brings by name, with the extras that it is made of."""
    found = set()
    for line in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(line)
        if requirement.name == "bitryoshka":
            for other in requirement.extras:
                found |= distributions(other)
        else:
            found.add(canonicalize_name(requirement.name))
    return found


def test_every_extra_has_a_row() -> None:
    text = (DOCS / "installing.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([\w-]+)` \|", text, re.M)) == set(
        PROJECT["optional-dependencies"]
    )


def extras_named() -> dict[str, list[str]]:
    """By page, the extras that it says it needs."""
    found = {}
    for page in DOCS.glob("*.md"):
        for sentence in re.findall(r"\b[Ee]xtras? (`.*?)[;.(]", page.read_text("utf-8"), re.S):
            found.setdefault(name_of(page), []).extend(re.findall(r"`([\w-]+)`", sentence))
    return found


@pytest.mark.parametrize("page", sorted(extras_named()))
def test_the_extras_of_a_page_bring_what_its_blocks_import(page: str) -> None:
    known = {"numpy", "safetensors"}.union(*map(distributions, extras_named()[page]))
    owners = packages_distributions()
    for block in blocks(ROOT / page):
        if block.language != "python":
            continue
        for name in re.findall(r"^ *(?:from|import) (\w+)", block.text, re.M):
            if owned := {canonicalize_name(owner) for owner in owners.get(name, ())}:
                assert owned & (known | {"bitryoshka"}), f"{block.place}: {name}"


@pytest.mark.parametrize("page", ["docs/installing.md", "docs/measuring.md", "CONTRIBUTING.md"])
def test_commands_of_the_project_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for block in blocks(ROOT / page):
        for program, *arguments in commands(block):
            if program == "make":
                check_make(arguments)
            elif program == "pip" and arguments[1].startswith("torch=="):
                assert f"TORCH ?= {arguments[1]}\n" in makefile
            elif program == "pip":
                wheel = f"dist/bitryoshka-{PROJECT['version']}-py3-none-any.whl"
                check_pip([argument.replace(wheel, ".") for argument in arguments])
            elif program == "export":
                assert arguments == ["OMP_NUM_THREADS=1"]
            else:
                assert program in ("python", ".venv/bin/python")
                assert arguments[0] == "-m"
                assert find_spec(arguments[1]), f"{block.place}: {arguments[1]}"
                assert all((ROOT / a).exists() for a in arguments[2:] if a.endswith(".py"))


def test_contributing_names_every_package() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for package in public_packages()[1:]:
        assert f"| `src/{package.replace('.', '/')}` |" in text


# the report's page


def parse(arguments: list[str]) -> None:
    """An unknown option or a missing argument fails."""
    command, name = reference_pages.root_command(), ""
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    with command.make_context(name, arguments):
        pass


def test_the_blocks_of_the_report(installed: Connection, tmp_path: Path) -> None:
    """Its commands take minutes or databases of others, and are parsed; its plan is made."""
    from synthetic import clustered

    from bitryoshka import postgres

    rows, queries = clustered(0, 400, 32, 20), clustered(1, 150, 32, 20)
    binarizer = bitryoshka.fit(rows, bits=64, method="progressive").binarizer
    table = postgres.create_table(installed, "codes", binarizer, "vector")
    postgres.load(installed, table, range(len(rows)), binarizer.encode(rows), rows)
    installed.execute("CREATE TABLE docs (id int PRIMARY KEY, embedding vector(32))")
    with installed.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO docs VALUES (%s, %s::vector)",
            [(i, str(row.tolist())) for i, row in enumerate(rows)],
        )
    label = postgres.register(installed, "docs", binarizer).label
    postgres.attach(installed, "docs", "embedding", label)
    namespace = {
        "binarizer": binarizer,
        "vectors": rows,
        "queries": queries,
        "postgres": postgres,
        "connection": installed,
        "table": table,
    }
    for block in blocks(DOCS / "report.md"):
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), namespace)
            continue
        for program, *arguments in commands(block):
            if program == "bitryoshka":
                parse(arguments)
            else:
                check_pip(arguments)
    assert namespace["found"].target_recall == 0.95
