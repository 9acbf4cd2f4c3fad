"""From texts to a binarizer, and from a model to one that gives codes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.sentence_transformer.model_card import SentenceTransformerModelCardData

from bitryoshka.binarizer import Binarizer, Metric, check_binarizer
from bitryoshka.errors import OptionError, VectorsError
from bitryoshka.limits import check_count
from bitryoshka.sentence_transformers.codes import Codes, QueryForm
from bitryoshka.training import FitResult, fit
from bitryoshka.training.checks import MIN_ROWS, check_request
from bitryoshka.vectors import renumbered

SAMPLE_SIZE = 20_000
_METRICS: dict[str, Metric] = {"cosine": "cosine", "dot": "inner_product"}


def fit_codes(
    model: SentenceTransformer,
    documents: Sequence[Any],
    queries: Sequence[Any] | None = None,
    *,
    bits: int = 384,
    nested_bits: Sequence[int] | None = None,
    method: str = "auto",
    hamming_bits: int | None = None,
    seed: int = 0,
    sample_size: int = SAMPLE_SIZE,
    batch_size: int = 32,
    show_progress_bar: bool | None = None,
) -> FitResult:
    """Encode a sample of texts with a model, and fit a binarizer to their embeddings.

    The metric is the model's: cosine where its ``similarity_fn_name`` says so or its last module
    normalises, inner product where it is "dot". `add_codes` makes a model of the result that gives
    codes.

    Args:
        model: a model without `Codes`; its prompts and its ``truncate_dim`` are heeded.
        documents: what will be stored, at least 50, in any form that ``encode_document`` takes;
            with an index, since a sample of them is drawn.
        queries: unlabelled queries, for ``encode_query``; see `bitryoshka.fit`.
        bits: as in `bitryoshka.fit`. For labelled pairs encode yourself, and call that.
        nested_bits: as there.
        method: as there.
        hamming_bits: as there.
        seed: of the sample, and as there.
        sample_size: how many documents are encoded at most.
        batch_size: as in ``encode``.
        show_progress_bar: as in ``encode``; True shows the fit's too.

    Raises:
        OptionError: for what is no SentenceTransformer or compares by another distance, for
            documents without an index, and as `bitryoshka.fit`, before anything is encoded.
        VectorsError, BitsError, MissingExtraError: as `bitryoshka.fit`.
    """
    metric = metric_of(model)
    base = model.model_card_data.base_model
    source = base if isinstance(base, str) else None
    check_request(bits, hamming_bits, nested_bits, method, metric, seed, source, None)
    if isinstance(documents, str) or not hasattr(documents, "__getitem__"):
        raise OptionError(
            f"documents must be a list, or indexed as one, found {type(documents).__name__}"
        )
    picked = np.arange(len(documents))
    if len(documents) > check_count(sample_size, "sample_size", OptionError, least=MIN_ROWS):
        generator = np.random.default_rng(seed)
        picked = np.sort(generator.choice(len(documents), sample_size, replace=False))
    encoding = {"batch_size": batch_size, "show_progress_bar": show_progress_bar}
    vectors = model.encode_document([documents[int(i)] for i in picked], **encoding)
    asked = None if queries is None else model.encode_query(queries, **encoding)
    with renumbered(picked, "document"):
        return fit(
            vectors,
            asked,
            bits=bits,
            nested_bits=nested_bits,
            method=method,
            seed=seed,
            progress=bool(show_progress_bar),
            hamming_bits=hamming_bits,
            metric=metric,
            source_model=source,
        )


def add_codes(
    model: SentenceTransformer, binarizer: Binarizer, queries: QueryForm = "weights"
) -> SentenceTransformer:
    """A new model: the modules and settings of this one, and `Codes` at their end.

    Prompts and device stay as they are, and ``truncate_dim`` becomes that of the module. The two
    models share their weights. Raises VectorsError where the binarizer takes another number of
    dimensions than the model gives; OptionError where its metric is not the model's, and for what
    is no model or no binarizer.
    """
    check_binarizer(binarizer)
    metric, found = metric_of(model), model.get_embedding_dimension()
    if found not in (None, binarizer.dimensions):
        raise VectorsError(
            f"the binarizer takes {binarizer.dimensions} dimensions, the model gives {found}"
        )
    if metric != binarizer.metric:
        raise OptionError(
            f"the binarizer was fitted for {binarizer.metric!r}, the model compares by {metric!r}"
        )
    modules = OrderedDict(model.named_children())
    modules[str(len(modules))] = Codes(binarizer, queries, model.truncate_dim)
    coded = SentenceTransformer(
        modules=modules,
        device=model.device,
        prompts=model.prompts,
        default_prompt_name=model.default_prompt_name,
        trust_remote_code=model.trust_remote_code,
        model_card_data=_card_like(model.model_card_data),
    )
    coded.module_kwargs = model.module_kwargs
    return coded


def _card_like(known: SentenceTransformerModelCardData) -> SentenceTransformerModelCardData:
    """A card that says of which model it is, as the other one does."""
    card = SentenceTransformerModelCardData(model_name=known.model_name)
    card.base_model, card.base_model_revision = known.base_model, known.base_model_revision
    return card


def metric_of(model: SentenceTransformer) -> Metric:
    """The metric by which the model's embeddings are compared; OptionError for any other."""
    if not isinstance(model, SentenceTransformer):
        raise OptionError(f"expected a SentenceTransformer, found {type(model).__name__}")
    if isinstance(model[-1], Normalize):
        return "cosine"
    name = model.similarity_fn_name
    if name not in _METRICS:
        raise OptionError(f"the model must compare by 'cosine' or 'dot', found {name!r}")
    return _METRICS[name]
