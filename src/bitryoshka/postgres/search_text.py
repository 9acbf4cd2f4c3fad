"""A search as one statement, for other clients to send."""

from __future__ import annotations

import psycopg
from psycopg import sql

from bitryoshka.errors import SearchError, TableError
from bitryoshka.postgres.exchange import run
from bitryoshka.postgres.searched_table import Searched, find_searched
from bitryoshka.postgres.server import Connection
from bitryoshka.postgres.statements import Statement, fetch, refused_as, statement
from bitryoshka.search_parameters import CANDIDATES, K, Rescore, SearchParameters


def search_statement(
    connection: Connection,
    table: str,
    k: int = K,
    *,
    candidates: int = CANDIDATES,
    prefix_bits: int | None = None,
    rescore: Rescore | None = "asymmetric",
    shortlist: int | None = None,
    where: sql.Composable | None = None,
    schema: str = "public",
    code_column: str = "code",
) -> str:
    """The text of a search of a table, in either layout, to be prepared, changed and owned.

    It gives ``item``, a row of the table, and ``score``, best first. Its parameters are $1, the
    query, a vector, and $2, jsonb, values that ``where`` may take, such as
    ``sql.SQL("tenant = ($2->>'tenant')::int")``, or NULL. All words mean what they mean in
    `search_column`, and are refused alike. Where the codes lie in the table itself the text is
    that of ``bitryoshka.search_statement``; it sets pgvector's settings of the scan until the
    transaction ends.
    """
    asked = SearchParameters(
        k=k, candidates=candidates, prefix_bits=prefix_bits, rescore=rescore, shortlist=shortlist
    )
    searched = run(connection, find_searched(schema, table, code_column))
    if searched.narrow is None:
        return _stage(connection, searched, asked, code_column, where)
    row = "bitryoshka_item"
    exact = rescore == "exact"
    if exact:
        score: sql.Composable = searched.similarity(row, sql.SQL("$1"))
        first = SearchParameters(
            k=asked.compared,
            candidates=candidates,
            prefix_bits=prefix_bits,
            rescore=asked.code_rescore,
        )
    else:
        score, first = sql.SQL("b.score"), asked
    return statement(
        "narrow_statement",
        score=score,
        stage=sql.SQL(_stage(connection, searched, first, code_column, where)),
        table=searched.table,
        found=searched.found(row),
        item_keys=searched.keys_of(row),
        k=k,
    ).as_string(connection)


def _stage(
    connection: Connection,
    searched: Searched,
    asked: SearchParameters,
    code_column: str,
    where: sql.Composable | None,
) -> str:
    """The search of the table that has the codes."""
    given = where and Statement([searched.filter(where)]).as_string(connection)
    query = statement(
        "search_text",
        table=sql.Literal(searched.codes.as_string(connection)),
        code_column=sql.Literal(code_column),
        k=asked.k,
        candidates=asked.candidates,
        **{
            name: sql.Literal(value)
            for name, value in {
                "prefix_bits": asked.prefix_bits,
                "rescore": asked.rescore,
                "shortlist": asked.shortlist,
                "where": given,
            }.items()
        },
    )
    with refused_as(TableError, psycopg.errors.UndefinedObject):
        try:
            [(text,)] = fetch(connection, query)
        except psycopg.errors.InvalidParameterValue as error:
            raise SearchError(str(error.diag.message_primary)) from error
    return str(text)
