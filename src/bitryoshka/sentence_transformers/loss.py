"""A training loss that makes a model's own vectors good codes, at every nested length at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    AdaptiveLayerLoss,
    EmbedDistillLoss,
    MatryoshkaLoss,
    MSELoss,
)
from torch import Tensor, nn

from bitryoshka.binarizer import Binarizer, check_binarizer
from bitryoshka.bits import check_bits
from bitryoshka.errors import BitsError, OptionError, VectorsError
from bitryoshka.sentence_transformers.adapter import Adapter

__all__ = ["BinaryMatryoshkaLoss"]

Features = dict[str, Any]
Seen = Callable[[Tensor, bool], Tensor]
"""What a comparison sees of vectors (N, d); whether they are those of queries."""


class Comparison(NamedTuple):
    """One way in which the wrapped loss compares texts, and its share of the whole."""

    seen: Seen
    weight: float
    needs_rows: bool = False


class BinaryMatryoshkaLoss(nn.Module):
    """The wrapped loss of float vectors, and of codes of every length by both comparisons.

    The wrapped loss is computed several times from one forward pass of the model: on the float
    vectors, and for each of ``nested_bits`` on bits against bits (Hamming distance) and on float
    query weights against bits (asymmetric), where the first column of the data holds the queries
    and the others the rows. Signs are straight-through. `binarizer` gives the codes that were
    trained; `bitryoshka.fit` to the tuned model's vectors makes others.

    Ranking by float queries and by bits at once: Yamada, Asai and Hajishirzi, "Efficient passage
    retrieval with hashing for open-domain question answering", ACL 2021; nested lengths: Kusupati
    et al., "Matryoshka representation learning", NeurIPS 2022.

    Args:
        model: the `SentenceTransformer` that is trained.
        loss: any of sentence-transformers' losses that compares texts by a similarity, those that
            cache gradients too. `AdaptiveLayerLoss` goes around this one, not into it.
        binarizer: where the trained projection and thresholds start, a binarizer fitted to vectors
            of the model as it is: its Hamming bits are used. None: the bits are the signs of the
            model's own first dimensions, and only the model is trained. The adapter's parameters
            are called ``adapter.projection`` and ``adapter.offset``, for the trainer's
            ``learning_rate_mapping``; each device of several trains an adapter of its own.
        nested_bits: the lengths, rising multiples of 8; None: those of the binarizer, up to its
            Hamming bits.
        nested_weights: how much each length counts; None: all alike. They are divided by their sum.
        float_weight: how much the float vectors count.
        hamming_weight: how much bits against bits count, all lengths together.
        asymmetric_weight: how much float queries against bits count, all lengths together. Losses
            of single texts have no queries: there it is left out.

    Raises:
        BitsError: lengths that do not rise, are no multiples of 8, or that the binarizer or the
            model's dimensions do not reach.
        OptionError: weights that are negative, all zero, or of another number; a wrapped loss that
            cannot compare codes; what is no binarizer.
        VectorsError: a binarizer of another number of dimensions than the model's vectors.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        loss: nn.Module,
        binarizer: Binarizer | None = None,
        *,
        nested_bits: Sequence[int] | None = None,
        nested_weights: Sequence[float] | None = None,
        float_weight: float = 1.0,
        hamming_weight: float = 1.0,
        asymmetric_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if isinstance(loss, (AdaptiveLayerLoss, EmbedDistillLoss, MatryoshkaLoss, MSELoss)):
            raise OptionError(
                "expected a loss that compares texts by a similarity of any length, "
                f"found {type(loss).__name__}"
            )
        self.model, self.loss = model, loss
        if binarizer is not None:
            check_binarizer(binarizer)
        start = binarizer or _own_signs(model, nested_bits)
        dimensions = model.get_embedding_dimension()
        if dimensions not in (None, start.dimensions):
            raise VectorsError(
                f"expected a binarizer of the model's {dimensions} dimensions, "
                f"found {start.dimensions}"
            )
        self.nested_bits = _lengths(nested_bits, start)
        self.nested_weights = _weights(nested_weights, self.nested_bits)
        for name, weight in (
            ("float_weight", float_weight),
            ("hamming_weight", hamming_weight),
            ("asymmetric_weight", asymmetric_weight),
        ):
            _check_weights((weight,), name)
        if not hamming_weight + asymmetric_weight:
            raise OptionError("expected hamming_weight or asymmetric_weight above 0, found neither")
        self.float_weight = float_weight
        self.hamming_weight = hamming_weight
        self.asymmetric_weight = asymmetric_weight
        self.adapter = Adapter(start, self.nested_bits[-1], learned=binarizer is not None)

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None) -> Tensor:
        """The weighted sum of the wrapped loss over all comparisons, as the trainer calls it."""
        columns = list(sentence_features)
        comparisons = [
            c for c in self._comparisons() if c.weight and not (c.needs_rows and len(columns) < 2)
        ]
        if getattr(self.loss, "uses_gradient_cache", False):
            return self._cached(comparisons, columns, labels)
        total = torch.zeros((), device=self.adapter.offset.device)
        with _embedded_once(self.model, columns) as see:
            for comparison in comparisons:
                see(comparison.seen)
                total = total + comparison.weight * self.loss(columns, labels)
        return total

    def _comparisons(self) -> Iterator[Comparison]:
        yield Comparison(lambda vectors, query: vectors, self.float_weight)
        for bits, weight in zip(self.nested_bits, self.nested_weights, strict=True):
            yield Comparison(partial(self._hamming, bits), self.hamming_weight * weight)
            share = self.asymmetric_weight * weight
            yield Comparison(partial(self._asymmetric, bits), share, needs_rows=True)

    def _hamming(self, bits: int, vectors: Tensor, query: bool) -> Tensor:
        return self.adapter.signs(vectors, bits)

    def _asymmetric(self, bits: int, vectors: Tensor, query: bool) -> Tensor:
        if query:
            return self.adapter.query_weights(vectors, bits)
        return self.adapter.signs(vectors, bits)

    def _cached(
        self, comparisons: Sequence[Comparison], columns: list[Features], labels: Tensor | None
    ) -> Tensor:
        """By a loss that caches gradients: it computes, and goes backward, from embeddings.

        The adapter's gradients of that moment are joined to the returned loss, so that whatever
        scales the loss scales them too.
        """
        once: Any = self.loss.calculate_loss
        trained = [p for p in self.adapter.parameters() if p.requires_grad]
        collected = [torch.zeros_like(p) for p in trained]

        def calculate(embedded: list[list[Tensor]], *args: Any, **kwargs: Any) -> Tensor:
            total = torch.zeros((), device=self.adapter.offset.device)
            for seen, weight, _ in comparisons:
                given = [[seen(v, not i) for v in column] for i, column in enumerate(embedded)]
                if not torch.is_grad_enabled():
                    total = total + weight * once(given, *args, **kwargs)
                    continue
                cut = [[v.detach().requires_grad_() for v in column] for column in given]
                total = total + weight * once(cut, *args, **kwargs).detach()
                _go_on(given, cut, embedded, weight, trained, collected)
            return total

        self.loss.calculate_loss = calculate  # type: ignore[assignment]
        try:
            loss: Tensor = self.loss(columns, labels)
        finally:
            del self.loss.calculate_loss
        if not torch.is_grad_enabled():
            return loss
        joined = [(p * gradient).sum() for p, gradient in zip(trained, collected, strict=True)]
        return loss + sum(term - term.detach() for term in joined)

    def binarizer(self) -> Binarizer:
        """The codes that were trained: sign codes of the adapter, at ``nested_bits``.

        Save it beside the model: the trainer saves the model alone. As ``binarizer`` of a new loss
        it goes on where this one is.
        """
        return self.adapter.binarizer(self.nested_bits)

    def get_config_dict(self) -> dict[str, Any]:
        """The settings, for the model card."""
        return {
            "loss": type(self.loss).__name__,
            "nested_bits": self.nested_bits,
            "nested_weights": self.nested_weights,
            "float_weight": self.float_weight,
            "hamming_weight": self.hamming_weight,
            "asymmetric_weight": self.asymmetric_weight,
        }

    @property
    def citation(self) -> str:
        """The paper whose two comparisons this loss trains, as BibTeX for the model card."""
        return """
@inproceedings{yamada2021bpr,
    title={Efficient Passage Retrieval with Hashing for Open-domain Question Answering},
    author={Ikuya Yamada and Akari Asai and Hannaneh Hajishirzi},
    booktitle={ACL},
    year={2021}
}
"""


@contextmanager
def _embedded_once(
    model: nn.Module, columns: Sequence[Features]
) -> Iterator[Callable[[Seen], None]]:
    """While it lasts, the model embeds at the first comparison and repeats itself at the others.

    The yielded function begins a comparison. A loss must ask for the same texts in the same order
    each time, as those of sentence-transformers do; that the first column is asked for by itself
    tells queries from rows.
    """
    forward, before = model.forward, vars(model).get("forward")
    outputs: list[Mapping[str, Any]] = []
    seen: Seen
    asked = 0

    def see(comparison: Seen) -> None:
        nonlocal seen, asked
        seen, asked = comparison, 0

    def again(features: Features, *args: Any, **kwargs: Any) -> Features:
        nonlocal asked
        if asked == len(outputs):
            outputs.append(dict(forward(features, *args, **kwargs)))
        output = dict(outputs[asked])
        asked += 1
        vectors = output["sentence_embedding"]
        return {**output, "sentence_embedding": seen(vectors, features is columns[0])}

    model.forward = again
    try:
        yield see
    finally:
        # a method that stays behind on the instance would be copied with it
        if before is None:
            del model.forward
        else:
            model.forward = before


def _go_on(
    given: Sequence[Sequence[Tensor]],
    cut: Sequence[Sequence[Tensor]],
    embedded: Sequence[Sequence[Tensor]],
    weight: float,
    trained: Sequence[Tensor],
    collected: Sequence[Tensor],
) -> None:
    """From the gradients at ``cut`` on to those of the embeddings and of the adapter."""
    ends = [v for column in given for v in column]
    gradients = [weight * v.grad for column in cut for v in column if v.grad is not None]
    starts = [v for column in embedded for v in column]
    found = torch.autograd.grad(ends, [*starts, *trained], gradients, allow_unused=True)
    for vectors, gradient in zip(starts, found, strict=False):
        vectors.grad = gradient if vectors.grad is None else vectors.grad + gradient
    for sum_, gradient in zip(collected, found[len(starts) :], strict=True):
        if gradient is not None:
            sum_ += gradient


def _own_signs(model: SentenceTransformer, nested_bits: Sequence[int] | None) -> Binarizer:
    """Signs of the model's first dimensions."""
    dimensions = model.get_embedding_dimension()
    if dimensions is None or not nested_bits:
        missing = "nested_bits" if dimensions else "a model that knows its dimensions"
        raise OptionError(f"expected a binarizer, or {missing}, found neither")
    bits = dimensions // 8 * 8
    return Binarizer(
        projection=np.eye(bits, dimensions, dtype=np.float32),
        offset=np.zeros(bits, np.float32),
        nested_bits=(bits,),
    )


def _lengths(nested_bits: Sequence[int] | None, start: Binarizer) -> tuple[int, ...]:
    if nested_bits is None:
        return tuple(b for b in start.nested_bits if b <= start.hamming_bits)
    lengths = tuple(check_bits(b, "each of nested_bits") for b in nested_bits)
    if not lengths or list(lengths) != sorted(set(lengths)):
        raise BitsError(f"nested_bits must rise, found {lengths}")
    if lengths[-1] > start.hamming_bits:
        raise BitsError(
            f"nested_bits must reach at most the {start.hamming_bits} Hamming bits, found {lengths}"
        )
    return lengths


def _weights(given: Sequence[float] | None, nested_bits: tuple[int, ...]) -> tuple[float, ...]:
    weights = tuple(given) if given is not None else (1.0,) * len(nested_bits)
    if len(weights) != len(nested_bits):
        raise OptionError(
            f"expected {len(nested_bits)} nested_weights, one a length, found {len(weights)}"
        )
    _check_weights(weights, "nested_weights")
    if not sum(weights):
        raise OptionError("expected nested_weights that are not all 0")
    return tuple(weight / sum(weights) for weight in weights)


def _check_weights(weights: Sequence[float], name: str) -> None:
    if not all(np.isfinite(weight) and weight >= 0 for weight in weights):
        raise OptionError(f"{name} must be finite and not negative, found {list(weights)}")
