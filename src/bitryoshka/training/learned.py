"""The learned method: signs and query weights trained by gradient descent (torch).

Both parts distil the float neighbourhood. For the anchors of a batch, the target over the rows
is softmax(cosine / tau), and the student the softmax of a code's scores; the loss is their
Kullback-Leibler divergence (Hinton, Vinyals and Dean, "Distilling the knowledge in a neural
network", 2015), taken at every length of the code at once (Kusupati et al., "Matryoshka
representation learning", NeurIPS 2022).

1. `learn_signs` trains the projection and thresholds of rows and, separately, those of queries: for
   the Hamming distance of every prefix, and for the asymmetric score of every longer cut, so that
   signs do not improve at the cost of the precision bits of the same dimensions. Signs pass
   gradients through a tanh, the quantizer passes them through where it does not clip
   (straight-through estimator: Bengio, Léonard and Courville, 2013). A penalty on ``W W' - I``
   keeps the projection near a rotation.
2. `learn_weights` leaves the codes as they are and trains how a float query weighs their bits, one
   linear map for each length. It starts from ridge regression of the rows on their decoded codes.

The second part cannot harm codes, and is where most of the asymmetric gain comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import prefix, unpack
from bitryoshka.training.closed_form import RIDGE, Goal, regression, weighed_codes
from bitryoshka.training.neighbourhood import Batch, Neighbourhood

Floats = NDArray[np.float32]
Report = Callable[[dict[str, Any]], None]

_NEVER = -1e9


class Recipe(NamedTuple):
    """Settings of the training, the same for every data set; a step of 0 leaves a part out.

    ``tau``, ``weight_tau``: temperatures of the float neighbourhood for signs and for weights.
    ``sharpness``: slope of the tanh, in deviations of a dimension. ``orthogonality``: weight of the
    penalty. ``short``: a prefix of b bits weighs ``b ** -short``, the order of importance of the
    prefixes. ``cuts``: weight of the asymmetric part of `learn_signs`. ``query_signs``: let queries
    have a projection of their own for their bits. ``ridge``: of the regression that weights start
    from, as a share of the mean variance.
    """

    sign_steps: int = 300
    sign_rate: float = 2e-3
    tau: float = 0.04
    sharpness: float = 1.0
    orthogonality: float = 3.0
    short: float = 0.0
    cuts: float = 2.5
    query_signs: bool = True
    weight_steps: int = 200
    weight_rate: float = 3e-4
    weight_tau: float = 0.03
    ridge: float = RIDGE
    anchors: int = 128
    rows: int = 1024
    hard: int = 4


NEIGHBOURS = 100


def _ignore(report: dict[str, Any]) -> None:
    pass


def _distance(scores: torch.Tensor, target: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
    student = torch.log_softmax(scores.masked_fill(same, _NEVER), 1)
    return torch.nn.functional.kl_div(student, target, log_target=True, reduction="batchmean")


def _target(
    anchors: torch.Tensor, rows: torch.Tensor, same: torch.Tensor, tau: float
) -> torch.Tensor:
    return torch.log_softmax((anchors @ rows.T / tau).masked_fill(same, _NEVER), 1)


def _descend(
    groups: list[dict[str, Any]],
    loss_of: Callable[[Batch], torch.Tensor],
    around: Neighbourhood,
    steps: int,
    recipe: Recipe,
    seed: int,
    report: Report,
    stage: str,
) -> None:
    """Adam with a rate that rises for a seventh of the steps and then falls to nothing."""
    optimizer = torch.optim.Adam(groups)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, steps, pct_start=0.15)
    batches = around.batches(steps, recipe.anchors, recipe.rows, recipe.hard, seed)
    for step, batch in enumerate(batches, 1):
        loss = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        report({"stage": stage, "step": step, "steps": steps, "loss": float(loss.detach())})


def learn_signs(
    start: Binarizer,
    around: Neighbourhood,
    seed: int,
    recipe: Recipe | None = None,
    report: Report = _ignore,
) -> Binarizer:
    """Train the projection, thresholds and query signs for every Hamming prefix.

    The quantizer, the allocation of precision bits and the order of the bits are set anew from
    the rows of ``around``. Deterministic for a seed.
    """
    recipe = recipe or Recipe()
    device = _device()
    rows = torch.from_numpy(around.rows).to(device)
    w, offset = _parameter(start.projection, device), _parameter(start.offset, device)
    query_w = _parameter(start.projection, device) if recipe.query_signs else w
    hamming_offset = start.offset if start.hamming_offset is None else start.hamming_offset
    query_offset = _parameter(hamming_offset, device)
    prefixes = tuple(b for b in start.nested_bits if b <= start.hamming_bits)
    shares = np.array(prefixes, np.float64) ** -recipe.short
    shares /= shares.sum()
    scales = torch.zeros(len(prefixes), device=device, requires_grad=True)
    cuts = _cuts(start, around.rows, recipe, device)
    identity = torch.eye(start.hamming_bits, device=device)

    def loss_of(batch: Batch) -> torch.Tensor:
        anchors, same = _to(batch.anchors, device), _to(batch.same, device)
        picked = rows[_to(batch.rows, device)]
        z = picked @ w.T - offset
        deviation = z.detach().std(0).clamp_min(1e-12)

        def sign(values: torch.Tensor) -> torch.Tensor:
            soft = torch.tanh(recipe.sharpness * values / deviation)
            return soft + (torch.sign(values) - soft).detach()

        left, right = sign(anchors @ query_w.T - query_offset), sign(z)
        target = _target(anchors, picked, same, recipe.tau)
        total = recipe.orthogonality * ((w @ w.T - identity) ** 2).sum() / len(identity)
        agreement, begin = torch.zeros((), device=device), 0
        for scale, share, end in zip(scales, shares.tolist(), prefixes, strict=True):
            agreement = agreement + left[:, begin:end] @ right[:, begin:end].T
            scores = agreement * torch.exp(scale) / end**0.5
            total = total + share * _distance(scores, target, same)
            begin = end
        if recipe.cuts:
            target = _target(anchors, picked, same, recipe.weight_tau)
        for cut in cuts:
            scores = (anchors @ cut.weights.T) @ cut.decode(z).T / recipe.weight_tau
            total = total + recipe.cuts * _distance(scores, target, same) / len(cuts)
        return total

    groups = [
        {
            "params": [w, offset, query_offset, *(cut.weights for cut in cuts)],
            "lr": recipe.sign_rate,
        },
        {"params": [scales], "lr": 10 * recipe.sign_rate},
    ]
    if recipe.query_signs:
        groups[0]["params"].append(query_w)  # type: ignore[attr-defined]
    if recipe.sign_steps:
        _descend(groups, loss_of, around, recipe.sign_steps, recipe, seed, report, "signs")

    goal = Goal(start.bits, start.nested_bits, start.metric, seed)
    built = weighed_codes(around.rows, goal, _numpy(w), _numpy(offset))
    return replace(
        built,
        hamming_projection=_numpy(query_w) if recipe.query_signs else None,
        hamming_offset=_numpy(query_offset),
    )


class _Cut(NamedTuple):
    """A length whose asymmetric score is trained: query weights (m, d) and the quantizer, (m,)."""

    weights: torch.Tensor
    step: torch.Tensor
    half: torch.Tensor

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Quantized values; the gradient is that of the values, and 0 where they are clipped."""
        v = torch.minimum(torch.maximum(z / self.step, -self.half), self.half)
        k = torch.minimum(torch.ceil(v) - 1, self.half - 1).maximum(-self.half) + 0.5
        return self.step * (v + (k - v).detach())


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
                    _parameter(regression(rows, values, recipe.ridge), device),
                    torch.tensor(short.step, device=device),
                    torch.tensor(2.0 ** (short.planes - 1.0), dtype=torch.float32, device=device),
                )
            )
    return found


def learn_weights(
    binarizer: Binarizer,
    around: Neighbourhood,
    seed: int,
    recipe: Recipe | None = None,
    report: Report = _ignore,
) -> Binarizer:
    """Train one query projection for each length of the code; codes and their bits stay.

    Deterministic for a seed.
    """
    recipe = recipe or Recipe()
    device = _device()
    rows = torch.from_numpy(around.rows).to(device)
    codes = binarizer.encode(around.rows)
    decoded, maps = [], []
    for length in binarizer.nested_bits:
        values = _decoded(binarizer, codes, length)
        maps.append(_parameter(regression(around.rows, values, recipe.ridge), device))
        decoded.append(torch.from_numpy(values).to(device))

    def loss_of(batch: Batch) -> torch.Tensor:
        anchors, same = _to(batch.anchors, device), _to(batch.same, device)
        index = _to(batch.rows, device)
        target = _target(anchors, rows[index], same, recipe.weight_tau)
        total = torch.zeros((), device=device)
        for a, values in zip(maps, decoded, strict=True):
            scores = (anchors @ a.T) @ values[index].T / recipe.weight_tau
            total = total + _distance(scores, target, same)
        return total

    if recipe.weight_steps:
        groups = [{"params": maps, "lr": recipe.weight_rate}]
        _descend(groups, loss_of, around, recipe.weight_steps, recipe, seed, report, "weights")
    m, d = binarizer.projection.shape
    query = np.zeros((len(maps), m, d), np.float32)
    for i, a in enumerate(maps):
        query[i, : len(a)] = _numpy(a)
    return replace(binarizer, query_projection=query)


def _decoded(binarizer: Binarizer, codes: NDArray[np.uint8], length: int) -> Floats:
    """Decoded projected dimensions (N, at most m) of codes cut to ``length`` bits."""
    m = min(length, binarizer.hamming_bits)
    levels = binarizer.levels[binarizer.nested_bits.index(length), :length]
    placed = np.zeros((length, m), np.float32)
    placed[np.arange(length), binarizer.bit_dimension[:length]] = levels
    signs = unpack(prefix(codes, length)).astype(np.float32) * 2 - 1
    return signs @ placed


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _parameter(values: Floats, device: torch.device) -> torch.Tensor:
    return torch.tensor(values, device=device, requires_grad=True)


def _to(values: NDArray[Any], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(values).to(device)


def _numpy(values: torch.Tensor) -> Floats:
    found: Floats = values.detach().cpu().numpy().copy()
    return found
