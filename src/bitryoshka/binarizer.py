"""The binarizer: from vectors to codes, and from queries to bits and weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bitryoshka import binarizer_file
from bitryoshka.additive import Additive
from bitryoshka.bits import check_bits, check_codes
from bitryoshka.errors import BitsError, FileFormatError
from bitryoshka.kinds import check_kind
from bitryoshka.limits import MAX_INFO_DEPTH
from bitryoshka.vectors import blocks, check_vectors, normalized

__all__ = ["Binarizer"]

Metric = Literal["cosine", "inner_product"]
Floats = NDArray[np.float32]

MAX_PLANES = 8
# additive codes are searched for in blocks that stay in a processor's cache
SEARCHED_ROWS = 1024


@dataclass(frozen=True, eq=False, kw_only=True)
class Binarizer:
    """A trained adapter from ``d`` float dimensions to a nested code of ``bits`` bits.

    A vector x (normalised first where ``metric`` is "cosine") is projected to ``z = W x - offset``.
    There are two kinds of codes.

    Additive codes start from the signs of z; then the bits are searched for that `Additive` asks
    for, so that a learned sum of -1 and +1 rows comes nearest to x. The first m bits are the
    Hamming part.

    Progressive codes (``additive`` None) are the signs of z, most informative first, then precision
    bits: dimension j is quantized to the integer
    ``k_j = clip(ceil(z_j / step_j) - 1 + 2^(B_j - 1), 0, 2^B_j - 1)``, whose first binary digit
    says whether z_j > 0, and the further digits follow in the order that the fit found most useful.

    The decoded value is linear in the bits of both, so that a query needs only one weight per bit.

    Arrays (all read-only):

    * ``projection`` (m, d) float32: W.
    * ``offset`` (m,) float32: what z is less by: the thresholds of its signs.
    * ``step`` (m,) float32, positive: the quantizer's step of each projected dimension.
    * ``bit_dimension`` (n,) int32, ``bit_plane`` (n,) uint8: what each bit is that z alone gives;
      plane 0 is the sign. The first m entries are dimension 0 to m - 1, plane 0. Additive codes
      have these m; progressive codes have one for each of their bits.
    * ``levels`` (len(nested_bits), n) float32: decoding weight of each such bit at each length.

    The last four may be None, for plain signs of the projected dimensions.

    Queries may have parameters of their own, each of them None where it equals the rows':

    * ``weight_projection`` (sum(nested_bits), d) float32: the query weights of each length are
      its product with the query, one row for each bit of the first length, then of the second...
      Additive codes always have it.
    * ``hamming_projection`` (hamming_bits, d), ``hamming_offset`` (hamming_bits,) float32: in place
      of W and ``offset`` for the bits of queries.

    ``info`` describes where the binarizer came from; it is saved, and is not part of the
    fingerprint. Make binarizers with `bitryoshka.fit` or `Binarizer.load`.
    """

    projection: Floats
    offset: Floats
    nested_bits: tuple[int, ...]
    metric: Metric = "cosine"
    step: Floats = None  # type: ignore[assignment]
    bit_dimension: NDArray[np.int32] = None  # type: ignore[assignment]
    bit_plane: NDArray[np.uint8] = None  # type: ignore[assignment]
    levels: Floats = None  # type: ignore[assignment]
    additive: Additive | None = None
    weight_projection: Floats | None = None
    hamming_projection: Floats | None = None
    hamming_offset: Floats | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def set_checked(name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
            array = np.array(getattr(self, name), dtype)
            if array.shape != shape:
                raise BitsError(f"{name} must have shape {shape}, found {array.shape}")
            if dtype is np.float32 and not np.isfinite(array).all():
                raise BitsError(f"{name} holds NaN or infinity")
            array.flags.writeable = False
            object.__setattr__(self, name, array)

        if np.ndim(self.projection) != 2:
            raise BitsError(f"projection must be (m, d), found shape {np.shape(self.projection)}")
        m, d = np.shape(self.projection)
        check_bits(m, "the number of projected dimensions")
        nested = tuple(check_bits(b, "each of nested_bits") for b in self.nested_bits)
        if list(nested) != sorted(set(nested)) or not nested:
            raise BitsError(f"nested_bits must rise, found {nested}")
        object.__setattr__(self, "nested_bits", nested)
        if self.metric not in ("cosine", "inner_product"):
            raise BitsError(f"metric must be 'cosine' or 'inner_product', found {self.metric!r}")
        for name, plain in (
            ("step", np.ones(m)),
            ("bit_dimension", np.arange(m)),
            ("bit_plane", np.zeros(m)),
            ("levels", np.arange(m) < np.array(nested)[:, None]),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, plain)
        laid_out = np.size(self.bit_dimension)
        self._check_lengths(m, d, laid_out)
        set_checked("projection", np.float32, (m, d))
        set_checked("offset", np.float32, (m,))
        set_checked("step", np.float32, (m,))
        set_checked("bit_dimension", np.int32, (laid_out,))
        set_checked("bit_plane", np.uint8, (laid_out,))
        set_checked("levels", np.float32, (len(nested), laid_out))
        for name, shape in (
            ("weight_projection", (sum(nested), d)),
            ("hamming_projection", (self.hamming_bits, d)),
            ("hamming_offset", (self.hamming_bits,)),
        ):
            if getattr(self, name) is not None:
                set_checked(name, np.float32, shape)
        if _is_deeper(dict(self.info), MAX_INFO_DEPTH):
            raise BitsError(f"info must be nested at most {MAX_INFO_DEPTH} deep, found more")
        object.__setattr__(self, "info", MappingProxyType(dict(self.info)))
        if not (self.step > 0).all():
            raise BitsError("step must be positive in every dimension")
        self._check_layout(m)

    def _check_lengths(self, m: int, d: int, laid_out: int) -> None:
        """That bits, dimensions and Hamming bits fit together."""
        nested, additive = self.nested_bits, self.additive
        if additive is None:
            if nested[-1] != laid_out:
                raise BitsError(
                    f"nested_bits must rise to the code's {laid_out} bits, found {nested}"
                )
        else:
            rows = additive.decoder.shape[1]
            if rows != d:
                raise BitsError(f"the decoder must have {d} dimensions, found {rows}")
            if not max(m, nested[-1]) <= additive.bits:
                raise BitsError(
                    f"an additive code of {additive.bits} bits cannot start from {m} signs "
                    f"and be cut at {nested}"
                )
            if laid_out != m or self.weight_projection is None:
                raise BitsError(
                    "additive codes have one sign for each projected dimension, and "
                    "weight_projection for their queries"
                )
        if self.hamming_bits not in nested:
            raise BitsError(
                f"nested_bits must include the {self.hamming_bits} Hamming bits, found {nested}"
            )

    def _check_layout(self, m: int) -> None:
        dimension, plane = self.bit_dimension, self.bit_plane
        if not (np.array_equal(dimension[:m], np.arange(m)) and not plane[:m].any()):
            raise BitsError(f"the first {m} bits must be the signs of dimensions 0 to {m - 1}")
        if dimension.min() < 0 or dimension.max() >= m or plane.max() >= MAX_PLANES:
            raise BitsError(f"bits must lie in {m} dimensions and {MAX_PLANES} planes")
        depth = np.zeros(m, np.int64)
        for j, p in zip(dimension.tolist(), plane.tolist(), strict=True):
            if depth[j] != p:
                raise BitsError(f"dimension {j} has plane {p} where plane {depth[j]} comes next")
            depth[j] += 1

    def __reduce__(self) -> tuple[Any, ...]:
        # for worker processes; what is cached stays behind, as does the view of info
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        return partial(Binarizer, **{**kept, "info": dict(self.info)}), ()

    @property
    def dimensions(self) -> int:
        """Number of dimensions d of the vectors that can be encoded."""
        return int(self.projection.shape[1])

    @property
    def bits(self) -> int:
        """Length of the whole code in bits."""
        return self.nested_bits[-1]

    @property
    def hamming_bits(self) -> int:
        """Number of leading bits that start as signs, the part that Hamming distance compares."""
        return min(int(self.projection.shape[0]), self.bits)

    @cached_property
    def plane_counts(self) -> NDArray[np.uint8]:
        """Bits per projected dimension, ``(m,)`` uint8."""
        return np.bincount(self.bit_dimension, minlength=len(self.projection)).astype(np.uint8)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over the settings and arrays that decide codes and weights."""
        digest = hashlib.sha256()
        digest.update(json.dumps(binarizer_file.settings(self), sort_keys=True).encode())
        for name, array in sorted(binarizer_file.arrays(self).items()):
            digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return (
            f"Binarizer({self.dimensions} dimensions -> {self.bits} bits, "
            f"{self.hamming_bits} of them Hamming, nested {self.nested_bits}, "
            f"fingerprint {self.fingerprint[:12]})"
        )

    @cached_property
    def _scaled(self) -> Floats:
        """W in units of the step, transposed to (d, m) for the product with rows."""
        return np.ascontiguousarray((self.projection / self.step[:, None]).T)

    @cached_property
    def _scaled_offset(self) -> Floats:
        return self.offset / self.step

    def _check_length(self, bits: int | None, limit: int) -> int:
        if bits is None:
            return limit
        offered = tuple(b for b in self.nested_bits if b <= limit)
        if check_bits(bits) not in offered:
            raise BitsError(f"bits must be one of nested_bits {offered}, found {bits}")
        return int(bits)

    def _project_blocks(
        self, vectors: ArrayLike, weights: Floats, name: str
    ) -> Iterator[tuple[slice, Floats]]:
        """Blocks ``(rows, u)`` of the product with ``weights`` (d, m), rows normalised if need be.

        The one product behind every method. ``u`` lies in a buffer that the next block reuses.
        """
        buffer = np.empty((0, weights.shape[1]), np.float32)
        cosine = self.metric == "cosine"
        read = blocks(vectors, self.dimensions, norms=cosine, bounded=not cosine, name=name)
        for rows, block, norms in read:
            if len(block) > len(buffer):
                buffer = np.empty((len(block), weights.shape[1]), np.float32)
            u = np.matmul(block, weights, out=buffer[: len(block)])
            if norms is not None:
                u *= (1 / norms)[:, None]
            yield rows, u

    def project(self, vectors: ArrayLike) -> Floats:
        """Projected vectors ``(N, m)`` float32, thresholds subtracted.

        Column j is > 0 exactly where bit j of a progressive code is 1; bit j of an additive code
        starts there. Raises VectorsError for a wrong dimension, NaN, infinity, for zero vectors
        where the metric is "cosine", and for int8, uint8 and bool, which quantizers make.
        """
        array = check_vectors(vectors, self.dimensions)
        out = np.empty((len(array), len(self.projection)), np.float32)
        for rows, u in self._project_blocks(array, self._scaled, "vectors"):
            np.subtract(u, self._scaled_offset, out=out[rows])
            out[rows] *= self.step
        return out

    def encode(self, vectors: ArrayLike, bits: int | None = None) -> NDArray[np.uint8]:
        """Codes ``(N, bits/8)`` uint8, most significant bit first, of ``(N, d)`` vectors.

        ``bits``: one of ``nested_bits``; None means all of them. A shorter code is exactly the
        beginning of the longer one. Vectors may be float16, non-contiguous or memory-mapped:
        they are read block by block. Raises as `project` does, and BitsError for a length that
        is not offered.

        >>> import numpy as np, bitryoshka
        >>> vectors = np.random.default_rng(0).normal(size=(500, 32))
        >>> b = bitryoshka.fit(vectors, bits=64, method="progressive").binarizer
        >>> b.encode(vectors).shape
        (500, 8)
        """
        length = self._check_length(bits, self.bits)
        if self.additive is not None:
            return self._search(vectors, self.additive)[:, : length // 8]
        if length <= self.hamming_bits:
            weights, offset = self._scaled[:, :length], self._scaled_offset[:length]
            return self._encode_signs(vectors, weights, offset, "vectors")
        array = check_vectors(vectors, self.dimensions)
        out = np.empty((len(array), length // 8), np.uint8)
        for rows, u in self._project_blocks(array, self._scaled, "vectors"):
            u -= self._scaled_offset
            out[rows] = self._pack_planes(u, length)
        return out

    def _search(self, vectors: ArrayLike, additive: Additive) -> NDArray[np.uint8]:
        """Whole additive codes, block by block: a beginning is that of the whole code."""
        array = check_vectors(vectors, self.dimensions)
        out = np.empty((len(array), additive.bits // 8), np.uint8)
        cosine = self.metric == "cosine"
        for rows, block, norms in blocks(
            array, self.dimensions, norms=cosine, bounded=not cosine, block_rows=SEARCHED_ROWS
        ):
            unit = block if norms is None else block / norms[:, None]
            z = unit @ self._scaled - self._scaled_offset
            start = np.where(z > 0, np.float32(1), np.float32(-1))
            out[rows] = additive.encode(unit, start)
        return out

    def losses(self, vectors: ArrayLike, codes: ArrayLike | None = None) -> NDArray[np.float64]:
        """The loss of additive codes (N, bits/8) of vectors (N, d): ``(N,)`` float64.

        ``codes``: whole codes, of `encode` or from a database; None: those of `encode`. A stored
        code is right where its loss is no more than that of encoding anew: rounding may settle a
        tie between two bits either way. Raises BitsError for codes that are not additive or whole.
        """
        if self.additive is None or self.bits != self.additive.bits:
            raise BitsError("losses are those of whole additive codes")
        unit = normalized(vectors, self.metric, self.dimensions)
        found = self.encode(vectors) if codes is None else check_codes(codes)
        if found.shape != (len(unit), self.bits // 8):
            raise BitsError(
                f"codes must have shape {(len(unit), self.bits // 8)}, found {found.shape}"
            )
        return self.additive.loss(unit, found)

    def _encode_signs(
        self, vectors: ArrayLike, weights: Floats, offset: Floats, name: str
    ) -> NDArray[np.uint8]:
        array = check_vectors(vectors, self.dimensions, name)
        out = np.empty((len(array), len(offset) // 8), np.uint8)
        for rows, u in self._project_blocks(array, weights, name):
            out[rows] = np.packbits(u > offset, axis=1)
        return out

    def _pack_planes(self, u: Floats, length: int) -> NDArray[np.uint8]:
        """Quantize u = z / step, spoiling it, and pick the digits that the code holds."""
        low, high, shift, mask = self._quantizer
        np.ceil(u, out=u)
        np.maximum(u, low, out=u)
        np.minimum(u, high, out=u)
        signed = np.int16 if self.plane_counts.max() == MAX_PLANES else np.int8
        digits = u.astype(signed).astype(np.uint8)
        digits += shift
        picked = np.empty((len(u), length), np.uint8)
        for start, stop, first in self._runs:
            if start < length:
                stop = min(stop, length)
                picked[:, start:stop] = digits[:, first : first + stop - start]
        picked &= mask[:length]
        return np.packbits(picked, axis=1)

    @cached_property
    def _runs(self) -> tuple[tuple[int, int, int], ...]:
        """Stretches ``(start, stop, first dimension)`` of the code that take neighbouring columns.

        Copying these is many times faster than a gather of single columns.
        """
        breaks = np.flatnonzero(np.diff(self.bit_dimension) != 1) + 1
        ends = [0, *breaks.tolist(), self.bits]
        return tuple((a, b, int(self.bit_dimension[a])) for a, b in pairwise(ends))

    @cached_property
    def _quantizer(self) -> tuple[Floats, Floats, NDArray[np.uint8], NDArray[np.uint8]]:
        """Bounds of ceil(z / step), the shift that makes it k, and each bit's digit in k."""
        half = np.exp2(self.plane_counts.astype(np.float32) - 1)
        digit = self.plane_counts[self.bit_dimension] - 1 - self.bit_plane
        return 1 - half, half, (half - 1).astype(np.uint8), np.left_shift(1, digit).astype(np.uint8)

    def encode_queries(self, queries: ArrayLike, bits: int | None = None) -> NDArray[np.uint8]:
        """The Hamming part of the codes of queries, ``(Q, bits/8)`` uint8.

        ``bits``: one of ``nested_bits`` up to ``hamming_bits``; None means ``hamming_bits``.
        Compare with the equally long beginning of the stored codes. A vector's bits as a query
        may differ from its bits as a row: queries have thresholds of their own. Raises as
        `encode` does.
        """
        length = self._check_length(bits, self.hamming_bits)
        weights, offset = self._query_signs
        return self._encode_signs(queries, weights[:, :length], offset[:length], "queries")

    @cached_property
    def _query_signs(self) -> tuple[Floats, Floats]:
        """Weights (d, m) and thresholds (m,) of the queries' bits."""
        if self.hamming_projection is None and self.hamming_offset is None:
            return self._scaled, self._scaled_offset
        projection = self.projection if self.hamming_projection is None else self.hamming_projection
        offset = self.offset if self.hamming_offset is None else self.hamming_offset
        return np.ascontiguousarray(projection.T), offset

    def query_weights(self, queries: ArrayLike, bits: int | None = None) -> Floats:
        """One weight per bit for each query, ``(Q, bits)`` float32.

        The asymmetric score of a row is the sum of the weights of its set bits minus the sum of
        those of its clear bits: up to a constant per query, the inner product of the query with
        the decoded row. ``bits`` as in `encode`. The query is not centred: ``<q, x - mean>``
        ranks rows as ``<q, x>`` does, ``<q - mean, x - mean>`` does not.
        """
        length = self._check_length(bits, self.bits)
        cut = self.nested_bits.index(length)
        unit = normalized(queries, self.metric, self.dimensions, "queries")
        if self.weight_projection is not None:
            start = sum(self.nested_bits[:cut])
            learned: Floats = unit @ self.weight_projection[start : start + length].T
            return learned
        m = min(length, self.hamming_bits)
        weights: Floats = unit @ self.projection[:m].T
        if length > m:  # the signs are in the order of the dimensions
            weights = weights[:, self.bit_dimension[:length]]
        weights *= self.levels[cut, :length]
        return weights

    def truncate(self, bits: int) -> Binarizer:
        """The binarizer whose codes are the first ``bits`` bits of this one's.

        ``bits``: one of ``nested_bits``. The result has a fingerprint of its own.
        """
        length = self._check_length(bits, self.bits)
        nested = tuple(b for b in self.nested_bits if b <= length)
        weights, hamming = self.weight_projection, min(length, self.hamming_bits)
        signs, thresholds = self.hamming_projection, self.hamming_offset
        cut: dict[str, Any] = {
            "nested_bits": nested,
            "weight_projection": None if weights is None else weights[: sum(nested)],
            "hamming_projection": None if signs is None else signs[:hamming],
            "hamming_offset": None if thresholds is None else thresholds[:hamming],
        }
        if self.additive is not None:  # the bits that are kept depend on those that are not
            if hamming < len(self.projection):  # rows start from all signs, queries have fewer
                project, offset = self._query_signs
                cut["hamming_projection"] = project.T[:hamming]
                cut["hamming_offset"] = offset[:hamming]
            return replace(self, levels=self.levels[: len(nested)], **cut)
        steps, counts = self.step[:hamming], np.bincount(self.bit_dimension[:length])
        # dropping the last digits of k doubles the step for each
        return replace(
            self,
            projection=self.projection[:hamming],
            offset=self.offset[:hamming],
            step=steps * np.exp2(self.plane_counts[:hamming] - counts).astype(np.float32),
            bit_dimension=self.bit_dimension[:length],
            bit_plane=self.bit_plane[:length],
            levels=self.levels[: len(nested), :length],
            **cut,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one ``.safetensors`` file, replacing an old one only when complete."""
        binarizer_file.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Binarizer:
        """Read a file written by `save`.

        Raises FileNotFoundError, or FileFormatError for a file that is truncated, foreign,
        altered, or of a newer format than this version knows.
        """
        fields, saved = binarizer_file.load(path)
        try:
            result = cls(**fields)
        except (TypeError, ValueError) as error:
            raise FileFormatError(f"{path} is not a usable binarizer: {error}") from error
        if saved != result.fingerprint:
            raise FileFormatError(
                f"{os.fspath(path)} is altered: its content has fingerprint {result.fingerprint}, "
                f"its header says {saved}"
            )
        return result


def check_binarizer(value: object) -> None:
    """Raise OptionError for what is no `Binarizer`, such as the path of one."""
    check_kind(value, Binarizer, "a Binarizer, as bitryoshka.fit and Binarizer.load give it")


def _is_deeper(value: object, levels: int) -> bool:
    """Whether mappings and lists lie in each other to more than so many levels."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return False
    return not levels or any(_is_deeper(part, levels - 1) for part in value)
