"""Codes that the model makes from a vector attribute, whichever way a row is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, Column, ColumnDefault, ColumnElement, event
from sqlalchemy import inspect as inspect_mapped
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import ORMExecuteState, Session

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import VectorsError
from bitryoshka.sqlalchemy.declaring import (
    Attribute,
    declare,
    mapped_column_of,
)
from bitryoshka.vectors import check_vectors, renumbered

__all__ = ["fill_codes"]


def fill_codes(code: Attribute, vector: Attribute, binarizer: Binarizer) -> None:
    """Encode ``vector`` into ``code`` whenever rows of the class are written.

    Call it once, where the class is defined: statements that were run before are compiled without
    it. It covers objects of a Session, sync and async, ``insert(Doc)`` with one row, many rows or
    parameters, and ``update(Doc)`` through a Session. A vector of None has the code None. A code
    that is given together with its vector is written as it is.

    A vector may be an array or a list of d numbers, bytes of d float32, or a Vector or HalfVector
    of pgvector; for a column ``HALFVEC`` it is rounded first, as the database does.

    A VectorsError, which SQLAlchemy may wrap in its StatementError, refuses what cannot be encoded
    here: SQL expressions, INSERT ... FROM SELECT, and ON CONFLICT DO UPDATE that sets the vector
    but not the code (set it to ``excluded.code``). An UPDATE on a bare Connection and
    ``Session.bulk_update_mappings`` are not seen: give the code with the vector there.

    Raises TableError where the code is declared already or the two are not columns of one table,
    BitsError where the code has another length than the binarizer's.

    Example::

        fill_codes(Doc.code, Doc.vector, binarizer)
        session.add(Doc(vector=embedding))
    """
    column, source = mapped_column_of(code), mapped_column_of(vector)
    declare(code, vector, binarizer)
    filling = _Filling(code, vector, column, source, binarizer)
    column.default = ColumnDefault(filling.default)
    mapper = inspect_mapped(code.class_)
    # what the mapper knows of its columns' defaults since its first flush
    mapper._expire_memoizations()
    event.listen(mapper, "before_update", filling.before_update, propagate=True)
    event.listen(Session, "do_orm_execute", filling.on_execute)


class _Filling:
    def __init__(
        self,
        code: Attribute,
        vector: Attribute,
        column: Column[Any],
        source: Column[Any],
        binarizer: Binarizer,
    ) -> None:
        self.code, self.vector = code, vector
        self.column, self.source = column, source
        self.binarizer = binarizer
        kind = source.type.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
        self.half = kind.upper().startswith("HALFVEC")

    def encode(
        self, values: Iterable[Any], numbers: Sequence[int] | None = None
    ) -> list[NDArray[np.uint8] | None]:
        """Codes of vectors in any of their forms; ``numbers`` of their rows, for errors."""
        rows = [None if v is None else as_vector(v, self.binarizer.dimensions) for v in values]
        given = {i: row for i, row in enumerate(rows) if row is not None}
        if not given:
            return [None] * len(rows)
        vectors = np.stack(list(given.values()))
        if self.half:
            with np.errstate(over="ignore"):  # becomes infinite, which encode refuses
                vectors = vectors.astype(np.float16).astype(np.float32)
        places = [str(self.vector)] if numbers is None else [numbers[i] for i in given]
        with renumbered(places, "row" if numbers is not None else "a value of"):
            codes = iter(self.binarizer.encode(vectors))
        return [None if row is None else next(codes) for row in rows]

    def default(self, context: Any) -> NDArray[np.uint8] | None:
        """The code of one row of an INSERT that does not give it."""
        statement = context.compiled.statement
        if statement.select is not None:
            raise VectorsError(self._refusal("INSERT ... FROM SELECT"))
        conflict = _pairs(getattr(statement._post_values_clause, "update_values_to_set", {}))
        if self._names(conflict, self.vector) and not self._names(conflict, self.code):
            raise VectorsError(
                f"ON CONFLICT is expected to set {self.code} to its excluded value too, "
                f"found {self.vector} alone"
            )
        parameters = context.get_current_parameters(isolate_multiinsert_groups=False)
        state, key = context.compiled.compile_state, self.source.key
        if state._has_multi_parameters:
            # SQLAlchemy's own isolation of a row fails for keys that are no strings
            into = context.current_column
            key = f"{key}_m{into.index + 1 if into._is_multiparam_column else 0}"
        if key in parameters:
            return self.encode([parameters[key]])[0]
        if self._names(_pairs(state._dict_parameters), self.vector):
            raise VectorsError(self._refusal("an SQL expression"))
        return None

    def before_update(self, mapper: object, connection: object, target: object) -> None:
        """Encode anew where an object's vector has changed, and its code has not."""
        state: Any = inspect_mapped(target)
        unmodified = state.unmodified
        if self.vector.key not in unmodified and self.code.key in unmodified:
            value = state.dict.get(self.vector.key)
            setattr(target, self.code.key, self._encode_one(value))

    def on_execute(self, state: ORMExecuteState) -> Any:
        """Add codes to UPDATE statements that set the vector."""
        if not state.is_update:
            return None
        statement: Any = getattr(state.statement, "element", state.statement)
        if statement.entity_description["table"] is not self.column.table:
            return None
        values = _pairs(statement._values or getattr(statement, "_ordered_values", None) or {})
        if self._names(values, self.code):
            return None
        found = self._names(values, self.vector)
        if not found:
            return self._with_parameters(state)
        try:
            state.statement = state.statement.values({self.code: self._encode_one(found[0])})  # type: ignore[attr-defined]
        except (AttributeError, InvalidRequestError) as error:
            raise VectorsError(self._refusal("ordered_values or from_statement")) from error
        return None

    def _with_parameters(self, state: ORMExecuteState) -> Any:
        given = state.parameters or {}
        rows = [given] if isinstance(given, Mapping) else list(given)
        added: list[dict[str, Any]] = [{} for _ in rows]
        # attributes in a list of parameters, columns in a single set of them
        names = {self.vector.key: self.code.key, self.source.key: self.column.key}
        for vector, code in names.items():
            filled = [i for i, row in enumerate(rows) if vector in row and code not in row]
            codes = self.encode((rows[i][vector] for i in filled), filled)
            for i, found in zip(filled, codes, strict=True):
                added[i][code] = found
        if not any(added):
            return None
        return state.invoke_statement(params=added[0] if isinstance(given, Mapping) else added)

    def _encode_one(self, value: Any) -> NDArray[np.uint8] | None:
        if isinstance(value, BindParameter) and not value.required:
            value = value.effective_value
        if isinstance(value, ColumnElement):
            raise VectorsError(self._refusal("an SQL expression"))
        return self.encode([value])[0]

    def _names(self, pairs: list[tuple[Any, Any]], attribute: Attribute) -> list[Any]:
        """The values that statement's pairs give to an attribute."""
        column = self.source if attribute is self.vector else self.column
        return [
            value
            for key, value in pairs
            if (
                key in (attribute.key, column.key)
                if isinstance(key, str)
                else key.key == column.key
            )
        ]

    def _refusal(self, found: str) -> str:
        return (
            f"expected the vector itself for {self.vector}, to encode it here, found {found}: "
            f"give {self.code} too, or leave it to a trigger"
        )


def _pairs(values: Any) -> list[tuple[Any, Any]]:
    """Columns or their names, and what they are set to, as the versions of SQLAlchemy keep them."""
    return list(values.items() if isinstance(values, Mapping) else values or ())


def as_vector(value: Any, dimensions: int) -> NDArray[np.float32]:
    """One vector ``(d,)`` float32 from an array, a list, float32 bytes or pgvector's objects.

    VectorsError for anything else.
    """
    try:
        if isinstance(value, (bytes, bytearray, memoryview)):
            found = np.frombuffer(value, np.float32)
        elif hasattr(value, "to_numpy"):
            found = value.to_numpy()
        else:
            found = np.asarray(value)
    except ValueError as error:
        raise VectorsError(f"expected a vector of {dimensions} numbers: {error}") from error
    if found.shape != (dimensions,) or found.dtype.kind not in "fiu":
        raise VectorsError(
            f"expected a vector of {dimensions} numbers, or {4 * dimensions} bytes of float32, "
            f"found {type(value).__name__} of shape {found.shape} and dtype {found.dtype}"
        )
    check_vectors(found[None], name="the vector")
    with np.errstate(over="ignore"):  # becomes infinite, which encode refuses
        return found.astype(np.float32)
