"""Query weights of finished codes, trained to keep the float neighbourhood (torch).

Codes stay as they are, so this part cannot harm them. Each length of the code has one linear map
from the query to the weights of its bits, which starts as the fit left it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import unpack
from bitryoshka.training.distilling import (
    Recipe,
    Report,
    best_device,
    descend,
    distance,
    float_target,
    parameter,
    to_device,
    to_numpy,
)
from bitryoshka.training.neighbourhood import Batch, Neighbourhood

Judge = Callable[[Binarizer], float]


def learn_weights(
    binarizer: Binarizer,
    around: Neighbourhood,
    seed: int,
    recipe: Recipe | None = None,
    report: Report = lambda event: None,
    judge: Judge | None = None,
) -> Binarizer:
    """Train the query weights of each length of the code; codes and their bits stay.

    ``judge`` gives a binarizer's held-out recall: the best of the weights on the way are kept.
    Deterministic for a seed.
    """
    recipe = recipe or Recipe()
    device = best_device()
    rows = torch.from_numpy(around.rows).to(device)
    bits = to_device(unpack(binarizer.encode(around.rows)), device)
    unit = np.eye(binarizer.dimensions, dtype=np.float32)
    starts = [binarizer.query_weights(unit, n).T for n in binarizer.nested_bits]
    # weights of fine bits are small: in units of their own size, one rate fits all
    sizes = [
        to_device(np.linalg.norm(start, axis=1, keepdims=True).clip(1e-12), device)
        for start in starts
    ]
    maps = [
        parameter(start / to_numpy(size), device) for start, size in zip(starts, sizes, strict=True)
    ]

    def loss_of(batch: Batch) -> torch.Tensor:
        anchors, same = to_device(batch.anchors, device), to_device(batch.same, device)
        index = to_device(batch.rows, device)
        target = float_target(anchors, rows[index], batch, recipe.tau, recipe.labels)
        signs = bits[index].to(torch.float32) * 2 - 1
        total = torch.zeros((), device=device)
        for a, size in zip(maps, sizes, strict=True):
            scores = (anchors @ (a * size).T) @ signs[:, : len(a)].T / recipe.tau
            total = total + distance(scores, target, same)
        return total

    def built() -> Binarizer:
        found = [to_numpy(a * size) for a, size in zip(maps, sizes, strict=True)]
        return replace(binarizer, weight_projection=np.concatenate(found))

    check = None if judge is None else lambda: judge(built())
    descend(maps, loss_of, around, recipe, seed, report, check)
    return built()
