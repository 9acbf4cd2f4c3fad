"""INSERT and UPDATE statements that set a vector: their codes are added, or they are refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, ClauseElement, Column, Insert, Null, Update, bindparam
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import ORMExecuteState

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import VectorsError
from bitryoshka.sqlalchemy.declaring import Attribute, names_of
from bitryoshka.vectors import as_vector, renumbered

Pairs = list[tuple[Any, Any]]
Rows = Sequence[Mapping[str, Any]]


class Statements:
    """A column of codes and its vectors, and what becomes of statements that set them."""

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
        """Codes of vectors in any of their forms; ``numbers`` of their rows, for errors.

        VectorsError for SQL expressions.
        """
        rows = [self._vector(value) for value in values]
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

    def _vector(self, value: Any) -> NDArray[np.float32] | None:
        if isinstance(value, BindParameter) and not value.required:
            value = value.effective_value
        if value is None or isinstance(value, Null):
            return None
        if isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
            raise self.refusal("an SQL expression")
        return as_vector(value, self.binarizer.dimensions)

    def on_orm_execute(self, state: ORMExecuteState) -> Any:
        """Add codes to UPDATE statements of a class, so that objects of the Session get them."""
        mapper, statement = state.bind_mapper, state.statement
        if mapper is None or not isinstance(statement, Update):
            return None
        if (names := names_of(mapper, self.source, self.column)) is None:
            return None
        given = state.parameters or {}
        rows = [given] if isinstance(given, Mapping) else given
        # attributes in a list of parameters, columns in a single set of them
        pairs = {names.vector: names.code, self.source.key: self.column.key}
        filled, added = self._filled(statement, rows, pairs)
        if filled is statement and added is rows:
            return None
        params: Any = added[0] if isinstance(given, Mapping) else added
        return state.invoke_statement(filled, params=params)

    def on_execute(
        self, connection: object, statement: Any, many: Rows, one: Mapping[str, Any], _: object
    ) -> tuple[Any, Rows, Mapping[str, Any]]:
        """Add codes to every other UPDATE, and look at each INSERT, before it is compiled."""
        inner = getattr(statement, "element", statement)
        if not self._writes(inner):
            return statement, many, one
        if isinstance(inner, Insert):
            self._check_insert(inner)
        elif inner is not statement:
            self._check(inner, "from_statement")
        else:
            rows = many or [one]
            statement, added = self._filled(inner, rows, {self.source.key: self.column.key})
            many, one = (added, one) if many else (many, added[0])
        return statement, many, one

    def refuse_nested(
        self, connection: object, cursor: object, text: str, _: object, context: Any, __: bool
    ) -> None:
        """Nothing can be added to a statement within another, which is compiled by now."""
        for cte in getattr(context.compiled, "ctes", None) or ():
            if self._writes(cte.element):
                self._check(cte.element, "a statement within a CTE")

    def refusal(self, found: str) -> VectorsError:
        """The error for what cannot be encoded."""
        return VectorsError(
            f"expected the vector itself for {self.vector}, to encode it here, found {found}: "
            f"give {self.code} too, or leave it to a trigger"
        )

    def _filled(
        self, statement: Update, rows: Rows, names: Mapping[str, str]
    ) -> tuple[Update, Rows]:
        """Statement and parameters with codes beside their vectors; the same where none is due.

        ``names``: of parameters that may hold a vector, and of those for its code.
        """
        values = _values(statement) if self._writes(statement) else []
        if self.named(values, self.column):
            return statement, rows
        if not any(name in row for row in rows for name in names.values()):
            for value in self.named(values, self.source):
                if isinstance(value, BindParameter) and value.required:
                    name = f"bitryoshka_{self.column.key}"
                    names = {**names, value.key: name}
                    code: Any = bindparam(name, type_=self.column.type)
                else:
                    [code] = self.encode([value])
                try:
                    statement = statement.values({statement.table.c[self.column.key]: code})
                except InvalidRequestError as error:
                    raise self.refusal("ordered_values") from error
        added = [dict(row) for row in rows]
        for vector, name in names.items():
            due = [i for i, row in enumerate(added) if vector in row and name not in row]
            codes = self.encode((added[i][vector] for i in due), due)
            for i, found in zip(due, codes, strict=True):
                added[i][name] = found
        same = all(len(new) == len(row) for new, row in zip(added, rows, strict=True))
        return statement, rows if same else added

    def _check_insert(self, statement: Insert) -> None:
        if statement.select is not None:
            self._check(statement, "INSERT ... FROM SELECT")
        conflict = pairs(getattr(statement._post_values_clause, "update_values_to_set", None))
        if self.named(conflict, self.source) and not self.named(conflict, self.column):
            raise VectorsError(
                f"ON CONFLICT is expected to set {self.code} to its excluded value too, "
                f"found {self.vector} alone"
            )

    def _check(self, statement: Insert | Update, found: str) -> None:
        """Refuse what sets the vector and not the code."""
        values = _values(statement)
        if self.named(values, self.source) and not self.named(values, self.column):
            raise self.refusal(found)

    def _writes(self, statement: Any) -> TypeGuard[Insert | Update]:
        """Whether it inserts into the table or updates it, under whichever name."""
        if not isinstance(statement, (Insert, Update)):
            return False
        found = statement.table.c.get(self.column.key)
        return found is not None and found.shares_lineage(self.column)

    def named(self, values: Pairs, column: Column[Any]) -> list[Any]:
        """The values that a statement's pairs give to one of the two columns."""
        attribute = self.vector if column is self.source else self.code
        return [
            value
            for key, value in values
            if (
                key in (attribute.key, column.key)
                if isinstance(key, str)
                else key.key == column.key
            )
        ]


def _values(statement: Any) -> Pairs:
    """What a statement sets, without its parameters."""
    found = pairs(statement._values) + pairs(getattr(statement, "_ordered_values", None))
    for rows in statement._multi_values[:1]:
        found += pairs(rows[0])
    return found + [(name, None) for name in getattr(statement, "_select_names", None) or ()]


def pairs(values: Any) -> Pairs:
    """Columns or their names, and what they are set to, as the versions of SQLAlchemy keep them."""
    return list(values.items() if isinstance(values, Mapping) else values or ())
