"""The field: packed codes in Python, ``bit(n)`` in Postgres."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from django import forms
from django.core import checks
from django.core.exceptions import FieldDoesNotExist, FieldError, ValidationError
from django.db import connections, router
from django.db.models import Field
from numpy.typing import NDArray
from pgvector.django import HalfVectorField, VectorField

from bitryoshka.bits import bit_text, check_bits, packed_row
from bitryoshka.errors import BitsError, OptionError
from bitryoshka.schema_scripts import filled, quoted
from bitryoshka.sql_files import read_sql

LABEL = re.compile(r"[A-Za-z0-9_.-]{1,40}@[1-9][0-9]*")


class CodeField(Field):  # type: ignore[type-arg]
    """A column ``bit(bits)`` whose values are packed codes, ``(bits / 8,)`` uint8, MSB first.

    Accepted are such rows, ``bytes``, bool arrays ``(bits,)``, strings of 0 and 1 and
    `pgvector.Bit`; what comes back is always a read-only packed row. Anything else is a
    ValidationError, when it is validated and when it is sent. psycopg 3 and psycopg2.

    ``codec`` (name@version): the database writes the codes of ``vector_field``, a VectorField or
    HalfVectorField of the model, by a trigger that `AttachCodec` makes. The column may then be
    NULL, is not editable, and has a comment that names the codec. ``bad_vectors`` "reject" refuses
    rows whose vector has no code, "skip" leaves their code NULL. Without a codec the codes are
    yours to write; searches then need ``bitryoshka.postgres.adopt``, by which the database knows
    whose they are.

    ``prefix_bits``: what searches compare first (None: all bits of the code, which a codec must
    have as Hamming bits).
    """

    description = "Code of %(bits)s bits"
    empty_strings_allowed = False
    # arrays are not compared with empty strings and lists
    empty_values = ()
    # what searches compare is nothing that the table knows
    non_db_attrs = (*Field.non_db_attrs, "prefix_bits")
    # of the state of the models at a migration: whether one before it attaches the codec
    attached = False

    def __init__(
        self,
        *args: Any,
        bits: int | None = None,
        codec: str | None = None,
        vector_field: str | None = None,
        prefix_bits: int | None = None,
        bad_vectors: Literal["reject", "skip"] = "reject",
        **kwargs: Any,
    ) -> None:
        self.bits, self.codec, self.vector_field = bits, codec, vector_field
        self.prefix_bits, self.bad_vectors = prefix_bits, bad_vectors
        if codec is not None:
            comment = f"bitryoshka codec {codec}"
            if kwargs.get("db_comment") not in (None, comment):
                raise OptionError(
                    "the comment of a column with a codec names that codec: expected no "
                    f"db_comment, found {kwargs['db_comment']!r}"
                )
            # by this comment the database knows that the column is for the codec
            kwargs |= {"db_comment": comment, "null": True, "blank": True, "editable": False}
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        """What a migration writes."""
        name, _, args, kwargs = super().deconstruct()
        given = {
            "bits": self.bits,
            "codec": self.codec,
            "vector_field": self.vector_field,
            "prefix_bits": self.prefix_bits,
        }
        kwargs |= {key: value for key, value in given.items() if value is not None}
        if self.bad_vectors != "reject":
            kwargs["bad_vectors"] = self.bad_vectors
        if self.codec is not None:
            for implied in ("db_comment", "null", "blank", "editable"):
                kwargs.pop(implied, None)
        return name, "bitryoshka.django.CodeField", args, kwargs

    def clone(self) -> Any:
        """A copy, which each state of the models has of its own."""
        made = super().clone()
        made.attached = self.attached
        return made

    def db_type_suffix(self, connection: Any) -> str | None:
        """None; FieldError where a column that is attached is made another."""
        if self.attached:
            raise FieldError(
                f"expected DetachCodec({self.model.__name__!r}, {self.name!r}) before what changes "
                f"the column, found codec {self.codec} attached, whose trigger stays as it was; "
                "AttachCodec after the change encodes the rows anew"
            )
        suffix: str | None = super().db_type_suffix(connection)
        return suffix

    @property
    def db_returning(self) -> bool:
        """Whether an INSERT gives back what the column has then: a trigger's code."""
        return self.codec is not None

    @property
    def searched_bits(self) -> int:
        """What searches compare first where they ask for nothing else."""
        return self.prefix_bits or self.bits or 0

    def db_type(self, connection: Any) -> str:
        """The column's type."""
        return f"bit({self.bits})"

    def get_internal_type(self) -> str:
        """The field's own name, which no other backend has a type for."""
        return "CodeField"

    def from_db_value(
        self, value: Any, expression: object, connection: object
    ) -> NDArray[np.uint8] | None:
        """From the text of a bit string."""
        return None if value is None else packed_row(value, len(value))

    def to_python(self, value: Any) -> NDArray[np.uint8] | None:
        """A packed row; ValidationError for what is no code of so many bits."""
        if value is None:
            return None
        try:
            return packed_row(value, check_bits(self.bits))  # type: ignore[arg-type]
        except BitsError as error:
            raise ValidationError(str(error), code="invalid") from error

    def get_prep_value(self, value: Any) -> Any:
        """The text of a bit string."""
        if hasattr(value, "resolve_expression"):
            return value
        row = self.to_python(super().get_prep_value(value))
        return None if row is None else bit_text(row)

    def value_to_string(self, obj: Any) -> str:
        """What serializers write, and `to_python` reads."""
        return self.get_prep_value(self.value_from_object(obj)) or ""

    def formfield(self, *args: Any, **kwargs: Any) -> Any:
        """A text of 0 and 1."""
        return super().formfield(*args, **{"form_class": _CodeFormField, **kwargs})

    # system checks

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """What is wrong with the declaration, and how the database's codecs differ from it."""
        found = [*super().check(**kwargs), *self._check_lengths()]
        if self.codec is not None:
            found += [*self._check_codec(), *self._check_vector_field()]
        if not found:
            found += self._check_database(kwargs.get("databases") or ())
        return [*found, *self._check_index()]

    def _check_lengths(self) -> list[checks.CheckMessage]:
        try:
            bits = check_bits(self.bits)  # type: ignore[arg-type]
        except BitsError as error:
            return [checks.Error(str(error), obj=self, id="bitryoshka.E001")]
        try:
            if self.prefix_bits is not None and check_bits(self.prefix_bits, "prefix_bits") > bits:
                raise BitsError(f"prefix_bits must be at most {bits}, found {self.prefix_bits}")
        except BitsError as error:
            return [checks.Error(str(error), obj=self, id="bitryoshka.E002")]
        return []

    def _check_codec(self) -> list[checks.CheckMessage]:
        found = []
        if not isinstance(self.codec, str) or not LABEL.fullmatch(self.codec):
            found.append(f"codec must be name@version, such as 'docs@1', found {self.codec!r}")
        if self.bad_vectors not in ("reject", "skip"):
            found.append(f"bad_vectors must be 'reject' or 'skip', found {self.bad_vectors!r}")
        return [checks.Error(message, obj=self, id="bitryoshka.E003") for message in found]

    def _check_vector_field(self) -> list[checks.CheckMessage]:
        try:
            other = self.model._meta.get_field(self.vector_field or "")
        except FieldDoesNotExist:
            other = None
        if isinstance(other, (VectorField, HalfVectorField)):
            return []
        message = (
            "vector_field must name a VectorField or HalfVectorField of pgvector.django of the "
            f"same model, found {self.vector_field!r}"
        )
        return [checks.Error(message, obj=self, id="bitryoshka.E004")]

    def _check_index(self) -> list[checks.CheckMessage]:
        indexed = [
            getattr(index, "prefix_bits", None)
            for index in self.model._meta.indexes
            if list(index.fields) == [self.name]
        ]
        if not indexed or self.searched_bits in indexed:
            return []
        message = f"searches compare {self.searched_bits} bits first, found indexes of {indexed}"
        hint = "Give the field and one CodeIndex the same prefix_bits."
        return [checks.Warning(message, hint=hint, obj=self, id="bitryoshka.W005")]

    def _check_database(self, databases: Sequence[str]) -> list[checks.CheckMessage]:
        """A codec or column that is not there yet is the business of a migration to come."""
        found: list[checks.CheckMessage] = []
        for alias in databases:
            connection = connections[alias]
            if (
                self.codec is None
                or connection.vendor != "postgresql"
                or not router.allow_migrate_model(alias, self.model)
            ):
                continue
            table = connection.ops.quote_name(self.model._meta.db_table)
            place = {"table": quoted(table), "code": quoted(str(self.column))}
            with connection.cursor() as cursor:
                cursor.execute(read_sql("columns_view"))
                installed = cursor.fetchone() != (None,)
                if installed:
                    cursor.execute(filled("declared_codec", codec=quoted(self.codec)))
                    for row in cursor.fetchall():
                        found += self._compare_codec(*row)
                cursor.execute(filled("stored_column", **place))
                for kind, comment in cursor.fetchall():
                    if installed:
                        cursor.execute(filled("attached_codec", **place))
                    entry = cursor.fetchone() if installed else None
                    found += self._compare_column(kind, comment, entry)
        return found

    def _compare_codec(
        self, bits: int, dimensions: int, hamming_bits: int, nested: str
    ) -> list[checks.CheckMessage]:
        found: list[checks.CheckMessage] = []
        if bits != self.bits:
            message = f"codec {self.codec} has {bits} bits, found bits={self.bits}"
            found.append(checks.Error(message, obj=self, id="bitryoshka.E005"))
        offered = [n for n in map(int, nested.strip("{}").split(",")) if n <= hamming_bits]
        if self.searched_bits not in offered:
            message = (
                f"codec {self.codec} compares one of {offered} bits first, found "
                f"{self.searched_bits}: give prefix_bits"
            )
            found.append(checks.Error(message, obj=self, id="bitryoshka.E006"))
        vectors: Any = self.model._meta.get_field(self.vector_field or "")
        if vectors.dimensions not in (None, dimensions):
            message = (
                f"codec {self.codec} expects {dimensions} dimensions, found "
                f"{vectors.dimensions} in {self.vector_field}"
            )
            found.append(checks.Error(message, obj=self, id="bitryoshka.E007"))
        return found

    def _compare_column(
        self, kind: str, comment: str | None, entry: tuple[str, int, str | None, str] | None
    ) -> list[checks.CheckMessage]:
        """What a migration to come may mend is a warning, since migrate runs the checks first."""
        if entry is None:
            message = f"no codec is attached to the column, found codec={self.codec!r}"
            hint = "Put AttachCodec into a migration; until it has run, nothing writes the codes."
            return [checks.Warning(message, hint=hint, obj=self, id="bitryoshka.W002")]
        attached, bits, vectors, state = entry
        of_ours = re.fullmatch("bitryoshka codec (.+@[0-9]+)", comment or "")
        if kind != f"bit({bits})" or (of_ours and of_ours[1] != attached):
            message = (
                f"the trigger of codec {attached} writes {bits} bits, found a column {kind} with "
                f"the comment {comment!r}"
            )
            hint = (
                "It was altered without DetachCodec: its codes are no codes any more. Run a "
                "migration of DetachCodec and AttachCodec with migrate --skip-checks."
            )
            return [checks.Error(message, hint=hint, obj=self, id="bitryoshka.E008")]
        found: list[checks.CheckMessage] = []
        hint = "Put DetachCodec before the operation that changes it, and AttachCodec after."
        if attached != self.codec:
            message = f"the column holds codes of {attached}, found codec={self.codec!r}"
            found.append(checks.Warning(message, hint=hint, obj=self, id="bitryoshka.W001"))
        encoded: Any = self.model._meta.get_field(self.vector_field or "")
        if vectors != encoded.column:
            message = (
                f"the column holds codes of column {vectors}, found "
                f"vector_field={self.vector_field!r}"
            )
            found.append(checks.Warning(message, hint=hint, obj=self, id="bitryoshka.W003"))
        if state != "ready":
            message = "the column is not known to be filled: searches leave out rows without a code"
            hint = "Run bitryoshka attach, or a migration of FillCodes."
            found.append(checks.Warning(message, hint=hint, obj=self, id="bitryoshka.W004"))
        return found


class _CodeFormField(forms.CharField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"empty_value": None, **kwargs})

    def prepare_value(self, value: Any) -> Any:
        return bit_text(value) if isinstance(value, np.ndarray) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)
