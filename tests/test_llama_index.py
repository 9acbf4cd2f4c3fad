"""The LlamaIndex store on a real Postgres: what it finds, keeps and replaces, on every driver."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    IndexNode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
    TransformComponent,
)
from llama_index.core.vector_stores import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from sqlalchemy import text
from tests import langchain_stores
from tests.engines import async_engine, engine
from tests.llama_index_stores import ASYNC, SYNC, Call, caller, known, open_store
from tests.synthetic import clustered

import bitryoshka
from bitryoshka.documents.rows import floats
from bitryoshka.documents.searching import marginal_relevance
from bitryoshka.errors import FingerprintError, OptionError, SearchError, TableError, VectorsError
from bitryoshka.langchain import CodeVectorStore as LangChainStore
from bitryoshka.llama_index import CodeVectorStore

ROWS, DIMENSIONS, BITS, SIGNS = 200, 24, 64, 16
# the last 10 vectors are queries
VECTORS = clustered(0, ROWS + 10, DIMENSIONS)
QUERY = ROWS + 7
BINARIZER = bitryoshka.fit(
    VECTORS[:ROWS], bits=BITS, hamming_bits=SIGNS, method="progressive"
).binarizer

OTHER = bitryoshka.fit(
    VECTORS[:ROWS], bits=BITS, hamming_bits=SIGNS, method="progressive", seed=1
).binarizer


@pytest.fixture(params=[*SYNC, *ASYNC])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def call(driver: str) -> Call:
    return caller(driver)


@pytest.fixture
def address(installed_database: str) -> str:
    return installed_database


def node(i: int, **changes: Any) -> TextNode:
    """Node i, one of the ten of a document."""
    settings: dict[str, Any] = {
        "id_": f"id{i}",
        "text": str(i),
        "embedding": VECTORS[i].tolist(),
        "metadata": {"number": i, "tenant": i % 3},
        "relationships": {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"doc{i // 10}")},
    }
    return TextNode(**{**settings, **changes})


NODES = [node(i) for i in range(ROWS)]


class Numbers(TransformComponent):
    """A node for each number of a document."""

    def __call__(self, nodes: Sequence[BaseNode], **options: Any) -> list[BaseNode]:
        return [
            TextNode(
                text=number,
                relationships={NodeRelationship.SOURCE: document.as_related_node_info()},
            )
            for document in nodes
            for number in document.get_content().split()
        ]


def filled(address: str, driver: str = "psycopg", **settings: Any) -> CodeVectorStore:
    store = open_store(address, BINARIZER, driver, **settings)
    call = caller(driver)
    call(store.create_table)
    assert call(store.add, NODES) == [each.node_id for each in NODES]
    return store


def asked(k: int = 10, **restrictions: Any) -> VectorStoreQuery:
    return VectorStoreQuery(
        query_embedding=VECTORS[QUERY].tolist(), similarity_top_k=k, **restrictions
    )


def numbers(result: VectorStoreQueryResult) -> list[int]:
    return [int(each.get_content()) for each in result.nodes or []]


def count(address: str) -> int:
    with engine(address).connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM docs")) or 0)


def cosines() -> Any:
    one, rows = VECTORS[QUERY].astype(np.float64), VECTORS[:ROWS]
    return rows @ one / np.linalg.norm(rows, axis=1) / np.linalg.norm(one)


def equal(key: str, value: Any) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value)])


@pytest.mark.parametrize(
    "settings",
    [{}, {"vector_type": "halfvec"}, {"candidates": 200, "shortlist": 200}, {"vector_type": None}],
    ids=str,
)
def test_all_candidates_are_ranked_by_the_metric(
    address: str, driver: str, call: Call, settings: dict[str, Any]
) -> None:
    store = filled(address, driver, **settings)
    result = call(store.query, asked(), candidates=ROWS)
    found, order = numbers(result), np.argsort(-cosines())
    assert result.ids == [f"id{i}" for i in found]
    assert result.similarities == sorted(result.similarities, reverse=True)
    if settings == {"vector_type": None}:
        # estimates from the bits alone
        assert np.sqrt(np.mean((cosines()[found] - result.similarities) ** 2)) < 0.1
        assert len({*found} & {*order[:10]}) >= 6
    else:
        atol = 5e-3 if "vector_type" in settings else 1e-6
        np.testing.assert_allclose(result.similarities, cosines()[order[:10]], atol=atol)
        np.testing.assert_allclose(result.similarities, cosines()[found], atol=atol)


def test_a_search_has_the_words_of_every_other(address: str) -> None:
    store = filled(address, rescore=None)
    documents = langchain_stores.open_store(address, langchain_stores.Known(VECTORS), BINARIZER)
    for options in ({}, {"rescore": "asymmetric"}, {"rescore": "exact"}, {"candidates": ROWS}):
        here = store.query(asked(), **options)
        chosen = {"rescore": None, **options}
        there = documents.similarity_search_with_score(str(QUERY), k=10, **chosen)
        assert here.ids == [document.id for document, _ in there]
        assert here.similarities == [score for _, score in there]
    late = store.table.c.metadata["number"].as_integer() >= 195
    assert sorted(numbers(store.query(asked(), where=late))) == [195, 196, 197, 198, 199]


def test_nodes_come_back_as_they_were(address: str, driver: str, call: Call) -> None:
    store = filled(address, driver)
    plain = node(7, metadata={"b": 1.5, "a": None, "tags": ["x"], "deep": {"n": [1]}})
    related = {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc0", metadata={"file": "ä.txt"}),
        NodeRelationship.NEXT: RelatedNodeInfo(node_id="id8"),
    }
    several: list[BaseNode] = [
        plain,
        node(8, text="zwei\nZeilen", relationships=related, start_char_idx=3, end_char_idx=9),
        IndexNode(id_="index", text="a summary", index_id="tables", embedding=VECTORS[1].tolist()),
        ImageNode(id_="image", image_path="a.png", embedding=VECTORS[2].tolist()),
        Node(id_="node", embedding=VECTORS[3].tolist(), metadata={"number": 3}),
    ]
    call(store.add, several)
    back = {each.node_id: each for each in call(store.get_nodes, [n.node_id for n in several])}
    assert list(back) == sorted(each.node_id for each in several)
    for before in several:
        after = back[before.node_id]
        assert type(after) is type(before)
        np.testing.assert_allclose(after.embedding, before.embedding, rtol=1e-6)
        assert isinstance(after.embedding, list)
        same = after.model_copy(update={"embedding": before.embedding})
        if isinstance(before, Node):
            # where there was no text, LlamaIndex's own reader sets an empty one
            same = same.model_copy(update={"text_resource": None})
        assert same.model_dump() == before.model_dump()
    assert list(back["id7"].metadata) == ["b", "a", "tags", "deep"]
    [found] = call(store.query, asked(1, node_ids=["id8"])).nodes
    assert found.get_content() == "zwei\nZeilen"
    assert found.ref_doc_id == "doc0"
    assert found.embedding is None


def test_codes_alone_give_nodes_without_embeddings(address: str) -> None:
    store = filled(address, vector_type=None)
    [back] = store.get_nodes(["id3"])
    assert back.embedding is None
    assert back.get_content() == "3"


def test_nodes_are_read_by_ids_and_filters(address: str, driver: str, call: Call) -> None:
    store = filled(address, driver)

    def read(*arguments: Any) -> list[str]:
        return [each.node_id for each in call(store.get_nodes, *arguments)]

    assert read(["id30", "nowhere", "id3", "id3"]) == ["id3", "id30"]
    assert read(["id4", "id3"], equal("tenant", 0)) == ["id3"]
    assert len(read(None, equal("tenant", 0))) == 67
    assert read([]) == []
    assert len(read()) == ROWS


def test_nodes_are_replaced_by_id(address: str, driver: str, call: Call) -> None:
    store = filled(address, driver)
    twice = [node(1, id_="id3"), node(QUERY, id_="id3", metadata={"new": True})]
    assert call(store.add, twice) == ["id3", "id3"]
    assert call(store.add, []) == []
    result = call(store.query, asked(1))
    assert (result.ids, result.nodes[0].metadata) == (["id3"], {"new": True})
    assert result.similarities == pytest.approx([1.0], abs=1e-6)
    assert count(address) == ROWS


def test_a_query_is_restricted(address: str, driver: str, call: Call) -> None:
    store = filled(address, driver)

    def found(**restrictions: Any) -> list[int]:
        return sorted(numbers(call(store.query, asked(ROWS, **restrictions), candidates=ROWS)))

    every = list(range(ROWS))
    assert found() == found(node_ids=[], doc_ids=[]) == every
    assert found(node_ids=["id4", "id2", "nowhere"]) == [2, 4]
    assert found(doc_ids=["doc3", "doc19", "doc99"]) == [*range(30, 40), *range(190, 200)]
    assert found(filters=equal("tenant", 1)) == every[1::3]
    assert found(node_ids=["id4", "id2", "id31"], doc_ids=["doc0"]) == [2, 4]
    assert found(doc_ids=["doc3"], filters=equal("tenant", 1)) == [31, 34, 37]
    assert found(filters=MetadataFilters(filters=[])) == every


def test_a_filter_that_few_pass_is_filled_from_the_index(address: str) -> None:
    filled(address)
    indexed = engine(address, connect_args={"options": "-c enable_seqscan=off"})
    store = open_store(address, BINARIZER, engine=indexed)
    few = store.query(asked(20, doc_ids=["doc3", "doc5"]), candidates=20)
    assert sorted(numbers(few)) == [*range(30, 40), *range(50, 60)]


def test_writers_of_the_same_nodes_wait_for_each_other(address: str) -> None:
    filled(address)
    numbers_of_nodes = [*range(100)]

    def write(order: Sequence[int]) -> None:
        store = open_store(address, BINARIZER)
        for _ in range(10):
            store.add([node(i) for i in order])

    with ThreadPoolExecutor(2) as threads:
        both = [numbers_of_nodes, numbers_of_nodes[::-1]]
        assert list(threads.map(write, both)) == [None, None]


@pytest.mark.parametrize(
    "bad", [{"text": "1\0"}, {"id_": "\ud800"}, {"metadata": {"a": {"b": [float("nan")]}}}], ids=str
)
def test_what_postgres_cannot_hold_writes_nothing(
    address: str, driver: str, call: Call, bad: dict[str, Any]
) -> None:
    store = filled(address, driver)
    with pytest.raises(OptionError, match=r"no NUL and no lone surrogate, found|finite numbers"):
        call(store.add, [node(ROWS), node(ROWS + 1, **bad)])
    assert count(address) == ROWS


def test_deleting(address: str, driver: str, call: Call) -> None:
    store = filled(address, driver)
    call(store.delete, "doc3")
    call(store.delete, "doc99")
    assert count(address) == ROWS - 10
    call(store.delete_nodes, ["id0", "nowhere", "id31"])
    assert count(address) == ROWS - 11
    call(store.delete_nodes, ["id1", "id2"], equal("tenant", 1))
    assert [each.node_id for each in call(store.get_nodes, ["id1", "id2"])] == ["id2"]
    call(store.delete_nodes, [])
    call(store.delete_nodes, [], equal("tenant", 1))
    assert count(address) == ROWS - 12
    call(store.delete_nodes, None, equal("tenant", 1))
    assert (
        numbers(call(store.query, asked(ROWS, filters=equal("tenant", 1)), candidates=ROWS)) == []
    )
    before = count(address)
    with pytest.raises(SearchError, match="found neither: clear deletes all"):
        call(store.delete_nodes)
    for nothing in ([], [MetadataFilters(filters=[], condition="not")]):
        with pytest.raises(SearchError, match="found neither: clear deletes all"):
            call(store.delete_nodes, filters=MetadataFilters(filters=nothing))
    with pytest.raises(TypeError, match="filtre"):
        call(store.delete_nodes, ["id5"], filtre=1)
    assert count(address) == before
    call(store.clear)
    assert count(address) == 0


@pytest.mark.parametrize("vector_type", ["vector", "halfvec", None])
def test_marginal_relevance(address: str, driver: str, call: Call, vector_type: Any) -> None:
    store = filled(address, driver, vector_type=vector_type)
    near = call(store.query, asked(30), candidates=ROWS)
    query = asked(5, mode=VectorStoreQueryMode.MMR, mmr_threshold=0.3)
    result = call(store.query, query, mmr_prefetch_k=30, candidates=ROWS)
    rows = VECTORS[numbers(near)].astype(np.float64)
    if vector_type:
        expected = marginal_relevance(VECTORS[QUERY].astype(np.float64), rows, 5, 0.3)
        assert result.ids == [near.ids[i] for i in expected]
    scores = dict(zip(near.ids, near.similarities, strict=True))
    assert result.similarities == [scores[i] for i in result.ids]
    assert len(set(result.ids)) == 5
    assert result.ids != near.ids[:5]
    assert all(each.embedding is None for each in result.nodes)
    alone = call(store.query, query, mmr_threshold=1.0, mmr_prefetch_k=5, candidates=ROWS)
    assert set(alone.ids) == set(near.ids[:5])


def test_marginal_relevance_chooses_of_four_times_as_many(address: str) -> None:
    store = filled(address)
    query = asked(5, mode=VectorStoreQueryMode.MMR)
    every = {"candidates": ROWS}
    assert (
        store.query(query, **every).ids
        == store.query(query, mmr_prefetch_k=20, mmr_threshold=0.5, **every).ids
        == store.query(query, mmr_prefetch_factor=4, **every).ids
    )
    # no more than the candidates, unless they are asked for
    many = asked(30, mode=VectorStoreQueryMode.MMR)
    assert len(store.query(many).ids or []) == 30
    with pytest.raises(SearchError, match="at least k = 101 candidates, found 100"):
        store.query(many, mmr_prefetch_k=101)
    for wrong in (-0.1, 1.5):
        with pytest.raises(SearchError, match="from 0 to 1"):
            store.query(many, mmr_threshold=wrong)


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        (asked(mode=VectorStoreQueryMode.HYBRID), {}, "'default' or 'mmr', found 'hybrid'"),
        (asked(mode=VectorStoreQueryMode.SPARSE), {}, "'default' or 'mmr', found 'sparse'"),
        (asked(mode=VectorStoreQueryMode.SVM), {}, "'default' or 'mmr', found 'svm'"),
        (VectorStoreQuery(query_str="words"), {}, "expected a query_embedding, found None"),
        (asked(0), {}, "k must be"),
        (asked(0, mode=VectorStoreQueryMode.MMR), {}, "similarity_top_k must be"),
        (asked(101), {}, "at least k = 101 candidates, found 100"),
        (asked(), {"prefix_bits": 7}, "prefix_bits must be one of"),
        (asked(), {"rescore": "exactly"}, "rescore must be None or one of"),
    ],
)
def test_queries_that_are_refused(
    address: str, query: VectorStoreQuery, options: dict[str, Any], message: str
) -> None:
    store = open_store(address, BINARIZER)
    store.create_table()
    with pytest.raises(SearchError, match=message):
        store.query(query, **options)


def test_what_does_not_fit_writes_nothing(address: str, driver: str, call: Call) -> None:
    store = open_store(address, BINARIZER, driver)
    with pytest.raises(TableError, match="make it with create_table"):
        call(store.add, NODES)
    call(store.create_table)
    for wrong, error, message in (
        (TextNode(text="x"), ValueError, "embedding not set"),
        (node(1, embedding=[1.0, 2.0]), VectorsError, "rectangular"),
        (node(1, embedding=[float("nan")] * DIMENSIONS), VectorsError, "must be finite"),
    ):
        with pytest.raises(error, match=message):
            call(store.add, [NODES[0], wrong])
    with pytest.raises(VectorsError, match="24 dimensions, found 2"):
        call(store.add, [node(1, embedding=[1.0, 2.0])])
    with pytest.raises(TypeError, match="batch"):
        call(store.add, NODES, batch=3)
    flat = open_store(address, BINARIZER, driver, flat_metadata=True)
    with pytest.raises(ValueError, match="must be one of"):
        call(flat.add, [node(1, metadata={"tags": ["a"]})])
    assert count(address) == 0
    with pytest.raises(FingerprintError):
        call(open_store(address, OTHER, driver).query, asked())


def test_the_model_behind_an_index(address: str) -> None:
    store = open_store(address, BINARIZER, async_engine=async_engine(address))
    store.create_table()
    assert (store.class_name(), store.stores_text, store.flat_metadata) == (
        "CodeVectorStore",
        True,
        False,
    )
    storage = StorageContext.from_defaults(vector_store=store)
    documents = [Document(text=str(i), doc_id=f"doc{i}", metadata={"n": i}) for i in range(30)]
    for document in documents:
        document.excluded_embed_metadata_keys = ["n"]
    model = known(VECTORS)
    index = VectorStoreIndex.from_documents(
        documents, storage_context=storage, embed_model=model, transformations=[]
    )
    assert count(address) == 30

    opened = VectorStoreIndex.from_vector_store(store, embed_model=model)
    for each in (index, opened):
        [nearest, *_] = each.as_retriever(similarity_top_k=3).retrieve("7")
        assert nearest.node.get_content() == "7"
        assert nearest.score == pytest.approx(1, abs=1e-6)
    kept = SimilarityPostprocessor(similarity_cutoff=0.999).postprocess_nodes(
        opened.as_retriever(similarity_top_k=5).retrieve("7")
    )
    assert [each.node.ref_doc_id for each in kept] == ["doc7"]

    filters = MetadataFilters(
        filters=[MetadataFilter(key="n", value=20, operator=FilterOperator.GTE)]
    )
    retriever = opened.as_retriever(
        similarity_top_k=30, filters=filters, vector_store_kwargs={"candidates": 64}
    )
    found = asyncio.run(retriever.aretrieve("25"))
    assert {each.node.get_content() for each in found} == {str(i) for i in range(20, 30)}
    assert found[0].node.get_content() == "25"

    opened.insert_nodes([TextNode(id_="later", text="40", metadata={})])
    assert opened.as_retriever(similarity_top_k=1).retrieve("40")[0].node.node_id == "later"
    opened.delete_nodes(["later"])
    assert opened.as_retriever(similarity_top_k=1).retrieve("40")[0].node.node_id != "later"


def test_a_pipeline_that_takes_a_document_again(address: str) -> None:
    store = open_store(address, BINARIZER)
    store.create_table()
    pipeline = IngestionPipeline(transformations=[known(VECTORS)], vector_store=store)
    pipeline.run(nodes=[TextNode(text=str(i), id_=str(i)) for i in range(5)])
    pipeline.run(nodes=[TextNode(text="3", id_="3")])
    asyncio.run(pipeline.arun(nodes=[TextNode(text="9", id_="9")]))
    assert [each.get_content() for each in store.get_nodes()] == ["0", "1", "2", "3", "4", "9"]


def test_a_document_is_deleted_and_updated_through_an_index(address: str) -> None:
    store = open_store(address, BINARIZER)
    store.create_table()
    index = VectorStoreIndex.from_vector_store(
        store, embed_model=known(VECTORS), transformations=[Numbers()]
    )
    index.insert(Document(text="1 2 3", doc_id="first"))
    index.insert(Document(text="4 5", doc_id="second"))
    assert count(address) == 5
    index.update_ref_doc(Document(text="6", doc_id="second"))
    assert [each.get_content() for each in store.get_nodes()] != ["4", "5"]
    assert count(address) == 4
    index.delete_ref_doc("first")
    [left] = store.get_nodes()
    assert (left.get_content(), left.ref_doc_id) == ("6", "second")


def test_langchain_reads_what_llama_index_wrote_and_the_other_way(address: str) -> None:
    store = filled(address)
    documents = langchain_stores.open_store(address, langchain_stores.Known(VECTORS), BINARIZER)
    assert isinstance(documents, LangChainStore)
    [first, *_] = documents.similarity_search(
        str(QUERY), k=5, candidates=ROWS, filter={"tenant": 1, "ref_doc_id": "doc3"}
    )
    assert int(first.page_content) in (31, 34, 37)
    assert first.metadata.items() >= {"tenant": 1, "ref_doc_id": "doc3"}.items()
    documents.add_documents(
        [LangChainDocument(str(QUERY), id="own", metadata={"tags": ["a"], "deep": {"b": 1}})]
    )
    result = store.query(asked(1))
    [found] = result.nodes or []
    assert isinstance(found, TextNode)
    assert (found.node_id, found.text) == ("own", str(QUERY))
    assert found.metadata == {"tags": ["a"], "deep": {"b": 1}}
    # written back, a document is still one
    documents.add_documents(documents.get_by_ids(["id31"]))
    [back] = store.get_nodes(["id31"])
    assert back.model_dump(exclude={"embedding"}) == NODES[31].model_dump(exclude={"embedding"})


def test_engines(address: str) -> None:
    both = CodeVectorStore(
        BINARIZER, "docs", engine=engine(address), async_engine=async_engine(address)
    )
    assert both.client.dialect.driver == "psycopg"
    alone = open_store(address, BINARIZER, "asyncpg")
    assert alone.client.dialect.driver == "asyncpg"
    with pytest.raises(RuntimeError, match="expected an engine for the sync methods"):
        alone.create_table()
    # with an engine alone, async methods run in threads
    asyncio.run(open_store(address, BINARIZER).acreate_table())
    asyncio.run(alone.acheck())
    both.check()
    assert asyncio.run(both.async_add(NODES[:3])) == both.add(NODES[:3]) == ["id0", "id1", "id2"]


@pytest.mark.parametrize("kind", ["list", "array", "Vector", "HalfVector"])
def test_vectors_of_any_version_of_pgvector(kind: str) -> None:
    import pgvector

    values = [0.5, -2.0, 0.25]
    made = {
        "list": lambda: values,
        "array": lambda: np.array(values, np.float32),
        "Vector": lambda: pgvector.Vector(values),
        "HalfVector": lambda: pgvector.HalfVector(values),
    }[kind]()
    back = floats(made)
    assert back == values
    assert all(type(value) is float for value in back)
