"""How large things and counts may be: checked before any work is done with them."""

from __future__ import annotations

import numpy as np

from bitryoshka.errors import BitryoshkaError, SearchError

# of vectors to fit to: a fit holds matrices of this size squared
MAX_DIMENSIONS = 16_384
# of a code: with that many dimensions the projection takes 2 GiB
MAX_BITS = 32_768
# that a fit is asked to cut at: each has query weights of its own
MAX_LENGTHS = 64
MAX_BINARIZER_BYTES = 4 * 2**30
MAX_INFO_DEPTH = 32
# an integer of a database
MAX_COUNT = 2**31 - 1
# what a compressed file of vectors may unpack to: the larger of this and of so many times its size
UNPACKED_BYTES = 2**30
UNPACKED_TIMES = 20


def check_count(
    value: object,
    name: str,
    error: type[BitryoshkaError] = SearchError,
    *,
    least: int = 1,
    most: int = MAX_COUNT,
) -> int:
    """Return ``value`` as an int if it is an integer in this range; raise ``error`` otherwise.

    >>> check_count(10, "k")
    10
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not least <= value <= most:  # type: ignore[operator]
        raise error(f"{name} must be an integer from {least} to {most}, found {value!r}")
    return int(value)  # type: ignore[call-overload, no-any-return]


def check_counts(**counts: object) -> None:
    """`check_count` for each, by its name."""
    for name, value in counts.items():
        check_count(value, name)
