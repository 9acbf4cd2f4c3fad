"""Operations that give a column of codes its trigger, take it away, and fill the column."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import FieldError, ImproperlyConfigured
from django.db.migrations.operations.base import OperationCategory

from bitryoshka.django.fields import CodeField
from bitryoshka.django.operations import PACKAGE, CodeOperation, send
from bitryoshka.schema_scripts import quoted


class _ColumnOperation(CodeOperation):
    """On the column of a CodeField that has a codec."""

    backfill: bool = True
    published: bool = False

    def __init__(self, model_name: str, name: str) -> None:
        self.model_name, self.name = model_name, name

    def attach(self, app_label: str, schema_editor: Any, state: Any) -> None:
        """Make the trigger and the entry in the catalogue."""
        if (field := self._field(app_label, schema_editor, state)) is None:
            return
        vectors: Any = field.model._meta.get_field(field.vector_field or "")
        prefix = field.prefix_bits
        send(
            schema_editor,
            "add_code_column",
            **_place(schema_editor, field),
            vector=quoted(vectors.column),
            codec=quoted(field.codec or ""),
            bad_vectors=quoted(field.bad_vectors),
            prefix_bits="NULL" if prefix is None else str(prefix),
            published=str(self.published).lower(),
        )
        if self.backfill:
            send(schema_editor, "repair_code_column", **_place(schema_editor, field))

    def detach(self, app_label: str, schema_editor: Any, state: Any) -> None:
        """Take both away; the column stays."""
        if (field := self._field(app_label, schema_editor, state)) is not None:
            # of a column that is released, dropping takes the entry alone
            for name in ("release_own_column", "drop_own_column"):
                send(schema_editor, name, **_place(schema_editor, field))

    def fill(self, app_label: str, schema_editor: Any, state: Any) -> None:
        """Encode all rows, and write the codes that are others."""
        if (field := self._field(app_label, schema_editor, state)) is not None:
            send(schema_editor, "repair_code_column", **_place(schema_editor, field))

    def _field(self, app_label: str, schema_editor: Any, state: Any) -> CodeField | None:
        """The field in a state of the models; None where nothing is to be done for it here."""
        model = state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return None
        if not self.allowed(schema_editor, app_label, model_name=model._meta.model_name):
            return None
        field = model._meta.get_field(self.name)
        if not isinstance(field, CodeField):
            raise FieldError(
                f"expected {self.model_name}.{self.name} to be a CodeField, found "
                f"{type(field).__name__}"
            )
        if field.codec is None:
            raise ImproperlyConfigured(
                f"expected {self.model_name}.{self.name} to have a codec, found none: "
                f"CodeField(bits={field.bits}, codec='docs@1', vector_field=...)"
            )
        return field

    def mark(self, state: Any, app_label: str, attached: bool) -> None:
        """Let the field in the models' state know, by which AlterField is refused."""
        key = app_label, self.model_name.lower()
        fields = state.models[key].fields
        if isinstance(field := fields.get(self.name), CodeField):
            # states share their fields
            fields[self.name] = field.clone()
            fields[self.name].attached = attached
            state.reload_model(*key, delay=True)

    def references_model(self, name: str, app_label: str) -> bool:
        """Whether it may not be moved across an operation on that model."""
        return name.lower() == self.model_name.lower()

    def is_on(self, operation: Any) -> bool:
        """Whether another operation is on the same column."""
        mine = (self.model_name.lower(), self.name.lower())
        return mine == (operation.model_name.lower(), operation.name.lower())

    def words(self, verb: str) -> str:
        """Part of a migration's name."""
        return f"{self.model_name}_{self.name}_{verb}".lower()


class AttachCodec(_ColumnOperation):
    """Let the database write the codes of a `CodeField`, by a trigger for INSERT and UPDATE.

    After AddField or CreateModel, which make the column. Backwards, as `DetachCodec`. ``backfill``
    writes the codes of the rows that are there, in the same transaction: for a large table say
    False, and run ``bitryoshka attach`` afterwards, which goes on from there in small batches.
    ``published``: the table's subscribers have the column already.

    FieldError for another field, ImproperlyConfigured for one without a codec.
    """

    __module__ = PACKAGE
    category = OperationCategory.ADDITION

    def __init__(
        self, model_name: str, name: str, *, backfill: bool = True, published: bool = False
    ) -> None:
        super().__init__(model_name, name)
        self.backfill, self.published = backfill, published

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The field is attached."""
        self.mark(state, app_label, attached=True)

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Attach; FieldError where an earlier operation has done so."""
        field = self._field(app_label, schema_editor, from_state)
        if field is not None and field.attached:
            raise FieldError(
                f"expected DetachCodec before another AttachCodec, found {field.codec} attached "
                f"to {self.model_name}.{self.name}"
            )
        self.attach(app_label, schema_editor, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Detach."""
        self.detach(app_label, schema_editor, from_state)

    def reduce(self, operation: Any, app_label: str) -> Any:
        """Nothing is left of a trigger that is taken away again."""
        if isinstance(operation, DetachCodec) and self.is_on(operation):
            return []
        return super().reduce(operation, app_label)

    def describe(self) -> str:
        """What ``migrate --plan`` shows."""
        return f"Attach the codec of field {self.name} on {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        """Part of a migration's name."""
        return self.words("attached")


class DetachCodec(_ColumnOperation):
    """Take away what `AttachCodec` made, and leave the column with its codes.

    Before a RemoveField or DeleteModel of it; and before what changes its codec or its vector
    field, with an `AttachCodec` after that. Backwards, as `AttachCodec`.
    """

    __module__ = PACKAGE
    category = OperationCategory.REMOVAL

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The field is not attached any more."""
        self.mark(state, app_label, attached=False)

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Detach."""
        self.detach(app_label, schema_editor, from_state)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Attach."""
        self.attach(app_label, schema_editor, to_state)

    def describe(self) -> str:
        """What ``migrate --plan`` shows."""
        return f"Detach the codec of field {self.name} on {self.model_name}"

    @property
    def migration_name_fragment(self) -> str:
        """Part of a migration's name."""
        return self.words("detached")


class FillCodes(_ColumnOperation):
    """Encode all rows of an attached column, and write the codes that are missing or others.

    In one statement: after ``AttachCodec(..., backfill=False)``, in a migration of its own.
    Backwards nothing is done.
    """

    __module__ = PACKAGE
    category = OperationCategory.SQL

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Fill."""
        self.fill(app_label, schema_editor, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any
    ) -> None:
        """Nothing."""

    def describe(self) -> str:
        """What ``migrate --plan`` shows."""
        return f"Fill field {self.name} on {self.model_name} with codes"

    @property
    def migration_name_fragment(self) -> str:
        """Part of a migration's name."""
        return self.words("filled")


def _place(schema_editor: Any, field: CodeField) -> dict[str, str]:
    table = schema_editor.quote_name(field.model._meta.db_table)
    return {"table": quoted(table), "code": quoted(str(field.column))}
