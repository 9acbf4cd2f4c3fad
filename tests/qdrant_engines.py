"""The engines that the contract tests of `bitryoshka.qdrant` run on.

In process always; the server of BITRYOSHKA_QDRANT_URL where it is set, and one in a container
where BITRYOSHKA_TEST_CONTAINERS is. What cannot run here is no parameter, and so not skipped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from bitryoshka import Binarizer
from bitryoshka.qdrant import (
    Collection,
    collection_config,
    create_collection,
    open_collection,
)
from bitryoshka.qdrant.edge import Shard, create_shard, open_shard

ENGINES = ["edge"]
if os.environ.get("BITRYOSHKA_QDRANT_URL"):
    ENGINES.append("url")
if os.environ.get("BITRYOSHKA_TEST_CONTAINERS"):
    ENGINES.append("container")

Make = Callable[..., Collection[Any]]


@contextmanager
def server_url(engine: str) -> Iterator[str]:
    if engine == "url":
        yield os.environ["BITRYOSHKA_QDRANT_URL"]
        return
    from testcontainers.qdrant import QdrantContainer

    with QdrantContainer("qdrant/qdrant:v1.19.1") as container:
        yield f"http://{container.rest_host_address}"


@contextmanager
def maker(engine: str, folder: Path) -> Iterator[Make]:
    """Give ``make(binarizer, **config)``: a new, empty, open collection that is indexed at once."""
    with ExitStack() as stack:
        if engine == "edge":

            def make(binarizer: Binarizer, **chosen: Any) -> Collection[Any]:
                path = folder / uuid4().hex
                create_shard(path, collection_config(binarizer, indexing_threshold=1, **chosen))
                return stack.enter_context(open_shard(path, binarizer))

            yield make
            return
        from qdrant_client import QdrantClient

        client = QdrantClient(url=stack.enter_context(server_url(engine)))
        stack.callback(client.close)

        def make_on_server(binarizer: Binarizer, **chosen: Any) -> Collection[Any]:
            name = f"bitryoshka_test_{uuid4().hex}"
            create_collection(
                client, name, collection_config(binarizer, indexing_threshold=1, **chosen)
            )
            stack.callback(client.delete_collection, name)
            return open_collection(client, name, binarizer)

        yield make_on_server


def settle(collection: Collection[Any]) -> None:
    """Wait until what was written is quantized and indexed."""
    engine = collection.engine
    if isinstance(engine, Shard):
        engine.optimize()
        return
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        info = engine.client.get_collection(engine.name)
        if info.status == "green" and info.indexed_vectors_count:
            return
        time.sleep(0.2)
    raise TimeoutError(f"{engine.place} is not indexed after a minute")
