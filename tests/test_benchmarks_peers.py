"""Peers at their own bytes, the tables made of them, and the sweep over lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import faiss_codes, library_codes, peers, quality, sweep
from benchmarks.bytes_table import (
    OURS,
    byte_lines,
    byte_table,
    few_block,
    first_block,
    first_table,
    losses,
)
from benchmarks.datasets import Dataset, hold_out
from benchmarks.faiss_codes import Variant
from benchmarks.judge import Judge, score_search
from benchmarks.quality_table import lines, mean_rows, targets
from benchmarks.results import FOLDER, read
from synthetic import clustered

from bitryoshka.qdrant.quantizers import qdrant_quantizers


@pytest.fixture(scope="module")
def judge() -> Judge:
    x = clustered(1, 440)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    data = hold_out("made up", x, 40, 0)._replace(judgements=[{i: 1.0} for i in range(40)])
    return Judge.of(data)


class TestRescoring:
    def test_the_first_forty_in_exact_order(self, judge: Judge) -> None:
        data = judge.data
        noise = np.random.default_rng(0).normal(scale=0.05, size=data.queries.shape)
        search = score_search(data.queries + noise.astype(np.float32), data.documents)
        again = judge.rescored(search)(10)
        exact = data.queries @ data.documents.T
        for query, rows in enumerate(search(40)):
            expected = rows[np.argsort(-exact[query, rows], kind="stable")[:10]]
            np.testing.assert_array_equal(again[query], expected)
        found = judge.with_rescoring(search)
        assert found["rescored"]["recall"] > found["recall"]
        assert set(found["rescored"]) == {"recall", "retention"}

    def test_fewer_rows_than_that(self, judge: Judge) -> None:
        few = judge._replace(data=judge.data._replace(documents=judge.data.documents[:12]))
        search = few.rescored(score_search(few.data.queries, few.data.documents))
        assert search(10).shape == (40, 10)


class TestSentenceTransformers:
    def test_its_bits_are_signs_and_its_rescoring_is_their_product_with_floats(
        self, judge: Judge
    ) -> None:
        data = judge.data
        found = {p.family: p for p in peers.sentence_transformers_peers(data)}
        d = data.documents.shape[1]
        assert {name: p.code_bytes for name, p in found.items()} == {
            "binary, alone": d // 8,
            "binary, own rescoring": d // 8,
            "int8, alone": d,
            "int8, own rescoring": d,
        }
        bits = (data.documents > 0).astype(np.float32)
        distances = np.abs((data.queries > 0)[:, None] != (data.documents > 0)[None]).sum(axis=2)
        for query, rows in enumerate(found["binary, alone"].search(10)):
            assert np.sort(distances[query])[:10].tolist() == distances[query, rows].tolist()
        everything = len(data.documents) // peers.OVERSAMPLING
        scores = data.queries @ bits.T
        for query, rows in enumerate(found["binary, own rescoring"].search(everything)):
            np.testing.assert_allclose(
                scores[query, rows], np.sort(scores[query])[::-1][:everything], atol=1e-5
            )
        rows = peers.peer_rows(judge, iter(found.values()))
        assert rows["int8, own rescoring"][str(d)]["recall"] > 0.95
        assert rows["binary, alone"][str(d // 8)]["code_bytes"] == d // 8


class TestTruncated:
    def test_bytes_are_equal_and_int8_holds_the_most_dimensions(self, judge: Judge) -> None:
        rows = peers.peer_rows(judge, peers.truncated_peers(judge.data))
        d = judge.data.documents.shape[1]
        assert set(rows["first float32"]) == {
            str(size) for size in peers.TRUNCATED_BYTES if size <= 4 * d
        }
        for label in ("first", "principal"):
            recalls = [rows[f"{label} {kind}"]["24"]["recall"] for kind in ("float32", "int8")]
            assert recalls == sorted(recalls)
        assert rows["principal int8"]["24"]["recall"] > rows["first int8"]["24"]["recall"]

    def test_all_dimensions_lose_nothing(self, judge: Judge) -> None:
        data = judge.data
        d = data.documents.shape[1]
        for cut in (peers.first_dimensions, peers.principal_components):
            documents, queries = cut(data.documents, data.queries, d)
            assert judge.figures(score_search(queries, documents))["recall"] > 0.99

    def test_int8_is_within_half_a_step(self) -> None:
        x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
        x[:, 2] = 4
        step = (x.max(axis=0) - x.min(axis=0)) / 255
        assert (np.abs(peers.stored_as(x, "int8") - x) <= step / 2 + 1e-6).all()
        assert np.unique(peers.stored_as(x[:, :1], "int8")).size <= 256


@pytest.fixture(scope="module")
def wide() -> Judge:
    """Enough dimensions for rabitqlib, which rotates no fewer than 64."""
    x = clustered(2, 640, dimensions=96)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Judge.of(hold_out("made up, wide", x, 40, 0))


@pytest.fixture(scope="module", params=(8, 24))
def found(request: pytest.FixtureRequest, wide: Judge) -> tuple[int, list[Variant]]:
    """FAISS's codes at some budget, LSQ in small parts that train in no time."""
    data = wide.data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faiss_codes, "_LSQ_CODEBOOKS", 2)
        return request.param, list(
            faiss_codes.variants(data.documents, data.queries, request.param)
        )


class TestFaiss:
    def test_equal_bytes_and_a_ranking(self, found: tuple[int, list[Variant]], wide: Judge) -> None:
        code_bytes, variants = found
        additive = {"RQ", "RQ, unseen documents", "LSQ", "LSQ, unseen documents"}
        factors = {"EDEN", "RaBitQ"} if code_bytes == 24 else set[str]()
        assert {v.family for v in variants} == {"OPQ+PQ", "ITQ+LSH", *additive, *factors}
        assert all(v.code_bytes <= code_bytes for v in variants)
        for variant in variants:
            assert wide.figures(variant.search)["recall"] > (0.4 if code_bytes == 24 else 0.1)

    def test_factors_beside_the_bits_count(self, found: tuple[int, list[Variant]]) -> None:
        for variant in found[1]:
            if variant.family in ("RaBitQ", "EDEN"):
                dimensions, _, bits, *_ = variant.label.replace(",", "").split()
                assert variant.code_bytes >= int(dimensions) * int(bits) / 8 + 8

    def test_shared_bytes_are_codebooks_and_rotations(
        self, found: tuple[int, list[Variant]], wide: Judge
    ) -> None:
        code_bytes, variants = found
        d = wide.data.documents.shape[1]
        shared = {v.family: v.shared_bytes for v in variants}
        headers = 1024
        assert 0 <= shared["OPQ+PQ"] - 4 * (d * d + 256 * d) < headers
        assert shared["RQ"] == shared["RQ, unseen documents"] == 4 * 256 * d * code_bytes
        assert shared["LSQ"] == 4 * 256 * d * 2

    def test_additive_codes_know_the_documents_by_heart(
        self, found: tuple[int, list[Variant]], wide: Judge
    ) -> None:
        recalls = {v.family: wide.figures(v.search)["recall"] for v in found[1]}
        for family in ("RQ", "LSQ"):
            assert recalls[f"{family}, unseen documents"] < recalls[family] - 0.02

    def test_unseen_documents_are_decoded_by_the_other_half(self) -> None:
        class Mean:
            def train(self, x: Any) -> None:
                self.mean = x.mean(axis=0)

            def sa_encode(self, x: Any) -> Any:
                return len(x)

            def sa_decode(self, rows: int) -> Any:
                return np.tile(self.mean, (rows, 1))

        x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
        decoded = faiss_codes._decoded_unseen(Mean, x, 0)
        first, second = np.unique(decoded, axis=0)
        side = (decoded == first).all(axis=1)
        assert side.sum() == 10
        np.testing.assert_allclose(first, x[~side].mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(second, x[side].mean(axis=0), atol=1e-6)


class TestLibraries:
    def test_equal_bytes_and_a_ranking(self, wide: Judge) -> None:
        data = wide.data
        found = list(library_codes.variants(data.documents, data.queries, 24))
        assert {v.family for v in found} == {"ScaNN AH", "rabitqlib", "turboquant-pro"}
        for variant in found:
            assert variant.code_bytes <= 24
            assert variant.shared_bytes > 0
            assert variant.search(50).shape == (40, 50)
            assert wide.figures(variant.search)["recall"] > 0.4

    def test_no_setting_gives_no_row(self, wide: Judge) -> None:
        data = wide.data
        found = library_codes.variants(data.documents, data.queries, 8)
        assert {v.family for v in found} == {"ScaNN AH"}

    @pytest.mark.parametrize(("dimensions", "bits"), [(64, 1), (96, 1), (65, 2), (96, 5)])
    def test_rabitqlib_counts_what_its_file_holds(
        self, dimensions: int, bits: int, tmp_path: Path
    ) -> None:
        import rabitqlib

        def size(rows: int) -> int:
            x = np.random.default_rng(0).normal(size=(rows, dimensions)).astype(np.float32)
            index = rabitqlib.IvfIndex(dimensions, rows, 1, bits, metric="ip")
            index.build(x, x.mean(axis=0, keepdims=True), np.zeros(rows, np.uint32))
            index.save(str(tmp_path / "index"))
            return (tmp_path / "index").stat().st_size

        row_number = 4
        expected = library_codes.rabitqlib_bytes(dimensions, bits) + row_number
        assert size(128) - size(64) == 64 * expected

    def test_scann_saves_a_byte_a_block(self, wide: Judge, tmp_path: Path) -> None:
        data = wide.data
        for variant in library_codes.scann_variants(data.documents, data.queries, 24):
            (searcher,) = variant.search.__defaults__
            searcher.serialize(str(tmp_path))
            saved = np.load(tmp_path / "hashed_dataset.npy").shape[1]
            four_bits = variant.label.startswith("lut16")
            assert variant.code_bytes == (saved / 2 if four_bits else saved)

    def test_turboquant_keeps_a_float_beside_the_norm(self, wide: Judge) -> None:
        from turboquant_pro import PCAMatryoshka

        data = wide.data
        for variant in library_codes.turboquant_variants(data.documents, data.queries, 24):
            kept, _, bits, _ = variant.label.replace(",", "").split()
            principal = PCAMatryoshka(data.documents.shape[1], int(kept))
            principal.fit(data.documents)
            (code,) = principal.with_quantizer(int(bits)).compress_batch(data.documents[:1])
            assert variant.code_bytes == code.size_bytes + 4

    def test_the_best_of_a_family_is_shown(
        self, wide: Judge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = wide.data
        monkeypatch.setattr(quality, "PEER_BYTES", (24,))
        (row,) = quality.variant_rows(wide, library_codes.scann_variants).values()
        found = library_codes.scann_variants(data.documents, data.queries, 24)
        recalls = {v.label: wide.figures(v.search)["recall"] for v in found}
        assert row["24"]["recall"] == recalls[row["24"]["variant"]] == max(recalls.values())
        assert row["24"]["code_bytes"] <= 24
        assert row["24"]["shared_bytes"] > 0


def test_qdrant_rows_have_the_bytes_of_the_engine(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = peers.choose_for_budget
    monkeypatch.setattr(peers, "BUDGETS", (16,))
    first, *_, last = qdrant_quantizers()
    monkeypatch.setattr(peers, "qdrant_quantizers", lambda: [first, last])
    monkeypatch.setattr(
        peers, "choose_for_budget", lambda rows, budget: original(rows, budget, held_out=60)
    )
    rows = peers.qdrant_rows(judge)
    assert set(rows) == {"1-bit BQ", "TurboQuant 4 bits", "ours for one size"}
    d = judge.data.documents.shape[1]
    (turbo,) = rows["TurboQuant 4 bits"].values()
    assert turbo["code_bytes"] == d // 2 + 8
    assert turbo["rescored"]["recall"] >= turbo["recall"] > 0.8
    assert rows["ours for one size"]["16"]["chosen"]
    (size,) = rows["1-bit BQ"]
    assert int(size) >= d / 8
    mean = mean_rows([rows, rows])["1-bit BQ"][size]
    assert mean["rescored"] == pytest.approx(rows["1-bit BQ"][size]["rescored"])


def figures(recall: float) -> dict[str, Any]:
    return {"recall": recall, "retention": recall, "rescored": {"recall": 0.99, "retention": 1.0}}


MEAN: dict[str, Any] = {
    "sign": {"hamming": {"384": figures(0.6)}},
    "ours": {"asymmetric": {"384": figures(0.8), "768": figures(0.9)}},
    "faiss": {"OPQ+PQ": {"48": {"recall": 0.81, "retention": 0.79}, "96": figures(0.85)}},
    "libraries": {"ScaNN AH": {"32": figures(0.7)}},
    "qdrant": {"TurboQuant 2 bits": {"104": figures(0.95)}},
    "queries": {"asymmetric": {"384": figures(1)}},
}


class TestTables:
    def test_the_first(self) -> None:
        lines = first_table(MEAN).splitlines()
        assert len(lines) == 2 + 4
        assert len({line.count("|") for line in lines}) == 1
        assert f"| {OURS} | 0.800 | 0.800 | 0.990 | 0.900 | 0.900 | 0.990 |" in lines
        assert "| FAISS OPQ+PQ | 0.810 | 0.790 |  | 0.850 | 0.850 | 0.990 |" in lines

    def test_a_few(self) -> None:
        faiss = MEAN["faiss"] | {"RQ": {"48": figures(0.98)}}
        faiss["RQ, unseen documents"] = {"48": figures(0.65)}
        found = few_block({"mean": MEAN | {"faiss": faiss}, "mean_over": ["some"]})
        assert f"| {OURS} | 0.800 | 0.800 | 0.990 |" in found
        assert "| FAISS OPQ+PQ | 0.810 | 0.790 |  |" in found
        assert found.endswith(
            "FAISS RQ finds 0.980 of documents that it was trained on, and 0.650 of others."
        )

    def test_peers_stand_at_their_bits(self) -> None:
        found = {code: lengths for code, _, lengths in lines(MEAN)}
        assert set(found["FAISS OPQ+PQ"]) == {"384", "768"}
        assert set(found["ScaNN AH"]) == {"256"}

    def test_every_peer_is_a_target(self) -> None:
        sizes = {size: figures(0.5) for size in ("24", "32", "48", "96")}
        lengths = {bits: figures(0.9) for bits in ("192", "256", "384", "768")}
        ours = dict.fromkeys(("asymmetric", "funnel", "hamming"), lengths)
        mean = {
            "ours": ours,
            "faiss": {"EDEN": sizes, "RQ": sizes},
            "libraries": {"ScaNN AH": sizes},
        }
        found = [t.name for t in targets({"mean": mean, "sets": {}})]
        assert sum("above FAISS EDEN" in name for name in found) == 4
        assert not any("FAISS RQ" in name for name in found)
        assert sum("above ScaNN AH" in name for name in found) == 4

    def test_who_is_ahead(self) -> None:
        first, second = losses(MEAN)
        assert first == (
            "Of these, ahead of ours at 48 bytes: in recall@10 FAISS OPQ+PQ (0.810), "
            "and in nDCG@10 none."
        )
        turbo = "Qdrant TurboQuant of 1 and 2 bits (56 and 104 bytes) (0.950)"
        assert second.endswith(f"in recall@10 {turbo}, and in nDCG@10 {turbo}.")
        assert list(losses({})) == []
        sets = {"some": {"dimensions": 384}}
        block = first_block({"mean": MEAN, "mean_over": ["some"], "sets": sets})
        assert "Mean of some; 384 float32 dimensions are 1,536 bytes.\n" in block
        assert block.endswith(second)

    def test_everything_by_bytes(self) -> None:
        found = [(line.code_bytes, line.code) for line in byte_lines(MEAN)]
        assert found == [
            (32, "ScaNN AH"),
            (48, "FAISS OPQ+PQ"),
            (48, "ours, float query"),
            (48, "sign bits, Hamming"),
            (96, "ours, float query"),
            (96, "FAISS OPQ+PQ"),
            (104, "Qdrant TurboQuant 2 bits"),
        ]
        assert "| 48 | FAISS OPQ+PQ | 0.810 / 0.790 |  |" in byte_table(MEAN)


class TestSweep:
    def test_codes_of_every_length(self, judge: Judge) -> None:
        documents = judge.data.documents
        d = documents.shape[1]
        short, long = sweep.codes(documents, d // 2), sweep.codes(documents, 4 * d)
        assert set(short) == {"sign", "itq", "rotation", "progressive"}
        assert set(long) == {"rotation", "progressive"}
        assert {b.bits for b in long.values()} == {4 * d}
        assert long["rotation"].hamming_bits == 4 * d
        assert long["progressive"].hamming_bits <= d
        gram = long["rotation"].projection[:d] @ long["rotation"].projection[:d].T
        np.testing.assert_allclose(gram, np.eye(d), atol=1e-5)

    def test_from_sets_to_a_picture(
        self, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        d = judge.data.documents.shape[1]
        data: Dataset = judge.data
        write = sweep.write
        monkeypatch.setattr(sweep, "read_dataset", lambda folder: data)
        monkeypatch.setattr(sweep, "TURBO", ("turbo1", "turbo4"))
        monkeypatch.setattr(sweep, "FOLDER", tmp_path)
        monkeypatch.setattr(sweep, "PICTURE", tmp_path / "sweep.png")
        monkeypatch.setattr(sweep, "write", lambda *given: write(*given, folder=tmp_path))
        sweep.main(["--data", "a", "b", "--bits", str(d), str(3 * d)])
        mean = read(tmp_path / "sweep.json")["figures"]["mean"]
        assert set(mean["rotation"]["hamming"]) == {str(d), str(3 * d)}
        assert set(mean["itq"]["hamming"]) == {str(d)}
        assert set(mean["turboquant"]["asymmetric"]) == {str(d + 64), str(4 * d + 64)}
        longest = mean["progressive"]["asymmetric"][str(3 * d)]["recall"]
        assert longest > mean["rotation"]["asymmetric"][str(3 * d)]["recall"]
        assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
        (tmp_path / "sweep.png").unlink()
        sweep.main([])
        assert (tmp_path / "sweep.png").is_file()

    def test_the_committed_sweep_has_every_length(self) -> None:
        mean = read(FOLDER / "sweep.json")["figures"]["mean"]
        assert set(mean["rotation"]["hamming"]) == {str(bits) for bits in sweep.BITS}
