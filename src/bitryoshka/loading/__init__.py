"""Many vectors into Postgres by many workers: pieces of files, each of which arrives once.

For Ray, Spark, or anything else that runs one function on many processes: `PieceLoader` is that
function, over Arrow batches that name pieces; `bitryoshka.loading.qdrant` has that for Qdrant.
"""

from bitryoshka.errors import MissingExtraError

try:
    import psycopg  # noqa: F401
    import pyarrow  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.loading", "loading") from error

from bitryoshka.loading.loader import LOADED, PieceLoader
from bitryoshka.loading.pieces import PIECES, pieces

__all__ = ["LOADED", "PIECES", "PieceLoader", "pieces"]
