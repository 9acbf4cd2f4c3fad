"""Embeddings in the forms in which Sentence Transformers hands them out, and their codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitryoshka.binarizer import Binarizer, check_binarizer

Embeddings = Tensor | NDArray[Any] | list[Tensor] | list[NDArray[Any]]


def as_array(embeddings: Embeddings) -> NDArray[Any]:
    """One array on the CPU, of the dtype that came in; float32 for bfloat16, which NumPy lacks."""
    if isinstance(embeddings, Tensor):
        known = embeddings.float() if embeddings.dtype == torch.bfloat16 else embeddings
        found: NDArray[Any] = known.detach().cpu().numpy()
        return found
    if isinstance(embeddings, list) and any(isinstance(one, Tensor) for one in embeddings):
        return np.stack([as_array(one) for one in embeddings])
    return np.asarray(embeddings)


def binarize_embeddings(
    embeddings: Embeddings, binarizer: Binarizer, bits: int | None = None
) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
    """Packed codes of embeddings that are there already, by a binarizer in place of a precision.

    The counterpart of ``sentence_transformers.quantize_embeddings(embeddings, "ubinary")``, whose
    packing it shares: uint8, most significant bit first.

    Args:
        embeddings: float embeddings ``(N, d)`` or ``(d,)``, as a NumPy array, as a tensor on any
            device, or as a list of either. A list of matrices, one for each document as
            multi-vector models give them, becomes a list of their codes.
        binarizer: what was fitted to the model's embeddings; it stands for ``precision``,
            ``ranges`` and ``calibration_embeddings``.
        bits: one of ``binarizer.nested_bits``; None means all of them.

    Returns:
        Codes ``(N, bits/8)`` or ``(bits/8,)`` uint8, those of ``binarizer.encode``. They are codes
        of documents: queries have `Binarizer.query_weights` and `Binarizer.encode_queries`.

    Raises:
        VectorsError: for another dimension, NaN, infinity, for zero vectors under cosine, and for
            embeddings that are quantized already.
        BitsError: for a length that is not offered.
        OptionError: for what is no binarizer.
    """
    check_binarizer(binarizer)
    if isinstance(embeddings, list) and embeddings and np.ndim(embeddings[0]) == 2:
        return [np.asarray(binarize_embeddings(one, binarizer, bits)) for one in embeddings]
    vectors = as_array(embeddings)
    rows = vectors.reshape(-1, vectors.shape[-1]) if vectors.size else vectors
    return binarizer.encode(rows, bits).reshape(*vectors.shape[:-1], -1)
