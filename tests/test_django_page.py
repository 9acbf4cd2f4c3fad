"""docs/django.md is true: its files and commands make a project, and take it back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from attached_rows import check_codes
from synthetic import clustered
from tests.django_project import database_settings
from tests.pages import blocks
from tests.test_readme import check_pip, commands

import bitryoshka
from bitryoshka.postgres.server import Connection

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "django.md"
SETTINGS = """
SECRET_KEY = "-"
INSTALLED_APPS = ["library"]
DATABASES = {"default": %r}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""
MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
BEFORE = 'import numpy as np\nvectors, query = np.load("vectors.npy"), np.load("query.npy")\n'
AFTER = """
import asyncio
from asgiref.sync import async_to_sync
ids = lambda found: [article.title for article in found]
assert len(ids(nearest)) == 5 and all(article.lang == "en" for article in nearest)
best = np.argsort(-(vectors @ query) / np.linalg.norm(vectors, axis=1))
assert ids(exact) == [f"title {i}" for i in best[:5]], ids(exact)
assert len(short) == len(by_hamming_distance) == 5
assert async_to_sync(titles_async)() == list(titles)
assert ids(prepared) == ids(nearest)
assert like_it[0] == first
assert 0 < len(close) < 600
assert len(scored) == 600
assert max(a.likeness for a in scored) == scored.get(title=titles[0]).likeness
print("checked")
"""


def manage(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_blocks_run(database: str, connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "library" / "migrations").mkdir(parents=True)
    for package in ("library", "library/migrations"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "settings.py").write_text(SETTINGS % database_settings(database))
    (tmp_path / "manage.py").write_text(MANAGE)
    vectors = clustered(0, 601, 192, 40)
    np.save(tmp_path / "vectors.npy", vectors[:600])
    np.save(tmp_path / "query.npy", vectors[600])
    shell, ran, checked = "", [], ""
    for block in blocks(PAGE):
        if block.language == "python" and block.text.startswith("# "):
            name = block.text.splitlines()[0].removeprefix("# ")
            (tmp_path / name).write_text(block.text)
        elif block.language == "python" and "bitryoshka.fit" in block.text:
            # before there are models that could be loaded
            done = subprocess.run(
                [sys.executable, "-c", BEFORE + block.text],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            )
            assert done.returncode == 0
        elif block.language == "python":
            shell += block.text
        else:
            assert block.language == "sh"
            if shell:
                checked = manage(tmp_path, "shell", "-c", BEFORE + shell + AFTER)
                binarizer = bitryoshka.Binarizer.load(tmp_path / "library/articles.safetensors")
                assert check_codes(connection, binarizer, name="library_article") == 600
                shell = ""
            for program, *arguments in commands(block):
                if program == "pip":
                    check_pip(arguments)
                    continue
                assert (program, arguments[0]) == ("python", "manage.py")
                ran.append((arguments[1], manage(tmp_path, *arguments[1:])))
    assert checked.rstrip().endswith("checked")
    outputs = dict(ran)
    assert [name for name, _ in ran].count("migrate") == 2
    assert "No changes detected" in outputs["makemigrations"]
    assert "no issues" in outputs["check"]
    assert "bitryoshka.add_code_column(" in outputs["sqlmigrate"]
    assert "No changes detected" in manage(tmp_path, "makemigrations")
    left = connection.execute(
        "SELECT to_regnamespace('bitryoshka'), to_regclass('library_article')"
    ).fetchone()
    assert left == (None, None)
