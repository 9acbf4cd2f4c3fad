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
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import prefix, unpack
from bitryoshka.training.closed_form import Goal, regression, weighed_codes
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
from bitryoshka.training.weights import Judge, regression_weights

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
    device = best_device()
    torch.manual_seed(seed)
    rows = torch.from_numpy(around.rows).to(device)
    w, offset = parameter(start.projection, device), parameter(start.offset, device)
    query_w = parameter(start.projection, device) if recipe.query_signs else w
    hamming_offset = start.offset if start.hamming_offset is None else start.hamming_offset
    query_offset = parameter(hamming_offset, device)
    prefixes = tuple(b for b in start.nested_bits if b <= start.hamming_bits)
    shares = np.array(prefixes, np.float64) ** -recipe.short
    shares /= shares.sum()
    scales = torch.zeros(len(prefixes), device=device, requires_grad=True)
    growth = torch.zeros(start.hamming_bits, device=device, requires_grad=recipe.learn_steps)
    cuts = _cuts(start, around.rows, recipe, device)
    identity = torch.eye(start.hamming_bits, device=device)

    def loss_of(batch: Batch) -> torch.Tensor:
        anchors, same = to_device(batch.anchors, device), to_device(batch.same, device)
        picked = rows[to_device(batch.rows, device)]
        z = picked @ w.T - offset
        deviation = z.detach().std(0).clamp_min(1e-12)

        def sign(values: torch.Tensor) -> torch.Tensor:
            if recipe.noise:
                values = values + recipe.noise * deviation * torch.randn_like(values)
            soft = torch.tanh(recipe.sharpness * values / deviation)
            return soft + (torch.sign(values) - soft).detach()

        left, right = sign(anchors @ query_w.T - query_offset), sign(z)
        target = float_target(anchors, picked, batch, recipe.tau, recipe.labels)
        total = recipe.orthogonality * ((w @ w.T - identity) ** 2).sum() / len(identity)
        agreement, begin = torch.zeros((), device=device), 0
        for scale, share, end in zip(scales, shares.tolist(), prefixes, strict=True):
            agreement = agreement + left[:, begin:end] @ right[:, begin:end].T
            scores = agreement * torch.exp(scale) / end**0.5
            total = total + share * distance(scores, target, same)
            begin = end
        if cuts:
            target = float_target(anchors, picked, batch, recipe.weight_tau, recipe.labels)
        for cut in cuts:
            scores = (anchors @ cut.weights.T) @ cut.decode(z, growth).T / recipe.weight_tau
            total = total + recipe.cuts * distance(scores, target, same) / len(cuts)
        return total

    def built() -> Binarizer:
        goal = Goal(start.bits, start.nested_bits, start.metric, seed)
        found = weighed_codes(around.rows, goal, to_numpy(w), to_numpy(offset))
        grown = np.exp(to_numpy(growth))
        return replace(
            found,
            step=found.step * grown,
            levels=found.levels * grown[found.bit_dimension],
            hamming_projection=to_numpy(query_w) if recipe.query_signs else None,
            hamming_offset=to_numpy(query_offset),
        )

    if not recipe.sign_steps:
        return Signs(built(), 0)
    few = around.rows[:: -(-len(around.rows) // CHECK_ROWS)]
    check = None if judge is None else lambda: judge(regression_weights(built(), few, recipe.ridge))
    trained = [w, offset, query_offset, *(cut.weights for cut in cuts)]
    trained += [query_w] if recipe.query_signs else []
    trained += [growth] if recipe.learn_steps and cuts else []
    groups = [
        {"params": trained, "lr": recipe.sign_rate},
        {"params": [scales], "lr": 10 * recipe.sign_rate},
    ]
    part = Part("signs", recipe.sign_steps, report, check, stop)
    steps = descend(groups, loss_of, around, recipe, part, seed, recipe.jitter)
    return Signs(built(), steps)


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
