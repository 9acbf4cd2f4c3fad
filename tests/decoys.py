"""Functions and operators that lie in wait for a call whose name is not bound.

A call that names no schema goes to whatever on the path fits its arguments best, and an exact fit
beats a built-in one that needs a conversion. So every name that stands in the project's SQL is
planted with every mix of arguments that a call could have; each of them raises. Names are found in
the files themselves: a new call is covered as soon as it is written.
"""

from __future__ import annotations

import re
from itertools import product

from bitryoshka.postgres.server import Connection
from bitryoshka.sql_files import project_folder

# what calls in SQL have for arguments
TYPES = (
    "text",
    "name",
    "integer",
    "bigint",
    "real",
    "double precision",
    "boolean",
    "oid",
    "regclass",
    "regtype",
    "regprocedure",
    "regnamespace",
    "text[]",
    "integer[]",
    "double precision[]",
    "real[]",
    "vector",
    "halfvec",
    "vector[]",
    "bit",
    "varbit",
    "bit[]",
    '"char"',
    "smallint",
    "json",
    "jsonb",
    "tid",
    "xid",
)
# of calls with three arguments and more
FEW = ("text", "name", "integer", "oid", "regclass", "boolean")
_WORD = re.compile(r"\b([a-z_][a-z0-9_]*)\s*\(")
_SYMBOL = re.compile(r"[-+*/<>=~!@#%^&|`?]+")


def texts() -> str:
    """All SQL of the project, without comments."""
    files = sorted(project_folder("sql").rglob("*.sql"))
    sources = sorted((project_folder("sql").parent / "src").rglob("*.py"))
    found = [re.sub(r"--.*", "", path.read_text("utf-8")) for path in files]
    return "\n".join(found + [path.read_text("utf-8") for path in sources])


def plant(connection: Connection, schema: str) -> int:
    """Plant them all in ``schema``; give their number."""
    text = texts()
    words, symbols = set(_WORD.findall(text)), set(_SYMBOL.findall(text))
    connection.execute("SET check_function_bodies = off")
    names = [
        (name, max_arguments, bool(variadic))
        for name, max_arguments, variadic in connection.execute(
            "SELECT p.proname::text, max(p.pronargs)::int, max(p.provariadic::bigint) > 0 "
            "FROM pg_proc AS p WHERE p.proname = ANY (%s) "
            "AND p.pronamespace IN ('pg_catalog'::regnamespace, 'public'::regnamespace) "
            "AND p.prokind IN ('f', 'a', 'w') GROUP BY 1 ORDER BY 1",
            [sorted(words)],
        ).fetchall()
    ]
    operators = [
        name
        for (name,) in connection.execute(
            "SELECT DISTINCT o.oprname::text FROM pg_operator AS o WHERE o.oprname = ANY (%s)",
            [sorted(symbols)],
        ).fetchall()
    ]
    types = [
        name
        for (name,) in connection.execute(
            "SELECT typname::text FROM pg_type WHERE typname = ANY (%s) "
            "AND typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'p', 'r') "
            "AND typname !~ '^_' ORDER BY 1",
            [sorted(set(re.findall(r"\b[a-z_][a-z0-9_]*\b", text)))],
        ).fetchall()
    ]
    made: list[str] = []
    body = "RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''decoy {}''; END'"
    for name, arguments, variadic in names:
        for count in range(1, min(max(arguments, 4 if variadic else 0), 4) + 1):
            kinds = TYPES if count <= (2 if arguments <= 2 and not variadic else 1) else FEW
            made += [
                f'CREATE FUNCTION {schema}."{name}"({", ".join(mix)}) {body.format(name)}'
                for mix in product(kinds, repeat=count)
            ]
    made += [
        f"CREATE FUNCTION {schema}.decoy({left}, {right}) {body.format('operator')}"
        for left, right in product(TYPES, repeat=2)
    ]
    made += [f"CREATE FUNCTION {schema}.decoy({kind}) {body.format('operator')}" for kind in TYPES]
    for name in operators:
        made += [
            f"CREATE OPERATOR {schema}.{name} (LEFTARG = {left}, RIGHTARG = {right}, "
            f"FUNCTION = {schema}.decoy)"
            for left, right in product(TYPES, repeat=2)
        ]
        if name in ("-", "+", "~", "@"):
            made += [
                f"CREATE OPERATOR {schema}.{name} (RIGHTARG = {kind}, FUNCTION = {schema}.decoy)"
                for kind in TYPES
            ]
    # a cast to any of them would come out as a number
    made += [f'CREATE DOMAIN {schema}."{name}" AS pg_catalog.int4' for name in types]
    # one at a time: what is there already, of pgvector's, stays
    connection.execute(
        "DO $do$ DECLARE one text; BEGIN FOREACH one IN ARRAY %s LOOP "
        "BEGIN EXECUTE one; EXCEPTION WHEN duplicate_function OR duplicate_object "
        "OR unique_violation THEN NULL; END; "
        "END LOOP; END $do$".replace("%s", _array(made)).encode()
    )
    return len(made)


def _array(values: list[str]) -> str:
    quoted = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    return f"ARRAY[{quoted}]"
