"""Collections of Qdrant whose native bits are the learned codes, on a server and in process."""

from bitryoshka.errors import MissingExtraError

try:
    import qdrant_client  # noqa: F401
    import tenacity  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.qdrant", "qdrant") from error

from bitryoshka.qdrant.adding import add_codes, remove_codes
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
from bitryoshka.qdrant.moving import Moved, move, point_alias
from bitryoshka.qdrant.planning import Planned, plan_search
from bitryoshka.qdrant.searching import SearchPlan, search, search_async, search_requests
from bitryoshka.qdrant.server import Server
from bitryoshka.qdrant.settings import Settings
from bitryoshka.qdrant.upserting import Upserted, upsert, upsert_async
from bitryoshka.qdrant.verifying import Checked, verify_move

__all__ = [
    "AsyncCollection",
    "Checked",
    "Collection",
    "Hit",
    "Moved",
    "Planned",
    "SearchPlan",
    "Server",
    "Settings",
    "Upserted",
    "add_codes",
    "collection_config",
    "create_collection",
    "create_collection_async",
    "move",
    "open_collection",
    "open_collection_async",
    "plan_search",
    "point_alias",
    "remove_codes",
    "search",
    "search_async",
    "search_requests",
    "upsert",
    "upsert_async",
    "verify_move",
]
