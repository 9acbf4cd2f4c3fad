"""What autogenerate has found is settled: codes, their indexes, and what is bitryoshka's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import Column

from bitryoshka.alembic.code_index import OF_ATTACH, CodeIndex, of_model
from bitryoshka.alembic.column_operations import AddCodeColumnOp, DropCodeColumnOp
from bitryoshka.alembic.index_operations import CreateCodeIndexOp, DropCodeIndexOp
from bitryoshka.alembic.note_operation import NoteOp
from bitryoshka.alembic.notes import length_kept, renamed, unfit
from bitryoshka.alembic.ordering import Changes, apart
from bitryoshka.alembic.rendering import render_codes
from bitryoshka.alembic.stored import Place, Stored, read_stored
from bitryoshka.alembic.trigger_operations import RestoreCodeColumnOp
from bitryoshka.binarizer import Binarizer
from bitryoshka.sqlalchemy.declaring import declared

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from sqlalchemy.engine import Dialect

_SCHEMA = "bitryoshka"
_COMMENT = "bitryoshka codec "


def leave_own_schema(
    context: AutogenContext, upgrade_ops: ops.UpgradeOps, schemas: set[str | None]
) -> Any:
    """Before all else: schema bitryoshka has migrations of its own."""
    schemas.discard(_SCHEMA)


def compare_codes(
    context: AutogenContext, upgrade_ops: ops.UpgradeOps, schemas: set[str | None]
) -> Any:
    """After all else: put operations of this package where plain ones would not do."""
    if context.dialect is None or context.dialect.name != "postgresql":
        return
    render_codes(context)
    stored = read_stored(context.connection)
    settled = _Comparison(context, stored, context.dialect).all(upgrade_ops.ops)
    upgrade_ops.ops[:] = apart(settled) if context.opts.get("render_as_batch") else settled


class _Comparison:
    """Columns that are there, but not as the model wants them attached: by what makes them so.

    ``restored`` keep their codes, and get a trigger; ``replaced`` come anew.
    """

    def __init__(self, context: AutogenContext, stored: Stored, dialect: Dialect) -> None:
        self.context, self.stored, self.dialect = context, stored, dialect
        self.models = dict(_model_indexes(context, stored))
        self.tables = {
            stored.place(table.schema, table.name, "")[:2]: table
            for table in context.sorted_tables
            if context.run_object_filters(table, table.name, "table", False, None)
        }
        self.restored: dict[Place, RestoreCodeColumnOp] = {}
        self.replaced: dict[Place, AddCodeColumnOp] = {}
        for place, wanted in self.declared_columns():
            held = stored.held.get(place)
            if place not in stored.bit_columns or (held and held.agrees(wanted)):
                continue
            if held and held.is_restorable(wanted):
                self.restored[place] = held.restoration(wanted.vector_column)
            else:
                self.replaced[place] = wanted

    def all(self, found: list[Any]) -> list[Any]:
        """The operations of a whole migration."""
        settled: list[Any] = []
        kinds = (ops.CreateTableOp, ops.DropTableOp)
        alone = {(op.schema, op.table_name) for op in found if isinstance(op, kinds)}
        for op in [*found, *self.unchanged(found)]:
            if getattr(op, "schema", None) == _SCHEMA:
                continue
            if isinstance(op, ops.ModifyTableOps):
                in_use = (op.schema, op.table_name) not in alone
                op.ops[:] = self.changes(op, in_use)
                settled += [] if op.is_empty() else [op]
            elif isinstance(op, ops.CreateTableOp):
                settled += [op, *self.creation(op)]
            elif isinstance(op, ops.DropTableOp):
                settled += [*self.removal(op), op]
            else:
                settled.append(op)
        return settled + list(self.altered_indexes(settled))

    def unchanged(self, found: list[Any]) -> Iterator[ops.ModifyTableOps]:
        """Tables of which only codes are not as they should be."""
        changed = {
            self.stored.place(op.schema, op.table_name, "")[:2]
            for op in found
            if isinstance(op, ops.ModifyTableOps)
        }
        broken = {place for place, held in self.stored.held.items() if not held.whole}
        for there in {place[:2] for place in (*broken, *self.replaced, *self.restored)}:
            if there in self.tables and there not in changed:
                table = self.tables[there]
                yield ops.ModifyTableOps(table.name, [], schema=table.schema)

    def creation(self, op: ops.CreateTableOp) -> list[AddCodeColumnOp]:
        """Code columns with a codec, taken out of a table that is created."""
        made = [attached(c, op.table_name, op.schema) for c in op.columns if isinstance(c, Column)]
        added = [column for column in made if column is not None]
        names = {column.code_column for column in added}
        op.columns = [c for c in op.columns if getattr(c, "name", None) not in names]
        return added

    def removal(self, op: ops.DropTableOp) -> list[DropCodeColumnOp]:
        """Columns of the catalogue, taken out of a table that is dropped."""
        found = self.stored.on(op.schema, op.table_name)
        again = {p[2] for p, held in found.items() if held.whole and not held.adopted}
        if op._reverse is not None:
            columns = op._reverse.columns
            op._reverse.columns = [c for c in columns if getattr(c, "name", None) not in again]
        return [held.removal() for held in found.values()]

    def changes(self, op: ops.ModifyTableOps, in_use: bool) -> list[Any]:
        """The operations on one table, in an order in which they run, up and down."""
        changes = Changes()
        dropped = {one.column_name for one in op.ops if isinstance(one, ops.DropColumnOp)}
        left: set[Place] = set()
        gone: set[str] = set()
        for place, held in self.stored.on(op.schema, op.table_name).items():
            code, vector = place[2], held.addition.vector_column
            if place in self.replaced or place in self.restored:
                continue
            if code in dropped or place not in self.stored.bit_columns:
                changes.leaving += [*renamed(op, held), held.removal()]
                left.add(place)
                # a trigger's column goes with it
                gone.update(() if held.adopted else (code,))
            elif vector in dropped or not held.whole:
                changes.leaving += [*renamed(op, held), held.release()]
                left.add(place)
        for one in op.ops:
            if isinstance(one, ops.AlterColumnOp):
                self.alter(changes, one, left)
            elif not isinstance(one, ops.DropColumnOp) or one.column_name not in gone:
                changes.add(*self.part(one, in_use))
        there = self.stored.place(op.schema, op.table_name, "")[:2]
        changes.coming += [made for place, made in self.restored.items() if place[:2] == there]
        for place, wanted in self.replaced.items():
            if place[:2] == there:
                self.replace(changes, place, wanted, op)
        return changes.ordered()

    def replace(
        self, changes: Changes, place: Place, wanted: AddCodeColumnOp, op: ops.ModifyTableOps
    ) -> None:
        """The column with its codec, and with its indexes, in place of the one that is there."""
        held = self.stored.held.get(place)
        if held is not None:
            same = held.addition.codec == wanted.codec
            changes.leaving += [*(renamed(op, held) if same else ()), held.removal()]
        if held is None or held.adopted:
            column = Column(wanted.code_column, self.stored.bit_columns[place])
            changes.leaving.append(
                ops.DropColumnOp.from_column_and_tablename(op.schema, op.table_name, column)
            )
        changes.coming.append(wanted)
        changes.drops += [i.of(op.schema).removal(True) for i in _on(self.stored.indexes, place)]
        changes.rest += [i.of(op.schema).creation(True) for i in _on(self.models, place)]
        kinds = (ops.CreateIndexOp, ops.DropIndexOp)
        changed = {one.index_name for one in op.ops if isinstance(one, kinds)}
        for index in self.tables[place[:2]].indexes:
            is_code_index = (*place[:2], str(index.name)) in self.models
            if place[2] in index.columns and not is_code_index and index.name not in changed:
                changes.drops.append(ops.DropIndexOp.from_index(index))
                changes.rest.append(ops.CreateIndexOp.from_index(index))

    def part(self, op: Any, in_use: bool) -> list[Any]:
        """What becomes of an operation on a table, which may be ``in_use``."""
        if isinstance(op, ops.AddColumnOp):
            return [attached(op.column, op.table_name, op.schema) or op]
        if isinstance(op, (ops.CreateIndexOp, ops.DropIndexOp)):
            return self.index(op, in_use)
        return [op]

    def alter(self, changes: Changes, op: ops.AlterColumnOp, left: Collection[Place]) -> None:
        """A trigger is made anew after its vectors were altered, there and back.

        An attached column has a comment and NULLs, whatever the model says.
        """
        altered = self.stored.place(op.schema, op.table_name, op.column_name)
        if altered in self.replaced:
            return
        for place, held in self.stored.on(op.schema, op.table_name).items():
            filled = place in self.restored or not (held.adopted or place in left)
            if place == altered:
                if op.modify_comment is None and (op.existing_comment or "").startswith(_COMMENT):
                    op.modify_comment = False
                if filled:
                    op.modify_nullable = None
                    changes.add(*length_kept(held, op))
            elif held.addition.vector_column == op.column_name and filled and op.modify_type:
                if place in self.replaced or place in self.restored:
                    continue
                notes = unfit(held, op.modify_type, self.dialect)
                changes.add(*notes)
                if not notes:
                    made = held.restoration(op.column_name)
                    changes.leaving.append(NoteOp("", _reverse=made))
                    changes.coming.append(made)
        if op.has_changes():
            changes.add(op)

    def index(self, op: ops.CreateIndexOp | ops.DropIndexOp, in_use: bool) -> list[Any]:
        """An index that is no code's as it is; one that only seems to differ not at all."""
        place = self.stored.place(op.schema, op.table_name or "", str(op.index_name))
        held = self.stored.indexes.get(place)
        if isinstance(op, ops.DropIndexOp):
            if held is None:
                return [op]
            if OF_ATTACH.search(held.index_name) or self.models.get(place) == held:
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
        return (index.schema, index.table_name, index.column) in self.replaced

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
            yield ops.ModifyTableOps(wanted.table_name, changes, schema=schema)

    def declared_columns(self) -> Iterator[tuple[Place, AddCodeColumnOp]]:
        """Columns of the models that name a codec, where include_object lets them through."""
        for there, table in self.tables.items():
            for column in table.columns:
                made = attached(column, table.name, table.schema)
                if made and self.context.run_object_filters(
                    column, column.name, "column", False, None
                ):
                    yield (*there, str(column.name)), made


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
