"""LangChain's own store over our collections, as docs/qdrant.md shows: what it stores and finds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore
from langchain_qdrant.qdrant import QdrantVectorStoreError
from qdrant_client import models
from tests.langchain_stores import Known
from tests.pages import blocks
from tests.qdrant_http import client_of
from tests.synthetic import clustered

import bitryoshka
from bitryoshka.bits import unpack
from bitryoshka.qdrant import collection_config, create_collection, open_collection, search
from bitryoshka.qdrant.representation import query_vectors, stored_vectors

PAGE = Path(__file__).parents[1] / "docs" / "qdrant.md"
SECTION = [block for block in blocks(PAGE) if re.search("langchain|with_vectors", block.text)]
ROWS = 300
# the last 20 vectors are queries
VECTORS = clustered(0, ROWS + 20, 48, 20)
BINARIZER = bitryoshka.fit(VECTORS[:ROWS], bits=96, method="additive").binarizer


class Model(Known):
    """Of any text that is no number, as QdrantVectorStore asks for, the first."""

    def embed_query(self, text: str) -> list[float]:
        return super().embed_query(text if text.isdecimal() else "0")


MODEL = Model(VECTORS)


def shown(name: str) -> Any:
    """What the page defines, over the test's own model and binarizer."""
    namespace: dict[str, Any] = {"np": np, "binarizer": BINARIZER, "model": MODEL}
    text = SECTION[0].text
    exec(text[: text.index("\nclient = ")], namespace)
    return namespace[name]


def test_the_section_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [str(i) for i in range(ROWS)]
    namespace: dict[str, Any] = {
        "bitryoshka": bitryoshka,
        "model": MODEL,
        "texts": texts,
        "url": "http://127.0.0.1:6333",
    }
    BINARIZER.save("docs.safetensors")
    with client_of(tmp_path) as (client, _):
        monkeypatch.setattr("qdrant_client.QdrantClient", lambda url: client)
        for block in SECTION:
            exec(compile(block.text, block.place, "exec"), namespace)
    assert len(SECTION) == 2
    question = namespace["question"]
    one = VECTORS[int(question)]
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    [(document, score), *_] = namespace["rescored"]
    best = int(np.argmax(unit[:ROWS] @ one))
    assert int(document.page_content) == best
    # float16
    assert score == pytest.approx(float(unit[best] @ one / np.linalg.norm(one)), abs=1e-3)


def test_the_adapter_gives_what_our_own_functions_store_and_ask() -> None:
    codes: Embeddings = shown("Codes")()
    settings = bitryoshka.qdrant.Settings.of(BINARIZER, keep_vectors=False)
    texts = [str(i) for i in range(30)]
    stored = stored_vectors(BINARIZER, settings, VECTORS[:30])["bits"]
    np.testing.assert_array_equal(codes.embed_documents(texts), stored)
    asked = query_vectors(BINARIZER, settings, VECTORS[310:311], "bits")[0]
    np.testing.assert_allclose(codes.embed_query("310"), asked, rtol=1e-6)


def test_its_searches_are_ours(tmp_path: Path) -> None:
    config = collection_config(BINARIZER, keep_vectors=False, hnsw_m=0, indexing_threshold=1)
    by_codes = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))
    with client_of(tmp_path) as (client, server):
        create_collection(client, "docs", config)
        store = QdrantVectorStore(
            client, "docs", shown("Codes")(), vector_name="bits", distance=models.Distance.DOT
        )
        ids = [f"{i:032x}" for i in range(ROWS)]
        parts = [{"part": i % 3} for i in range(ROWS)]
        store.add_texts([str(i) for i in range(ROWS)], parts, ids)
        server.shards["docs"][None].optimize()
        collection = open_collection(client, "docs", BINARIZER)
        only = models.Filter(
            must=[models.FieldCondition(key="metadata.part", match=models.MatchValue(value=1))]
        )
        signs = unpack(BINARIZER.encode(VECTORS[:ROWS])) * 2.0 - 1
        for i in range(ROWS, ROWS + 10):
            for where in (None, only):
                hits = search(collection, VECTORS[i : i + 1], where=where)[0]
                found = store.similarity_search_with_score(
                    str(i), 10, filter=where, search_params=by_codes
                )
                assert [d.metadata["_id"] for d, _ in found] == [hit.id for hit in hits]
                assert [score for _, score in found] == [hit.score for hit in hits]
                assert where is None or {d.metadata["part"] for d, _ in found} == {1}
            # left to itself, the engine compares the best again by its floats, to float16
            plain = store.similarity_search_with_score(str(i), 10)
            weights = BINARIZER.query_weights(VECTORS[i : i + 1])[0]
            exactly = signs @ weights
            chosen = [int(d.page_content) for d, _ in plain]
            np.testing.assert_allclose([s for _, s in plain], exactly[chosen], rtol=1e-3)


def test_what_does_not_fit_a_collection_is_refused(tmp_path: Path) -> None:
    with client_of(tmp_path) as (client, _):
        create_collection(client, "docs", collection_config(BINARIZER, keep_vectors=False))
        dot = models.Distance.DOT
        for embedding, name, distance in (
            (MODEL, "bits", dot),
            (shown("Codes")(), "bits", models.Distance.COSINE),
            (shown("Codes")(), "", dot),
        ):
            with pytest.raises(QdrantVectorStoreError):
                QdrantVectorStore(client, "docs", embedding, vector_name=name, distance=distance)
