"""A Postgres table with vectors gets codes, and is searched.

Needs the extra `postgres` and a database in which the role may create extension `vector` (or finds
it there) and a schema; it is left as it was:

    BITRYOSHKA_DSN=postgresql://user@host/database python postgres_table.py
"""

from __future__ import annotations

import os

import numpy as np

import bitryoshka
from bitryoshka import postgres

# yours come from an embedding model; these lie around 30 centres
generator = np.random.default_rng(0)
centres = generator.normal(size=(30, 64))
vectors = centres[np.arange(500) % 30] + 0.6 * generator.normal(size=(500, 64))
binarizer = bitryoshka.fit(vectors, bits=64).binarizer

with postgres.connect(os.environ["BITRYOSHKA_DSN"]) as connection:
    postgres.install(connection)
    connection.execute("CREATE TABLE example (id int PRIMARY KEY, embedding vector(64))")
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO example VALUES (%s, %s::vector)",
            [(i, str(vector.tolist())) for i, vector in enumerate(vectors)],
        )

    codec = postgres.register(connection, "example", binarizer)
    postgres.attach(connection, "example", "embedding", codec.label)
    ids, scores = postgres.search_column(connection, "example", vectors[:2], k=3, rescore="exact")
    for found, similar in zip(ids, scores, strict=True):
        print(found, np.round(similar, 3))

    # whoever writes a row, the trigger encodes it
    connection.execute("INSERT INTO example SELECT 5000, embedding FROM example WHERE id = 7")
    [(same,)] = connection.execute(
        "SELECT a.code = b.code FROM example a, example b WHERE a.id = 7 AND b.id = 5000"
    ).fetchall()
    print("the trigger made the same code:", same)

    postgres.detach(connection, "example")
    postgres.drop_codec(connection, codec.label)
    connection.execute("DROP TABLE example")
    postgres.uninstall(connection)
