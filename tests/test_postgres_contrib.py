"""Types and operators of extensions, beside pgvector in a schema of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from attached_rows import BINARIZER, LABEL, check_codes, make_table, registered
from conftest import fresh_database
from psycopg import sql
from psycopg.types.json import Jsonb
from sessions import DRIVERS, runner
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from synthetic import integer_rows

from bitryoshka import TableError
from bitryoshka.postgres import attach, connect, install, search_column
from bitryoshka.postgres.server import Connection
from bitryoshka.sqlalchemy import Code, funnel

ROWS = 400
MODULES = ("citext", "hstore", "intarray", "ltree", "pg_trgm", "vector")
OWNERS = ("Anna", "ANNA", "anna", "Annabel", "Ben", None)
# of the caller's own: names that extensions have too, and operators that PostgreSQL itself has
OWN = """
CREATE SCHEMA app;
CREATE FUNCTION app.wanted(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT $1 < 20';
CREATE FUNCTION app.length(extensions.citext) RETURNS integer LANGUAGE sql AS 'SELECT 7';
CREATE FUNCTION app.same_start(text, text) RETURNS boolean LANGUAGE sql
    AS 'SELECT pg_catalog.left($1, 1) OPERATOR(pg_catalog.=) pg_catalog.left($2, 1)';
CREATE FUNCTION app.other_start(text, text) RETURNS boolean LANGUAGE sql
    AS 'SELECT NOT app.same_start($1, $2)';
CREATE OPERATOR app.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = app.same_start);
CREATE OPERATOR app.= (LEFTARG = text, RIGHTARG = text, FUNCTION = app.same_start);
CREATE OPERATOR app.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = app.other_start);
"""
EXTENSIONS = "public, extensions"
APP = "app, pg_catalog, public, extensions"
PATHS = (EXTENSIONS, "extensions, public", APP, "public")
VALUES = {"owner": "Anna", "place": "top.science", "title": "wonderful0"}


def install_modules(connection: Connection) -> None:
    connection.execute("CREATE SCHEMA extensions")
    for name in MODULES:
        connection.execute(
            sql.SQL("CREATE EXTENSION {} SCHEMA extensions").format(sql.Identifier(name))
        )
    install(connection)
    registered(connection)
    connection.execute(f"SET search_path = {EXTENSIONS}")


@pytest.fixture(scope="module")
def documents_dsn(contrib_dsn: str) -> Iterator[str]:
    """A database with a table of codes, whose other columns have types of extensions."""
    with fresh_database(contrib_dsn, "template0") as address:
        with connect(address) as connection:
            install_modules(connection)
            make_table(
                connection,
                ROWS,
                columns="id bigint PRIMARY KEY, owner citext, place ltree, title text, "
                "tags hstore, numbers int[]",
            )
            connection.execute(OWN)
            connection.execute(
                "UPDATE items SET owner = (%s::text[])[id %% 6 + 1], place = (ARRAY["
                "'top.Science.stars', 'top.science', 'top', 'Top'])[id %% 4 + 1]::ltree, title = "
                "(ARRAY['wonderful', 'wonderfully', 'Wonder', 'else'])[id %% 4 + 1] || id %% 3, "
                "tags = hstore('kind', (id %% 5)::text), numbers = ARRAY[id %% 7, 100]",
                [list(OWNERS)],
            )
            attach(connection, "items", "embedding", LABEL)
        yield address


@pytest.fixture
def documents(documents_dsn: str) -> Iterator[Connection]:
    with connect(documents_dsn) as connection:
        yield connection


def plain(connection: Connection, where: str) -> set[int]:
    """What the caller's own statement finds, with the filter's values in its text."""
    values = sql.Literal(Jsonb(VALUES)).as_string(connection)
    query = f"SELECT id FROM public.items WHERE code IS NOT NULL AND ({where})"
    found = connection.execute(query.replace("$2", f"({values})"))  # type: ignore[arg-type]
    return {id_ for (id_,) in found.fetchall()}


def by_function(connection: Connection, where: str) -> set[int]:
    found = connection.execute(
        "SELECT (s.item).id FROM bitryoshka.search(NULL::public.items, %s::extensions.vector, "
        "k => %s, candidates => %s, filter => %s, filter_values => %s) AS s",
        [str(integer_rows(7, 1)[0].tolist()), ROWS, ROWS, where, Jsonb(VALUES)],
    ).fetchall()
    return distinct([id_ for (id_,) in found])


def by_python(connection: Connection, where: str) -> set[int]:
    values = sql.Literal(Jsonb(VALUES)).as_string(connection)
    condition = sql.SQL(where.replace("$2", f"({values})"))  # type: ignore[arg-type]
    query = integer_rows(7, 1)
    found = search_column(connection, "items", query, k=ROWS, candidates=ROWS, where=condition)
    return distinct(found.ids[0])


def distinct(ids: list[int]) -> set[int]:
    assert len(set(ids)) == len(ids)
    return set(ids)


def outcome(
    find: Callable[[Connection, str], set[int]], connection: Connection, where: str
) -> set[int] | str | None:
    """The rows that are found, or the code of the error."""
    try:
        return find(connection, where)
    except psycopg.Error as error:
        return error.sqlstate


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize(
    "where",
    [
        "owner = 'Anna'",
        "owner <> 'Anna'",
        "owner IN ('anna', 'BEN')",
        "owner NOT IN ('anna', 'BEN')",
        "owner IS DISTINCT FROM 'ANNA'",
        "owner LIKE 'AN%'",
        "owner ~ '^AN'",
        "owner = ANY ('{anna}')",
        "owner BETWEEN 'ANNA' AND 'annabel'",
        "CASE owner WHEN 'anna' THEN true END",
        # citext beside text is text
        "owner = $2->>'owner'",
        "owner <> $2->>'owner'",
        "owner = ($2->>'owner')::citext",
        "length(owner) = 7",
        "place <@ 'top.science'",
        "place ~ '*.science@.*'",
        "place = 'top.science'",
        "place <> ($2->>'place')::ltree",
        "place ? ARRAY['top.*{1}', 'x']::lquery[]",
        "nlevel(place) > 1",
        "title % 'wonderful'",
        "title % ($2->>'title')",
        "'wonder' <% title",
        "similarity(title, 'wonder') > 0.5",
        "tags ? 'kind' AND tags @> 'kind=>3'",
        "tags->'kind' = '2'",
        "numbers @@ '3 & !4'",
        "numbers && '{2,3}'",
        "wanted(id)",
        "owner === 'Axel'",
        "title = 'will'",
        "title <> 'will'",
        "title = $2->>'title'",
    ],
)
def test_a_filter_passes_what_the_callers_own_statement_does(
    documents: Connection, where: str, index: bool
) -> None:
    for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort") if index else ():
        documents.execute(f"SET {setting} = off")  # type: ignore[arg-type]
    found = []
    for path in PATHS:
        documents.execute(f"SET search_path = {path}")  # type: ignore[arg-type]
        found.append(outcome(plain, documents, where))
        assert outcome(by_function, documents, where) == found[-1], path
        assert outcome(by_python, documents, where) == found[-1], path
    # some rows and not all, by one of the paths
    assert any(isinstance(ids, set) and 0 < len(ids) < ROWS * 9 // 10 for ids in found)


def owned(*owners: str | None) -> set[int]:
    return {id_ for id_ in range(ROWS) if id_ % 10 and OWNERS[id_ % 6] in owners}


@pytest.mark.parametrize(
    ("path", "where", "ids"),
    [
        (EXTENSIONS, "owner = 'Anna'", owned("Anna", "ANNA", "anna")),
        (EXTENSIONS, "owner <> 'Anna'", owned("Annabel", "Ben")),
        (EXTENSIONS, "owner <> $2->>'owner'", owned("ANNA", "anna", "Annabel", "Ben")),
        ("public", "owner = 'Anna'", owned("Anna")),
        (APP, "length(owner) = 7", owned(*OWNERS)),
        (EXTENSIONS, "length(owner) = 7", owned("Annabel")),
        (APP, "owner = 'Axel'", set()),
        (APP, "owner::text = 'Axel'", owned("Anna", "ANNA", "Annabel")),
        (EXTENSIONS, "owner::text = 'Axel'", set()),
    ],
)
def test_whose_operator_a_filter_means(
    documents: Connection, path: str, where: str, ids: set[int]
) -> None:
    documents.execute(f"SET search_path = {path}")  # type: ignore[arg-type]
    for find in (plain, by_function, by_python):
        assert find(documents, where) == ids, find


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(CITEXT)
    code: Mapped[Any] = mapped_column(Code(BINARIZER.bits))


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_orms_filter_is_of_the_columns_type(documents_dsn: str, driver: str) -> None:
    query, every = integer_rows(7, 1)[0], {"k": ROWS, "candidates": ROWS}

    def work(session: Session) -> list[set[int]]:
        session.execute(text(f"SET search_path = {EXTENSIONS}"))
        found = []
        for where in (Item.owner == "Anna", Item.owner != "Anna", Item.owner.in_(["anna", "BEN"])):
            some = select(Item.id).where(where, Item.code.is_not(None))
            nearest = funnel(some, Item.code, query, BINARIZER, **every)
            found.append(distinct(list(session.scalars(nearest))))
        return found

    assert runner(documents_dsn, driver)(work) == [
        owned("Anna", "ANNA", "anna"),
        owned("Annabel", "Ben"),
        owned("Anna", "ANNA", "anna", "Ben"),
    ]


def test_a_policy_on_citext_hides_rows_from_a_search(
    documents: Connection, documents_dsn: str
) -> None:
    """Under every path of a reader, who finds what the policy lets through."""
    documents.execute(f"SET search_path = {EXTENSIONS}")
    role = sql.Identifier(f"{documents.info.dbname}_reader")
    statements = (
        "CREATE ROLE {role}",
        "GRANT USAGE ON SCHEMA extensions, app TO {role}",
        "GRANT SELECT ON items TO {role}",
        "GRANT ALL ON SCHEMA public TO {role}",
        "CREATE POLICY own ON items TO {role} USING (owner <> 'ANNA')",
        "ALTER TABLE items ENABLE ROW LEVEL SECURITY",
    )
    try:
        for text in statements:
            documents.execute(sql.SQL(text).format(role=role))  # type: ignore[arg-type]
        with connect(documents_dsn) as reader:
            reader.execute(sql.SQL("SET ROLE {role}").format(role=role))
            for path in PATHS:
                reader.execute(f"SET search_path = {path}")  # type: ignore[arg-type]
                for find in (plain, by_function, by_python):
                    assert find(reader, "true") == owned("Annabel", "Ben")
    finally:
        documents.execute("ALTER TABLE items DISABLE ROW LEVEL SECURITY")
        documents.execute("DROP POLICY own ON items")
        documents.execute(sql.SQL("DROP OWNED BY {role}").format(role=role))
        documents.execute(sql.SQL("DROP ROLE {role}").format(role=role))


@pytest.mark.parametrize("in_database", [False, True])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        # neither order is that of the texts
        ("citext", "chr(65 + id::int * 7 % 26 + 32 * (id::int % 2)) || id"),
        ("ltree", "'k' || repeat('-k', id::int % 3) || '.' || id"),
    ],
)
def test_keys_of_an_extensions_type(
    contrib: Connection, key: str, value: str, in_database: bool
) -> None:
    """The backfill goes by ranges of the key, in the order of the key's own index."""
    install_modules(contrib)
    make_table(contrib)
    contrib.execute(f"ALTER TABLE items ALTER id TYPE {key} USING ({value})::{key}")  # type: ignore[arg-type]
    for path in ("public", EXTENSIONS):
        contrib.execute(f"SET search_path = {path}")  # type: ignore[arg-type]
        codes = {"code_column": f"code_{len(path)}"}
        done = attach(
            contrib, "items", "embedding", LABEL, batch_rows=7, in_database=in_database, **codes
        )
        assert (done.filled, done.verification.good) == (180, True)
        assert check_codes(contrib, code=codes["code_column"]) == 180
        found = search_column(contrib, "items", integer_rows(7, 1), k=180, candidates=180, **codes)
        assert len(set(found.ids[0])) == 180


def test_a_key_without_operators_of_these_names_is_refused(contrib: Connection) -> None:
    install_modules(contrib)
    make_table(contrib, columns="id bigint PRIMARY KEY, title text")
    contrib.execute("ALTER TABLE items ALTER id TYPE hstore USING hstore('key', id::text)")
    with pytest.raises(TableError, match=r"must be of a type that .* found hstore"):
        attach(contrib, "items", "embedding", LABEL)
    assert contrib.execute("SELECT FROM bitryoshka.columns").rowcount == 0
