"""HNSW indexes of code columns: those that models have, and those that the database has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Cast, Column, Label
from sqlalchemy.sql.functions import FunctionElement

from bitryoshka.alembic.index_operations import (
    CreateCodeIndexOp,
    DropCodeIndexOp,
    Opclass,
    PrefixBits,
)
from bitryoshka.sqlalchemy import Code

# the names that attach gives: such an index is its own affair
OF_ATTACH = re.compile(r"_codes_\d+_\d+_hnsw$")

_PREFIX = re.compile(
    r"""\(*(?:"substring"|SUBSTRING)\((?P<column>.+?)(?:,\ 1,\ |\ FROM\ 1\ FOR\ )(?P<bits>\d+)
    \)\)::(?:pg_catalog\.)?bit\((?P=bits)\)\)*""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class CodeIndex:
    """``prefix_bits``: "all" where the whole code is indexed."""

    index_name: str
    table_name: str
    schema: str | None
    column: str
    prefix_bits: PrefixBits
    opclass: Opclass
    m: int
    ef_construction: int

    def creation(self, concurrently: bool) -> CreateCodeIndexOp:
        """The operation that builds it."""
        return CreateCodeIndexOp(**vars(self), concurrently=concurrently)

    def removal(self, concurrently: bool) -> DropCodeIndexOp:
        """The operation that drops it."""
        return self.creation(concurrently).reverse()

    def of(self, schema: str | None) -> CodeIndex:
        """The same under another name of its schema."""
        return replace(self, schema=schema)


def of_model(
    name: str | None,
    table: str,
    schema: str | None,
    expressions: Sequence[Any],
    options: Mapping[str, Any],
) -> CodeIndex | None:
    """A model's index as `prefix_index` makes it, or on the code itself; None for any other."""
    if name is None or options.get("postgresql_using") != "hnsw" or len(expressions) != 1:
        return None
    [expression] = expressions
    key = getattr(expression, "key", None)
    if isinstance(expression, Label):
        expression = expression.element
    bits: PrefixBits = "all"
    if isinstance(expression, Cast) and isinstance(expression.clause, FunctionElement):
        bits = getattr(expression.type, "bits", "all")
        expression = next(iter(expression.clause.clauses), None)
    if not (isinstance(expression, Column) and isinstance(expression.type, Code)):
        return None
    opclass = (options.get("postgresql_ops") or {}).get(key)
    if opclass not in ("bit_hamming_ops", "bit_jaccard_ops"):
        return None
    settings = options.get("postgresql_with") or {}
    return CodeIndex(str(name), table, schema, expression.name, bits, opclass, *_settings(settings))


def of_database(row: Sequence[Any]) -> CodeIndex | None:
    """A row of statement ``code_indexes``; None where the expression is no code's beginning."""
    schema, table, name, expression, opclass, options = row
    settings = dict(part.split("=", 1) for part in options.split(",") if part)
    found = _PREFIX.fullmatch(expression)
    column = found["column"] if found else expression
    bits: PrefixBits = int(found["bits"]) if found else "all"
    if column.startswith('"') and column.endswith('"'):
        column = column[1:-1].replace('""', '"')
    elif not re.fullmatch(r"[a-z_][a-z0-9_$]*", column):
        return None
    return CodeIndex(name, table, schema, column, bits, opclass, *_settings(settings))


def _settings(options: Mapping[str, Any]) -> tuple[int, int]:
    """``m`` and ``ef_construction``, pgvector's defaults where they are not given."""
    return int(options.get("m", 16)), int(options.get("ef_construction", 64))
