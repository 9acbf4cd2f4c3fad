"""What autogenerate has found is settled: codes, their indexes, and what is bitryoshka's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic.operations import ops
from sqlalchemy import Column, text

from bitryoshka.alembic.code_index import OF_ATTACH, CodeIndex, of_database, of_model
from bitryoshka.alembic.column_operations import AddCodeColumnOp, DropCodeColumnOp
from bitryoshka.alembic.index_operations import CreateCodeIndexOp, DropCodeIndexOp
from bitryoshka.alembic.rendering import render_codes
from bitryoshka.errors import TableError
from bitryoshka.sql_files import read_sql

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

_SCHEMA = "bitryoshka"
_COMMENT = "bitryoshka codec "

Place = tuple[str | None, str, str]


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
    upgrade_ops.ops[:] = _Settling.begin(context).all(upgrade_ops.ops)


@dataclass(frozen=True)
class _Settling:
    context: AutogenContext
    default: str | None
    attached: dict[Place, AddCodeColumnOp]
    indexes: dict[Place, CodeIndex]

    @classmethod
    def begin(cls, context: AutogenContext) -> _Settling:
        """Read the database's columns and indexes of codes."""
        connection: Any = context.connection
        default = connection.dialect.default_schema_name

        def rows(name: str) -> list[Any]:
            return list(connection.execute(text(read_sql(name).replace(":", "\\:"))))

        attached: dict[Place, AddCodeColumnOp] = {}
        if rows("columns_view")[0][0] is not None:
            for schema, table, code, vector, codec, bad_vectors, prefix_bits in rows(
                "attached_columns"
            ):
                attached[schema, table, code] = AddCodeColumnOp(
                    table,
                    vector,
                    codec,
                    code,
                    schema=None if schema == default else schema,
                    bad_vectors=bad_vectors,
                    prefix_bits=prefix_bits,
                )
        found = filter(None, map(of_database, rows("code_indexes")))
        return cls(context, default, attached, {(i.schema, i.table, i.name): i for i in found})

    def place(self, schema: str | None, table: str, name: str) -> Place:
        """A key that is the same for the default schema, named or not."""
        return schema or self.default, table, name

    def all(self, found: list[Any]) -> list[Any]:
        """The operations of a whole migration."""
        settled: list[Any] = []
        created = {(op.schema, op.table_name) for op in found if isinstance(op, ops.CreateTableOp)}
        dropped = {(op.schema, op.table_name) for op in found if isinstance(op, ops.DropTableOp)}
        for op in found:
            if getattr(op, "schema", None) == _SCHEMA:
                continue
            if isinstance(op, ops.ModifyTableOps):
                alone = (op.schema, op.table_name) in created | dropped
                op.ops[:] = self.table(op, concurrently=not alone)
                if not op.is_empty():
                    settled.append(op)
            elif isinstance(op, ops.CreateTableOp):
                settled += [op, *self.creation(op)]
            elif isinstance(op, ops.DropTableOp):
                settled += [*self.removal(op), op]
            else:
                settled.append(op)
        return settled + list(self.altered_indexes(settled))

    def creation(self, op: ops.CreateTableOp) -> list[AddCodeColumnOp]:
        """Code columns with a codec, taken out of a table that is created."""
        added = [
            made
            for column in op.columns
            if isinstance(column, Column)
            and (made := declared(column, op.table_name, op.schema)) is not None
        ]
        names = {made.code_column for made in added}
        op.columns = [c for c in op.columns if getattr(c, "name", None) not in names]
        return added

    def removal(self, op: ops.DropTableOp) -> list[DropCodeColumnOp]:
        """Attached columns, taken out of a table that is dropped."""
        place = self.place(op.schema, op.table_name, "")[:2]
        found = {p[2]: made for p, made in self.attached.items() if p[:2] == place}
        if op._reverse is not None:
            columns = op._reverse.columns
            op._reverse.columns = [c for c in columns if getattr(c, "name", None) not in found]
        return [made.reverse() for made in found.values()]

    def table(self, table: ops.ModifyTableOps, concurrently: bool) -> list[Any]:
        """The operations on one table, which is in use where its indexes go ``concurrently``."""
        settled: list[Any] = []
        replaced: set[str] = set()
        for op in table.ops:
            if isinstance(op, ops.AddColumnOp):
                made = declared(op.column, op.table_name, op.schema)
                settled.append(op if made is None else made)
            elif isinstance(op, ops.DropColumnOp):
                held = self.attached.get(self.place(op.schema, op.table_name, op.column_name))
                settled.append(op if held is None else held.reverse())
            elif isinstance(op, ops.AlterColumnOp):
                changes = self.alteration(op)
                if len(changes) > 1:
                    replaced.add(op.column_name)
                settled += changes
            elif isinstance(op, (ops.CreateIndexOp, ops.DropIndexOp)):
                settled += self.index(op, concurrently, replaced)
            else:
                settled.append(op)
        return settled

    def alteration(self, op: ops.AlterColumnOp) -> list[Any]:
        """An attached column has a comment and NULLs, whatever the model says.

        Where the model has another codec, the column is replaced, with its indexes.
        """
        place = self.place(op.schema, op.table_name, op.column_name)
        held = self.attached.get(place)
        if held is None:
            return [op]
        column = self.model_column(op)
        wanted = None if column is None else declared(column, op.table_name, op.schema)
        if wanted is not None and wanted.codec != held.codec:
            return [
                *(i.of(op.schema).removal(True) for i in on_column(self.indexes, place)),
                held.reverse(),
                wanted,
                *(
                    i.of(op.schema).creation(True)
                    for i in on_column(dict(self.model_indexes()), place)
                ),
            ]
        op.modify_nullable = None
        if op.modify_comment is None and (op.existing_comment or "").startswith(_COMMENT):
            op.modify_comment = False
        return [op] if op.has_changes() else []

    def model_column(self, op: ops.AlterColumnOp) -> Column[Any] | None:
        """The column in the model."""
        for table in self.context.sorted_tables:
            if self.place(table.schema, table.name, "") == self.place(op.schema, op.table_name, ""):
                return table.columns.get(op.column_name)
        return None

    def index(
        self, op: ops.CreateIndexOp | ops.DropIndexOp, concurrently: bool, replaced: set[str]
    ) -> list[Any]:
        """An index that is no code's as it is; one that only seems to differ not at all."""
        place = self.place(op.schema, op.table_name or "", str(op.index_name))
        held = self.indexes.get(place)
        if isinstance(op, ops.DropIndexOp):
            if held is None:
                return [op]
            if OF_ATTACH.search(held.name) or self.model_index(place) == held:
                return []
            if held.column in replaced:
                return []
            return [held.of(op.schema).removal(concurrently)]
        wanted = of_model(op.index_name, op.table_name, op.schema, op.columns, op.kw)
        if wanted is None:
            return [op]
        if wanted.of(place[0]) == held or wanted.column in replaced:
            return []
        return [wanted.creation(concurrently)]

    def model_index(self, place: Place) -> CodeIndex | None:
        """The model's code index of this name, its schema always named."""
        return dict(self.model_indexes()).get(place)

    def model_indexes(self) -> Iterator[tuple[Place, CodeIndex]]:
        """All code indexes of the models that include_object lets through."""
        for table in self.context.sorted_tables:
            for index in table.indexes:
                place = self.place(table.schema, table.name, str(index.name))
                found = of_model(
                    index.name, table.name, place[0], list(index.expressions), index.kwargs
                )
                if found is not None and self.context.run_object_filters(
                    index, index.name, "index", False, None
                ):
                    yield place, found

    def altered_indexes(self, settled: list[Any]) -> Iterator[ops.ModifyTableOps]:
        """Indexes with other options, which Alembic takes for equal."""
        known = {
            self.place(op.schema, op.table_name, op.index_name)
            for table in settled
            if isinstance(table, ops.ModifyTableOps)
            for op in table.ops
            if isinstance(op, (CreateCodeIndexOp, DropCodeIndexOp))
        }
        for place, wanted in self.model_indexes():
            held = self.indexes.get(place)
            if held is None or held == wanted or place in known:
                continue
            schema = None if wanted.schema == self.default else wanted.schema
            changes = [held.of(schema).removal(True), wanted.of(schema).creation(True)]
            yield ops.ModifyTableOps(wanted.table, changes, schema=schema)


def on_column(indexes: dict[Place, CodeIndex], place: Place) -> list[CodeIndex]:
    """Those on one column, but for the ones that attach made."""
    return [
        index
        for (schema, table, name), index in indexes.items()
        if (schema, table, index.column) == place and not OF_ATTACH.search(name)
    ]


def declared(column: Column[Any], table: str, schema: str | None) -> AddCodeColumnOp | None:
    """What ``info={"bitryoshka": {...}}`` of a model's column asks for; None without it."""
    wanted = column.info.get("bitryoshka")
    if wanted is None:
        return None
    offered = {"codec", "vector_column", "bad_vectors", "prefix_bits", "backfill"}
    if not {"codec", "vector_column"} <= set(wanted) <= offered:
        raise TableError(
            f"info['bitryoshka'] of column {column.name!r} of {table!r} must have codec and "
            f"vector_column, and may have {sorted(offered)}, found {sorted(wanted)}"
        )
    return AddCodeColumnOp(table, code_column=column.name, schema=schema, **wanted)
