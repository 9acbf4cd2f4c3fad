"""What is built, and what it does in an environment that has NumPy and safetensors alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes, message_from_string
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest

from bitryoshka.sql_files import project_folder, read_install, statements

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SQL = sorted(str(path.relative_to(ROOT / "sql")) for path in (ROOT / "sql").rglob("*.sql"))
MIGRATIONS = sorted(
    str(path.relative_to(ROOT / "migrations"))
    for pattern in ("*.py", "*.ini", "*.sha256")
    for path in (ROOT / "migrations").rglob(pattern)
)


class Built(NamedTuple):
    sdist: Path
    wheel: Path


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Built(sdist, wheel)


@pytest.fixture(scope="module")
def fresh(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment into which only the wheel was installed."""
    home = tmp_path_factory.mktemp("fresh")
    assert run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=home).returncode == 0
    python = home / "venv" / "bin" / "python"
    done = run(sys.executable, "-m", "pip", "--python", python, "install", built.wheel, cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr
    return python


def test_the_wheel_holds_the_package_the_sql_and_the_licence(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
        sources = {str(p.relative_to(ROOT / "src")) for p in (ROOT / "src").rglob("*.py")}
        assert sources | {"bitryoshka/py.typed"} <= names
        assert {f"bitryoshka/sql/{name}" for name in SQL} | {
            "bitryoshka/sql/bitryoshka.control"
        } <= names
        assert {f"bitryoshka/migrations/{name}" for name in MIGRATIONS} <= names
        (licence,) = (name for name in names if name.endswith(".dist-info/licenses/LICENSE"))
        assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
    assert {name.split("/")[0] for name in names} == {
        "bitryoshka",
        f"bitryoshka-{PROJECT['version']}.dist-info",
    }


def test_the_metadata(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        found = message_from_bytes(wheel.read(name))
    assert found["Name"] == "bitryoshka"
    assert found["Version"] == PROJECT["version"] == version("bitryoshka")
    assert found["License-Expression"] == "Apache-2.0"
    assert found["Requires-Python"] == ">=3.11"
    assert set(found.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    needed = [r for r in found.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert sorted(r.split(">=")[0] for r in needed) == ["numpy", "safetensors"]


def test_the_wheel_names_its_plugin(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/entry_points.txt"))
        found = wheel.read(name).decode()
    assert "[alembic.plugins]\nalembic.autogenerate.bitryoshka = bitryoshka.alembic.plugin" in found


def test_the_sdist_holds_what_the_project_is_made_of(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
        info = sdist.extractfile(f"bitryoshka-{PROJECT['version']}/PKG-INFO")
        assert info is not None
        assert message_from_string(info.read().decode())["Version"] == PROJECT["version"]
    files = ["Makefile", "README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"]
    for folder, pattern in (
        ("src", "*.py"),
        ("sql", "*.sql"),
        ("migrations", "*.py"),
        ("examples", "*.py"),
        ("tests", "*.py"),
    ):
        files += [str(p.relative_to(ROOT)) for p in (ROOT / folder).rglob(pattern)]
    assert set(files) <= names
    assert not {n for n in names if n.endswith((".pyc", ".safetensors")) and "golden" not in n}


def test_sql_is_read_from_the_checkout() -> None:
    files = {name: (ROOT / "sql" / name).read_text("utf-8") for name in SQL}
    installed = {name for name in files if name.startswith("install/")}
    for name in installed:
        assert read_install(Path(name).stem) == files[name].rstrip("\n")
    sent = "".join(files[name] for name in files.keys() - installed)
    assert len(statements()) == sent.count("-- name: ") > 100
    assert all(text in sent for text in statements().values())


def in_fresh(python: Path, code: str, cwd: Path) -> str:
    done = run(python, "-W", "error", "-c", code, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sql_is_read_from_the_wheel(built: Built, fresh: Path, tmp_path: Path) -> None:
    installed = [Path(n).stem for n in SQL if n.startswith("install/")]
    code = (
        "from bitryoshka.sql_files import read_install, statements; "
        f"print([read_install(n) for n in {installed!r}], statements())"
    )
    with zipfile.ZipFile(built.wheel) as wheel:
        assert {f"bitryoshka/sql/{n}" for n in SQL} <= set(wheel.namelist())
    expected = [read_install(n) for n in installed]
    assert in_fresh(fresh, code, tmp_path) == f"{expected!r} {statements()!r}\n"


def test_migrations_are_found_in_the_checkout_and_in_the_wheel(fresh: Path, tmp_path: Path) -> None:
    code = (
        "from bitryoshka.sql_files import project_folder; f = project_folder('migrations'); "
        f"print([(f / n).is_file() for n in {MIGRATIONS!r}])"
    )
    assert in_fresh(fresh, code, tmp_path) == f"{[True] * len(MIGRATIONS)}\n"
    assert project_folder("migrations") == ROOT / "migrations"


def test_the_new_environment_holds_nothing_else(fresh: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.metadata import distributions\n"
        "print(*sorted(d.name for d in distributions()))"
    )
    assert in_fresh(fresh, code, tmp_path) == "bitryoshka numpy safetensors\n"


def test_fit_encode_save_and_load_without_torch(fresh: Path, tmp_path: Path) -> None:
    code = """
import sys
import numpy as np
import bitryoshka

vectors = np.random.default_rng(0).normal(size=(400, 24)) @ np.diag(np.arange(24, 0, -1))
for method in ("sign", "centred", "rotation", "itq", "progressive", "additive", "auto"):
    result = bitryoshka.fit(vectors, bits=24, method=method)
assert not result.comparison.skipped
b = bitryoshka.fit(vectors, bits=64, method="additive").binarizer
b.save("b.safetensors")
back = bitryoshka.Binarizer.load("b.safetensors")
assert back.fingerprint == b.fingerprint
assert back.encode(vectors).shape == (400, 8)
assert (back.encode(vectors) == b.encode(vectors)).all()
assert back.query_weights(vectors[:3]).shape == (3, 64)
assert not {"numba", "torch", "tqdm", "psycopg"} & set(sys.modules)
"""
    in_fresh(fresh, code, tmp_path)


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("bitryoshka.fit(vectors, bits=16, method='learned')", "train"),
        ("import bitryoshka.postgres", "postgres"),
        ("import bitryoshka.alembic", "alembic"),
        ("import bitryoshka.qdrant", "qdrant"),
        ("import bitryoshka.langchain", "langchain"),
        ("import bitryoshka.mteb", "mteb"),
        ("import bitryoshka.sentence_transformers", "sentence-transformers"),
        ("import bitryoshka.llama_index", "llama-index"),
        ("import bitryoshka.django", "django"),
        ("import bitryoshka.demo; bitryoshka.demo.run()", "demo"),
        ("from bitryoshka.vector_files import read_vectors; read_vectors('v.parquet')", "arrow"),
        ("import bitryoshka.arrow", "arrow"),
        ("import bitryoshka.duckdb", "duckdb"),
        ("import bitryoshka.loading", "loading"),
    ],
)
def test_a_missing_extra_is_named(fresh: Path, code: str, extra: str, tmp_path: Path) -> None:
    (tmp_path / "v.parquet").write_bytes(b"")
    script = f"""
import numpy as np
import bitryoshka
vectors = np.random.default_rng(0).normal(size=(60, 16))
try:
    {code.replace("; ", chr(10) + "    ")}
except bitryoshka.MissingExtraError as error:
    print(error)
"""
    assert f"needs the extra {extra!r}: pip install '.[{extra}]'" in in_fresh(
        fresh, script, tmp_path
    )
    assert [path.name for path in tmp_path.iterdir()] == ["v.parquet"]


def test_the_command_names_its_extra(fresh: Path, tmp_path: Path) -> None:
    done = run(fresh.with_name("bitryoshka"), "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: the command line needs the extra 'cli': pip install '.[cli]' in a checkout, "
        "'FILE.whl[cli]' for a wheel\n"
    )
