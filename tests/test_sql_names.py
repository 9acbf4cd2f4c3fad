"""Every name in the statements that the package sends is bound to a schema, found by Postgres' own
parser: what a session's search_path holds decides nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pglast import parser

from bitryoshka.schema_scripts import creation
from bitryoshka.sql_files import project_folder, statements

# expressions, which stand in other statements
EXPRESSIONS = (
    "prefix",
    "weighted_distance",
    "has_dimensions",
    "has_length",
    "codec_id",
    "scan_settings",
    "narrow_filter",
    "with_codes",
)
# what a brace stands for, where a name would not do
FILLED = {
    "operator": "<#>",
    "rows": "(1)",
    "concurrently": "",
    "vector_column": "",
    "mode": "ACCESS SHARE",
    "m": "8",
    "ef_construction": "8",
    "codec": "'x'",
    "encoder": "public.x",
    "due": "true",
    "table": "public.x",
    "source": "public.x TABLESAMPLE BERNOULLI (1)",
    "codes": "public.x",
    "function": "public.x",
    "searched": "public.x",
    "body": "'x'",
    "comment": "'x'",
    "state": "'x'",
    "stage": "SELECT 1 AS item",
    "ledger": "public.x",
    "foreign": "SELECT 1 AS title, 2 AS owner",
    "script": "",
    "settings": "1",
    "revision": "'0001'",
}
# takes part in no search for a name
TEMPORARY = "bitryoshka_batch"


def statement(name: str, text: str) -> str:
    """The file as SQL that can be parsed."""
    filled = re.sub(r"\{(\w+)\}", lambda found: FILLED.get(found[1], "x"), text)
    return f"SELECT {filled}" if name in EXPRESSIONS else filled


def nodes(tree: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if isinstance(value, dict):
                yield key, value
            yield from nodes(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from nodes(value)


def names(parts: list[dict[str, Any]]) -> list[str]:
    return [part["String"]["sval"] for part in parts]


def unbound(text: str) -> list[str]:
    """Names in a statement that the search_path decides."""
    tree = json.loads(parser.parse_sql_json(text))
    found = []
    known = {TEMPORARY}
    known |= {node["ctename"] for kind, node in nodes(tree) if kind == "CommonTableExpr"}
    known |= {node["aliasname"] for kind, node in nodes(tree) if kind == "alias"}
    for kind, node in nodes(tree):
        if kind == "FuncCall" and len(names(node["funcname"])) == 1:
            found.append(f"function {names(node['funcname'])[0]}")
        elif kind in ("typeName", "TypeName") and len(names(node.get("names", []))) == 1:
            found.append(f"type {names(node['names'])[0]}")
        elif kind == "A_Expr":
            # IN, BETWEEN, NULLIF, LIKE and IS DISTINCT FROM name no operator that could be bound
            plain = node["kind"] in ("AEXPR_OP", "AEXPR_OP_ANY", "AEXPR_OP_ALL")
            if not plain or len(names(node["name"])) == 1:
                found.append(f"operator {names(node['name'])[-1]} ({node['kind']})")
        elif kind == "SubLink" and node.get("subLinkType") in ("ANY_SUBLINK", "ALL_SUBLINK"):
            if len(names(node.get("operName", []))) < 2:
                found.append("operator of IN or ANY (SELECT ...)")
        elif kind == "CaseExpr" and "arg" in node:
            found.append("operator of CASE x WHEN")
        elif kind == "JoinExpr" and "usingClause" in node:
            found.append("operator of JOIN USING")
        elif "schemaname" not in node and node.get("relname", TEMPORARY) not in known:
            found.append(f"table {node['relname']}")
    return found


@pytest.mark.parametrize("name", statements())
def test_every_name_is_bound(name: str) -> None:
    text = statements()[name]
    if name == "vector_column":
        assert text.strip().endswith("vector {pgvector}.{vector_type}({dimensions}) NOT NULL")
        return
    if name == "narrow_body":
        # a trigger's function, which has a path of built-in names as well
        made = "CREATE FUNCTION x() RETURNS trigger LANGUAGE plpgsql AS $body$\n{}$body$"
        check_block(made.format(statement(name, text)))
        return
    if re.match(r"(--.*\n)*DO ", text):
        check_block(statement(name, text))
        return
    assert unbound(statement(name, text)) == []


def test_every_statement_is_sent() -> None:
    source = project_folder("sql").parent / "src"
    text = "\n".join(path.read_text("utf-8") for path in source.rglob("*.py"))
    # search_{kind} is put together
    text += '"search_asymmetric" "search_exact" "search_hamming" "search_shortlist"'
    assert [name for name in statements() if f'"{name}"' not in text] == []


def check_block(text: str) -> None:
    """A DO block binds its names too, or first of all sets a path of built-in names."""
    [block] = json.loads(parser.parse_plpgsql_json(text))
    function = block["PLpgSQL_function"]
    declared = list(expressions(function["datums"]))
    run = list(expressions(function["action"]))
    pinned = run[0].endswith("set_config('search_path', 'pg_catalog, pg_temp', true)")
    for query in declared if pinned else declared + run:
        assert unbound(query) == [], query


def expressions(tree: Any) -> Iterator[str]:
    """The SQL in a function of PL/pgSQL, each piece as a statement."""
    for kind, node in nodes(tree):
        if kind == "PLpgSQL_expr":
            query = re.sub(r"^\s*[\w.]+\s*:=", "SELECT ", node["query"])
            # plain expressions, of IF and of declarations
            begins = re.match(r"\s*(SELECT|INSERT|DELETE|CREATE|DROP|LOCK|EXECUTE)\b", query)
            yield query if begins else f"SELECT {query}"


def test_functions_have_a_path_of_built_in_names() -> None:
    """But for bitryoshka.search, whose filter is the caller's, and bodies bound when made."""
    made = re.findall(
        r"CREATE OR REPLACE FUNCTION (bitryoshka\.\w+)(.*?)(?:AS \$|RETURN )", creation(), re.S
    )
    assert len(made) > 30
    without = {name for name, head in made if "SET search_path = pg_catalog, pg_temp" not in head}
    assert without == {"bitryoshka.search", "bitryoshka.encode", "bitryoshka.asymmetric_score"}


def test_the_function_without_a_path_binds_every_name() -> None:
    text = (project_folder("sql") / "install" / "search.sql").read_text("utf-8")
    text = text.replace("{pgvector}", "public")
    [function] = json.loads(
        parser.parse_plpgsql_json(text[text.index("CREATE") : text.index("COMMENT ON")])
    )
    queries = list(expressions(function))
    assert len(queries) > 8
    for query in queries:
        assert unbound(query) == [], query
