"""What autogenerate has found is settled: codes, their indexes, and what is bitryoshka's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import Column

from bitryoshka.alembic.code_index import OF_ATTACH, CodeIndex, of_model
from bitryoshka.alembic.column_operations import AddCodeColumnOp, DropCodeColumnOp
from bitryoshka.alembic.index_operations import CreateCodeIndexOp, DropCodeIndexOp
from bitryoshka.alembic.rendering import render_codes
from bitryoshka.alembic.stored import Place, Stored, read_stored
from bitryoshka.binarizer import Binarizer
from bitryoshka.sqlalchemy.declaring import declared

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

_SCHEMA = "bitryoshka"
_COMMENT = "bitryoshka codec "


def leave_own_schema(
    context: AutogenContext, upgrade_ops: ops.UpgradeOps, schemas: set[str | None]
) -> Any:
    """Before all else: schema bitryoshka has migrations of its own."""
    schemas.discard(_SCHEMA)


def settle(context: AutogenContext, upgrade_ops: ops.UpgradeOps, schemas: set[str | None]) -> Any:
    """After all else: put operations of this package where plain ones would not do."""
    if context.dialect is None or context.dialect.name != "postgresql":
        return
    render_codes(context)
    upgrade_ops.ops[:] = _Settling(context, read_stored(context.connection)).all(upgrade_ops.ops)


class _Settling:
    """``replaced``: columns that are there without the codec, or of another vector column."""

    def __init__(self, context: AutogenContext, stored: Stored) -> None:
        self.stored = stored
        self.models = dict(_model_indexes(context, stored))
        self.replaced = {
            place: wanted
            for place, wanted in _declared_columns(context, stored)
            if place in stored.bit_columns
            and ((held := stored.attached.get(place)) is None or not _agree(held, wanted))
        }

    def all(self, found: list[Any]) -> list[Any]:
        """The operations of a whole migration."""
        settled: list[Any] = []
        kinds = (ops.CreateTableOp, ops.DropTableOp)
        alone = {(op.schema, op.table_name) for op in found if isinstance(op, kinds)}
        for op in found:
            if getattr(op, "schema", None) == _SCHEMA:
                continue
            if isinstance(op, ops.ModifyTableOps):
                in_use = (op.schema, op.table_name) not in alone
                op.ops[:] = [part for one in op.ops for part in self.part(one, in_use)]
                settled += [] if op.is_empty() else [op]
            elif isinstance(op, ops.CreateTableOp):
                settled += [op, *self.creation(op)]
            elif isinstance(op, ops.DropTableOp):
                settled += [*self.removal(op), op]
            else:
                settled.append(op)
        settled += [self.replacement(*item) for item in self.replaced.items()]
        return settled + list(self.altered_indexes(settled))

    def creation(self, op: ops.CreateTableOp) -> list[AddCodeColumnOp]:
        """Code columns with a codec, taken out of a table that is created."""
        made = [attached(c, op.table_name, op.schema) for c in op.columns if isinstance(c, Column)]
        added = [column for column in made if column is not None]
        names = {column.code_column for column in added}
        op.columns = [c for c in op.columns if getattr(c, "name", None) not in names]
        return added

    def removal(self, op: ops.DropTableOp) -> list[DropCodeColumnOp]:
        """Attached columns, taken out of a table that is dropped."""
        place = self.stored.place(op.schema, op.table_name, "")[:2]
        found = {p[2]: made for p, made in self.stored.attached.items() if p[:2] == place}
        if op._reverse is not None:
            columns = op._reverse.columns
            op._reverse.columns = [c for c in columns if getattr(c, "name", None) not in found]
        return [made.reverse() for made in found.values()]

    def part(self, op: Any, in_use: bool) -> list[Any]:
        """What becomes of an operation on a table, which may be ``in_use``."""
        if isinstance(op, ops.AddColumnOp):
            return [attached(op.column, op.table_name, op.schema) or op]
        if isinstance(op, ops.DropColumnOp):
            held = self.stored.attached.get(
                self.stored.place(op.schema, op.table_name, op.column_name)
            )
            return [op if held is None else held.reverse()]
        if isinstance(op, ops.AlterColumnOp):
            return self.alteration(op)
        if isinstance(op, (ops.CreateIndexOp, ops.DropIndexOp)):
            return self.index(op, in_use)
        return [op]

    def alteration(self, op: ops.AlterColumnOp) -> list[Any]:
        """An attached column has a comment and NULLs, whatever the model says."""
        place = self.stored.place(op.schema, op.table_name, op.column_name)
        if place in self.replaced:
            return []
        if place in self.stored.attached:
            op.modify_nullable = None
            if op.modify_comment is None and (op.existing_comment or "").startswith(_COMMENT):
                op.modify_comment = False
        return [op] if op.has_changes() else []

    def index(self, op: ops.CreateIndexOp | ops.DropIndexOp, in_use: bool) -> list[Any]:
        """An index that is no code's as it is; one that only seems to differ not at all."""
        place = self.stored.place(op.schema, op.table_name or "", str(op.index_name))
        held = self.stored.indexes.get(place)
        if isinstance(op, ops.DropIndexOp):
            if held is None:
                return [op]
            if OF_ATTACH.search(held.name) or self.models.get(place) == held:
                return []
            return [] if self.is_replaced(held) else [held.of(op.schema).removal(in_use)]
        wanted = of_model(op.index_name, op.table_name, place[0], op.columns, op.kw)
        if wanted is None:
            return [op]
        if wanted == held or self.is_replaced(wanted):
            return []
        return [wanted.of(op.schema).creation(in_use)]

    def is_replaced(self, index: CodeIndex) -> bool:
        """Whether the index goes and comes with its column."""
        return (index.schema, index.table, index.column) in self.replaced

    def replacement(self, place: Place, wanted: AddCodeColumnOp) -> ops.ModifyTableOps:
        """The column with its codec, and with its indexes, in place of the one that is there."""
        held = self.stored.attached.get(place)
        if held is None:
            column = Column(wanted.code_column, self.stored.bit_columns[place])
            dropped: Any = ops.DropColumnOp.from_column_and_tablename(
                wanted.schema, wanted.table_name, column
            )
        else:
            dropped = held.reverse()
        changes = [
            *(i.of(wanted.schema).removal(True) for i in _on(self.stored.indexes, place)),
            dropped,
            wanted,
            *(i.of(wanted.schema).creation(True) for i in _on(self.models, place)),
        ]
        return ops.ModifyTableOps(wanted.table_name, changes, schema=wanted.schema)

    def altered_indexes(self, settled: list[Any]) -> Iterator[ops.ModifyTableOps]:
        """Indexes with other options, which Alembic takes for equal."""
        known = {
            self.stored.place(op.schema, op.table_name, op.index_name)
            for table in settled
            if isinstance(table, ops.ModifyTableOps)
            for op in table.ops
            if isinstance(op, (CreateCodeIndexOp, DropCodeIndexOp))
        }
        for place, wanted in self.models.items():
            held = self.stored.indexes.get(place)
            if held is None or held == wanted or place in known:
                continue
            schema = None if wanted.schema == self.stored.default_schema else wanted.schema
            changes = [held.of(schema).removal(True), wanted.of(schema).creation(True)]
            yield ops.ModifyTableOps(wanted.table, changes, schema=schema)


def attached(column: Column[Any], table: str, schema: str | None) -> AddCodeColumnOp | None:
    """The addition of a column that `leave_to_trigger` was given; None for any other."""
    model = declared(column)
    if model is None or isinstance(model.codec, Binarizer):
        return None
    return AddCodeColumnOp(
        table,
        model.vector_column,
        model.codec,
        column.name,
        schema=schema,
        bad_vectors=model.bad_vectors,
        prefix_bits=model.prefix_bits,
        backfill=model.backfill,
    )


def _agree(held: AddCodeColumnOp, wanted: AddCodeColumnOp) -> bool:
    return (held.codec, held.vector_column) == (wanted.codec, wanted.vector_column)


def _declared_columns(
    context: AutogenContext, stored: Stored
) -> Iterator[tuple[Place, AddCodeColumnOp]]:
    """Columns of the models that name a codec, where include_object lets them through."""
    for table in context.sorted_tables:
        if not context.run_object_filters(table, table.name, "table", False, None):
            continue
        for column in table.columns:
            made = attached(column, table.name, table.schema)
            if made and context.run_object_filters(column, column.name, "column", False, None):
                yield stored.place(table.schema, table.name, column.name), made


def _model_indexes(context: AutogenContext, stored: Stored) -> Iterator[tuple[Place, CodeIndex]]:
    """Code indexes of the models, their schemas always named, likewise."""
    for table in context.sorted_tables:
        for index in table.indexes:
            place = stored.place(table.schema, table.name, str(index.name))
            found = of_model(
                index.name, table.name, place[0], list(index.expressions), index.kwargs
            )
            if found and context.run_object_filters(index, index.name, "index", False, None):
                yield place, found


def _on(indexes: dict[Place, CodeIndex], place: Place) -> list[CodeIndex]:
    """The indexes of one column, but for those that attach made."""
    return [
        index
        for (schema, table, name), index in indexes.items()
        if (schema, table, index.column) == place and not OF_ATTACH.search(name)
    ]
