"""The benchmarks' own code: result files, data sets, judging, tables."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import baselines, check, curves, demo, encode, quality, readme, texts
from benchmarks.datasets import Dataset, distinct_rows, hold_out, leave_out, read_dataset
from benchmarks.judge import Coded, Judge, best_rows, score_search
from benchmarks.postgres_writing import turns
from benchmarks.quality_table import mean_rows, table, targets
from benchmarks.results import (
    FOLDER,
    ResultError,
    at_least,
    at_most,
    is_met,
    near,
    read,
    validate,
    write,
)
from synthetic import clustered

import bitryoshka

COMMITTED = sorted(FOLDER.glob("*.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two queries over 40 documents, one pair excluded, one grade of 0."""
    rng = np.random.default_rng(0)
    names = {"corpus": [f"d{i}" for i in range(40)], "queries": ["q0", "q1"]}
    documents = rng.normal(size=(40, 16))
    np.save(tmp_path / "corpus.npy", documents.astype(np.float16))
    np.save(tmp_path / "queries.npy", documents[:2].astype(np.float16))
    np.save(tmp_path / "queries_train.npy", documents[5:9].astype(np.float16))
    (tmp_path / "ids.json").write_text(json.dumps(names))
    qrels = "query-id\tcorpus-id\tscore\nq0\td0\t2\nq0\td3\t0\nq1\td7\t1\n"
    (tmp_path / "qrels.tsv").write_text(qrels)
    (tmp_path / "exclude.tsv").write_text("query-id\tcorpus-id\nq1\td1\n")
    return tmp_path


@pytest.fixture
def data() -> Dataset:
    x = clustered(1, 440)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    held = hold_out("made up", x, 40, 0)
    return held._replace(judgements=[{i: 1.0} for i in range(40)])


class TestResults:
    @pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
    def test_committed_files_are_valid(self, path: Path) -> None:
        content = read(path)
        text = json.dumps(content)
        # no folder of the machine that measured: nothing begins as an absolute path does
        assert re.findall(r"(?<![\w.)*])/[A-Za-z_]\w*/", text) == []

    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        promised = [
            at_least("a", 0.5, np.float32(0.7)),
            at_most("b", 0.1, 0.2),
            near("c", 1, 0.1, 1),
        ]
        path = write(
            "some", {"x": np.float64(1 / 3), "n": {64: np.int64(3)}}, promised, folder=tmp_path
        )
        content = read(path)
        assert content["figures"] == {"x": 0.3333, "n": {"64": 3}}
        assert [t["met"] for t in content["targets"]] == [True, False, True]
        assert set(content["environment"]) == {"cpu", "cores", "system", "python", "packages"}
        before = path.read_bytes()
        write("some", {"x": 1 / 3, "n": {"64": 3}}, promised, folder=tmp_path)
        assert path.read_bytes() == before

    @pytest.mark.parametrize(
        ("text", "measured", "met"),
        [
            (">= 0.5", 0.5, True),
            ("<= -1e-05", 0, False),
            ("0.9 +- 0.02", 0.92, True),
            ("1 +- 0.1", 2, False),
        ],
    )
    def test_targets_are_texts(self, text: str, measured: float, met: bool) -> None:
        assert is_met(text, measured) is met

    def test_a_target_nobody_can_read(self) -> None:
        with pytest.raises(ResultError, match="about 3"):
            is_met("about 3", 3)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"name": "other"}, "expected the name 'some'"),
            ({"figures": {}}, "'figures'"),
            ({"figures": {"a": [float("nan")]}}, r"figures.a\[0\]"),
            ({"targets": {}}, "a list"),
            ({"targets": [{"name": "a"}]}, "expected targets with"),
            ({"targets": [{"name": "a", "target": ">= 1", "measured": 0, "met": True}]}, "missed"),
            ({"targets": [at_least("a", 1, 2)._asdict()] * 2}, "different names"),
        ],
    )
    def test_malformed(self, change: dict[str, Any], message: str) -> None:
        good = {
            "name": "some",
            "command": "",
            "environment": {"cpu": "x"},
            "figures": {"a": 1},
            "targets": [],
        }
        validate(good, "some")
        with pytest.raises(ResultError, match=message):
            validate(good | change, "some")


class TestCheck:
    def test_committed_files(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert check.main([]) == 0
        assert "targets" in capsys.readouterr().out

    def test_a_miss_fails_only_when_strict(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write("some", {"a": 1}, [at_least("speed", 2, 1)], folder=tmp_path)
        assert check.main([], tmp_path) == 0
        assert "MISSED" in capsys.readouterr().out
        assert check.main(["--strict"], tmp_path) == 1

    def test_a_malformed_file_fails(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "broken.json").write_text("{")
        assert check.main([], tmp_path) == 1
        assert "malformed: broken.json is no JSON" in capsys.readouterr().err


class TestDatasets:
    def test_a_judged_folder(self, folder: Path) -> None:
        found = read_dataset(folder)
        assert found.documents.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(found.documents, axis=1), 1, rtol=1e-6)
        assert found.judgements == [{0: 2.0, 3: 0.0}, {7: 1.0}]
        assert found.excluded == [frozenset(), {1}]
        assert found.training_queries is not None
        assert found.training_queries.shape == (4, 16)

    def test_excluded_rows_are_not_found(self, folder: Path) -> None:
        judge = Judge.of(read_dataset(folder))
        assert judge.exact.shape == (2, 10)
        assert judge.exact[0, 0] == 0
        assert 1 not in judge.exact[1]
        assert judge.figures(score_search(judge.data.queries, judge.data.documents))["recall"] == 1

    def test_no_queries_no_repeated_texts(self, folder: Path) -> None:
        for name in ("queries.npy", "qrels.tsv", "exclude.tsv", "queries_train.npy"):
            (folder / name).unlink()
        texts = [{"_id": f"d{i}", "title": "", "text": f"text {i}"} for i in range(40)]
        texts[9]["text"] = "  TEXT 8"
        with gzip.open(folder / "corpus.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(line) + "\n" for line in texts)
        found = read_dataset(folder, held_out=9)
        assert (len(found.documents), len(found.queries)) == (30, 9)
        assert found.judgements is None
        assert not {q.tobytes() for q in found.queries} & {d.tobytes() for d in found.documents}

    def test_repeated_vectors(self) -> None:
        x = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
        assert distinct_rows(x, None).tolist() == [0, 1]

    def test_rows_run_out(self) -> None:
        found = leave_out(np.array([[4, 2, 9]]), [frozenset({2, 4})], 2)
        assert found.tolist() == [[9, -1]]

    def test_ids_that_do_not_fit(self, folder: Path) -> None:
        (folder / "ids.json").write_text(json.dumps({"corpus": ["d0"], "queries": []}))
        with pytest.raises(ValueError, match="40 vectors, 1 ids"):
            read_dataset(folder)

    def test_too_many_held_out(self) -> None:
        with pytest.raises(ValueError, match="cannot hold 3 of 3"):
            hold_out("x", np.eye(3, dtype=np.float32), 3, 0)


class TestQuality:
    def test_ties_go_to_the_lower_row(self) -> None:
        assert best_rows(np.array([[1.0, 2.0, 2.0, 0.0]]), 3).tolist() == [[1, 2, 0]]

    def test_independent_codes_are_nested_in_quality(self, data: Dataset) -> None:
        judge = Judge.of(data)
        recalls = []
        for bits in (16, 32, 64):
            found = baselines.progressive_codes(data.documents, data.queries, bits, 16)
            search = score_search(found.asymmetric, found.documents)
            recalls.append(judge.figures(search)["recall"])
        assert recalls == sorted(recalls)
        assert recalls[-1] > 0.8

    def test_the_whole_table(self, data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(quality, "LENGTHS", (24, 48))
        monkeypatch.setattr(quality, "PREFIXES", (8, 16))
        monkeypatch.setattr(quality, "CUTS", (24, 48))
        monkeypatch.setattr(quality, "HALVED", (24, 48))
        judged = data._replace(training_queries=data.queries)
        methods = ("sign", "itq", "progressive", "ours", "nested", "half", "queries")
        found = quality.measure(judged, methods, "progressive")
        assert tuple(found["rows"]) == tuple(found["seconds"]) == methods
        for kind in ("asymmetric", "funnel", "hamming"):
            assert set(found["rows"]["ours"][kind]) == {"24", "48"}
        assert found["rows"]["half"]["ours"] == found["rows"]["half"]["progressive"]
        assert set(found["rows"]["nested"]["hamming"]) == {"8", "16"}
        mean = mean_rows([found["rows"], found["rows"]])
        mean_of_same, same = (rows["itq"]["hamming"]["8"] for rows in (mean, found["rows"]))
        assert mean_of_same.pop("rescored") == pytest.approx(same.pop("rescored"))
        assert mean_of_same == pytest.approx(same)
        assert "gain" not in mean["queries"]
        text = table(mean)
        assert text.splitlines()[0] == "| code | search | 8 bits | 16 bits | 24 bits | 48 bits |"
        assert len({line.count("|") for line in text.splitlines()}) == 1

    def test_coded_searches_agree_with_one_another(self, data: Dataset) -> None:
        judge = Judge.of(data)
        coded = Coded.of(judge, bitryoshka.fit(data.documents, bits=48).binarizer)
        everything = len(data.documents)
        whole = coded.asymmetric(48)(10)
        found = coded._replace(judge=judge).funnel(48)(10)
        assert whole.shape == found.shape == (40, 10)
        assert coded.hamming(48)(everything).shape == (40, everything)

    def test_targets_compare_means(self) -> None:
        def level(recall: float, lengths: tuple[str, ...], kept: float = 0.99) -> dict[str, Any]:
            return {bits: {"recall": recall, "retention": kept} for bits in lengths}

        lengths = ("192", "256", "384", "768")
        ours = {
            "hamming": level(0.65, lengths),
            "asymmetric": level(0.9, lengths),
            "funnel": level(0.896, lengths),
        }
        mean = {
            "ours": ours,
            "nested": {
                "asymmetric": level(0.895, ("192", "384", "768")),
                "hamming": level(0.5, ("64", "128")),
            },
            "half": {"ours": level(0.86, lengths), "progressive": level(0.845, lengths)},
            "faiss": {"OPQ+PQ": level(0.85, ("24", "48"))},
        }
        sets = {"headlines32k": {"rows": {"ours": ours}}}
        found = {t.name: t for t in targets({"mean": mean, "sets": sets})}
        assert found["192 bits: recall"].met
        assert not found["768 bits: recall"].met
        assert not found["384 bits: nDCG retention"].met
        assert not found["384 bits: recall lost to a Hamming list of 100"].met
        assert found["192 bits: recall lost to a Hamming list of 100"].met
        assert not found["384 bits: Hamming recall"].met
        assert not found["fitted to half, 384 bits: recall above the closed form"].met
        assert found["fitted to half, 768 bits: recall above the closed form"].met
        assert found["nested, 384 bits: recall lost to a code of that length"].met
        assert found["nested, Hamming prefix of 64 bits: recall"].met
        assert not found["nested, Hamming prefix of 128 bits: recall"].met
        assert found["headlines32k, 384 bits: recall"].met
        assert found["48 bytes: recall above FAISS OPQ+PQ"].measured == pytest.approx(0.05)
        assert targets({"mean": {}, "sets": {}}) == []


class TestEncode:
    def test_bounds_are_the_two_calls(self) -> None:
        x = encode.vectors(5000, 64)
        w = np.random.default_rng(0).normal(size=(16, 64)).astype(np.float32)
        expected = np.packbits(x @ w.T > 0, axis=1)
        np.testing.assert_array_equal(encode.whole(x, w, None), expected)
        differing = np.bitwise_count(encode.blockwise(x, w, None) ^ expected).sum()
        assert differing <= 2  # blocks may round a product that is almost 0 otherwise

    def test_every_sign_encoder_gives_a_bit_a_dimension(self) -> None:
        x = encode.vectors(2000, 64)
        encoders = encode.sign_encoders(x)
        codes = {name: encoder(x) for name, encoder in encoders.items()}
        assert {c.shape for c in codes.values()} == {(2000, 8)}
        np.testing.assert_array_equal(codes["quantize_embeddings"], np.packbits(x > 0, axis=1))
        for fitted in ("ours", "FAISS ITQ+LSH"):
            assert 0.4 < np.bitwise_count(codes[fitted]).mean() / 8 < 0.6

    def test_both_forms_of_additive_codes_are_timed(self) -> None:
        found = encode.measure_additive(encode.vectors(1200, encode.DIMENSIONS), 1)
        assert set(found) == set(encode.FORMS)
        assert all(0 < figure["share_of_progressive"] < 1 for figure in found.values())

    def test_memory_of_a_sign_encoder_is_its_own(self) -> None:
        assert 0 <= encode.held_by("ours", 20_000, 64) < 64

    def test_memory_does_not_grow_with_the_rows(self, tmp_path: Path) -> None:
        case = encode.Case("small", 64, 32, 0.5)
        fewer, more = (encode.measure_memory(case, rows, tmp_path) for rows in (8_000, 24_000))
        assert more <= fewer * 1.1


DEMO: dict[str, Any] = {
    "documents": 5000,
    "bits": 384,
    "bytes_before": 1536,
    "bytes_after": 48,
    "quality": {
        name: {
            "hamming": {
                "64": {"recall": low, "retention": low},
                "128": {"recall": low, "retention": low},
            },
            "asymmetric": {"384": {"recall": low + 0.3, "retention": low + 0.4}},
            "funnel": {"recall": low + 0.29, "retention": low + 0.4},
        }
        for name, low in (("ours", 0.45), ("sign", 0.30))
    },
    "searches": {
        name: {"recall": 0.74, "retention": 0.9, "milliseconds": 2.5} for name in demo.BITS_ONLY
    }
    | {
        "float HNSW": {
            "recall": 0.98,
            "retention": 0.99,
            "milliseconds": 1.5,
            "index_bytes": 2**21,
            "index_seconds": 3.25,
        }
    },
}


class TestDemo:
    def test_targets(self) -> None:
        assert all(target.met for target in demo.targets(DEMO))
        assert len(demo.targets(DEMO)) == 4

    def test_lengths_become_text(self) -> None:
        assert demo.as_text_keys({64: {"a": {8: 1}}}) == {"64": {"a": {"8": 1}}}


class TestReadme:
    TEXT = (
        "# x\n<!-- begin:demo -->\nold\n<!-- end:demo -->\n"
        "<!-- begin:postgres -->\n<!-- end:postgres -->\n"
    )

    def test_render_is_idempotent(self, tmp_path: Path) -> None:
        write("demo", DEMO, folder=tmp_path)
        once = readme.render(self.TEXT, tmp_path)
        assert "old" not in once
        assert "| 48 | 384 |  |  | 0.600 / 0.700 | 0.750 / 0.850 |" in once
        assert "| float HNSW | 2.0 | 3.2 | 1.5 | 0.980 | 0.990 |" in once
        assert readme.render(once, tmp_path) == once

    def test_a_sentence(self) -> None:
        expected = "1,536 bytes a vector become 48, 32 times fewer, and keep 85% of the nDCG@10"
        assert readme.demo_line(DEMO).startswith(expected)

    @pytest.mark.parametrize(
        "name",
        [name for name, (file, _) in readme.BLOCKS.items() if FOLDER / f"{file}.json" in COMMITTED],
    )
    def test_committed_results_can_be_shown(self, name: str) -> None:
        text = f"<!-- begin:{name} -->\n<!-- end:{name} -->"
        assert len(readme.render(text)) > len(text) + 40

    @pytest.mark.parametrize(
        "text",
        ["<!-- begin:demo -->\n", "<!-- end:demo -->", "<!-- begin:demo -->\n<!-- end:quality -->"],
    )
    def test_blocks_that_do_not_close(self, text: str) -> None:
        with pytest.raises(ValueError, match="a begin and an end"):
            readme.render(text)

    def test_an_unknown_block(self) -> None:
        with pytest.raises(ValueError, match="'nothing' is unknown"):
            readme.render("<!-- begin:nothing -->\n<!-- end:nothing -->")

    def test_check_finds_a_stale_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write("demo", DEMO, folder=tmp_path)
        monkeypatch.setattr(readme, "read", lambda path: read(tmp_path / path.name))
        page = tmp_path / "README.md"
        page.write_text(self.TEXT)
        assert readme.main(["--check"], [page]) == 1
        assert "stale" in capsys.readouterr().err
        assert readme.main([], [page]) == 0
        assert readme.main(["--check"], [page]) == 0


class TestPostgres:
    def test_runs_take_turns_and_the_first_does_not_count(self) -> None:
        called: list[str] = []
        found = turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 2)
        assert called == ["a", "b"] * 3
        assert set(found) == {"a", "b"}
        assert all(0 <= seconds < 1 for seconds in found.values())


class TestTexts:
    def test_entries_of_wordnet(self, tmp_path: Path) -> None:
        for part in texts.PARTS_OF_SPEECH:
            (tmp_path / f"data.{part}").write_text("  1 This is a licence | not an entry\n")
        (tmp_path / "data.verb").write_text(
            "  1 licence\n00001740 29 v 04 breathe 0 take_a_breath 0 respire 0 suspire 3 021 * 0 "
            "| draw air into, and out of, the lungs  \n"
        )
        assert list(texts.wordnet(tmp_path)) == [
            "breathe, take a breath, respire, suspire: draw air into, and out of, the lungs"
        ]

    def test_more_than_nine_words_are_counted_in_hexadecimal(self, tmp_path: Path) -> None:
        for part in texts.PARTS_OF_SPEECH:
            (tmp_path / f"data.{part}").write_text("")
        words = " ".join(f"w{i} 0" for i in range(17))
        (tmp_path / "data.noun").write_text(f"00000001 03 n 11 {words} 000 | many\n")
        [found] = texts.wordnet(tmp_path)
        assert found == ", ".join(f"w{i}" for i in range(17)) + ": many"

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="apt-get install wordnet-base"):
            list(texts.wordnet(tmp_path))


class TestCurves:
    def test_a_picture_of_searches(self, tmp_path: Path) -> None:
        points = [{"list": 10.0, "recall": 0.9, "milliseconds": 1.0}]
        growth = [
            {"rows": 100, "at_recall": {"0.98": {"a": points[0]}}},
            {"rows": 200, "at_recall": {"0.98": {}}},
        ]
        curves.draw({"a": points, "b": points}, growth, "title", tmp_path / "x.png")
        assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
