"""Schema bitryoshka: installed, upgraded and removed by the project's migrations."""

from __future__ import annotations

import psycopg

from bitryoshka.errors import DatabaseError
from bitryoshka.postgres.locking import changed
from bitryoshka.postgres.server import Connection, prepare_database
from bitryoshka.postgres.statements import fetch, refused_as, statement
from bitryoshka.postgres_rules import untrusted_owner
from bitryoshka.schema_scripts import downgrade_statements, upgrade_statements

_REFUSALS = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ObjectInUse,
    psycopg.errors.ObjectNotInPrerequisiteState,
)


def install(connection: Connection, revision: str = "head") -> str:
    """Create schema bitryoshka, or upgrade it to ``revision``; give the revision it has then.

    Where pgvector was moved to another schema meanwhile, all functions are made again. Runs in a
    transaction (a savepoint of the caller's, if there is one) and creates pgvector where it is
    missing, in schema public. Raises PgvectorError where that cannot be used, and DatabaseError
    where the schema was made by CREATE EXTENSION, where it, or something in it, belongs to another
    role, and where other sessions' open transactions keep it locked for a minute.
    """
    owners = fetch(connection, statement("schema_owner"))
    # of what is somebody else's nothing is read: the script refuses it
    own = bool(owners) and owners[0][2] and not fetch(connection, statement("foreign_objects"))
    before = installed_revision(connection) if own else None

    def change() -> None:
        prepare_database(connection)
        _refuse_extension(connection)
        for part in upgrade_statements(revision):
            connection.execute(part.encode())

    with refused_as(DatabaseError, *_REFUSALS):
        if before is None:
            with connection.transaction():
                change()
        else:
            # searches hold locks of what changes until their transactions end
            changed(connection, change, None)
    require_installed(connection)
    return installed_revision(connection) or ""


def uninstall(connection: Connection) -> None:
    """Drop schema bitryoshka with every codec; refused while a table's column uses one.

    Codes that were written stay in their columns. Raises DatabaseError where it is refused.
    """
    if not fetch(connection, statement("schema_owner")):
        raise DatabaseError("schema bitryoshka is not installed in this database")
    with refused_as(DatabaseError, *_REFUSALS), connection.transaction():
        _refuse_extension(connection)
        for part in downgrade_statements():
            connection.execute(part.encode())


def installed_revision(connection: Connection) -> str | None:
    """Revision of schema bitryoshka in this database; None where it is not installed."""
    [(table,)] = fetch(connection, statement("version_table"))
    if table is None:
        return None
    found = fetch(connection, statement("version"))
    return str(found[0][0]) if found else None


def require_installed(connection: Connection) -> None:
    """Raise DatabaseError where schema bitryoshka is missing, or holds what is not its owner's."""
    owners = fetch(connection, statement("schema_owner"))
    if owners and not owners[0][1]:
        raise DatabaseError(untrusted_owner(owners[0][0]))
    [(codecs, newest, in_place)] = fetch(connection, statement("codecs_table"))
    if codecs is None:
        raise DatabaseError(
            "schema bitryoshka is not installed in this database: run bitryoshka install, or "
            "bitryoshka.postgres.install(connection)"
        )
    if newest is None:
        raise DatabaseError(
            "schema bitryoshka in this database is of an earlier revision: run bitryoshka install, "
            "or bitryoshka.postgres.install(connection)"
        )
    if not in_place:
        raise DatabaseError(
            "pgvector was moved to another schema, and functions look for it where it was: run "
            "bitryoshka install, which makes them again"
        )
    if foreign := fetch(connection, statement("foreign_objects")):
        listed = ", ".join(f"{title} of {owner}" for title, owner, _ in foreign)
        raise DatabaseError(
            f"everything in schema bitryoshka must belong to its owner, {foreign[0][2]}, found "
            f"{listed}: drop it, and revoke CREATE on the schema"
        )


def _refuse_extension(connection: Connection) -> None:
    [(extension,)] = fetch(connection, statement("own_extension"))
    if extension:
        raise DatabaseError(
            "schema bitryoshka belongs to the extension of that name: use "
            "ALTER EXTENSION bitryoshka UPDATE, or DROP EXTENSION bitryoshka"
        )
