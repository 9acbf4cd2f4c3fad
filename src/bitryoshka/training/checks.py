"""What a fit is given: settings, vectors and pairs that it can work with, or an error."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence, Sized
from itertools import islice
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka.binarizer import MAX_PLANES, Metric
from bitryoshka.bits import check_bits
from bitryoshka.errors import BitsError, OptionError, VectorsError
from bitryoshka.limits import MAX_DIMENSIONS, MAX_LENGTHS, check_count
from bitryoshka.training.closed_form import Goal
from bitryoshka.training.comparison import PLAINNESS
from bitryoshka.training.variants import Report, Request, Rows
from bitryoshka.vectors import SHORTEST, normalized

Floats = NDArray[np.float32]

MIN_ROWS = 50
# of which distinct ones are counted, what makes two of them one, and the share that is few
COMPARED_ROWS = 1000
SAME_WITHIN = 1e-4
DISTINCT_SHARE = 0.2
METHODS = ("auto", *PLAINNESS)


def check_request(
    bits: int,
    hamming_bits: int | None,
    nested_bits: Sequence[int] | None,
    method: str,
    metric: Metric,
    seed: int,
    source_model: str | None,
    callback: Report | None,
) -> Request:
    """What is asked for, where it can be; BitsError or OptionError says what cannot."""
    check_bits(bits)
    for name, value, offered in (("method", method, METHODS), ("metric", metric, get_args(Metric))):
        if not isinstance(value, str) or value not in offered:
            raise OptionError(f"{name} must be one of {offered}, found {value!r}")
    if not isinstance(source_model, str | None):
        raise OptionError(f"source_model must be a name or None, found {source_model!r}")
    if callback is not None and not callable(callback):
        raise OptionError(f"callback must be a function or None, found {callback!r}")
    if hamming_bits is not None and check_bits(hamming_bits, "hamming_bits") > bits:
        raise BitsError(f"hamming_bits must be at most bits = {bits}, found {hamming_bits}")
    check_count(seed, "seed", OptionError, least=0, most=2**64)
    nested = None
    if nested_bits is not None:
        if not isinstance(nested_bits, Iterable):
            raise BitsError(f"nested_bits must be a sequence of lengths, found {nested_bits!r}")
        given = list(islice(nested_bits, MAX_LENGTHS + 1))
        if len(given) > MAX_LENGTHS:
            raise BitsError(f"nested_bits must be at most {MAX_LENGTHS} lengths, found more")
        nested = tuple(sorted({check_bits(b, "each of nested_bits") for b in given}))
        if nested and nested[-1] > bits:
            raise BitsError(f"nested_bits must be at most bits = {bits}, found {nested[-1]}")
    return Request(Goal(bits, nested, metric, seed), hamming_bits)


def check_size(bits: int, dimensions: int) -> None:
    """That the fit and what it makes fit into memory."""
    if dimensions > MAX_DIMENSIONS:
        raise VectorsError(f"fit takes at most {MAX_DIMENSIONS} dimensions, found {dimensions}")
    if bits > MAX_PLANES * dimensions:
        raise BitsError(
            f"no code of {bits} bits can be made from {dimensions} dimensions: expected at most "
            f"{MAX_PLANES} bits for each, {MAX_PLANES * dimensions} in all"
        )


def check_unit(sample: Floats) -> None:
    """That products of the vectors do not vanish; none of those of unit length do."""
    longest = float(np.linalg.norm(sample.astype(np.float64), axis=1).max())
    if longest < SHORTEST:
        raise VectorsError(
            f"the longest of the vectors must have a length of at least {SHORTEST:g} to be "
            f"compared by inner product, found {longest:.3g}"
        )


def check_distinct(sample: Floats, seed: int) -> None:
    """That there are enough rows to tell apart, by up to 1,000 of them; few of them are told.

    Copies say nothing about what lies between them, and each finds the others whatever the code.
    """
    size = min(COMPARED_ROWS, len(sample))
    picked = np.random.default_rng(seed).choice(len(sample), size, replace=False)
    rows = sample[picked].astype(np.float64)
    products = rows @ rows.T
    squares = products.diagonal()
    apart = squares[:, None] + squares - 2 * products
    same = apart <= SAME_WITHIN**2 * np.maximum(squares[:, None], squares)
    # rows like none before them
    distinct = int((~np.tril(same, -1).any(axis=1)).sum())
    found = (
        f"found {distinct} among {size}{' random ones' if size < len(sample) else ''} "
        f"(those that differ by less than {SAME_WITHIN:g} of their length count once)"
    )
    if distinct < MIN_ROWS:
        raise VectorsError(f"fit needs at least {MIN_ROWS} distinct vectors, {found}")
    if distinct < DISTINCT_SHARE * size:
        warnings.warn(
            f"few of the vectors to fit to are distinct, {found}: recall among copies says little, "
            "so fit to each of them once",
            stacklevel=3,
        )


def check_pairs(
    pairs: tuple[ArrayLike, ArrayLike] | None, rows: int, dimensions: int, metric: Metric
) -> tuple[Floats, Rows]:
    """Queries (P, d), normalised where need be, and row numbers (P,)."""
    if pairs is None:
        return np.empty((0, dimensions), np.float32), np.empty(0, np.int64)
    if not isinstance(pairs, Sequence) or len(pairs) != 2:
        found = f"{len(pairs)} parts" if isinstance(pairs, Sized) else repr(pairs)
        raise VectorsError(f"pairs must be (queries, rows), found {found}")
    asked = normalized(pairs[0], metric, dimensions, "pairs[0]")
    try:
        answers = np.asarray(pairs[1])
    except ValueError as error:
        raise VectorsError(f"pairs[1] must hold row numbers: {error}") from error
    if answers.shape != (len(asked),) or not np.issubdtype(answers.dtype, np.integer):
        raise VectorsError(
            f"pairs[1] must hold {len(asked)} row numbers, one for each query, "
            f"found shape {answers.shape} of {answers.dtype}"
        )
    if len(answers) and not (answers.min() >= 0 and answers.max() < rows):
        raise VectorsError(
            f"pairs[1] must be rows of the {rows} vectors, found {answers.min()} to {answers.max()}"
        )
    return asked, answers.astype(np.int64)
