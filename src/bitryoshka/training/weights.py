"""How a float query weighs the bits of finished codes: regression, then distillation (torch).

Codes stay as they are, so this part cannot harm them. Each length of the code has one linear map
from the query to the weights of its bits; its transpose decodes a row from its bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from bitryoshka.binarizer import Binarizer
from bitryoshka.bits import unpack
from bitryoshka.training.decoding import decoders, retrieval_weights
from bitryoshka.training.distilling import (
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

Judge = Callable[[Binarizer], float]


def learn_weights(
    binarizer: Binarizer,
    around: Neighbourhood,
    seed: int,
    recipe: Recipe | None = None,
    report: Report = ignore,
    judge: Judge | None = None,
) -> Binarizer:
    """Train the query weights of each length of the code; codes and their bits stay.

    They start from `retrieval_weights`: what a plain regression spoils for near neighbours, the
    descent does not mend. ``judge`` gives a binarizer's held-out recall: the best of the weights
    on the way are kept. Deterministic for a seed.
    """
    recipe = recipe or Recipe()
    queries = around.anchors[around.own < 0]
    start = retrieval_weights(binarizer, around.rows, queries, seed)
    if not recipe.weight_steps:
        return start
    device = best_device()
    rows = torch.from_numpy(around.rows).to(device)
    bits = to_device(unpack(binarizer.encode(around.rows)), device)
    # weights of fine bits are small: in units of the levels, one rate fits all
    levels = [
        to_device(np.abs(row[:n, None]).clip(1e-12), device)
        for n, row in zip(binarizer.nested_bits, binarizer.levels, strict=True)
    ]
    maps = [
        parameter(decoder / to_numpy(level), device)
        for decoder, level in zip(decoders(start), levels, strict=True)
    ]

    def loss_of(batch: Batch) -> torch.Tensor:
        anchors, same = to_device(batch.anchors, device), to_device(batch.same, device)
        index = to_device(batch.rows, device)
        target = float_target(anchors, rows[index], batch, recipe.weight_tau, recipe.labels)
        signs = bits[index].to(torch.float32) * 2 - 1
        total = torch.zeros((), device=device)
        for a, level in zip(maps, levels, strict=True):
            scores = (anchors @ (a * level).T) @ signs[:, : len(a)].T / recipe.weight_tau
            total = total + distance(scores, target, same)
        return total

    def built() -> Binarizer:
        found = [to_numpy(a * level) for a, level in zip(maps, levels, strict=True)]
        return replace(binarizer, weight_projection=np.concatenate(found))

    check = None if judge is None else lambda: judge(built())
    part = Part("weights", recipe.weight_steps, report, check)
    descend([{"params": maps, "lr": recipe.weight_rate}], loss_of, around, recipe, part, seed, 0)
    return built()
