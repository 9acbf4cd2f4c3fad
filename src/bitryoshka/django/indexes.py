"""The HNSW index of a field of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.postgres.indexes import PostgresIndex
from django.db.models import Func
from django.db.models.expressions import ExpressionList
from django.db.models.sql import Query

from bitryoshka.bits import check_bits
from bitryoshka.django.expressions import Prefix
from bitryoshka.django.operations import require_postgres
from bitryoshka.errors import OptionError
from bitryoshka.limits import check_count
from bitryoshka.postgres_rules import EF_CONSTRUCTION, M


class CodeIndex(PostgresIndex):
    """An HNSW index on the first ``prefix_bits`` of a `CodeField`, by Hamming distance.

    ``fields`` names the one field. Searches that ask for nothing else compare the field's
    ``prefix_bits``, or all of its bits: say as many here. ``m`` and ``ef_construction`` are
    pgvector's; its own defaults, 16 and 64, suit float vectors, whose lists are short.
    `AddIndexConcurrently` of django.contrib.postgres builds it while the table is in use.

    BitsError for a length that is none, OptionError for other than one field.
    """

    suffix = "hnsw"

    def __init__(
        self,
        *,
        fields: Sequence[str],
        prefix_bits: int,
        m: int = M,
        ef_construction: int = EF_CONSTRUCTION,
        **kwargs: Any,
    ) -> None:
        if isinstance(fields, str) or len(fields) != 1 or fields[0].startswith("-"):
            raise OptionError(f"fields must have the name of one CodeField, found {fields!r}")
        self.prefix_bits = check_bits(prefix_bits, "prefix_bits")
        self.m = check_count(m, "m", OptionError, least=2, most=100)
        self.ef_construction = check_count(
            ef_construction, "ef_construction", OptionError, least=4, most=1000
        )
        super().__init__(fields=fields, **kwargs)

    def deconstruct(self) -> Any:
        """What a migration writes."""
        _, args, kwargs = super().deconstruct()
        kwargs["prefix_bits"] = self.prefix_bits
        if self.m != M:
            kwargs["m"] = self.m
        if self.ef_construction != EF_CONSTRUCTION:
            kwargs["ef_construction"] = self.ef_construction
        return "bitryoshka.django.CodeIndex", args, kwargs

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        """CREATE INDEX over the expression that searches order by."""
        require_postgres(schema_editor.connection)
        key = ExpressionList(_Key(Prefix(self.fields[0], self.prefix_bits)))
        statement = schema_editor._create_index_sql(
            model,
            name=self.name,
            using=" USING hnsw",
            db_tablespace=self.db_tablespace,
            condition=self._get_condition_sql(model, schema_editor),  # type: ignore[attr-defined]
            expressions=key.resolve_expression(Query(model, alias_cols=False)),
            **kwargs,
        )
        settings = ", ".join(self.get_with_params())
        statement.parts["extra"] = f" WITH ({settings}){statement.parts['extra']}"
        return statement

    def get_with_params(self) -> list[str]:
        """The graph's settings."""
        return [f"m = {self.m}", f"ef_construction = {self.ef_construction}"]


class _Key(Func):
    template = "(%(expressions)s) bit_hamming_ops"
