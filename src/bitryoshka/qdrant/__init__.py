"""Collections of Qdrant whose native bits are the learned codes, on a server and in process."""

from bitryoshka.errors import MissingExtraError

try:
    import qdrant_client  # noqa: F401
    import tenacity  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.qdrant", "qdrant") from error

from bitryoshka.qdrant.collection import (
    AsyncCollection,
    Collection,
    create_collection,
    create_collection_async,
    open_collection,
    open_collection_async,
)
from bitryoshka.qdrant.config import collection_config
from bitryoshka.qdrant.hits import Hit
from bitryoshka.qdrant.searching import SearchPlan, search, search_async, search_requests
from bitryoshka.qdrant.settings import Settings
from bitryoshka.qdrant.upserting import Upserted, upsert, upsert_async

__all__ = [
    "AsyncCollection",
    "Collection",
    "Hit",
    "SearchPlan",
    "Settings",
    "Upserted",
    "collection_config",
    "create_collection",
    "create_collection_async",
    "open_collection",
    "open_collection_async",
    "search",
    "search_async",
    "search_requests",
    "upsert",
    "upsert_async",
]
