"""Codes out of Sentence Transformers: a module that ends a model, what fits it, and what trains."""

from bitryoshka.errors import MissingExtraError

try:
    import sentence_transformers.base.modules  # noqa: F401
except ImportError as error:  # also of releases before 6.0
    raise MissingExtraError("bitryoshka.sentence_transformers", "sentence-transformers") from error

from bitryoshka.sentence_transformers.codes import Codes
from bitryoshka.sentence_transformers.embeddings import binarize_embeddings
from bitryoshka.sentence_transformers.fitting import add_codes, fit_codes
from bitryoshka.sentence_transformers.loss import BinaryMatryoshkaLoss

__all__ = ["BinaryMatryoshkaLoss", "Codes", "add_codes", "binarize_embeddings", "fit_codes"]
