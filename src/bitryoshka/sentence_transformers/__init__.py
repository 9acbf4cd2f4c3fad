"""Training sentence-transformers models for codes."""

from bitryoshka.errors import MissingExtraError

try:
    import sentence_transformers.base.modules  # noqa: F401
except ImportError as error:  # also of releases before 6.0
    raise MissingExtraError("bitryoshka.sentence_transformers", "sentence-transformers") from error

from bitryoshka.sentence_transformers.loss import BinaryMatryoshkaLoss

__all__ = ["BinaryMatryoshkaLoss"]
