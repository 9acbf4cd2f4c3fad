"""A model of mteb whose documents are codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mteb.models import CachedEmbeddingWrapper, EncoderProtocol, ModelMeta, SearchEncoderWrapper
from mteb.models.model_meta import ScoringFunction
from mteb.similarity_functions import dot_score, pairwise_dot_score
from mteb.types import OutputDType

from bitryoshka.binarizer import Binarizer
from bitryoshka.errors import OptionError
from bitryoshka.mteb.comparison import Comparison
from bitryoshka.mteb.index import CodeIndex, floats
from bitryoshka.search_parameters import Rescore

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import Array, BatchedInput, PromptType
    from torch.utils.data import DataLoader


class BinarizedModel(SearchEncoderWrapper):
    """A model of mteb behind codes: `mteb.evaluate` scores what a search by the codes finds.

    ``model``: any of mteb's encoders, a ``CachedEmbeddingWrapper`` around one too, or a
    ``SentenceTransformer``. It embeds as ever, with its own prompts and batches.

    * ``candidates``: None compares every query with every document. A number runs a search in
      stages, as a database does: so many documents by Hamming distance, and of those the best.
      A query then finds no more than they are, or than ``shortlist``.
    * ``rescore``: "asymmetric", the float query against whole codes; None, Hamming distance on the
      first ``prefix_bits``; "exact", the vectors of the ``candidates``.
    * ``prefix_bits``, ``shortlist``: as in `bitryoshka.SearchParameters`.

    Retrieval and reranking tasks are searched so. Tasks of single texts or of pairs without
    queries and documents, such as clustering, classification and STS, see the first ``prefix_bits``
    of the codes as -1 and 1, over the root of their number: a document each, compared by Hamming
    distance. Pairs of queries and documents are compared by ``rescore``, without ``candidates``.

    Documents with equal scores keep the order of the corpus: their scores are made to differ by the
    least that float32 can hold, since mteb would order them by their ids.

    ``mteb_model_meta`` is the model's own, with the code's length, and ``experiment_kwargs`` that
    hold the binarizer's fingerprint and the stages: mteb's cache keeps results by them. The model
    itself and its metadata stay as they are.

    Raises OptionError for what is no encoder or no binarizer, and for a model that gives codes
    already: another `BinarizedModel`, or one with a ``Codes`` module. Raises SearchError for stages
    that do not fit, as uses do; uses raise VectorsError for embeddings of another dimension or not
    finite.

    Example::

        model = mteb.get_model("sentence-transformers/all-MiniLM-L6-v2")
        binarizer = bitryoshka.Binarizer.load("docs.safetensors")
        mteb.evaluate(BinarizedModel(model, binarizer), mteb.get_task("SciFact"))
    """

    index_backend: CodeIndex

    def __init__(
        self,
        model: EncoderProtocol,
        binarizer: Binarizer,
        *,
        candidates: int | None = None,
        prefix_bits: int | None = None,
        rescore: Rescore | None = "asymmetric",
        shortlist: int | None = None,
    ) -> None:
        encoder = as_encoder(model)
        self.comparison = Comparison.of(binarizer, candidates, prefix_bits, rescore, shortlist)
        super().__init__(encoder, index_backend=CodeIndex(self.comparison))
        meta = encoder.mteb_model_meta or ModelMeta.create_empty()
        self.mteb_model_meta = meta.model_copy(
            update={
                # what would load the model without the codes
                "loader": None,
                "embed_dim": binarizer.bits,
                "output_dtypes": [OutputDType.BINARY],
                "similarity_fn_name": ScoringFunction.DOT_PRODUCT,
                "experiment_kwargs": {
                    **(meta.experiment_kwargs or {}),
                    **self.comparison.as_dict(),
                },
            }
        )

    def index(self, *args: Any, **kwargs: Any) -> None:
        """Embed and encode a corpus, in place of what an interrupted search may have left."""
        self.index_backend.clear()
        super().index(*args, **kwargs)

    def encode(
        self,
        inputs: DataLoader[BatchedInput],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> Array:
        """What is compared, ``(N, bits)`` float32: bits as -1 and 1, or the weights of queries.

        The inner product of two of them is their score, from -1 to 1. Without a ``prompt_type``
        there are ``prefix_bits`` columns.
        """
        embeddings = self.model.encode(
            inputs,
            task_metadata=task_metadata,
            hf_split=hf_split,
            hf_subset=hf_subset,
            prompt_type=prompt_type,
            **kwargs,
        )
        return self.comparison.represented(floats(embeddings), prompt_type)

    def similarity(self, embeddings1: Array, embeddings2: Array) -> Array:
        """Scores of each of n with each of m that `encode` gave, (n, m)."""
        return dot_score(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Array, embeddings2: Array) -> Array:
        """Scores of n pairs that `encode` gave, (n,)."""
        return pairwise_dot_score(embeddings1, embeddings2)


def as_encoder(model: Any) -> EncoderProtocol:
    """One of mteb's encoders; OptionError for what is none or gives codes already."""
    if _gives_codes(model):
        raise OptionError(
            "expected a model that gives embeddings, found one that gives codes already: take the "
            "plain model that it was made of"
        )
    if isinstance(model, EncoderProtocol):
        return model
    from mteb.models import SentenceTransformerEncoderWrapper
    from sentence_transformers import SentenceTransformer

    if isinstance(model, SentenceTransformer):
        return SentenceTransformerEncoderWrapper(model)
    raise OptionError(
        "expected an encoder of mteb or a SentenceTransformer, which make a vector of each text, "
        f"found {type(model).__name__}"
    )


def _gives_codes(model: Any) -> bool:
    """Whether it is a `BinarizedModel` or has a ``Codes`` module, in a wrapper of mteb or not."""
    while isinstance(model, CachedEmbeddingWrapper):
        model = model._model
    if isinstance(model, BinarizedModel):
        return True
    # without an import of torch, which other encoders do without
    named_modules = getattr(getattr(model, "model", model), "named_modules", dict)
    return any(isinstance(getattr(m, "binarizer", None), Binarizer) for _, m in named_modules())
