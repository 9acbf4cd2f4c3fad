"""The LangChain store on a real Postgres: what it finds, keeps and replaces, on every driver."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from numpy.typing import NDArray
from sqlalchemy import Index, quoted_name, text
from sqlalchemy.schema import CreateSchema
from tests.engines import async_engine, engine
from tests.langchain_stores import ASYNC, SYNC, Call, Known, caller, open_store
from tests.synthetic import clustered

import bitryoshka
from bitryoshka.bits import hamming, unpack
from bitryoshka.documents.searching import marginal_relevance
from bitryoshka.langchain import CodeVectorStore
from bitryoshka.postgres import connect
from bitryoshka.sqlalchemy import Code

ROWS, DIMENSIONS, BITS, SIGNS = 300, 24, 64, 16
VECTORS = clustered(0, ROWS + 20, DIMENSIONS)
METADATA = [{"number": i, "tenant": i % 3, "tags": ["a", f"t{i % 5}"]} for i in range(ROWS)]
DOCUMENTS = [Document(str(i), id=f"id{i}", metadata=METADATA[i]) for i in range(ROWS)]
# the last 20 vectors are queries
QUERY = str(ROWS + 7)


def fitted(metric: Any = "cosine") -> bitryoshka.Binarizer:
    return bitryoshka.fit(
        VECTORS[:ROWS], bits=BITS, hamming_bits=SIGNS, method="progressive", metric=metric
    ).binarizer


BINARIZER = fitted()


@pytest.fixture(params=[*SYNC, *ASYNC])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def call(driver: str) -> Call:
    return caller(driver)


@pytest.fixture
def address(installed_database: str) -> str:
    return installed_database


def filled(address: str, driver: str = "psycopg", **settings: Any) -> CodeVectorStore:
    store = open_store(address, Known(VECTORS), BINARIZER, driver, **settings)
    call = caller(driver)
    call(store.create_table)
    call(store.add_documents, DOCUMENTS)
    return store


def numbers(documents: list[Document]) -> list[int]:
    return [int(document.page_content) for document in documents]


def cosines(query: str = QUERY, rows: NDArray[np.float32] = VECTORS[:ROWS]) -> NDArray[np.float64]:
    one = VECTORS[int(query)].astype(np.float64)
    return rows @ one / np.linalg.norm(rows, axis=1) / np.linalg.norm(one)


def asymmetric(query: str = QUERY, b: bitryoshka.Binarizer = BINARIZER) -> NDArray[np.float64]:
    """What the float query makes of the bits of every row."""
    weights = b.query_weights(VECTORS[int(query)][None])[0].astype(np.float64)
    return (unpack(b.encode(VECTORS[:ROWS])) * 2.0 - 1) @ weights


def estimates(query: str = QUERY) -> NDArray[np.float64]:
    one = VECTORS[int(query)].astype(np.float64)
    decoded_mean = BINARIZER.projection.T @ BINARIZER.offset
    return asymmetric(query) + decoded_mean @ one / np.linalg.norm(one)


@pytest.mark.parametrize(
    "settings",
    [{}, {"vector_type": "halfvec"}, {"candidates": 200, "shortlist": 200}, {"vector_type": None}],
    ids=str,
)
def test_all_candidates_are_ranked_as_numpy_ranks_them(
    address: str, driver: str, call: Call, settings: dict[str, Any]
) -> None:
    store = filled(address, driver, **settings)
    found = call(store.similarity_search_with_score, QUERY, k=10, candidates=ROWS)
    expected = estimates() if settings == {"vector_type": None} else cosines()
    # halfvecs have 11 bits, and a query's weights for the bits have 8
    exactly = settings == {} or "shortlist" in settings
    scores = np.array([score for _, score in found])
    got = numbers([document for document, _ in found])
    np.testing.assert_allclose(scores, expected[got], atol=1e-6 if exactly else 5e-3)
    assert list(scores) == sorted(scores, reverse=True)
    np.testing.assert_allclose(scores, -np.sort(-expected)[:10], atol=1e-6 if exactly else 5e-3)
    plain = call(store.similarity_search, QUERY, k=10, candidates=ROWS)
    vector = VECTORS[int(QUERY)].tolist()
    assert plain == call(store.similarity_search_by_vector, vector, k=10, candidates=ROWS)
    assert plain == [document for document, _ in found]
    assert plain == [DOCUMENTS[i] for i in got]


@pytest.mark.parametrize("candidates", [10, 25, 60])
def test_a_search_is_the_funnel_of_numpy(address: str, candidates: int) -> None:
    store = filled(address)
    # a graph of few edges may miss a row: what is compared here is the statement
    with connect(address) as connection:
        indexes = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c "
            "JOIN pg_am AS a ON a.oid = c.relam WHERE a.amname = 'hnsw' AND c.relkind = 'i'"
        ).fetchall()
        assert indexes
        for (name,) in indexes:
            connection.execute(f"DROP INDEX {name}".encode())
    codes = BINARIZER.encode(VECTORS[:ROWS])[:, : SIGNS // 8]
    recall = []
    for query in map(str, range(ROWS, ROWS + 20)):
        distance = hamming(BINARIZER.encode_queries(VECTORS[int(query)][None], SIGNS), codes)[0]
        cut = np.sort(distance)[candidates - 1]
        score = cosines(query)
        found = numbers(store.similarity_search(query, k=10, candidates=candidates))
        # Postgres chooses among rows that are equally far at the cut
        assert distance[found].max() <= cut
        surely = [i for i in np.argsort(-score) if distance[i] < cut]
        worst = score[found].min()
        assert {i for i in surely if score[i] > worst} <= set(found)
        recall.append(len(set(found) & set(np.argsort(-score)[:10])) / 10)
        most = [i for i in np.argsort(-score) if distance[i] <= cut][:10]
        best = len(set(most) & set(np.argsort(-score)[:10])) / 10
        assert recall[-1] <= best
    assert np.mean(recall) > 0.5


def test_three_stages_read_the_vectors_of_the_rows_that_codes_chose(address: str) -> None:
    store = filled(address, shortlist=20)
    order = np.argsort(-asymmetric(), kind="stable")
    found = numbers(store.similarity_search(QUERY, k=20, candidates=ROWS))
    # rounding of the weights moves rows only near the cut
    assert set(order[:15]) <= set(found) <= set(order[:25])
    assert found == sorted(found, key=lambda i: -cosines()[i])


def test_stages_are_chosen_for_one_call(address: str) -> None:
    store = filled(address)
    found = store.similarity_search_with_score(QUERY, k=5, candidates=ROWS, rescore="asymmetric")
    by_codes = filled(address, vector_type=None, table_name="codes")
    assert found == by_codes.similarity_search_with_score(QUERY, k=5, candidates=ROWS)
    found = store.similarity_search_with_score(QUERY, k=5, rescore=None)
    own, codes = BINARIZER.encode_queries(VECTORS[int(QUERY)][None]), BINARIZER.encode(VECTORS)
    distances = hamming(own, codes[:ROWS, : SIGNS // 8])[0]
    np.testing.assert_allclose(
        [score for _, score in found], 1 - 2 * np.sort(distances)[:5] / SIGNS, atol=1e-6
    )


def test_scores_of_codes_alone_are_near_the_cosines() -> None:
    errors = [estimates(str(q)) - cosines(str(q)) for q in range(ROWS, ROWS + 20)]
    assert np.sqrt(np.mean(np.square(errors))) < 0.05


def test_scores_of_sign_codes_are_the_share_of_weight_that_agrees(address: str) -> None:
    signs = bitryoshka.fit(VECTORS[:ROWS], bits=24, method="itq").binarizer
    store = open_store(address, Known(VECTORS), signs, vector_type=None)
    store.create_table()
    store.add_documents(DOCUMENTS)
    found = store.similarity_search_with_score(QUERY, k=9, candidates=ROWS)
    weights = signs.query_weights(VECTORS[int(QUERY)][None])[0].astype(np.float64)
    expected = asymmetric(QUERY, signs) / np.abs(weights).sum()
    scores = [score for _, score in found]
    np.testing.assert_allclose(scores, -np.sort(-expected)[:9], atol=5e-3)
    assert 0 < store.similarity_search_with_relevance_scores("1", k=1)[0][1] <= 1


def test_scores_of_additive_codes_alone_are_near_the_cosines(address: str) -> None:
    codes = bitryoshka.fit(VECTORS[:ROWS], bits=48, method="additive").binarizer
    store = open_store(address, Known(VECTORS), codes, vector_type=None)
    store.create_table()
    store.add_documents(DOCUMENTS)
    found = store.similarity_search_with_score(QUERY, k=20, candidates=ROWS)
    expected = cosines(QUERY)[numbers([document for document, _ in found])]
    scores = np.array([score for _, score in found])
    assert np.sqrt(np.mean((scores - expected) ** 2)) < 0.1
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_inner_products_are_scores_but_no_relevance(address: str) -> None:
    binarizer = fitted("inner_product")
    store = open_store(address, Known(VECTORS), binarizer)
    store.create_table()
    store.add_documents(DOCUMENTS)
    found = store.similarity_search_with_score(QUERY, k=5, candidates=ROWS)
    products = VECTORS[:ROWS] @ VECTORS[int(QUERY)]
    assert numbers([document for document, _ in found]) == np.argsort(-products)[:5].tolist()
    np.testing.assert_allclose([score for _, score in found], -np.sort(-products)[:5], rtol=1e-5)
    with pytest.raises(ValueError, match="needs the metric 'cosine', found 'inner_product'"):
        store.similarity_search_with_relevance_scores(QUERY)


@pytest.mark.parametrize("vector_type", ["vector", None])
def test_relevance_is_between_0_and_1_even_for_opposites(address: str, vector_type: Any) -> None:
    store = filled(address, vector_type=vector_type)
    opposite = open_store(address, Known(-VECTORS), BINARIZER, vector_type=vector_type)
    for asked in (store, opposite):
        found = asked.similarity_search_with_relevance_scores("5", k=ROWS, candidates=ROWS)
        values = [value for _, value in found]
        assert min(values) >= 0
        assert max(values) <= 1
        assert values == sorted(values, reverse=True)
    assert store.similarity_search_with_relevance_scores("5", k=1)[0][1] > 0.85
    assert opposite.similarity_search_with_score("5", k=ROWS, candidates=ROWS)[-1][1] < -0.85


def test_filters_by_a_dict(address: str, driver: str, call: Call) -> None:
    store = filled(address, driver)

    def found(condition: Any) -> list[int]:
        every = call(store.similarity_search, QUERY, k=ROWS, candidates=ROWS, filter=condition)
        return sorted(numbers(every))

    assert found({"tenant": 1}) == found({"tenant": 1.0}) == list(range(1, ROWS, 3))
    assert found({"tenant": 1, "number": 4}) == [4]
    assert found({"tags": ["t2"]}) == list(range(2, ROWS, 5))
    assert found({}) == found(None) == list(range(ROWS))
    for nothing in ({"tags": "t2"}, {"tenant": "1"}, {"no such key": None}):
        assert found(nothing) == []
    with pytest.raises(ValueError, match="a dict of metadata or an expression"):
        found("tenant = 1")


def test_filters_by_an_expression(address: str, driver: str, call: Call) -> None:
    store = filled(address, driver)
    rows = store.table.c
    late = (rows.metadata["number"].as_integer() >= 290) & (rows.id != "id295")
    for method in (store.similarity_search, store.max_marginal_relevance_search):
        found = call(method, QUERY, k=20, filter=late)
        assert sorted(numbers(found)) == [290, 291, 292, 293, 294, 296, 297, 298, 299]


@pytest.mark.parametrize("settings", [{}, {"shortlist": 20}, {"vector_type": None}], ids=str)
def test_a_filter_that_few_pass_is_filled_from_the_index(
    address: str, settings: dict[str, Any]
) -> None:
    filled(address, **settings)
    indexed = engine(address, connect_args={"options": "-c enable_seqscan=off"})
    store = open_store(address, Known(VECTORS), BINARIZER, engine=indexed, **settings)
    few = {"tags": ["t1"], "tenant": 2}
    assert len(store.similarity_search(QUERY, k=20, candidates=20, filter=few)) == 20


def test_the_index_is_on_the_prefix_and_may_come_later(address: str) -> None:
    store = open_store(address, Known(VECTORS), BINARIZER, prefix_bits=SIGNS)
    Index("docs_metadata", store.table.c.metadata, postgresql_using="gin")
    names = "SELECT indexname FROM pg_indexes WHERE tablename = 'docs' ORDER BY 1"

    def indexes() -> list[str]:
        with engine(address).connect() as connection:
            return list(connection.scalars(text(names)))

    store.create_table(index=False)
    assert indexes() == ["docs_metadata", "docs_pkey"]
    store.add_documents(DOCUMENTS)
    store.index.create(engine(address))
    assert indexes() == [f"docs_code_{SIGNS}_hnsw", "docs_metadata", "docs_pkey"]
    assert len(store.similarity_search(QUERY, k=7)) == 7


def test_documents_are_replaced_by_id(address: str, driver: str, call: Call) -> None:
    store = filled(address, driver)
    changed = [Document("7", id="id3", metadata={"new": True}), Document("9", id="id9")]
    assert call(store.add_documents, changed) == ["id3", "id9"]
    assert call(store.get_by_ids, ["id3", "id9"]) == changed
    first, second = call(store.similarity_search_with_score, "7", k=2)
    assert {first[0].id, second[0].id} == {"id3", "id7"}
    assert second[1] == pytest.approx(1, abs=1e-6)
    with engine(address).connect() as connection:
        rows = connection.execute(store.table.select().where(store.table.c.id == "id3")).one()
    np.testing.assert_array_equal(rows.code, BINARIZER.encode(VECTORS[7][None])[0])
    np.testing.assert_allclose(rows.vector, VECTORS[7], rtol=1e-6)


def test_of_an_id_that_comes_twice_the_last_stays(address: str, driver: str, call: Call) -> None:
    store = filled(address, driver)
    call(store.add_texts, ["1", "2"], [{"a": 1}, {"a": 2}], ids=["twice", "twice"])
    assert call(store.get_by_ids, ["twice"]) == [Document("2", id="twice", metadata={"a": 2})]


def test_ids_are_given_kept_or_made(address: str, driver: str, call: Call) -> None:
    store = filled(address, driver)
    made = call(store.add_texts, iter(["1", "2"]))
    assert len({UUID(id_) for id_ in made}) == 2
    documents = [Document("3", id="own"), Document("4"), Document("5", id="lost")]
    own, new, given_ = call(store.add_documents, documents, ids=[None, None, "given"])
    assert (own, given_) == ("own", "given")
    assert UUID(new)
    assert [document.id for document in documents] == ["own", None, "lost"]
    found = call(store.get_by_ids, ["given", "nowhere", "own", "given"])
    assert [document.id for document in found] == ["given", "own"]
    assert call(store.add_documents, []) == []
    assert call(store.get_by_ids, []) == []


def test_texts_are_embedded_in_batches(address: str, driver: str, call: Call) -> None:
    known = Known(VECTORS)
    store = open_store(address, known, BINARIZER, driver, batch_size=128)
    call(store.create_table)
    call(store.add_documents, DOCUMENTS)
    assert known.batches == [128, 128, 44]
    assert numbers(call(store.similarity_search, "299", k=1)) == [299]


def test_deleting(address: str, driver: str, call: Call) -> None:
    store = filled(address, driver)

    def left() -> int:
        with engine(address).connect() as connection:
            return int(connection.scalar(text("SELECT count(*) FROM docs")) or 0)

    assert call(store.delete, ["id0", "id1", "nowhere"]) is True
    assert left() == ROWS - 2
    call(store.delete, [])
    assert left() == ROWS - 2
    call(store.delete, ["id2", "id3"], filter={"tenant": 0})
    assert call(store.get_by_ids, ["id2", "id3"]) == [DOCUMENTS[2]]
    call(store.delete, filter=store.table.c.metadata["number"].as_integer() >= 10)
    assert left() == 7
    with pytest.raises(TypeError, match="filtre"):
        call(store.delete, filtre={"tenant": 0})
    assert left() == 7
    call(store.delete)
    assert left() == 0


@pytest.mark.parametrize("vector_type", ["vector", None])
def test_marginal_relevance_of_a_store(
    address: str, driver: str, call: Call, vector_type: Any
) -> None:
    store = filled(address, driver, vector_type=vector_type)
    near = numbers(store_call := call(store.similarity_search, QUERY, k=30, candidates=ROWS))
    found = call(
        store.max_marginal_relevance_search, QUERY, 5, fetch_k=30, lambda_mult=0.3, candidates=ROWS
    )
    if vector_type:
        rows, query = VECTORS[near].astype(np.float64), VECTORS[int(QUERY)].astype(np.float64)
    else:
        rows = unpack(BINARIZER.encode(VECTORS[near])[:, : SIGNS // 8]) * 2.0 - 1
        query = unpack(BINARIZER.encode_queries(VECTORS[int(QUERY)][None]))[0] * 2.0 - 1
    expected = marginal_relevance(query, rows, 5, 0.3)
    assert found == [store_call[i] for i in expected]
    assert found != store_call[:5]
    vector = VECTORS[int(QUERY)].tolist()
    by_vector = call(
        store.max_marginal_relevance_search_by_vector, vector, 5, 30, 0.3, candidates=ROWS
    )
    assert by_vector == found


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 12),
    k=st.integers(1, 14),
    lambda_mult=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
)
def test_marginal_relevance_is_langchains(seed: int, rows: int, k: int, lambda_mult: float) -> None:
    rng = np.random.default_rng(seed)
    query, vectors = rng.normal(size=5), rng.normal(size=(rows, 5))
    expected = maximal_marginal_relevance(query, list(vectors), lambda_mult, k)
    assert marginal_relevance(query, vectors, k, lambda_mult) == expected


def test_made_from_texts_and_used_as_a_retriever(address: str) -> None:
    options: dict[str, Any] = {"binarizer": BINARIZER, "table_name": "made"}
    both = {"engine": engine(address), "async_engine": async_engine(address)}
    texts, known = ["1", "2", "3"], Known(VECTORS)
    store = CodeVectorStore.from_texts(
        texts, known, [{"n": 1}, {"n": 2}, {"n": 3}], **options, **both
    )
    store = CodeVectorStore.from_documents([Document("4", id="4")], known, **options, **both)
    assert store.embeddings is known
    assert sorted(numbers(store.similarity_search("1", k=9))) == [1, 2, 3, 4]

    async def made() -> list[Document]:
        other = await CodeVectorStore.afrom_texts(["5"], known, ids=["5"], **options, **both)
        return await other.as_retriever(search_kwargs={"k": 9}).ainvoke("5")

    assert sorted(numbers(asyncio.run(made()))) == [1, 2, 3, 4, 5]
    chosen = {"k": 2, "filter": store.table.c.metadata.has_key("n")}
    for kind, extra in (
        ("similarity", {}),
        ("mmr", {"fetch_k": 3, "lambda_mult": 1.0}),
        ("similarity_score_threshold", {"score_threshold": 0.0}),
    ):
        retriever = store.as_retriever(search_type=kind, search_kwargs={**chosen, **extra})
        found = retriever.invoke("2")
        assert len(found) == 2
        assert found[0].page_content == "2"
        assert asyncio.run(retriever.ainvoke("2")) == found


def test_async_work_needs_no_threads(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for driver in ASYNC:
        store = open_store(address, Known(VECTORS), BINARIZER, driver)
        inner = asyncio.BaseEventLoop.run_in_executor

        def refused(self: Any, executor: Any, work: Any, *args: Any, inner: Any = inner) -> Any:
            # names of servers are looked up in a thread by asyncio itself
            assert getattr(work, "func", work) in (socket.getaddrinfo, socket.getnameinfo), work
            return inner(self, executor, work, *args)

        with monkeypatch.context() as patch:
            patch.setattr(asyncio.BaseEventLoop, "run_in_executor", refused)

            async def work(store: CodeVectorStore = store) -> None:
                await store.acreate_table()
                await store.acheck()
                await store.aadd_documents(DOCUMENTS[:5])
                await store.aadd_texts(["6"], ids=["6"])
                assert len(await store.aget_by_ids(["id1", "6"])) == 2
                assert len(await store.asimilarity_search("1", 3)) == 3
                assert len(await store.asimilarity_search_with_score("1", 3)) == 3
                assert len(await store.asimilarity_search_with_relevance_scores("1", 3)) == 3
                assert len(await store.asimilarity_search_by_vector(VECTORS[1].tolist(), 3)) == 3
                assert len(await store.amax_marginal_relevance_search("1", 3)) == 3
                assert await store.adelete()

            asyncio.run(work())


def test_searches_at_once_on_one_store(address: str) -> None:
    store = filled(address, "asyncpg")

    async def work() -> list[list[Document]]:
        asked = [store.asimilarity_search(str(i), 1) for i in range(20)]
        return list(await asyncio.gather(*asked))

    assert [numbers(found) for found in asyncio.run(work())] == [[i] for i in range(20)]


# a name with a dollar first is an operator's
def names(alphabet: str, most: int) -> st.SearchStrategy[str]:
    return st.text(alphabet, max_size=most).filter(lambda name: not name.startswith("$"))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(-1e15, 1e15)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names("%:'\"\\;$1()é", 4), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(metadata=st.dictionaries(names("ab.%:'\"\\$é", 5), JSON, max_size=4))
def test_any_metadata_comes_back_and_filters_itself(
    metadata: dict[str, Any], driver: str, call: Call, address: str
) -> None:
    store = open_store(address, Known(VECTORS), BINARIZER, driver)
    call(store.create_table)
    call(store.add_texts, ["1", "2"], [metadata, {"other": 1}], ids=["mine", "other"])
    assert call(store.get_by_ids, ["mine"])[0].metadata == metadata
    found = call(store.similarity_search, "1", filter=metadata)
    assert found[0] == Document("1", id="mine", metadata=metadata)
    call(store.delete, ["mine", "other"])


HOSTILE = "do\"cs'; DROP TABLE docs; -- %(x)s %s %% :y $1 é"


def test_hostile_names_and_values_stay_data(address: str, driver: str, call: Call) -> None:
    class Lengths(Known):
        def embed_query(self, text: str) -> list[float]:
            return VECTORS[len(text)].tolist()

    filled(address)
    with engine(address).begin() as connection:
        connection.execute(CreateSchema(quoted_name(HOSTILE, True)))
    names = {"table_name": HOSTILE, "schema": HOSTILE}
    store = open_store(address, Lengths(VECTORS), BINARIZER, driver, **names)
    call(store.create_table)
    ids = call(store.add_texts, [HOSTILE], [{HOSTILE: HOSTILE}], ids=[HOSTILE])
    assert ids == [HOSTILE]
    expected = [Document(HOSTILE, id=HOSTILE, metadata={HOSTILE: HOSTILE})]
    assert call(store.get_by_ids, [HOSTILE]) == expected
    assert call(store.similarity_search, HOSTILE, filter={HOSTILE: HOSTILE}) == expected
    assert call(store.similarity_search, HOSTILE, filter={HOSTILE: "x"}) == []
    own = store.table.c.metadata[HOSTILE].as_string() == HOSTILE
    assert call(store.similarity_search, HOSTILE, filter=own) == expected
    call(store.delete, [HOSTILE])
    assert call(store.get_by_ids, [HOSTILE]) == []
    assert isinstance(store.table.c.code.type, Code)
    assert len(filled(address).similarity_search("1", k=200, candidates=200)) == 200
