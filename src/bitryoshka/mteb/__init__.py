"""Models behind codes in MTEB: what its tasks score when documents are bits."""

from bitryoshka.errors import MissingExtraError

try:
    import mteb  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.mteb", "mteb") from error

from bitryoshka.mteb.corpus import corpus_vectors
from bitryoshka.mteb.model import BinarizedModel

__all__ = ["BinarizedModel", "corpus_vectors"]
