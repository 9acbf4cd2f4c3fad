"""Counts: integers in their range, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitryoshka import BitsError, SearchError
from bitryoshka.limits import check_count, check_counts


@pytest.mark.parametrize("value", [1, 2**31 - 1, np.int64(5), np.uint8(7)])
def test_integers_come_back_as_ints(value: Any) -> None:
    found = check_count(value, "k")
    assert type(found) is int
    assert found == value


@pytest.mark.parametrize("value", [0, -1, 2**31, 2**63, 1.0, float("nan"), True, None, "1", [1]])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(SearchError, match=r"^k must be an integer from 1 to 2147483647, found "):
        check_counts(candidates=5, k=value)
    with pytest.raises(BitsError, match=r"^k must be an integer from 1 to 2147483647, found "):
        check_count(value, "k", BitsError)


def test_other_ranges() -> None:
    assert check_count(0, "exact", least=0) == 0
    with pytest.raises(SearchError, match="exact must be an integer from 0 to 9, found 10"):
        check_count(10, "exact", least=0, most=9)
