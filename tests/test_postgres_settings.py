"""Sessions and databases with settings of their own: nothing depends on them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
from attached_rows import BINARIZER, LABEL, check_codes, make_table, registered
from conftest import fresh_database
from psycopg import sql
from psycopg.conninfo import make_conninfo
from synthetic import additive_binarizer, exact_binarizer, integer_rows

from bitryoshka import DatabaseError
from bitryoshka import postgres as pg
from bitryoshka.postgres import attach, connect, detach, install, locking, register, status
from bitryoshka.postgres.sampling import sample_vectors
from bitryoshka.postgres.server import Connection


def use_everything(connection: Connection, odd: str) -> None:
    """Every function of `bitryoshka.postgres` that takes a connection, on a fresh database."""
    queries = integer_rows(1, 3)
    assert pg.prepare_database(connection)
    assert pg.install(connection)
    vectors, ids = integer_rows(0, 30), np.arange(30)
    for kind in ("vector", "halfvec", None):
        name = f"codes {odd} {kind}"
        table = pg.create_table(connection, name, BINARIZER, kind)  # type: ignore[arg-type]
        assert pg.create_table(connection, name, BINARIZER, kind) == table  # type: ignore[arg-type]
        assert pg.open_table(connection, name, BINARIZER, kind) == table  # type: ignore[arg-type]
        codes = BINARIZER.encode(vectors)
        assert pg.load(connection, table, ids, codes, vectors if kind else None) == 30
        assert pg.create_index(connection, table, BINARIZER.hamming_bits)
        for rescore in ("asymmetric", "exact" if kind else None):
            found = pg.search(connection, table, BINARIZER, queries, rescore=rescore)  # type: ignore[arg-type]
            assert (found.ids != -1).all()
    more = pg.register(connection, "more", additive_binarizer(1, dimensions=16)).label
    for binarizer, label in ((BINARIZER, LABEL), (exact_binarizer(4), "docs@2")):
        assert pg.register(connection, "docs", binarizer).label == label
        assert pg.export(connection, label).fingerprint == binarizer.fingerprint
    assert [codec.label for codec in pg.list_codecs(connection)] == [LABEL, "docs@2", more]
    pg.adopt(connection, f"codes {odd} None", LABEL)
    pg.detach(connection, f"codes {odd} None")

    columns = f'id text PRIMARY KEY, "{odd}" text'
    connection.execute(
        sql.SQL("CREATE TABLE public.{} (" + columns + ", {} {}.vector(16))").format(  # type: ignore[arg-type]
            sql.Identifier(odd), sql.Identifier("v " + odd), sql.Identifier("public")
        )
    )
    copy = sql.SQL("COPY public.{} (id, {}) FROM STDIN").format(
        sql.Identifier(odd), sql.Identifier("v " + odd)
    )
    with connection.cursor() as cursor, cursor.copy(copy.as_string(None).encode()) as rows:
        for id_, vector in enumerate(vectors):
            rows.write(f"{odd} {id_}\t{vector.tolist()}\n".encode())
    assert pg.attach_statements(connection, odd, "v " + odd, LABEL)
    for in_database in (True, False):
        done = pg.attach(connection, odd, "v " + odd, LABEL, batch_rows=7, in_database=in_database)
        assert done.filled == 30
        assert done.verification.good
        if in_database:
            pg.detach(connection, odd)
    assert pg.verify(connection, odd).good
    assert pg.status(connection, odd).state == "ready"
    pg.attach(connection, odd, "v " + odd, "docs@2", code_column="c " + odd)
    pg.switch(connection, odd, "c " + odd)
    where = sql.SQL("{} IS NULL").format(sql.Identifier(odd))
    hits = pg.search_column(connection, odd, queries, exact=20, where=where)
    assert {key for keys in hits.keys for key in keys} <= {(f"{odd} {i}",) for i in ids}
    assert all(len(keys) == 10 for keys in hits.keys)
    assert sample_vectors(connection, odd, "v " + odd, 10)[1] == 30
    pg.detach(connection, odd, code_column="code_old")
    pg.drop_codec(connection, LABEL)
    pg.detach(connection, odd)
    for label in ("docs@2", more):
        pg.drop_codec(connection, label)
    pg.uninstall(connection)


def test_an_empty_search_path(bare_database: str) -> None:
    dsn = make_conninfo(bare_database, options="-c search_path=")
    with connect(dsn) as connection:
        use_everything(connection, "items")
        [(path,)] = connection.execute("SHOW search_path").fetchall()
        assert path in ("", '""')
