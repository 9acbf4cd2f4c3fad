"""A binarizer's projection and thresholds, trained together with the model (torch)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import VectorsError

__all__ = ["Adapter"]


class Adapter(nn.Module):
    """What both sides of a search see of vectors (N, d), as tensors of unit length.

    It starts as the first ``bits`` projected dimensions of a binarizer. ``projection`` (bits, d)
    and ``offset`` (bits,) are float32 parameters, trained if ``learned``.
    """

    def __init__(self, binarizer: Binarizer, bits: int, *, learned: bool) -> None:
        super().__init__()
        self.metric = binarizer.metric
        self.projection = nn.Parameter(torch.tensor(binarizer.projection[:bits]), learned)
        self.offset = nn.Parameter(torch.tensor(binarizer.offset[:bits]), learned)

    def query_weights(self, vectors: Tensor, bits: int) -> Tensor:
        """The first weights of float queries, (N, bits): `Binarizer.query_weights`, scaled."""
        weights: Tensor = functional.normalize(self._project(vectors, bits), dim=-1)
        return weights

    def signs(self, vectors: Tensor, bits: int) -> Tensor:
        """The first bits of codes as -1 and +1 over the root of their number, (N, bits).

        Backward they are the projected values themselves, as long as these lie within the bits: the
        straight-through estimator (Bengio, Léonard and Courville, "Estimating or propagating
        gradients through stochastic neurons for conditional computation", 2013) that stops where
        a sign is beyond doubt (Hubara et al., "Binarized neural networks", NeurIPS 2016).
        """
        # the values of a unit vector's d dimensions are about 1 / sqrt(d) each
        d = vectors.shape[-1]
        z = (self._project(vectors, bits) - self.offset[:bits]) * d**0.5
        hard, soft = torch.where(z > 0, 1.0, -1.0), z.clamp(-1, 1)
        signs: Tensor = (hard + (soft - soft.detach())) / bits**0.5
        return signs

    def _project(self, vectors: Tensor, bits: int) -> Tensor:
        d = self.projection.shape[1]
        if vectors.shape[-1] != d:
            raise VectorsError(f"expected vectors of {d} dimensions, found {vectors.shape[-1]}")
        unit = vectors.float()
        if self.metric == "cosine":
            unit = functional.normalize(unit, dim=-1)
        projected: Tensor = functional.linear(unit, self.projection[:bits])
        return projected

    def binarizer(self, nested_bits: Sequence[int]) -> Binarizer:
        """The same projection and thresholds as a binarizer of sign codes."""

        def values(parameter: Tensor) -> np.ndarray:
            return parameter.detach().float().cpu().numpy()

        return Binarizer(
            projection=values(self.projection),
            offset=values(self.offset),
            nested_bits=tuple(nested_bits),
            metric=self.metric,
            info={"method": "trained with the model"},
        )
