"""Codes that the model makes from a vector attribute, whichever way a row is written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BindParameter, ColumnDefault, Engine, Insert, event
from sqlalchemy import inspect as inspect_mapped
from sqlalchemy.orm import Mapper, Session

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import TableError
from bitryoshka.sqlalchemy.declaring import (
    Attribute,
    declare,
    forget_with,
    mapped_column_of,
    names_of,
)
from bitryoshka.sqlalchemy.statements import Statements, pairs

__all__ = ["fill_codes"]


def fill_codes(code: Attribute, vector: Attribute, binarizer: Binarizer) -> None:
    """Encode ``vector`` into ``code`` whenever rows of the class are written.

    Call it once, where the class is defined: statements that were run before are compiled without
    it. It covers objects of a Session, sync and async, the Session's bulk methods, and ``insert``
    and ``update`` of the class or of its Table, with values or with parameters, through a Session
    or a Connection. A vector of None has the code None. A code that is given together with its
    vector is written as it is, None too.

    A vector may be an array or a list of d numbers, bytes of d float32, or a Vector or HalfVector
    of pgvector; for a column ``HALFVEC`` it is rounded first, as the database does.

    A VectorsError, which SQLAlchemy may wrap in its StatementError, refuses what cannot be encoded
    here: SQL expressions, INSERT ... FROM SELECT, INSERT and UPDATE within a CTE, and ON CONFLICT
    DO UPDATE that sets the vector but not the code (set it to ``excluded.code``). SQL as text,
    statements on another Table object and what the database does by itself are not seen: there
    `bitryoshka.postgres.attach` and `leave_to_trigger` are the way.

    Raises TableError where the code is declared already, the two are not columns of one table, or
    the vector has a default, and BitsError where the code has another length than the binarizer's.

    Example::

        fill_codes(Doc.code, Doc.vector, binarizer)
        session.add(Doc(vector=embedding))
    """
    column, source = mapped_column_of(code), mapped_column_of(vector)
    made = (source.default, source.server_default, source.onupdate, source.server_onupdate)
    if any(part is not None for part in made):
        raise TableError(
            f"expected {vector} to be given by whoever writes a row, found a column with a default "
            "or that is computed: its vectors would have no codes. Leave them to a trigger "
            "(leave_to_trigger), or take the default away"
        )
    declare(code, vector, binarizer)
    filling = _Filling(code, vector, column, source, binarizer)
    column.default = ColumnDefault(filling.default)
    mapper = inspect_mapped(code.class_)
    for each in mapper.self_and_descendants:
        # what mappers know of their columns' defaults since their first flush
        each._expire_memoizations()
    event.listen(mapper, "before_update", filling.before_update, propagate=True)
    forget_with(code, vector)
    event.listen(Session, "do_orm_execute", filling.on_orm_execute)
    event.listen(Engine, "before_execute", filling.on_execute, retval=True)
    event.listen(Engine, "before_cursor_execute", filling.refuse_nested)


class _Filling(Statements):
    """What fills one column of codes: here objects and INSERT, statements in its base."""

    def default(self, context: Any) -> NDArray[np.uint8] | None:
        """The code of one row of an INSERT that does not give it."""
        statement = context.compiled.statement
        statement = getattr(statement, "element", statement)
        if not isinstance(statement, Insert) or statement.select is not None:
            # without a vector: any other was refused
            return None
        parameters = context.get_current_parameters(isolate_multiinsert_groups=False)
        state, key = context.compiled.dml_compile_state, self.source.key
        if state._has_multi_parameters:
            # SQLAlchemy's own isolation of a row fails for keys that are no strings
            into = context.current_column
            key = f"{key}_m{into.index + 1 if into._is_multiparam_column else 0}"
        if key in parameters:
            return self.encode([parameters[key]])[0]
        for value in self.named(pairs(state._dict_parameters), self.source):
            if isinstance(value, BindParameter):
                value = parameters.get(value.key, value)
            return self.encode([value])[0]
        return None

    def before_update(self, mapper: Mapper[Any], connection: object, target: object) -> None:
        """Encode anew where an object's vector has changed, and its code has not."""
        state: Any = inspect_mapped(target)
        names = names_of(mapper, self.source, self.column)
        if names is None or names.vector in state.unmodified:
            return
        if not state.attrs[names.code].history.has_changes():
            setattr(target, names.code, self.encode([state.dict.get(names.vector)])[0])
