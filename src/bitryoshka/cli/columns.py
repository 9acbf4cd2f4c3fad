"""The commands for the columns of codes of a table: attach, and what follows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer

from bitryoshka.cli import options, tables
from bitryoshka.cli.options import example
from bitryoshka.cli.output import echo, print_json, show_facts, show_progress
from bitryoshka.cli.postgres import CODEC, connected
from bitryoshka.errors import OptionError

columns = typer.Typer()

TableArgument = Annotated[str, typer.Argument(metavar="TABLE", help="Its name, as it is.")]
SchemaOption = Annotated[str, typer.Option("--schema", help="Schema of the table.")]
CodeOption = Annotated[str, typer.Option("--code-column", help="The column of codes.")]


@columns.command("columns", epilog=example("columns"))
def _columns(dsn: options.Dsn = "", as_json: options.Json = False) -> None:
    """List the columns of codes in the database."""
    from bitryoshka.postgres.installation import require_installed
    from bitryoshka.postgres.statements import fetch, statement

    names = ("schema", "table", "column", "search_name", "codec", "state", "prefix_bits")
    with connected(dsn) as connection:
        require_installed(connection)
        found = fetch(connection, statement("list_columns"))
    if as_json:
        print_json([dict(zip(names, row, strict=True)) for row in found])
    else:
        tables.show([name.replace("_", " ") for name in names], found)


@columns.command("attach", epilog=example("attach articles embedding --codec docs"))
def _attach(
    table: TableArgument,
    vector_column: Annotated[str, typer.Argument(metavar="COLUMN", help="Of the vectors.")],
    codec: Annotated[str, typer.Option("--codec", metavar="CODEC", help=CODEC)],
    schema: SchemaOption = "public",
    code_column: CodeOption = "code",
    prefix_bits: Annotated[
        int | None, typer.Option(help="Bits that the index covers; by default all Hamming bits.")
    ] = None,
    index: Annotated[bool, typer.Option(help="Build an HNSW index on the prefix.")] = True,
    bad_vectors: Annotated[
        Literal["reject", "skip"], typer.Option(help="What becomes of vectors without a code.")
    ] = "reject",
    in_database: Annotated[
        bool, typer.Option("--in-database", help="Encode in the database, not here.")
    ] = False,
    published: Annotated[
        bool, typer.Option("--published", help="The table's subscribers have the column already.")
    ] = False,
    batch_rows: Annotated[int, typer.Option(help="Keys in a batch; each is committed.")] = 5000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the SQL alone.")] = False,
    layout: Annotated[
        Literal["row", "narrow", "codes-only"],
        typer.Option(
            help="row: in the table. narrow: in a table beside it. codes-only: as they are, and "
            "the vectors set aside."
        ),
    ] = "row",
    code_table: Annotated[
        str | None,
        typer.Option(help="With narrow: that table's name, by default TABLE_CODECOLUMN."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With codes-only: set the vectors aside.")
    ] = False,
    quiet: options.Quiet = False,
    dsn: options.Dsn = "",
) -> None:
    """Give a table in use a column of codes.

    Killed or stopped at any moment, the same command goes on.
    """
    from bitryoshka.postgres import attach, attach_statements

    if layout == "codes-only":
        if dry_run or code_table is not None:
            raise OptionError(
                "--dry-run and --code-table are for layouts row and narrow; codes-only changes "
                "nothing without --yes"
            )
        _set_aside(table, vector_column, codec, schema, code_column, yes, quiet, dsn)
        return
    if yes:
        raise OptionError(f"--yes is for --layout codes-only, found --layout {layout}")

    places: dict[str, Any] = {
        "schema": schema,
        "code_column": code_column,
        "prefix_bits": prefix_bits,
        "index": index,
        "bad_vectors": bad_vectors,
        "layout": layout,
        "code_table": code_table,
    }
    with connected(dsn) as connection:
        if dry_run:
            if layout == "narrow":
                typer.echo("-- Numbers in names are examples: attach takes the next ones.\n")
            for text in attach_statements(connection, table, vector_column, codec, **places):
                typer.echo(f"{text};\n")
            return
        found = attach(
            connection,
            table,
            vector_column,
            codec,
            in_database=in_database,
            published=published,
            batch_rows=batch_rows,
            progress=show_progress(quiet),
            **places,
        )
    if not quiet:
        repaired = f"{found.repaired} wrong codes made anew; " if found.repaired else ""
        echo(f"{found.filled} rows encoded; {repaired}{found.verification.text()}")


def _set_aside(
    table: str,
    vector_column: str,
    codec: str,
    schema: str,
    code_column: str,
    yes: bool,
    quiet: bool,
    dsn: str,
) -> None:
    """Tell what the vectors take, and set them aside where that is confirmed."""
    from bitryoshka.postgres import set_vectors_aside, weigh_vectors

    places: dict[str, Any] = {"schema": schema, "code_column": code_column, "codec": codec}
    with connected(dsn) as connection:
        work = set_vectors_aside if yes else weigh_vectors
        found = work(connection, table, vector_column, progress=show_progress(quiet), **places)
    if not yes:
        raise OptionError(f"{found.text()}; confirm by --yes that the vectors are to be set aside")
    if not quiet:
        echo(
            f"{found.text()}; {vector_column} is {found.column} now: attach --layout row or narrow "
            "brings it back, bitryoshka drop-vectors drops it"
        )


@columns.command("drop-vectors", epilog=example("drop-vectors articles embedding --yes"))
def _drop_vectors(
    table: TableArgument,
    vector_column: Annotated[
        str, typer.Argument(metavar="COLUMN", help="Of the vectors, by its former name.")
    ],
    schema: SchemaOption = "public",
    code_column: CodeOption = "code",
    yes: Annotated[bool, typer.Option("--yes", help="Drop them for good.")] = False,
    dsn: options.Dsn = "",
) -> None:
    """Drop vectors that attach --layout codes-only has set aside."""
    from bitryoshka.postgres import drop_vectors

    if not yes:
        raise OptionError("vectors that are dropped cannot be had back: confirm it by --yes")
    with connected(dsn) as connection:
        dropped = drop_vectors(
            connection, table, vector_column, schema=schema, code_column=code_column
        )
    echo(f"{dropped} of {schema}.{table} is gone; VACUUM FULL, or pg_repack, gives its space back")


@columns.command("status", epilog=example("status articles"))
def _status(
    table: TableArgument,
    schema: SchemaOption = "public",
    code_column: CodeOption = "code",
    dsn: options.Dsn = "",
    as_json: options.Json = False,
) -> None:
    """Show how far a column of codes is filled."""
    from bitryoshka.postgres import status

    with connected(dsn) as connection:
        found = asdict(status(connection, table, schema=schema, code_column=code_column))
    _show(found, as_json)


@columns.command("verify", epilog=example("verify articles --full"))
def _verify(
    table: TableArgument,
    schema: SchemaOption = "public",
    code_column: CodeOption = "code",
    queries: Annotated[int, typer.Option(min=0, help="Rows that recall is measured by.")] = 20,
    full: Annotated[
        bool, typer.Option("--full", help="Encode all rows anew, not 1,000 of them.")
    ] = False,
    quiet: options.Quiet = False,
    dsn: options.Dsn = "",
    as_json: options.Json = False,
) -> None:
    """Check a column of codes against its codec.

    The exit code is 1 where it is not true.
    """
    from bitryoshka.postgres import verify

    with connected(dsn) as connection:
        found = verify(
            connection,
            table,
            schema=schema,
            code_column=code_column,
            queries=queries,
            full=full,
            progress=show_progress(quiet),
        )
    _show(asdict(found), as_json)
    if not found.good:
        typer.echo("bitryoshka repair makes the trigger and such rows anew", err=True)
        raise typer.Exit(1)


@columns.command("repair", epilog=example("repair articles"))
def _repair(
    table: TableArgument,
    schema: SchemaOption = "public",
    code_column: CodeOption = "code",
    quiet: options.Quiet = False,
    dsn: options.Dsn = "",
    as_json: options.Json = False,
) -> None:
    """Encode anew what is wrong or missing in a column of codes."""
    from bitryoshka.postgres import repair

    with connected(dsn) as connection:
        mended = repair(
            connection,
            table,
            schema=schema,
            code_column=code_column,
            progress=show_progress(quiet),
        )
    _show({"mended": mended}, as_json)


@columns.command("switch", epilog=example("switch articles code_new"))
def _switch(
    table: TableArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The column that takes over.")],
    schema: SchemaOption = "public",
    code_column: CodeOption = "code",
    kept: Annotated[str, typer.Option(help="Name that the old column gets.")] = "code_old",
    dsn: options.Dsn = "",
) -> None:
    """Let another column of codes take over, at once."""
    from bitryoshka.postgres import switch

    with connected(dsn) as connection:
        switch(connection, table, new, schema=schema, code_column=code_column, kept=kept)
    echo(f"searches for {code_column} find the other column's codes now; {kept} finds those before")


@columns.command("detach", epilog=example("detach articles --code-column code_old"))
def _detach(
    table: TableArgument,
    schema: SchemaOption = "public",
    code_column: CodeOption = "code",
    quiet: options.Quiet = False,
    dsn: options.Dsn = "",
) -> None:
    """Take a column of codes away, with its trigger and index."""
    from bitryoshka.postgres import detach

    with connected(dsn) as connection:
        progress = show_progress(quiet)
        detach(connection, table, schema=schema, code_column=code_column, progress=progress)
    echo(f"{code_column} of {schema}.{table} is gone")


def _show(found: dict[str, Any], as_json: bool) -> None:
    if not as_json:
        counts = found.pop("counts", {})
        found |= counts
        if "trigger" in found:
            found["trigger"] = found["trigger"] or "in order"
    show_facts(found, as_json)
