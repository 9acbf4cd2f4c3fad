"""The learned method: projection and thresholds trained through the sign (torch).

From a closed-form progressive code, gradient descent distils the float neighbourhood into every
Hamming prefix at once: for anchors in a batch the target is softmax(cosine / tau) over true
neighbours and random rows (Kullback-Leibler distillation, Hinton et al., 2015), the student the
softmax of the prefixes' sign agreement. Signs pass gradients through a tanh (straight-through
estimator, Bengio et al., 2013). An orthogonality penalty keeps the projection a near-rotation,
and with it the inner products that the asymmetric score needs; the quantizer is then set anew
from the data. Training stops by held-out retrieval and never returns worse than it began.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bitryoshka.binarizer import Binarizer
from bitryoshka.evaluation import exact_topk
from bitryoshka.progress import progress_bar
from bitryoshka.training.closed_form import Goal, assemble
from bitryoshka.training.comparison import Candidate, HeldOut, measure

Floats = NDArray[np.float32]


class Recipe(NamedTuple):
    """Settings of the training, the same for every data set.

    ``tau``: temperature of the float neighbourhood. ``sharpness``: slope of the tanh in
    deviations. ``orthogonality``: weight of the penalty on ``W W' - I``.
    """

    steps: int = 400
    anchors: int = 128
    rows: int = 1024
    neighbours: int = 50
    hard: int = 4
    learning_rate: float = 1e-3
    tau: float = 0.03
    sharpness: float = 2.0
    orthogonality: float = 3.0
    check_every: int = 50


class Batch(NamedTuple):
    """Anchors (A, d), rows (R, d) and the (A, R) mask of rows that are the anchor itself."""

    anchors: torch.Tensor
    rows: torch.Tensor
    same: torch.Tensor


def learn(
    start: Binarizer,
    train: Floats,
    queries: Floats,
    held_out: HeldOut,
    seed: int,
    progress: bool = False,
    recipe: Recipe | None = None,
) -> Binarizer:
    """Train from a closed-form progressive code; deterministic for a seed.

    ``train`` (N, d) are the rows, normalised where the metric asks for it; ``queries`` (Q, d),
    possibly empty, serve as further anchors. Returns the code that the held-out queries prefer
    among those met on the way, the start included.
    """
    settings = recipe or Recipe()
    torch.manual_seed(seed)
    projection = torch.tensor(start.projection, requires_grad=True)
    offset = torch.tensor(start.offset, requires_grad=True)
    prefixes = tuple(b for b in start.nested_bits if b <= start.hamming_bits)
    scales = torch.zeros(len(prefixes), requires_grad=True)
    optimizer = torch.optim.Adam(
        [
            {"params": [projection, offset], "lr": settings.learning_rate},
            {"params": [scales], "lr": 10 * settings.learning_rate},
        ]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [g["lr"] for g in optimizer.param_groups], settings.steps
    )
    best, best_utility = start, _utility(start, held_out)
    with progress_bar(settings.steps, "learn", progress) as advance:
        for step, batch in enumerate(_batches(train, queries, settings, seed), 1):
            loss = _loss(batch, projection, offset, scales, prefixes, settings)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            advance(f"loss {loss.item():.3f}, held-out {best_utility:.4f}")
            if step % settings.check_every == 0:
                met = _rebuild(start, train, projection, offset, seed)
                utility = _utility(met, held_out)
                if utility > best_utility:
                    best, best_utility = met, utility
    return best


def _loss(
    batch: Batch,
    projection: torch.Tensor,
    offset: torch.Tensor,
    scales: torch.Tensor,
    prefixes: tuple[int, ...],
    settings: Recipe,
) -> torch.Tensor:
    def agree(vectors: torch.Tensor) -> torch.Tensor:
        z = vectors @ projection.T - offset
        soft = torch.tanh(settings.sharpness * z / z.detach().std(0))
        return soft + (torch.sign(z) - soft).detach()

    cosines = (batch.anchors @ batch.rows.T / settings.tau).masked_fill(batch.same, -1e9)
    target = torch.log_softmax(cosines, 1)
    left, right = agree(batch.anchors), agree(batch.rows)
    total = torch.zeros(())
    similarity, begin = torch.zeros(()), 0
    for i, end in enumerate(prefixes):
        similarity = similarity + left[:, begin:end] @ right[:, begin:end].T
        logits = similarity * (torch.exp(scales[i]) / end**0.5)
        student = torch.log_softmax(logits.masked_fill(batch.same, -1e9), 1)
        total = total + torch.nn.functional.kl_div(
            student, target, log_target=True, reduction="batchmean"
        )
        begin = end
    excess = projection @ projection.T - torch.eye(len(projection))
    return total / len(prefixes) + settings.orthogonality * (excess**2).sum() / len(projection)


def _batches(train: Floats, queries: Floats, settings: Recipe, seed: int) -> Iterator[Batch]:
    """Anchors with a few of their neighbours each, among random rows."""
    generator = np.random.default_rng(seed)
    pool = np.concatenate([train, queries])
    rows = len(train)
    k = min(settings.neighbours + 1, rows)
    near = exact_topk(pool, train, k, metric="inner_product").rows
    half = settings.anchors // 2 if len(queries) else 0
    for _ in range(settings.steps):
        anchors = generator.integers(0, rows, settings.anchors)
        if half:
            anchors[:half] = generator.integers(rows, len(pool), half)
        # squared uniform ranks: the nearest come most often
        ranks = (generator.random((len(anchors), settings.hard)) ** 2 * k).astype(np.int64)
        hard = np.take_along_axis(near[anchors], ranks, 1).ravel()
        spread = generator.integers(0, rows, max(0, settings.rows - len(hard)))
        picked = np.unique(np.concatenate([hard, spread]))
        yield Batch(
            torch.from_numpy(pool[anchors]),
            torch.from_numpy(train[picked]),
            torch.from_numpy(anchors[:, None] == picked),
        )


def _rebuild(
    start: Binarizer, train: Floats, projection: torch.Tensor, offset: torch.Tensor, seed: int
) -> Binarizer:
    """The binarizer of the parameters as they stand; quantizer and bit order from the data."""
    w, c = projection.detach().numpy().copy(), offset.detach().numpy().copy()
    goal = Goal(start.bits, start.nested_bits, start.metric, seed)
    return assemble(goal, w, c, (train @ w.T).var(axis=0))


def _utility(binarizer: Binarizer, held_out: HeldOut) -> float:
    outcome = measure(Candidate("learned", "learned", binarizer), held_out)
    return float(outcome.utility(binarizer.nested_bits).mean())
