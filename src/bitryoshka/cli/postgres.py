"""The commands for a database: its schema and its codecs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from bitryoshka.atomic_file import check_output
from bitryoshka.binarizer import Binarizer
from bitryoshka.cli import options, tables
from bitryoshka.cli.interrupts import resumable
from bitryoshka.cli.options import example
from bitryoshka.cli.output import echo, print_json
from bitryoshka.errors import DatabaseError, ServerUnreachableError

if TYPE_CHECKING:
    from bitryoshka.postgres.server import Connection

# that a clean-up after Ctrl-C failed as well is no news
logging.getLogger("psycopg").addHandler(logging.NullHandler())

database = typer.Typer()

CODEC = "name@version, or name for its newest version."
CodecArgument = Annotated[str, typer.Argument(metavar="CODEC", help=CODEC)]


@contextmanager
def connected(dsn: str) -> Iterator[Connection]:
    """A connection; errors of the server become one line."""
    import psycopg

    from bitryoshka.postgres import connect
    from bitryoshka.postgres.statements import refused_as

    try:
        opened = connect(dsn)
    except ServerUnreachableError as error:
        given = "--dsn or BITRYOSHKA_DSN" if dsn else "neither --dsn nor BITRYOSHKA_DSN is given"
        raise ServerUnreachableError(f"{error} ({given})") from error
    with opened as connection, resumable(), refused_as(DatabaseError, psycopg.Error):
        yield connection


@database.command("install", epilog=example("install --dsn postgresql://user@host/database"))
def _install(
    dsn: options.Dsn = "",
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL for a new database.")] = False,
) -> None:
    """Create schema bitryoshka in a database, or upgrade it."""
    from bitryoshka.postgres import install
    from bitryoshka.schema_scripts import upgrade_statements

    if sql:
        typer.echo("".join(f"{part};\n" for part in upgrade_statements()))
        return
    with connected(dsn) as connection:
        echo(f"schema bitryoshka is at revision {install(connection)}")


@database.command("uninstall", epilog=example("uninstall"))
def _uninstall(dsn: options.Dsn = "") -> None:
    """Drop schema bitryoshka; refused while a column uses it."""
    from bitryoshka.postgres import uninstall

    with connected(dsn) as connection:
        uninstall(connection)
    echo("schema bitryoshka is gone")


@database.command("register", epilog=example("register docs.safetensors docs"))
def _register(
    binarizer: options.Binarizer,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The codec's name.")],
    version: Annotated[
        int | None, typer.Option(help="By default the next one, or that of the same file.")
    ] = None,
    dsn: options.Dsn = "",
) -> None:
    """Write a binarizer into the database, as a codec."""
    from bitryoshka.postgres import register

    with connected(dsn) as connection:
        codec = register(connection, name, Binarizer.load(binarizer), version)
    echo(f"{codec.label} {codec.fingerprint}")


@database.command("export", epilog=example("export docs@1 -o docs.safetensors"))
def _export(
    codec: CodecArgument,
    output: options.CodeFile,
    dsn: options.Dsn = "",
) -> None:
    """Write a codec of the database to a file."""
    from bitryoshka.postgres import export

    check_output(output, ".safetensors")
    with connected(dsn) as connection:
        export(connection, codec).save(output)
    echo(f"wrote {output}")


@database.command("codecs", epilog=example("codecs"))
def _codecs(dsn: options.Dsn = "", as_json: options.Json = False) -> None:
    """List the codecs of the database."""
    from bitryoshka.postgres import list_codecs

    with connected(dsn) as connection:
        found = list_codecs(connection)
    if as_json:
        print_json([asdict(codec) for codec in found])
        return
    names = ("codec", "metric", "dimensions", "bits", "hamming bits", "fingerprint")
    rows = [(c.label, c.metric, c.dimensions, c.bits, c.hamming_bits, c.fingerprint) for c in found]
    tables.show(names, rows)


@database.command("drop-codec", epilog=example("drop-codec docs@1"))
def _drop_codec(codec: CodecArgument, dsn: options.Dsn = "") -> None:
    """Forget a codec; refused while a column uses it."""
    from bitryoshka.postgres import drop_codec

    with connected(dsn) as connection:
        label = drop_codec(connection, codec)
    echo(f"dropped {label}")
