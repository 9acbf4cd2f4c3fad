"""Additive codes: bits chosen so that a sum of signed rows comes nearest to the vector.

A vector x (d,) is approximated by ``c + sum_i s_i D_i``, one decoder row D_i (d,) for each bit,
s_i = -1 or +1. With the residual ``r = x - c - sum_i s_i D_i`` the bits minimise::

    |r|^2 + a (x . r)^2

summed, with weights, over the lengths at which the code is searched for. Errors along the vector
count more than others, a >= 0, because they move its scores most (Guo et al., "Accelerating
large-scale inference with anisotropic vector quantization", ICML 2020). Additive quantization is
that of Babenko and Lempitsky (CVPR 2014), encoding by local search that of Martinez et al.
("Revisiting additive quantization", ECCV 2016), here with codebooks of two opposite words, so that
each is one bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bitryoshka.additive.descent import Problem, search
from bitryoshka.bits import check_bits, unpack
from bitryoshka.errors import BitsError

Floats = NDArray[np.float32]

MAX_SWEEPS = 100


@dataclass(frozen=True, eq=False, kw_only=True)
class Additive:
    """What finds the bits of an additive code, besides the projection that they start from.

    * ``lengths``: at which the loss is taken, rising; the last is the length of the whole code.
    * ``length_weights`` (len(lengths),) float32, positive: what each counts, the whole code 1.
    * ``decoder`` (sum(lengths), d) float32: the rows D_i of the first length, then of the second...
    * ``centre`` (len(lengths), d) float32: c of each length.
    * ``flips`` (restarts, bits/8) uint8: packed bits that each restart turns before its sweeps.
    * ``score_weight``: a. ``sweeps``: how often all bits are looked at, at most.

    Vectors are normalised already where the metric is "cosine". Raises BitsError for arrays that
    do not fit together.
    """

    lengths: tuple[int, ...]
    length_weights: Floats
    decoder: Floats
    centre: Floats
    flips: NDArray[np.uint8]
    score_weight: float
    sweeps: int

    def __post_init__(self) -> None:
        lengths = tuple(check_bits(n, "each of lengths") for n in self.lengths)
        if not lengths or list(lengths) != sorted(set(lengths)):
            raise BitsError(f"the lengths of an additive code must rise, found {lengths}")
        if np.ndim(self.decoder) != 2:
            raise BitsError(f"decoder must be (bits, d), found shape {np.shape(self.decoder)}")
        d, bits = np.shape(self.decoder)[1], lengths[-1]
        for name, dtype, shape in (
            ("length_weights", np.float32, (len(lengths),)),
            ("decoder", np.float32, (sum(lengths), d)),
            ("centre", np.float32, (len(lengths), d)),
            ("flips", np.uint8, (len(self.flips), bits // 8)),
        ):
            array = np.array(getattr(self, name), dtype)
            if array.shape != shape:
                raise BitsError(f"{name} must have shape {shape}, found {array.shape}")
            if not np.isfinite(array).all():
                raise BitsError(f"{name} holds NaN or infinity")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if not ((self.length_weights > 0).all() and self.length_weights[-1] == 1):
            raise BitsError(
                f"length_weights must be positive, the last of them 1, found {self.length_weights}"
            )
        if not (np.isfinite(self.score_weight) and self.score_weight >= 0):
            raise BitsError(f"score_weight must be 0 or more, found {self.score_weight}")
        if not 1 <= self.sweeps <= MAX_SWEEPS:
            raise BitsError(f"sweeps must be between 1 and {MAX_SWEEPS}, found {self.sweeps}")
        object.__setattr__(self, "lengths", lengths)
        # a fingerprint tells 2 from 2.0
        object.__setattr__(self, "score_weight", float(self.score_weight))
        object.__setattr__(self, "sweeps", int(self.sweeps))

    @property
    def bits(self) -> int:
        """Length of the whole code, however short its stored beginning is."""
        return self.lengths[-1]

    def decoder_of(self, length: int) -> Floats:
        """The rows (length, d) of one of ``lengths``."""
        ends = [0, *np.cumsum(self.lengths).tolist()]
        place = self.lengths.index(length)
        return self.decoder[ends[place] : ends[place + 1]]

    @cached_property
    def gram(self) -> Floats:
        """Products of the rows, (bits, bits), summed over the lengths by their weights."""
        found = np.zeros((self.bits, self.bits), np.float32)
        for length, weight in zip(self.lengths, self.length_weights, strict=True):
            rows = self.decoder_of(length)
            found[:length, :length] += weight * (rows @ rows.T)
        return found

    @cached_property
    def shift(self) -> Floats:
        """Products of the rows with their length's centre, (bits,), summed by their weights."""
        found = np.zeros(self.bits, np.float32)
        for length, weight, c in zip(self.lengths, self.length_weights, self.centre, strict=True):
            found[:length] += weight * (self.decoder_of(length) @ c)
        return found

    @cached_property
    def _columns(self) -> Floats:
        """The decoder as columns, (d, sum(lengths)), times the root of their length's weight."""
        roots = np.repeat(np.sqrt(self.length_weights), self.lengths)
        return np.ascontiguousarray(self.decoder.T * roots)

    @cached_property
    def _turns(self) -> Floats:
        """-1 where a restart turns a bit, 1 elsewhere, (restarts, bits)."""
        return 1 - 2 * unpack(self.flips).astype(np.float32)

    def problem(self, rows: Floats) -> Problem:
        """What is left to search for vectors (n, d)."""
        products = rows @ self._columns
        roots = np.sqrt(self.length_weights)
        score = np.zeros((len(self.lengths), len(rows), self.bits), np.float32)
        linear = np.tile(-self.shift, (len(rows), 1))
        for i, length in enumerate(self.lengths):
            end = sum(self.lengths[: i + 1])
            score[i, :, :length] = products[:, end - length : end]
            linear[:, :length] += roots[i] * score[i, :, :length]
        squares = np.einsum("nd,nd->n", rows, rows)
        return Problem(
            gram=self.gram,
            linear=linear,
            score=score,
            along=(squares - self.centre @ rows.T) * roots[:, None],
            score_weight=self.score_weight,
            sweeps=self.sweeps,
        )

    def encode(self, rows: Floats, start: Floats) -> NDArray[np.uint8]:
        """Codes (n, bits/8) of vectors (n, d).

        ``start`` (n, m) float32: signs of the first m bits, -1 or +1; the others are set one by one
        by what those before them leave.
        """
        signs = np.zeros((len(rows), self.bits), np.float32)
        signs[:, : start.shape[1]] = start
        return np.packbits(search(self.problem(rows), signs, self._turns) > 0, axis=1)

    def loss(self, rows: Floats, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The loss (n,) of codes (n, bits/8) of vectors (n, d), from the residuals themselves."""
        signs = unpack(codes) * np.float32(2) - 1
        total = np.zeros(len(rows))
        for length, weight, c in zip(self.lengths, self.length_weights, self.centre, strict=True):
            residual = rows - c - signs[:, :length] @ self.decoder_of(length)
            along = np.einsum("nd,nd->n", rows, residual, dtype=np.float64)
            squares = np.einsum("nd,nd->n", residual, residual, dtype=np.float64)
            total += weight * (squares + self.score_weight * along**2)
        return total
