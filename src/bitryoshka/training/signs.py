"""Signs trained by gradient descent: projection and thresholds of rows and of queries (torch).

Trained for the Hamming distance of every prefix and for the asymmetric score of every longer cut,
so that signs do not improve at the cost of the precision bits of the same dimensions. Signs pass
gradients through a tanh, the quantizer passes them through where it does not clip
(straight-through estimator: Bengio, Léonard and Courville, 2013), and its steps are trained by what
the rounding leaves (learned step size quantization: Esser et al., ICLR 2020). A penalty on
``W W' - I`` keeps the projection near a rotation. Anchors move a little at random, so that there
are more of them than rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import prefix, unpack
from bitryoshka.training.closed_form import Goal, regression, weighed_codes
from bitryoshka.training.decoding import regressed_weights
from bitryoshka.training.distilling import (
    Floats,
    Part,
    Recipe,
    Report,
    best_device,
    descend,
    distance,
    float_target,
    ignore,
    parameter,
    to_device,
    to_numpy,
)
from bitryoshka.training.neighbourhood import Batch, Neighbourhood
from bitryoshka.training.weights import Judge

CHECK_ROWS = 5_000


class Signs(NamedTuple):
    """The trained ``binarizer``, and how many ``steps`` it took to be at its best."""

    binarizer: Binarizer
    steps: int


class _Cut(NamedTuple):
    """A length whose asymmetric score is trained: query weights (m, d) and the quantizer, (m,)."""

    weights: torch.Tensor
    step: torch.Tensor
    half: torch.Tensor

    def decode(self, z: torch.Tensor, growth: torch.Tensor) -> torch.Tensor:
        """Quantized values of z, steps times e^growth; gradients 0 where they are clipped."""
        step = self.step * torch.exp(growth)
        v = torch.minimum(torch.maximum(z / step, -self.half), self.half)
        k = torch.minimum(torch.ceil(v) - 1, self.half - 1).maximum(-self.half) + 0.5
        return step * (v + (k - v).detach())


def learn_signs(
    start: Binarizer,
    around: Neighbourhood,
    seed: int,
    recipe: Recipe | None = None,
    report: Report = ignore,
    judge: Judge | None = None,
    stop: int | None = None,
) -> Signs:
    """Train the projection, thresholds and query signs for every Hamming prefix.

    The quantizer, the allocation of precision bits and the order of the bits are set anew from
    the rows of ``around``. ``judge`` gives a binarizer's held-out recall: the best of the codes on
    the way are kept. ``stop``: end the schedule after so many steps. Deterministic for a seed.
    """
    recipe = recipe or Recipe()
    model = _Model(start, around.rows, recipe, seed)
    if not recipe.sign_steps:
        return Signs(model.built(), 0)
    few = around.rows[:: -(-len(around.rows) // CHECK_ROWS)]

    def check() -> float:
        return judge(regressed_weights(model.built(), few)) if judge else 0.0

    part = Part("signs", recipe.sign_steps, report, check if judge else None, stop)
    steps = descend(model.groups(), model.loss, around, recipe, part, seed, recipe.jitter)
    return Signs(model.built(), steps)


class _Model:
    """The parameters of signs, their loss on a batch, and the binarizer that they make."""

    def __init__(self, start: Binarizer, rows: Floats, recipe: Recipe, seed: int) -> None:
        self.device = device = best_device()
        self.start, self.recipe, self.seed, self.sample = start, recipe, seed, rows
        self.rows = torch.from_numpy(rows).to(device)
        self.w, self.offset = (parameter(a, device) for a in (start.projection, start.offset))
        self.query_w = parameter(start.projection, device) if recipe.query_signs else self.w
        offset = start.offset if start.hamming_offset is None else start.hamming_offset
        self.query_offset = parameter(offset, device)
        self.prefixes = tuple(b for b in start.nested_bits if b <= start.hamming_bits)
        shares = np.array(self.prefixes, np.float64) ** -recipe.short
        self.shares = (shares / shares.sum()).tolist()
        self.scales = torch.zeros(len(self.prefixes), device=device, requires_grad=True)
        self.growth = torch.zeros(start.hamming_bits, device=device, requires_grad=True)
        self.cuts = _cuts(start, rows, recipe, device)
        self.identity = torch.eye(start.hamming_bits, device=device)
        self.random = torch.Generator(device).manual_seed(seed)

    def groups(self) -> list[dict[str, Any]]:
        """What is trained, and how fast."""
        trained = [self.w, self.offset, self.query_offset, *(cut.weights for cut in self.cuts)]
        trained += [self.query_w] if self.recipe.query_signs else []
        trained += [self.growth] if self.recipe.learn_steps and self.cuts else []
        rate = self.recipe.sign_rate
        return [{"params": trained, "lr": rate}, {"params": [self.scales], "lr": 10 * rate}]

    def loss(self, batch: Batch) -> torch.Tensor:
        """Of the prefixes, of the longer cuts, and of what keeps W near a rotation."""
        anchors, same = to_device(batch.anchors, self.device), to_device(batch.same, self.device)
        rows = self.rows[to_device(batch.rows, self.device)]
        z = rows @ self.w.T - self.offset
        excess = ((self.w @ self.w.T - self.identity) ** 2).sum() / len(self.identity)
        total = self.recipe.orthogonality * excess
        target = float_target(anchors, rows, batch, self.recipe.tau, self.recipe.labels)
        total = total + self._prefix_loss(anchors, z, target, same)
        if self.cuts:
            target = float_target(anchors, rows, batch, self.recipe.weight_tau, self.recipe.labels)
        for cut in self.cuts:
            decoded = cut.decode(z, self.growth)
            scores = (anchors @ cut.weights.T) @ decoded.T / self.recipe.weight_tau
            total = total + self.recipe.cuts * distance(scores, target, same) / len(self.cuts)
        return total

    def _prefix_loss(
        self, anchors: torch.Tensor, z: torch.Tensor, target: torch.Tensor, same: torch.Tensor
    ) -> torch.Tensor:
        deviation = z.detach().std(0).clamp_min(1e-12)
        left = self._sign(anchors @ self.query_w.T - self.query_offset, deviation)
        right = self._sign(z, deviation)
        total = agreement = torch.zeros((), device=self.device)
        begin = 0
        for scale, share, end in zip(self.scales, self.shares, self.prefixes, strict=True):
            agreement = agreement + left[:, begin:end] @ right[:, begin:end].T
            scores = agreement * torch.exp(scale) / end**0.5
            total = total + share * distance(scores, target, same)
            begin = end
        return total

    def _sign(self, values: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
        if self.recipe.noise:
            drawn = torch.randn(values.shape, generator=self.random, device=self.device)
            values = values + self.recipe.noise * deviation * drawn
        soft = torch.tanh(self.recipe.sharpness * values / deviation)
        return soft + (torch.sign(values) - soft).detach()

    def built(self) -> Binarizer:
        """Codes of the parameters as they are; weights are for later."""
        start = self.start
        goal = Goal(start.bits, start.nested_bits, start.metric, self.seed)
        found = weighed_codes(self.sample, goal, to_numpy(self.w), to_numpy(self.offset))
        grown = np.exp(to_numpy(self.growth))
        return replace(
            found,
            step=found.step * grown,
            levels=found.levels * grown[found.bit_dimension],
            hamming_projection=to_numpy(self.query_w) if self.recipe.query_signs else None,
            hamming_offset=to_numpy(self.query_offset),
        )


def _cuts(start: Binarizer, rows: Floats, recipe: Recipe, device: torch.device) -> list[_Cut]:
    """The cuts with all signs in them, weights from ridge regression."""
    found = []
    codes = start.encode(rows)
    for length in start.nested_bits if recipe.cuts else ():
        if length >= start.hamming_bits:
            short = start.truncate(length)
            values = _decoded(start, codes, length)
            found.append(
                _Cut(
                    parameter(regression(rows, values, recipe.ridge), device),
                    torch.tensor(short.step, device=device),
                    torch.tensor(2.0 ** (short.planes - 1.0), dtype=torch.float32, device=device),
                )
            )
    return found


def _decoded(binarizer: Binarizer, codes: NDArray[np.uint8], length: int) -> Floats:
    """Decoded projected dimensions (N, at most m) of codes cut to ``length`` bits."""
    m = min(length, binarizer.hamming_bits)
    levels = binarizer.levels[binarizer.nested_bits.index(length), :length]
    placed = np.zeros((length, m), np.float32)
    placed[np.arange(length), binarizer.bit_dimension[:length]] = levels
    signs = unpack(prefix(codes, length)).astype(np.float32) * 2 - 1
    return signs @ placed
