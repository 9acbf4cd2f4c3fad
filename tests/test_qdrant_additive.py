"""The contract of `bitryoshka.qdrant` for additive codes, on every engine there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import models
from qdrant_engines import ENGINES, Make, maker, settle
from synthetic import clustered
from test_qdrant import (
    assert_best_of_the_nearest,
    assert_in_order,
    assert_quantized,
    asymmetric_scores,
)

from bitryoshka import Binarizer, BitsError, CollectionError, FingerprintError
from bitryoshka.bits import hamming, pack, unpack
from bitryoshka.qdrant import (
    Collection,
    Settings,
    collection_config,
    move,
    plan_search,
    search,
    upsert,
    verify_move,
)
from bitryoshka.qdrant.config import body
from bitryoshka.qdrant.edge import create_shard, open_shard
from bitryoshka.qdrant.quantizers import code_quantizers
from bitryoshka.training.additive import Settings as Recipe
from bitryoshka.training.additive import additive_codes
from bitryoshka.training.closed_form import Goal

ROWS = clustered(0, 700, 64, 40)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
QUERIES = clustered(1, 30, 64, 40)
QUERIES /= np.linalg.norm(QUERIES, axis=1, keepdims=True)


def fitted(bits: int, hamming_bits: int, nested: tuple[int, ...]) -> Binarizer:
    goal = Goal(bits, nested, "cosine", 0)
    return additive_codes(ROWS, ROWS[:0], goal, hamming_bits, Recipe(rounds=(2,)))


@pytest.fixture(scope="module")
def signs() -> Binarizer:
    """64 bits, all of them Hamming bits, to be cut at 32."""
    return fitted(64, 64, (32, 64))


@pytest.fixture(scope="module")
def longer() -> Binarizer:
    """128 bits, 64 of them Hamming bits."""
    return fitted(128, 64, (32, 64, 128))


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    with maker(request.param, tmp_path) as found:
        yield found


def filled(make: Make, binarizer: Binarizer, **chosen: Any) -> Collection[Any]:
    collection = make(binarizer, **{"hnsw_m": 0, **chosen})
    upsert(collection, range(len(ROWS)), ROWS)
    settle(collection)
    return collection


def assert_signs_are_compared(collection: Collection[Any], name: str, bits: int) -> None:
    """Asked with floats, vector ``name`` gives whole numbers: the engine took the signs of both."""
    weights = collection.binarizer.query_weights(QUERIES, bits)
    params = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))
    asked = [
        models.QueryRequest(query=w, using=name, limit=10, params=params) for w in weights.tolist()
    ]
    distances = hamming(np.packbits(weights > 0, axis=1), collection.binarizer.encode(ROWS, bits))
    for hits, row in zip(collection.engine.query(asked), distances, strict=True):
        assert [hit.score for hit in hits] == [bits - 2 * row[hit.id] for hit in hits]


def read_back(collection: Collection[Any]) -> NDArray[np.uint8]:
    """The codes that the engine holds, in the order of the rows."""
    page = collection.engine.scroll(len(ROWS), vectors=("bits",))
    assert page.ids == list(range(len(ROWS)))
    stored = np.array(page.vectors["bits"], np.float32)
    assert set(np.unique(stored)) == {-1.0, 1.0}
    return pack(stored > 0)


def test_the_starting_bits_are_not_the_code(signs: Binarizer, longer: Binarizer) -> None:
    for binarizer in (signs, longer):
        start = pack(binarizer.project(ROWS) > 0)
        assert (start != binarizer.encode(ROWS, 64)).any(axis=1).mean() > 0.5


def test_hamming_distance_is_exact(make: Make, signs: Binarizer) -> None:
    collection = filled(make, signs, query_encoding="binary")
    assert_signs_are_compared(collection, "bits", 64)
    distances = hamming(signs.encode_queries(QUERIES), signs.encode(ROWS))
    found = search(collection, QUERIES, rescore=None)
    assert_in_order(found, -distances)
    for hits, row in zip(found, distances, strict=True):
        assert [hit.score for hit in hits] == [64 - 2 * row[hit.id] for hit in hits]


@pytest.mark.parametrize("cut", [32, 64, 128])
def test_float_queries_give_the_asymmetric_order(make: Make, longer: Binarizer, cut: int) -> None:
    binarizer = longer.truncate(cut) if cut < longer.bits else longer
    collection = filled(make, binarizer)
    assert collection.settings.quantization == "code"
    assert_quantized(collection, QUERIES, ROWS)
    scores = asymmetric_scores(binarizer, QUERIES, ROWS, cut)
    assert_in_order(search(collection, QUERIES, rescore="asymmetric"), scores, slack=0.005)


@pytest.mark.parametrize("cut", [32, 128])
def test_a_code_that_is_read_back_has_the_score_that_it_had(
    make: Make, longer: Binarizer, cut: int
) -> None:
    binarizer = longer.truncate(cut) if cut < longer.bits else longer
    collection = filled(make, binarizer)
    codes = read_back(collection)
    assert np.array_equal(codes, longer.encode(ROWS, cut))
    decoded = (unpack(codes) * np.float32(2) - 1) @ binarizer.query_weights(QUERIES).T
    scores = asymmetric_scores(binarizer, QUERIES, ROWS, cut)
    # sums of floats in another order
    assert np.allclose(decoded.T, scores, rtol=0, atol=1e-6)
    for hits, row in zip(search(collection, QUERIES, rescore="asymmetric"), decoded.T, strict=True):
        # each query's scale is the engine's own
        given, ours = np.array([hit.score for hit in hits]), row[[hit.id for hit in hits]]
        scale = given.sum() / ours.sum()
        assert np.abs(given / scale - ours).max() < 0.005 * np.ptp(row)


def test_a_prefix_of_hamming_bits_comes_first(make: Make, longer: Binarizer) -> None:
    collection = filled(make, longer, prefixes=(32, 64))
    for bits in (32, 64):
        assert_signs_are_compared(collection, f"prefix_{bits}", bits)
        stage: dict[str, Any] = {"prefix_bits": bits, "candidates": 30}
        found = search(collection, QUERIES, rescore="asymmetric", **stage)
        near = hamming(longer.encode_queries(QUERIES, bits), longer.encode(ROWS, bits))
        scores = asymmetric_scores(longer, QUERIES, ROWS, 128)
        assert_best_of_the_nearest(found, near, scores, 30)


def test_the_graph_finds_what_the_scan_finds(make: Make, signs: Binarizer) -> None:
    collection = filled(make, signs, hnsw_m=16)
    assert_quantized(collection, QUERIES, ROWS)
    found = search(collection, QUERIES, rescore="asymmetric", hnsw_ef=128)
    assert_in_order(found, asymmetric_scores(signs, QUERIES, ROWS, 64), slack=0.03)


def test_moving_and_planning(make: Make, longer: Binarizer, signs: Binarizer) -> None:
    first, second = filled(make, longer), make(signs)
    assert move(first.engine, second, "original") == (len(ROWS), 0, 0, 0, 0, 0)
    settle(second)
    # of the vectors as the engine keeps them, in float16
    moved, fresh = signs.losses(ROWS, read_back(second)), signs.losses(ROWS)
    assert moved.mean() < 1.001 * fresh.mean()
    everything = {"candidates": len(ROWS)}
    assert verify_move(first.engine, second, "original", search_arguments=everything).good
    assert plan_search(first, QUERIES, 0.9).reached


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        *(
            ({"quantization": kind}, f"additive codes need quantization 'code', found '{kind}'")
            for kind in ("binary", "turbo1", "turbo1_5", "turbo2", "turbo4", "turbo8")
        ),
        ({"query_encoding": "binary"}, r"found 64 of 128: .*prefixes=\(64,\) for Hamming distance"),
        ({"prefixes": (128,)}, r"among the Hamming bits \(32, 64\), found \(128,\)"),
    ],
)
def test_what_cannot_hold_the_code_is_refused(
    longer: Binarizer, chosen: dict[str, Any], words: str
) -> None:
    with pytest.raises(BitsError, match=words):
        collection_config(longer, **chosen)


def test_only_its_own_collections_are_opened(
    tmp_path: Path, signs: Binarizer, longer: Binarizer
) -> None:
    create_shard(tmp_path / "a", collection_config(longer))
    for other in (longer.truncate(64), signs):
        with (
            pytest.raises(FingerprintError, match=f"expected fingerprint {longer.fingerprint}"),
            open_shard(tmp_path / "a", other),
        ):
            pass
    projected = replace(Settings.of(longer), quantization="binary")
    config = collection_config(longer)
    config.metadata = projected.as_metadata()
    create_shard(tmp_path / "b", config)
    with (
        pytest.raises(CollectionError, match="does not hold its binarizer's codes: additive codes"),
        open_shard(tmp_path / "b", longer),
    ):
        pass


def test_the_body_names_the_whole_code(longer: Binarizer) -> None:
    found = body(collection_config(longer))
    bits = found["vectors"]["bits"]
    assert bits["size"] == 128
    assert bits["quantization_config"]["binary"]["query_encoding"] == "scalar8bits"
    assert found["metadata"]["bitryoshka"]["quantization"] == "code"


def test_every_cut_is_a_quantizer(longer: Binarizer) -> None:
    cuts = {q.label: q for q in code_quantizers(longer)}
    assert list(cuts) == [
        *("ours 32 bits, Hamming", "ours 32 bits, 8-bit query"),
        *("ours 64 bits, Hamming", "ours 64 bits, 8-bit query"),
        "ours 128 bits, 8-bit query",
    ]
    whole = cuts["ours 128 bits, 8-bit query"].store(ROWS)
    for label, cut in cuts.items():
        stored = cut.store(ROWS)
        assert np.array_equal(stored, whole[:, : stored.shape[1]]), label
        assert cut.ask(QUERIES).shape == (len(QUERIES), stored.shape[1])
