"""Collections of Qdrant whose native bits are the learned codes, on a server and in process."""

from bitryoshka.errors import MissingExtraError

try:
    import qdrant_client  # noqa: F401
    import tenacity  # noqa: F401
except ImportError as error:
    raise MissingExtraError("bitryoshka.qdrant", "qdrant") from error

from bitryoshka.qdrant.adding import add_codes, remove_codes
from bitryoshka.qdrant.choosing import Choice, choose_for_budget
from bitryoshka.qdrant.collection import (
    AsyncCollection,
    Collection,
    create_collection,
    create_collection_async,
    open_collection,
    open_collection_async,
)
from bitryoshka.qdrant.comparison import Advice, ComparedQuantizer, Comparison, compare
from bitryoshka.qdrant.config import collection_config
from bitryoshka.qdrant.engine import Hit
from bitryoshka.qdrant.moving import Moved, move, point_alias
from bitryoshka.qdrant.planning import CollectionPlan, plan_search
from bitryoshka.qdrant.searching import search, search_async, search_requests
from bitryoshka.qdrant.server import Server
from bitryoshka.qdrant.settings import Settings
from bitryoshka.qdrant.upserting import Upserted, upsert, upsert_async
from bitryoshka.qdrant.verifying import MoveCheck, verify_move

__all__ = [
    "Advice",
    "AsyncCollection",
    "Choice",
    "Collection",
    "CollectionPlan",
    "ComparedQuantizer",
    "Comparison",
    "Hit",
    "MoveCheck",
    "Moved",
    "Server",
    "Settings",
    "Upserted",
    "add_codes",
    "choose_for_budget",
    "collection_config",
    "compare",
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
