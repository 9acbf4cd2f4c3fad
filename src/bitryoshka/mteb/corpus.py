"""The vectors that a model makes of a task's corpus: what a binarizer can be fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from mteb.abstasks import AbsTaskRetrieval
from mteb.models import EncoderProtocol, SearchEncoderWrapper
from numpy.typing import NDArray

from bitryoshka.errors import OptionError
from bitryoshka.mteb.index import floats
from bitryoshka.mteb.model import as_encoder

if TYPE_CHECKING:
    from mteb.types import EncodeKwargs


def corpus_vectors(
    model: EncoderProtocol,
    task: AbsTaskRetrieval,
    *,
    split: str | None = None,
    subset: str | None = None,
    encode_kwargs: EncodeKwargs | None = None,
) -> NDArray[np.float32]:
    """Vectors ``(N, d)`` float32 of the documents of a retrieval task, as `mteb.evaluate` has them.

    ``split`` and ``subset``: of the task; None: its first ones. ``encode_kwargs``: as of
    `mteb.evaluate`, such as ``batch_size``. A task that is not loaded yet is loaded, and stays so.
    A ``CachedEmbeddingWrapper`` around the model spares the evaluation the same work.

    Raises OptionError for a task without a corpus, and for a split or subset that it has not.
    """
    if not isinstance(task, AbsTaskRetrieval):
        raise OptionError(f"expected a retrieval task, found {type(task).__name__}")
    task.load_data()
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    subset = _one_of(subset, list(task.dataset), "subset")
    split = _one_of(split, list(task.dataset[subset]), "split")
    kept = _Kept()
    SearchEncoderWrapper(as_encoder(model), index_backend=cast("Any", kept)).index(
        task.dataset[subset][split]["corpus"],
        task_metadata=task.metadata,
        hf_split=split,
        hf_subset=subset,
        encode_kwargs=encode_kwargs or {},
    )
    return kept.vectors


class _Kept:
    """What `SearchEncoderWrapper.index` needs of an index."""

    vectors: NDArray[np.float32]

    def add_documents(self, embeddings: Any, idxs: list[str]) -> None:
        self.vectors = np.asarray(floats(embeddings), np.float32)


def _one_of(wanted: str | None, offered: list[str], word: str) -> str:
    if wanted is None:
        return offered[0]
    if wanted not in offered:
        raise OptionError(f"{word} must be one of {tuple(offered)}, found {wanted!r}")
    return wanted
