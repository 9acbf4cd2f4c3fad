"""What a search gives, wherever the codes are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["SearchResult"]


class SearchResult(NamedTuple):
    """Keys and scores of each query's rows, best first; fewer than k where fewer were found.

    ``ids``: a list of keys for each query, of tuples where the key has several columns. ``scores``:
    float64 arrays of the same lengths, greater for a better row: the metric itself after exact
    rescoring (cosine similarity or inner product), else the share of what was compared that agrees,
    less the share that does not, from -1 to 1: of the bits without rescoring, and of the query's
    weights on them in an asymmetric search.
    """

    ids: list[list[Any]]
    scores: list[NDArray[np.float64]]
