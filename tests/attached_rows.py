"""Tables with vectors for a codec to be attached to, and checks of their codes."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from pgvector import Vector
from psycopg import sql
from synthetic import exact_binarizer, integer_rows

from bitryoshka.binarizer import Binarizer
from bitryoshka.postgres import connect, register
from bitryoshka.postgres.server import Connection

BINARIZER = exact_binarizer(3)
LABEL = "docs@1"


def make_table(
    connection: Connection,
    rows: int = 200,
    name: str = "items",
    column: str = "embedding",
    columns: str = "id bigint PRIMARY KEY, title text",
    vector_type: str = "vector(16)",
    schema: str = "public",
    suffix: str = "",
) -> NDArray[np.float32]:
    """A table of integer vectors with ids from 0; every tenth vector is NULL (zeros here)."""
    connection.execute(
        sql.SQL("CREATE TABLE {} (" + columns + ", {} " + vector_type + ") " + suffix).format(  # type: ignore[arg-type]
            sql.Identifier(schema, name), sql.Identifier(column)
        )
    )
    vectors = integer_rows(0, max(rows, 1))
    vectors[::10] = 0
    copy = sql.SQL("COPY {} (id, {}) FROM STDIN").format(
        sql.Identifier(schema, name), sql.Identifier(column)
    )
    with connection.cursor() as cursor, cursor.copy(copy) as rows_in:
        for i in range(rows):
            rows_in.write_row((i, Vector(vectors[i]).to_text() if vectors[i].any() else None))
    return vectors


def registered(connection: Connection, binarizer: Binarizer = BINARIZER) -> Binarizer:
    """Register as `LABEL`."""
    assert register(connection, "docs", binarizer).label == LABEL
    return binarizer


def rows_of(
    connection: Connection, name: str = "items", column: str = "embedding", code: str = "code"
) -> list[tuple[Any, str | None, str | None]]:
    """Every row's id, vector and code as text."""
    query = sql.SQL("SELECT id::text, {}::text, {}::text FROM {} ORDER BY id").format(
        sql.Identifier(column), sql.Identifier(code), sql.Identifier(name)
    )
    return connection.execute(query).fetchall()


def check_codes(connection: Connection, binarizer: Binarizer = BINARIZER, **names: str) -> int:
    """Assert that every vector has its code and NULL has none; give the number of codes."""
    found = rows_of(connection, **names)
    assert all((vector is None) == (code is None) for _, vector, code in found)
    kept = [(vector, code) for _, vector, code in found if vector is not None and code]
    if kept:
        vectors = np.array([v.strip("[]").split(",") for v, _ in kept], np.float32)
        codes = np.packbits([[int(d) for d in c] for _, c in kept], axis=1)
        np.testing.assert_array_equal(codes, binarizer.encode(vectors))
    return len(kept)


@contextmanager
def stopped_in_the_fourth_batch() -> Iterator[None]:
    """Ctrl-C while a backfill encodes it."""
    encode, calls = type(BINARIZER).encode, 0

    def encode_thrice(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return encode(*arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(BINARIZER), "encode", encode_thrice)
        with pytest.raises(KeyboardInterrupt):
            yield


@contextmanager
def writers_at_work(dsn: str, rows: int) -> Iterator[None]:
    """Two sessions that change `items` and their keys all the time; none of them may fail."""
    done, failures = threading.Event(), []

    def write(seed: int) -> None:
        chance, vectors = random.Random(seed), integer_rows(seed, 50)
        with connect(dsn) as connection:
            while not done.is_set():
                row, vector = chance.randrange(rows), Vector(chance.choice(vectors)).to_text()
                other = row + rows * seed
                statement, values = chance.choice(
                    [
                        ("UPDATE items SET embedding = %s::vector WHERE id = %s", [vector, row]),
                        ("UPDATE items SET embedding = NULL WHERE id = %s", [row]),
                        ("UPDATE items SET title = 'x' WHERE id = %s", [row]),
                        ("DELETE FROM items WHERE id = %s", [row]),
                        (
                            "INSERT INTO items (id, embedding) VALUES (%s, %s::vector) "
                            "ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding",
                            [row, vector],
                        ),
                        ("UPDATE items SET title = 'y' WHERE id IN (%s, %s)", [row, row - 40]),
                        (
                            "UPDATE items SET id = %s WHERE id = %s AND NOT EXISTS "
                            "(SELECT FROM items WHERE id = %s)",
                            [other, row, other],
                        ),
                    ]
                )
                try:
                    connection.execute(statement, values)
                except psycopg.Error as error:
                    failures.append(error)

    writers = [threading.Thread(target=write, args=[seed]) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert not failures
