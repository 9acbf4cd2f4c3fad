"""A move copies all that a collection has, or refuses by name; a second run makes both alike."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models
from qdrant_engines import ENGINES, Make, maker, settle
from synthetic import clustered

import bitryoshka
from bitryoshka import CollectionError, VectorsError
from bitryoshka.bits import pack
from bitryoshka.qdrant import collection_config, move, search, upsert, verify_move
from bitryoshka.qdrant.copying import _side_by_side
from bitryoshka.qdrant.edge import Shard, create_shard, open_shard, read_shard
from bitryoshka.qdrant.engine import Point, having
from bitryoshka.qdrant.verifying import _Draw

ROWS = clustered(0, 300, 48, 20)
BINARIZER = bitryoshka.fit(ROWS, bits=64, hamming_bits=32, method="progressive").binarizer
IDS: list[Any] = [*range(0, 500, 2), 2**64 - 1, *(str(UUID(int=7 * i)) for i in range(49))]
WITHOUT = 7  # the tenth part of the points lack "text", and others lack other vectors
LIKE: dict[str, Any] = {"vector": "text", "indexing_threshold": 1}
OTHERS = ("colbert", "image", "terms")
INDEXES: dict[str, Any] = {
    "tenant": models.KeywordIndexParams(type="keyword", is_tenant=True),
    "rank": models.IntegerIndexParams(type="integer", lookup=False, range=True, on_disk=True),
    "score": models.PayloadSchemaType.FLOAT,
    "place": models.GeoIndexParams(type="geo"),
    "flag": models.BoolIndexParams(type="bool", memory="cold"),
    "at": models.DatetimeIndexParams(type="datetime", is_principal=True),
    "of": models.UuidIndexParams(type="uuid"),
    "body": models.TextIndexParams(
        type="text",
        tokenizer="word",
        min_token_len=2,
        lowercase=True,
        phrase_matching=True,
        stopwords=models.StopwordsSet(languages=["english", "german"], custom=["foo"]),
        stemmer=models.SnowballParams(type="snowball", language="german"),
        scoring=models.TextScoringParams(type="bm25"),
    ),
    "title": models.TextIndexParams(
        type="text", tokenizer="prefix", stopwords="french", stemmer={"type": "none"}
    ),
}


def vectors(n: int) -> dict[str, Any]:
    random = np.random.default_rng(n)
    found = {
        "text": ROWS[n].tolist(),
        "image": random.normal(size=5).tolist(),
        "colbert": random.normal(size=(1 + n % 3, 4)).tolist(),
        "terms": edge.SparseVector([3, 900 + n], [0.5, float(n)]),
    }
    for rest, name in ((WITHOUT, "text"), (3, "image"), (4, "colbert"), (5, "terms")):
        if n % 10 == rest:
            del found[name]
    return found


def payload(n: int) -> dict[str, Any] | None:
    if n % 50 == 0:
        return None if n else {}
    return {"n": n, "tenant": f"t{n % 4}", "flag": n % 2 == 0, "o": {"x": [1, 1.0, True, None]}}


def source_shard(path: Path) -> Path:
    """A shard with vectors of every kind, and settings of its own."""
    path.mkdir()
    int8 = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=0.9)
    graph = edge.HnswIndexConfig(24, 77, 5000, payload_m=8)
    maxsim = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)
    config = edge.EdgeConfig(
        {
            "text": edge.EdgeVectorParams(48, edge.Distance.Cosine, hnsw_config=graph),
            "image": edge.EdgeVectorParams(
                5,
                edge.Distance.Euclid,
                on_disk=True,
                quantization_config=edge.ProductQuantizationConfig(edge.CompressionRatio.X4),
            ),
            "colbert": edge.EdgeVectorParams(
                4,
                edge.Distance.Cosine,
                multivector_config=maxsim,
                datatype=edge.VectorStorageDatatype.Float16,
            ),
        },
        {"terms": edge.EdgeSparseVectorParams(full_scan_threshold=99, modifier=edge.Modifier.Idf)},
        on_disk_payload=False,
        hnsw_config=edge.HnswIndexConfig(20, 60, 3000, payload_m=6),
        quantization_config=int8,
        optimizers=edge.EdgeOptimizersConfig(deleted_threshold=0.3),
    )
    shard = edge.EdgeShard.create(str(path), config)
    points = [edge.Point(i, vectors(n), payload(n)) for n, i in enumerate(IDS)]
    shard.update(edge.UpdateOperation.upsert_points(points))
    shard.close()
    return path


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    with maker(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Shard]:
    with read_shard(source_shard(tmp_path / "source")) as found:
        yield found


@pytest.fixture
def indexed(source: Shard) -> Shard:
    source.create_indexes(INDEXES)
    return source


def change(shard: Shard, operation: Any) -> None:
    shard.shard.update(operation)


def everything(engine: Any, names: Any) -> dict[Any, tuple[Any, dict[str, Any]]]:
    page = engine.scroll(1000, vectors=names, payloads=True)
    return {
        known: (page.payloads[i], {n: page.vectors[n][i] for n in names})
        for i, known in enumerate(page.ids)
    }


def assert_alike(found: Any, expected: Any) -> None:
    """The same ids, payloads and vectors, but for a float16 that is rounded once more."""
    assert list(found) == list(expected)
    for known, (payload_, vectors_) in found.items():
        assert payload_ == expected[known][0]
        for name, vector in vectors_.items():
            if name == "colbert" and vector is not None:
                assert np.allclose(vector, expected[known][1][name], rtol=1e-3)
            else:
                assert vector == expected[known][1][name]


def test_all_that_a_collection_has_is_copied(make: Make, indexed: Shard) -> None:
    target = make(BINARIZER, like=indexed.config(), vector="text")
    assert move(indexed, target, "text", batch_rows=64) == (300, 0, 0, 0, 0, 30)
    settle(target)
    assert_alike(everything(target.engine, OTHERS), everything(indexed, OTHERS))
    assert target.engine.indexes() == indexed.indexes() == INDEXES
    page = target.engine.scroll(1000, vectors=("bits", "original"))
    coded = [i for i, row in enumerate(page.vectors["bits"]) if row is not None]
    numbers = [IDS.index(page.ids[i]) for i in coded]
    assert sorted(numbers) == [n for n in range(300) if n % 10 != WITHOUT]
    stored = pack(np.array([page.vectors["bits"][i] for i in coded]) > 0)
    assert np.array_equal(stored, BINARIZER.encode(ROWS[numbers], 32))
    assert [i for i, row in enumerate(page.vectors["original"]) if row is not None] == coded
    assert move(indexed, target, "text", batch_rows=7) == (0, 0, 300, 0, 0, 30)
    found = verify_move(indexed, target, "text", batch_rows=50)
    assert found.good
    assert (found.source_points, found.target_points, found.sampled) == (300, 300, 50)
    assert (found.missing, found.extra, found.changed, found.lost) == (0, 0, 0, [])
    assert (found.examples, found.settings) == ({}, [])


def test_a_shard_with_points_without_codes_opens_again(source: Shard, tmp_path: Path) -> None:
    create_shard(tmp_path / "new", collection_config(BINARIZER, like=source.config(), **LIKE))
    with open_shard(tmp_path / "new", BINARIZER) as target:
        move(source, target, "text")
        target.engine.optimize()
    with open_shard(tmp_path / "new", BINARIZER) as target:
        assert verify_move(source, target, "text").good


def test_what_is_left_open_is_taken_over(source: Shard) -> None:
    found = collection_config(
        BINARIZER, like=source.config(), vector="text", prefixes=(32,), indexing_threshold=5
    )
    assert set(found.vectors) == {"bits", "prefix_32", "original", "image", "colbert"}
    assert found.on_disk_payload is False
    assert found.hnsw_config.m == 20
    assert found.quantization_config is None
    assert found.optimizers_config.deleted_threshold == 0.3
    assert found.optimizers_config.indexing_threshold == 5
    for name in ("bits", "prefix_32"):
        graph = found.vectors[name].hnsw_config
        assert (graph.m, graph.ef_construct, graph.payload_m) == (24, 77, 8)
    assert found.vectors["bits"].quantization_config.binary is not None
    assert found.vectors["original"].quantization_config is None
    assert found.vectors["original"].hnsw_config == models.HnswConfigDiff(m=0, payload_m=0)
    assert found.vectors["image"].quantization_config.product.compression == "x4"
    assert found.vectors["image"].on_disk is True
    # quantized for the collection as a whole there, which would take ours along here
    assert found.vectors["colbert"].quantization_config.scalar.quantile == 0.9
    assert found.sparse_vectors["terms"].modifier == models.Modifier.IDF
    assert found.sparse_vectors["terms"].index.full_scan_threshold == 99
    chosen = collection_config(BINARIZER, like=source.config(), vector="text", hnsw_m=9)
    assert chosen.vectors["bits"].hnsw_config.m == 9
    assert chosen.vectors["bits"].hnsw_config.ef_construct == 77


def test_a_shard_that_is_like_another_says_so(source: Shard, tmp_path: Path) -> None:
    config = collection_config(BINARIZER, like=source.config(), **LIKE)
    create_shard(tmp_path / "new", config)
    create_shard(tmp_path / "new", config)
    with open_shard(tmp_path / "new", BINARIZER) as target:
        found, expected = target.engine.config(), source.config()
        assert found.sparse_vectors == expected.sparse_vectors
        assert found.vectors["image"] == expected.vectors["image"]
        assert found.hnsw_config == expected.hnsw_config
        assert found.metadata == config.metadata


def test_what_the_target_lacks_is_refused_by_name(make: Make, source: Shard) -> None:
    target = make(BINARIZER)
    words = (
        r"it would lose (vector 'image'|multivector 'colbert'|sparse vector 'terms'|, ){5}; create "
        r".*--like.* drop=\(.*'image'.*\) \(--drop "
    )
    with pytest.raises(CollectionError, match=words):
        move(source, target, "text")
    with pytest.raises(CollectionError, match="it would lose multivector 'colbert'; create"):
        move(source, target, "text", drop=("image", "terms"))
    assert (target.engine.count(), target.engine.indexes()) == (0, {})
    assert move(source, target, "text", drop=OTHERS) == (300, 0, 0, 0, 0, 30)
    settle(target)
    assert verify_move(source, target, "text", drop=OTHERS).good
    found = verify_move(source, target, "text", drop=("image", "terms"))
    assert (found.good, found.lost) == (False, ["multivector 'colbert'"])


def test_a_name_that_nothing_has_is_no_name_to_drop(make: Make, source: Shard) -> None:
    target = make(BINARIZER, like=source.config(), vector="text")
    with pytest.raises(CollectionError, match=r"drop names \['imgae'\], .* found .*'image'"):
        move(source, target, "text", drop=("imgae",))
    assert target.engine.count() == 0


def test_what_can_be_copied_can_be_dropped_too(make: Make, indexed: Shard) -> None:
    target = make(BINARIZER, like=indexed.config(), vector="text")
    move(indexed, target, "text", drop=("image", "body"))
    assert target.engine.scroll(1000, vectors=("image",)).vectors["image"] == [None] * 300
    assert target.engine.indexes() == {f: s for f, s in INDEXES.items() if f != "body"}
    settle(target)
    assert verify_move(indexed, target, "text", drop=("image", "body")).good
    found = verify_move(indexed, target, "text")
    assert found.lost == ["payload index 'body'"]
    assert (found.changed, found.differing) == (270, {"image": 270})


def other(path: Path, named: dict[str, Any], sparse: Any = None) -> Path:
    path.mkdir()
    shard = edge.EdgeShard.create(str(path), edge.EdgeConfig(named, sparse))
    point = {name: [0.5] * params.size for name, params in named.items()}
    shard.update(edge.UpdateOperation.upsert_points([edge.Point(1, point)]))
    shard.close()
    return path


def test_vectors_of_the_same_name_that_are_others_are_refused(make: Make, tmp_path: Path) -> None:
    text = edge.EdgeVectorParams(48, edge.Distance.Cosine)
    plain = edge.EdgeVectorParams(5, edge.Distance.Dot)
    given = {"text": text, "image": plain, "bits": plain, "prefix_32": plain}
    with read_shard(other(tmp_path / "given", given)) as source:
        with pytest.raises(CollectionError, match=r"vector 'bits': ours has that name; .*'bits'"):
            collection_config(BINARIZER, like=source.config(), vector="text")
        config = source.config()
        config.vectors["image"].distance = models.Distance.COSINE
        target = make(BINARIZER, like=config, vector="text", drop=("bits",))
        with pytest.raises(CollectionError) as refused:
            move(source, target, "text")
        assert "vector 'bits' (ours has that name)" in str(refused.value)
        found = verify_move(source, target, "text")
        assert (found.missing, found.changed, len(found.lost)) == (1, 0, 2)
        words = "vector 'image' (5 dimensions, Dot, there 5 dimensions, Cosine)"
        assert words in str(refused.value)
        assert "prefix_32" not in str(refused.value)
        assert move(source, target, "text", drop=("bits", "image"))[0] == 1


def test_an_index_of_another_type_is_refused_and_one_of_other_options_told(
    make: Make, indexed: Shard
) -> None:
    target = make(BINARIZER, like=indexed.config(), vector="text")
    target.engine.create_indexes(
        {"rank": models.PayloadSchemaType.KEYWORD, "tenant": models.PayloadSchemaType.KEYWORD}
    )
    with pytest.raises(CollectionError, match=r"index 'rank' \(integer, there keyword\); create"):
        move(indexed, target, "text")
    assert set(target.engine.indexes()) == {"rank", "tenant"}
    move(indexed, target, "text", drop=("rank",))
    settle(target)
    found = verify_move(indexed, target, "text", drop=("rank",))
    assert found.good
    assert "payload index 'tenant' is_tenant: True, there None" in found.settings


@pytest.mark.parametrize(
    ("vector", "error", "words"),
    [
        ("nothing", CollectionError, r"no dense vector 'nothing', found \['colbert', 'image', 'te"),
        ("terms", CollectionError, "no dense vector 'terms'"),
        ("colbert", CollectionError, "vector 'colbert' of .* is a multivector"),
        ("image", VectorsError, "vector 'image' of .* must have 48 dimensions, found 5"),
    ],
)
def test_vectors_that_no_code_can_be_made_of(
    make: Make, source: Shard, vector: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        collection_config(BINARIZER, like=source.config(), vector=vector)
    target = make(BINARIZER)
    for call in (move, verify_move):
        with pytest.raises(error, match=words):
            call(source, target, vector)
    assert target.engine.count() == 0


def test_points_without_the_vector_need_more_than_codes(make: Make, source: Shard) -> None:
    target = make(BINARIZER, like=source.config(), vector="text", keep_vectors=False)
    with pytest.raises(CollectionError, match=r"lose 30 points without vector 'text'; .*'text'"):
        move(source, target, "text")
    assert move(source, target, "text", drop=("text",)) == (270, 0, 0, 0, 0, 30)
    settle(target)
    found = verify_move(source, target, "text", drop=("text",), least_recall=0.5)
    assert (found.source_points, found.target_points, found.good) == (270, 270, True)


def test_resuming_gives_points_that_were_moved_without_a_code_theirs(
    make: Make, source: Shard
) -> None:
    target = make(BINARIZER, like=source.config(), vector="text")
    move(source, target, "text")
    assert upsert(target, IDS, ROWS, resume=True) == (30, 270)
    settle(target)
    assert target.engine.count(having("bits")) == 300


def test_a_source_whose_points_all_lack_the_vector_is_refused(make: Make, source: Shard) -> None:
    change(source, edge.UpdateOperation.delete_vectors(IDS, ["text"]))
    target = make(BINARIZER, like=source.config(), vector="text")
    with pytest.raises(CollectionError, match=r"no point of .* has a vector 'text'"):
        move(source, target, "text")
    assert target.engine.count() == 0


def test_a_point_that_has_no_code_is_named(make: Make, source: Shard) -> None:
    zero = edge.PointVectors(34, {"text": [0.0] * 48})
    change(source, edge.UpdateOperation.update_vectors([zero]))
    target = make(BINARIZER, like=source.config(), vector="text")
    with pytest.raises(VectorsError, match=r"non-zero .*, point 34 is zero"):
        move(source, target, "text")


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_second_run_makes_both_alike(make: Make, source: Shard, parallel: int) -> None:
    target = make(BINARIZER, like=source.config(), vector="text")
    assert move(source, target, "text", parallel=parallel) == (300, 0, 0, 0, 0, 30)
    fresh = clustered(9, 3, 48, 20)
    for operation in (
        edge.UpdateOperation.set_payload([2], {"n": True}),  # was 1
        edge.UpdateOperation.delete_payload([4], ["o"]),
        edge.UpdateOperation.update_vectors([edge.PointVectors(6, {"image": [9.0] * 5})]),
        edge.UpdateOperation.update_vectors([edge.PointVectors(10, {"colbert": [[1.0] * 4]})]),
        edge.UpdateOperation.update_vectors(
            [edge.PointVectors(12, {"terms": edge.SparseVector([3], [0.5])})]
        ),
        edge.UpdateOperation.update_vectors([edge.PointVectors(16, {"text": fresh[0].tolist()})]),
        edge.UpdateOperation.update_vectors([edge.PointVectors(14, {"text": fresh[1].tolist()})]),
        edge.UpdateOperation.delete_vectors([18], ["text", "image"]),
        edge.UpdateOperation.delete_points([20, IDS[299]]),
        edge.UpdateOperation.upsert_points([edge.Point(21, {"text": fresh[2].tolist()}, {"n": 0})]),
    ):
        change(source, operation)
    target.engine.write_points([Point(23, {}, {"image": [1.0] * 5})])
    found = verify_move(source, target, "text", parallel=parallel)
    assert not found.good
    assert (found.source_points, found.target_points) == (299, 301)
    assert (found.missing, found.extra, found.changed) == (1, 3, 8)
    assert found.examples == {
        "missing": [21],
        "extra": [20, 23, IDS[299]],
        "changed": [2, 4, 6, 10, 12],
    }
    vectors_ = {"bits": 3, "image": 1, "colbert": 1, "terms": 1}
    assert found.differing == {"payload": 2, **vectors_}
    # text was given to one more point, and taken from another
    words = {"batch_rows": 9, "parallel": parallel}
    assert move(source, target, "text", **words) == (1, 8, 290, 0, 3, 30)
    again = verify_move(source, target, "text", **words)
    assert (again.missing, again.extra, again.changed, again.good) == (0, 3, 0, False)
    assert move(source, target, "text", delete_extra=True, **words) == (0, 0, 299, 3, 0, 30)
    settle(target)
    assert verify_move(source, target, "text").good
    assert_alike(everything(target.engine, OTHERS), everything(source, OTHERS))


def test_what_is_the_targets_own_stays_with_points_that_changed(make: Make, source: Shard) -> None:
    target = make(BINARIZER, like=source.config(), vector="text")
    move(source, target, "text", drop=("image",))
    mine = np.full((2, 5), 3, np.float32)
    target.engine.write_vectors([2, 4], {"image": mine})
    change(source, edge.UpdateOperation.set_payload([2], {"n": "new"}))
    assert move(source, target, "text", drop=("image",)) == (0, 1, 299, 0, 0, 30)
    found = everything(target.engine, ("image", "bits"))
    assert found[2][0]["n"] == "new"
    assert found[2][1]["image"] == found[4][1]["image"] == mine[0].tolist()
    assert found[2][1]["bits"] is not None


def test_what_a_writer_adds_to_both_meanwhile_is_not_deleted(
    make: Make, source: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make(BINARIZER, like=source.config(), vector="text")
    move(source, target, "text")
    target.engine.write_points([Point(23, {}, {"image": [1.0] * 5})])
    scroll = Shard.scroll

    def late(self: Shard, *arguments: Any, **named: Any) -> Any:
        found = scroll(self, *arguments, **named)
        if self is source and 19 not in found.ids:
            point = {"image": [2.0] * 5}
            source.write_points([Point(19, {}, point)])
            target.engine.write_points([Point(19, {}, point)])
        return found

    monkeypatch.setattr(Shard, "scroll", late)
    moved = move(source, target, "text", delete_extra=True)
    assert (moved.deleted, moved.extra) == (1, 1)
    assert target.engine.existing([19, 23]) == {19}


def test_an_empty_source_deletes_nothing(make: Make, tmp_path: Path) -> None:
    target = make(BINARIZER)
    upsert(target, [1, 2], ROWS[:2])
    text = {"text": edge.EdgeVectorParams(48, edge.Distance.Cosine)}
    with read_shard(other(tmp_path / "given", text)) as source:
        change(source, edge.UpdateOperation.delete_points([1]))
        with pytest.raises(CollectionError, match="no points: this would delete all of"):
            move(source, target, "text", delete_extra=True)
        assert move(source, target, "text") == (0, 0, 0, 0, 2, 0)
        found = verify_move(source, target, "text")
    assert (found.extra, found.sampled, found.good) == (2, 0, False)


def test_floats_in_payloads_may_lose_their_last_digit_and_are_the_same(
    make: Make, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    raw = (struct.unpack("d", random.bytes(8))[0] for _ in range(3000))
    floats = [f for f in raw if math.isfinite(f)]
    text = {"text": edge.EdgeVectorParams(48, edge.Distance.Cosine)}
    with read_shard(other(tmp_path / "given", text)) as source:
        points = [
            Point(n, {"deep": [{"f": f}]}, {"text": ROWS[0].tolist()}) for n, f in enumerate(floats)
        ]
        source.write_points(points)
        kept = source.scroll(5000, payloads=True).payloads
        assert any(p["deep"][0]["f"] != f for p, f in zip(kept, floats, strict=True))
        target = make(BINARIZER)
        assert move(source, target, "text").written == len(floats)
        assert move(source, target, "text").skipped == len(floats)
        change(source, edge.UpdateOperation.set_payload([5], {"deep": [{"f": floats[5] * 1.001}]}))
        assert move(source, target, "text").updated == 1


@pytest.mark.parametrize("wide", ["float16", "float32"])
@pytest.mark.parametrize("quantization", ["binary", "code", "turbo2"])
def test_whatever_is_stored_is_recognized(
    make: Make, source: Shard, quantization: Any, wide: Any
) -> None:
    change(source, edge.UpdateOperation.delete_points([i for i in IDS if IDS.index(i) % 10 == 7]))
    for kept in (False, True):
        chosen = {"quantization": quantization, "datatype": wide, "keep_vectors": kept}
        target = make(BINARIZER, like=source.config(), vector="text", **chosen)
        assert move(source, target, "text").written == 270
        assert move(source, target, "text").skipped == 270
        for number in (0, 11):
            turned = (ROWS[number] * [-1, *[1] * 47] + 0.3).tolist()
            moved = edge.PointVectors(IDS[number], {"text": turned})
            change(source, edge.UpdateOperation.update_vectors([moved]))
        assert move(source, target, "text").updated == 2
        for number in (0, 11):
            before = edge.PointVectors(IDS[number], {"text": ROWS[number].tolist()})
            change(source, edge.UpdateOperation.update_vectors([before]))


@pytest.mark.parametrize("datatype", ["float16", "turbo16", "turbo8"])
def test_other_vectors_may_be_stored_in_fewer_bytes(
    make: Make, source: Shard, datatype: str
) -> None:
    config = source.config()
    config.vectors["image"].datatype = models.Datatype(datatype)
    target = make(BINARIZER, like=config, vector="text")
    move(source, target, "text")
    assert move(source, target, "text").skipped == 300
    settle(target)
    found = verify_move(source, target, "text")
    assert found.good
    assert found.settings == [f"vector 'image' datatype: None, there {datatype}"]


IDENTITIES = st.one_of(
    st.integers(0, 2**64 - 1), st.uuids().map(str), st.integers(0, 9), st.just(str(UUID(int=0)))
)


@given(st.sets(IDENTITIES), st.sets(IDENTITIES))
def test_two_sides_are_joined_by_id(left: set[Any], right: set[Any]) -> None:
    def points(ids: set[Any]) -> Iterator[Point]:
        whole = sorted(i for i in ids if isinstance(i, int))
        named = sorted((i for i in ids if isinstance(i, str)), key=lambda i: UUID(i).int)
        return (Point(i, {}, {}) for i in (*whole, *named))

    found = list(_side_by_side(points(left), points(right)))
    assert {a.id for a, b in found if a and not b} == left - right
    assert {b.id for a, b in found if b and not a} == right - left
    assert {a.id for a, b in found if a and b and a.id == b.id} == left & right
    assert len(found) == len(left | right)


def test_the_order_of_ids_is_both_engines(make: Make) -> None:
    collection = make(BINARIZER)
    random = np.random.default_rng(0)
    ids = [*map(int, random.integers(0, 2**63, 40)), 2**64 - 1, 0]
    ids += [str(UUID(bytes=random.bytes(16))) for _ in range(40)]
    upsert(collection, ids, ROWS[: len(ids)])
    seen, following = [], None
    while True:
        page = collection.engine.scroll(7, following)
        seen += page.ids
        if (following := page.next) is None:
            break
    named = sorted((i for i in ids if isinstance(i, str)), key=lambda i: UUID(i).int)
    assert seen == [*sorted(i for i in ids if isinstance(i, int)), *named]


def test_an_engine_with_another_order_is_refused(
    source: Shard, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make(BINARIZER, like=source.config(), vector="text")
    scroll = Shard.scroll

    def turned(self: Shard, *arguments: Any, **named: Any) -> Any:
        page = scroll(self, *arguments, **named)
        return page._replace(ids=page.ids[::-1]) if self is source else page

    monkeypatch.setattr(Shard, "scroll", turned)
    with pytest.raises(CollectionError, match="another order than ids"):
        move(source, target, "text", delete_extra=True)


def test_a_sample_is_of_all_that_comes() -> None:
    seen = np.zeros(400)
    for seed in range(500):
        draw = _Draw(20, seed)
        sample = [row for _, row in draw.first((draw.place(row), row) for row in range(400))]
        assert len(set(sample)) == 20
        seen[sample] += 1
    # 25 each are expected; the four hundreds alike
    assert np.abs(seen.reshape(4, 100).sum(1) - 2500).max() < 200
    few = _Draw(20, 0)
    assert {row for _, row in few.first((few.place(row), row) for row in range(7))} == {*range(7)}


def test_queries_of_the_check_are_taken_from_everywhere(
    make: Make, source: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make(BINARIZER, like=source.config(), vector="text")
    move(source, target, "text")
    settle(target)
    asked: list[Any] = []
    query = Shard.query

    def noting(self: Shard, requests: Any) -> Any:
        if self is source:
            asked.append([r.query for r in requests])
        return query(self, requests)

    monkeypatch.setattr(Shard, "query", noting)
    for seed, parallel in ((0, 1), (0, 3), (1, 1)):
        words = {"batch_rows": 50, "parallel": parallel}
        verify_move(source, target, "text", sample=40, seed=seed, **words)
    first, again, second = (np.array(a, np.float32) for a in asked)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    numbers = (first @ unit.T).argmax(1)
    assert len(set(numbers)) == 40
    assert max(numbers) > 250 > 100 > min(numbers)


def test_a_boolean_is_matched(make: Make) -> None:
    collection = make(BINARIZER)
    payloads: list[Any] = [{"b": True}, {"b": False}, {"b": 1}, {"b": 0}, {"b": [False, True]}, {}]
    upsert(collection, range(6), ROWS[:6], payloads)

    def matching(**clauses: Any) -> set[Any]:
        found = models.Filter(**clauses)
        return set(collection.engine.scroll(10, where=found).ids)

    def equal(value: Any) -> models.FieldCondition:
        return models.FieldCondition(key="b", match=models.MatchValue(value=value))

    for indexed in (False, True):
        if indexed:
            collection.engine.create_indexes({"b": models.PayloadSchemaType.BOOL})
        assert matching(must=[equal(True)]) == {0, 4}
        assert matching(must=[equal(False)]) == {1, 4}
        assert matching(must_not=[equal(True)]) == {1, 2, 3, 5}
        assert matching(should=[equal(True), equal(False)]) == {0, 1, 4}
    assert matching(must=[equal(1)]) == {2}
    assert matching(must=[equal(0)]) == {3}
    assert collection.engine.count(models.Filter(must=[equal(True)])) == 2
    [hits] = search(collection, ROWS[:1], where=models.Filter(must=[equal(True)]))
    assert {hit.id for hit in hits} == {0, 4}
