"""How query weights are learned: the recipe, the loss, and the descent (torch).

They distil the float neighbourhood. For the anchors of a batch, the target over the rows is
softmax(cosine / tau), and the student the softmax of a code's scores; the loss is their
Kullback-Leibler divergence (Hinton, Vinyals and Dean, "Distilling the knowledge in a neural
network", 2015), taken at every length of the code at once (Kusupati et al., "Matryoshka
representation learning", NeurIPS 2022). Where a query has a labelled answer, part of the target's
mass moves there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bitryoshka.training.neighbourhood import Batch, Neighbourhood

Floats = NDArray[np.float32]
Report = Callable[[dict[str, Any]], None]

NEIGHBOURS = 100
_NEVER = -1e9


class Recipe(NamedTuple):
    """Settings of the training, the same for every data set.

    ``steps`` and ``rate`` of the descent, ``tau``: temperature of the float neighbourhood.
    ``anchors``, ``rows`` and ``hard`` neighbours of each anchor in a batch; ``labels``, share of
    the target that lies on a labelled answer. ``checks``: how often it is judged by held-out
    retrieval; after ``patience`` checks without a better one it stops.
    """

    steps: int = 400
    rate: float = 3e-4
    tau: float = 0.06
    anchors: int = 128
    rows: int = 1024
    hard: int = 4
    labels: float = 0.5
    checks: int = 6
    patience: int = 3


def distance(scores: torch.Tensor, target: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
    """Divergence of a code's scores (A, R) from the target, the anchor itself left out."""
    student = torch.log_softmax(scores.masked_fill(same, _NEVER), 1)
    return torch.nn.functional.kl_div(student, target, log_target=True, reduction="batchmean")


def float_target(
    anchors: torch.Tensor, rows: torch.Tensor, batch: Batch, tau: float, labels: float
) -> torch.Tensor:
    """Log of the target over the rows of a batch, (A, R)."""
    same = to_device(batch.same, rows.device)
    target = torch.log_softmax((anchors @ rows.T / tau).masked_fill(same, _NEVER), 1)
    labelled = np.flatnonzero(batch.answers >= 0)
    if labels and len(labelled):
        answers = to_device(batch.answers[labelled], rows.device)
        share = (1 - labels) * target[labelled].exp()
        share[torch.arange(len(labelled)), answers] += labels
        target[labelled] = share.clamp_min(1e-30).log()
    return target


def descend(
    parameters: list[torch.Tensor],
    loss_of: Callable[[Batch], torch.Tensor],
    around: Neighbourhood,
    recipe: Recipe,
    seed: int,
    report: Report,
    check: Callable[[], float] | None,
) -> None:
    """Adam with a rate that rises for a seventh of the steps and then falls to nothing.

    ``check`` gives the held-out figure of the parameters as they are, higher is better: they are
    left as they were at the best one. None: the last ones are kept.
    """
    steps = recipe.steps
    optimizer = torch.optim.Adam(parameters, recipe.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, steps, pct_start=0.15)
    best = _Best(parameters, recipe.patience)
    every = max(1, steps // max(1, recipe.checks))
    batches = around.batches(steps, recipe.anchors, recipe.rows, recipe.hard, seed)
    for step, batch in enumerate(batches, 1):
        loss = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        event: dict[str, Any] = {"stage": "weights", "step": step, "steps": steps}
        event["loss"] = loss.item()
        if check is not None and (step % every == 0 or step == steps):
            event["held_out_recall"] = figure = check()
            best.look(figure)
        report(event)
        if best.weary:
            break
    best.restore()


class _Best:
    """The parameters of the best check so far."""

    def __init__(self, parameters: Sequence[torch.Tensor], patience: int) -> None:
        self.parameters, self.patience = parameters, patience
        self.kept: list[torch.Tensor] | None = None
        self.figure, self.worse = -np.inf, 0

    def look(self, figure: float) -> None:
        if figure > self.figure:
            self.kept = [p.detach().clone() for p in self.parameters]
            self.figure, self.worse = figure, 0
        else:
            self.worse += 1

    @property
    def weary(self) -> bool:
        return self.worse >= self.patience

    def restore(self) -> None:
        with torch.no_grad():
            for parameter, value in zip(self.parameters, self.kept or self.parameters, strict=True):
                parameter.copy_(value)


def best_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def parameter(values: Floats, device: torch.device) -> torch.Tensor:
    """A copy that can be trained."""
    return torch.tensor(values, device=device, requires_grad=True)


def to_device(values: NDArray[Any], device: torch.device) -> torch.Tensor:
    """The same values as a tensor."""
    return torch.from_numpy(values).to(device)


def to_numpy(values: torch.Tensor) -> Floats:
    """A copy of trained values."""
    found: Floats = values.detach().cpu().numpy().copy()
    return found
