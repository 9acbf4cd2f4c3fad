"""The module that ends a pipeline: sentence embeddings in, codes and query weights out."""

from __future__ import annotations

import os
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.base.modules import Module
from torch import Tensor

from bitryoshka.binarizer import Binarizer, check_binarizer
from bitryoshka.bits import check_codes, prefix, unpack
from bitryoshka.errors import BitsError, FileFormatError, OptionError, VectorsError
from bitryoshka.sentence_transformers.embeddings import Embeddings, as_array

BINARIZER_FILE = "binarizer.safetensors"
QueryForm = Literal["weights", "bits"]


class Codes(Module):  # type: ignore[misc]
    """Turns the sentence embeddings of the modules before it into codes.

    It stands at the end: ``SentenceTransformer(modules=[*model, Codes(binarizer)])``, or
    `add_codes`, which also keeps the model's prompts. Then

    * ``encode_document``, and ``encode``, give packed codes ``(N, bits/8)`` uint8, those of
      ``binarizer.encode``;
    * ``encode_query`` gives what ``queries`` says: "weights", float32 ``(Q, bits)``, those of
      ``binarizer.query_weights``; or "bits", packed codes ``(Q, hamming_bits/8)`` uint8, those of
      ``binarizer.encode_queries``;
    * ``similarity`` and ``similarity_pairwise`` of the model compare these: see `similarity`. Its
      ``similarity_fn_name`` is "cosine": what compares by that name itself, as most evaluators do,
      then stops at the bytes, which the inner product would score.

    The model's card gets a name of its own, with the fingerprint, by which MTEB keeps results.

    The codes are found on the CPU, whatever device and float dtype the embeddings have, and are
    handed on to that device.

    Args:
        binarizer: what was fitted to the embeddings that the modules before this one give. Shorter
            codes are those of ``binarizer.truncate(bits)``.
        queries: what ``encode_query`` gives.
        truncate_dim: how many leading dimensions of the embeddings the binarizer takes, for models
            whose embeddings may be truncated; None: all. The model's own ``truncate_dim`` would cut
            the codes, and is refused where the model has it when it is made or loaded.

    ``save_pretrained`` writes the binarizer's file beside these settings. The class is not one of
    Sentence Transformers' own, so that loading takes ``trust_remote_code=True``.

    Raises OptionError for what is no binarizer, for other ``queries``, and whenever it is run with
    gradients; VectorsError for embeddings that cannot be encoded.
    """

    config_keys: list[str] = ["queries", "truncate_dim"]  # noqa: RUF012
    forward_kwargs: set[str] = {"task"}  # noqa: RUF012

    def __init__(
        self,
        binarizer: Binarizer,
        queries: QueryForm = "weights",
        truncate_dim: int | None = None,
    ) -> None:
        super().__init__()
        check_binarizer(binarizer)
        if queries not in get_args(QueryForm):
            raise OptionError(f"queries must be 'weights' or 'bits', found {queries!r}")
        self.binarizer = binarizer
        self.queries = queries
        self.truncate_dim = truncate_dim

    # what is NumPy's is nothing to trace for `model.compile()`
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(self, features: dict[str, Any], task: str | None = None) -> dict[str, Any]:
        """Replace ``sentence_embedding`` by codes; by what queries get where that is the task."""
        embeddings: Tensor = features["sentence_embedding"]
        if torch.is_grad_enabled() and (self.training or embeddings.requires_grad):
            raise OptionError(
                "codes have no gradient: train the model without its Codes module, with "
                "bitryoshka.sentence_transformers.BinaryMatryoshkaLoss, then fit to it and add "
                "the module again; outside of training call encode, or use torch.no_grad()"
            )
        vectors = as_array(embeddings[:, : self.truncate_dim])
        try:
            found = self._encoded(vectors, task)
        except VectorsError as error:
            error.add_note(
                "rows are those of one batch, which encode fills with the longest first. Leave out "
                "texts that have no code: those that the model without its Codes module embeds as "
                "zero, as a static model does a text without words, or as what is not finite"
            )
            raise
        features["sentence_embedding"] = torch.from_numpy(found).to(embeddings.device)
        return features

    def _encoded(self, vectors: NDArray[Any], task: str | None) -> NDArray[Any]:
        if task != "query":
            return self.binarizer.encode(vectors)
        if self.queries == "bits":
            return self.binarizer.encode_queries(vectors)
        return self.binarizer.query_weights(vectors)

    def get_embedding_dimension(self) -> int:
        """Number of bytes of a code, which are the columns of what ``encode`` gives."""
        return self.binarizer.bits // 8

    def on_model_ready(self, model: Any) -> None:
        """Let the model compare codes, and bear a name that is not the plain model's.

        Raises OptionError where its ``truncate_dim`` would cut them.
        """
        if model.truncate_dim is not None:
            raise OptionError(
                f"truncate_dim={model.truncate_dim} would cut the codes after {model.truncate_dim} "
                "bytes: use Codes(binarizer, truncate_dim=...) for the embeddings, or "
                "Codes(binarizer.truncate(bits)) for the codes"
            )
        # by inner product the library's evaluators would score bytes, by cosine torch refuses them
        model.similarity_fn_name = "cosine"
        model.similarity = self.similarity
        model.similarity_pairwise = self.similarity_pairwise
        card = model.model_card_data
        ending = f"-codes-{self.queries}-{self.binarizer.fingerprint[:16]}"
        known = card.model_name or card.base_model or "model"
        # MTEB reads names of an organization and a model
        named = known if "/" in known else f"bitryoshka/{known}"
        card.model_name = named.removesuffix(ending) + ending

    def similarity(self, embeddings1: Embeddings, embeddings2: Embeddings) -> Tensor:
        """Scores ``(Q, N)`` float32 of queries against codes; greater is better.

        ``embeddings1``: float query weights ``(Q, bits)``, or codes ``(Q, hamming_bits/8)`` uint8,
        whole ones as well; ``embeddings2``: codes ``(N, bits/8)`` uint8. A score is the share of
        the query's weight on which query and code agree, less the share on which they do not, from
        -1 to 1; every bit of a query that is a code weighs the same, which is
        1 - 2 * distance / bits over the Hamming bits. Raises BitsError for anything else.
        """
        weights, signs = self._comparable(embeddings1, embeddings2)
        return torch.from_numpy(weights @ signs.T)

    def similarity_pairwise(self, embeddings1: Embeddings, embeddings2: Embeddings) -> Tensor:
        """Scores ``(N,)`` float32, as `similarity`, of each query with the code in its place."""
        weights, signs = self._comparable(embeddings1, embeddings2)
        return torch.from_numpy((weights * signs).sum(axis=1))

    def _comparable(
        self, queries: Embeddings, documents: Embeddings
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights whose sizes add up to 1, and as many bits of each document as -1 and +1."""
        asked = np.atleast_2d(as_array(queries))
        codes = check_codes(np.atleast_2d(as_array(documents)), "the second embeddings")
        bits, hamming_bits = self.binarizer.bits, self.binarizer.hamming_bits
        packed = asked.dtype == np.uint8
        fits = (
            asked.shape[1] * 8 in (hamming_bits, bits)
            if packed
            else asked.shape[1] == bits and np.issubdtype(asked.dtype, np.floating)
        )
        if codes.shape[1] * 8 != bits or not fits:
            raise BitsError(
                f"expected float weights or uint8 codes of queries, then codes of {bits} bits, "
                f"found {asked.shape} {asked.dtype}, then {codes.shape} {codes.dtype}"
            )
        weights = _signs(prefix(asked, hamming_bits)) if packed else asked.astype(np.float32)
        sizes = np.abs(weights).sum(axis=1, keepdims=True)
        weights /= np.maximum(sizes, np.finfo(np.float32).tiny)
        return weights, _signs(codes[:, : weights.shape[1] // 8])

    def save(
        self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any
    ) -> None:
        """Write the settings and the binarizer's file into the module's folder."""
        self.save_config(output_path)
        self.binarizer.save(os.path.join(output_path, BINARIZER_FILE))

    @classmethod
    def load(
        cls,
        model_name_or_path: str,
        subfolder: str = "",
        token: bool | str | None = None,
        cache_folder: str | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Read what `save` wrote, from a folder or from the hub; raises as `Binarizer.load`."""
        place: dict[str, Any] = {
            "model_name_or_path": model_name_or_path,
            "subfolder": subfolder,
            "token": token,
            "cache_folder": cache_folder,
            "revision": revision,
            "local_files_only": local_files_only,
        }
        path = cls.load_file_path(filename=BINARIZER_FILE, **place)
        if path is None:
            raise FileFormatError(f"{model_name_or_path} has no {subfolder}/{BINARIZER_FILE}")
        return cls(Binarizer.load(path), **cls.load_config(**place))


def _signs(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.where(unpack(codes), np.float32(1), np.float32(-1))
