"""The benchmark of servers with little memory: groups, texts, choices, and a small run."""

from __future__ import annotations

import gzip
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import curves, memory, memory_choice, memory_tables, sentences
from benchmarks.made_up import World
from benchmarks.memory_group import (
    Controller,
    GroupError,
    MemoryGroup,
    check_on_disk,
    memory_controller,
    memory_group,
)
from benchmarks.memory_layouts import ALONE, FLOAT, HALF, NARROW, OURS, OUT, ROW, ROW_ALONE
from benchmarks.results import read, write

USES = {"choosing": 30, "warming": 10, "measured": 20, "asked": 10}


class TestGroups:
    def controller(self, folder: Path, mounts: str, own: str) -> Controller:
        (folder / "mounts").write_text(mounts)
        (folder / "own").write_text(own)
        return memory_controller(folder / "mounts", folder / "own")

    def test_version_1(self, tmp_path: Path) -> None:
        place = tmp_path / "memory"
        (place / "session").mkdir(parents=True)
        found = self.controller(
            tmp_path,
            f"cgroup2 {tmp_path} cgroup2 rw 0 0\ncgroup {place} cgroup rw,relatime,memory 0 0\n",
            "4:cpu,cpuacct:/other\n3:memory:/session\n0::/\n",
        )
        assert found == Controller(1, place, place / "session")

    def test_version_2(self, tmp_path: Path) -> None:
        (tmp_path / "session").mkdir()
        (tmp_path / "cgroup.controllers").write_text("cpu io memory\n")
        mounts = f"proc /proc proc rw 0 0\ncgroup2 {tmp_path} cgroup2 rw 0 0\n"
        found = self.controller(tmp_path, mounts, "0::/session\n")
        assert found == Controller(2, tmp_path, tmp_path / "session")

    def test_a_namespace_hides_the_own_group(self, tmp_path: Path) -> None:
        mounts = f"cgroup {tmp_path} cgroup rw,memory 0 0\n"
        assert self.controller(tmp_path, mounts, "3:memory:/gone\n").own == tmp_path

    def test_no_memory_among_the_controllers(self, tmp_path: Path) -> None:
        (tmp_path / "cgroup.controllers").write_text("cpu io\n")
        with pytest.raises(GroupError, match="no control group of memory is mounted"):
            self.controller(tmp_path, f"cgroup2 {tmp_path} cgroup2 rw 0 0\n", "0::/\n")

    @pytest.mark.parametrize(
        ("version", "expected"),
        [(1, {"memory.limit_in_bytes": "4096"}), (2, {"memory.max": "4096"})],
    )
    def test_what_is_written(self, tmp_path: Path, version: int, expected: dict[str, str]) -> None:
        group = MemoryGroup(Controller(version, tmp_path, tmp_path), "limited")
        group.make()
        group.limit(4096)
        assert {path.name: path.read_text() for path in group.folder.iterdir()} == expected
        if version == 2:
            assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"

    def test_what_is_missing_is_named(self, tmp_path: Path) -> None:
        nowhere = Controller(2, tmp_path / "nowhere", tmp_path)
        with (
            pytest.raises(GroupError, match=r"takes root.*--limits none"),
            memory_group("limited", nowhere),
        ):
            pass

    def test_what_starts_in_a_group_stays_there(self) -> None:
        """Where this machine lets one be made; elsewhere the benchmark says what that takes."""
        with ExitStack() as stack:
            refusal = ""
            try:
                group = stack.enter_context(memory_group("bitryoshka-test"))
            except GroupError as error:
                refusal = str(error)
            if refusal:
                assert re.search("that takes root|no control group of memory", refusal)
                return
            with group.entered(), subprocess.Popen(["sleep", "60"]) as sleeper:
                assert sleeper.pid in group.processes()
                sleeper.kill()
        assert not group.folder.exists()

    def test_files_that_never_leave_memory(self, tmp_path: Path) -> None:
        mounts = tmp_path / "mounts"
        mounts.write_text(f"x / ext4 rw 0 0\nx {tmp_path}/fast tmpfs rw 0 0\n")
        check_on_disk(tmp_path, mounts)
        with pytest.raises(GroupError, match="lies in memory"):
            check_on_disk(tmp_path / "fast" / "data", mounts)


class TestSentences:
    @pytest.fixture
    def entries(self, tmp_path: Path) -> Path:
        path = tmp_path / "small.dict.dz"
        text = (
            'Alleyway \\Al"ley*way`\\n.\n   An alley behind the houses.\n   [1913 Webster]\n\n'
            'Allfours \\All`fours"\\ [All + four (cards).]\n   A game at cards, called\n'
            '   "High, Low, Jack". See {Seven up}, under {Seven}.  --Hoyle.\n   Short.\n'
        )
        path.write_bytes(gzip.compress(text.encode()))
        return path

    def test_of_a_dictionary(self, entries: Path) -> None:
        assert list(sentences.dictionary(entries)) == [
            "Alleyway: An alley behind the houses.",
            'Allfours: A game at cards, called "High, Low, Jack".',
            "Allfours: See Seven up, under Seven.",
        ]

    def test_a_missing_dictionary(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="apt-get install dict-gcide"):
            list(sentences.dictionary(tmp_path / "gcide.dict.dz"))

    def test_different_texts_of_all_sources(
        self, entries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "page.rst").write_text("One sentence of a page.\n\nOne sentence of a page.\n")
        monkeypatch.setattr(sentences, "wordnet", lambda: iter(["a word: what it means"]))
        monkeypatch.setattr(sentences, "packages", lambda: iter(["x" * 201]))
        monkeypatch.setattr(sentences, "DICTIONARIES", (entries,))
        assert len(sentences.short_texts(5, [tmp_path])) == 5
        with pytest.raises(ValueError, match="expected 6 different texts, found 5: name folders"):
            sentences.short_texts(6, [tmp_path])

    def test_vectors_are_different_and_of_unit_length(self) -> None:
        texts = ["a red house", "a red house ", "the green boat", "a red house"]
        found = sentences.embedded(texts)
        assert len(found) < len(texts)
        assert np.allclose(np.linalg.norm(found, axis=1), 1)
        assert np.allclose(found[0], sentences.embedded(texts[:1])[0])


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, Any]]:
    """Of a run over few made-up rows, whose second half goes on from the first."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        patch.setattr(memory, "USES", USES)
        patch.setattr(memory, "CODES", {"short": (128, 64), "long": (256, 64)})
        vectors = World(64).draw(sum(USES.values()) + 1500, np.random.default_rng(0))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.save(folder / "vectors.npy", vectors)
        written: dict[str, Any] = {}
        patch.setattr(memory, "write", lambda name, found, promised: written.update(found))
        given = ["--folder", name, "--rows", "1500", "--build-rows", "800", "--limits", "none"]
        given += ["--method", "progressive", "--warm", "0.1", "--seconds", "5", "--asked", "0.1"]
        given += ["--clients", "2", "--shared-buffers", str(2**24)]
        memory.main([*given, "--rounds", "0"])
        assert written["layouts"] == {}
        memory.main([*given, "--rounds", "1"])
        yield written


class TestSmallRun:
    def test_every_search_finds_what_was_chosen_for(self, figures: dict[str, Any]) -> None:
        found = figures["layouts"]["none"]
        assert set(found) == set(figures["chosen"]) >= {FLOAT, HALF, *OURS}
        for name, choice in figures["chosen"].items():
            assert choice["recall"] >= memory_choice.WANTED or name in (ROW_ALONE, ALONE)
            assert abs(found[name]["recall"] - choice["recall"]) < 0.1, name
            assert found[name]["queries"] == USES["measured"]
            assert 0 < found[name]["p50_milliseconds"] <= found[name]["p99_milliseconds"]
            assert found[name]["queries_a_second"] > 0

    def test_shortlists_are_those_of_three_stages(self, figures: dict[str, Any]) -> None:
        chosen = figures["chosen"]
        assert chosen[ROW]["shortlist"] is None
        for name in (NARROW, OUT):
            assert 10 <= chosen[name]["shortlist"] <= chosen[name]["length"]

    def test_sizes_are_of_what_is_read(self, figures: dict[str, Any]) -> None:
        sizes = figures["bytes"]
        assert sizes[ALONE] < sizes[NARROW] < sizes[FLOAT]
        assert sizes[ALONE] < sizes[ROW]
        assert sizes["float table"] + sizes["float index"] < sizes[FLOAT]

    def test_limits_are_shares_of_table_and_index(self) -> None:
        found = memory.limits({"float table": 600, "float index": 400})
        assert found["half the index"] == 200
        assert found["1/10"] == 100
        assert found["none"] is None

    def test_pages_and_picture(self, figures: dict[str, Any], tmp_path: Path) -> None:
        under = figures["layouts"]["none"]
        every = {
            **figures,
            "layouts": {"none": under, "half the index": under},
            "limits": {"none": None, "half the index": 2**20},
        }
        write("memory", every, memory.targets(every), folder=tmp_path)
        found = read(tmp_path / "memory.json")
        ours = memory.best(every, "half the index")
        speedup, rate = [t["measured"] for t in found["targets"] if "twice the memory" in t["name"]]
        for figure, key in ((speedup, "p50_milliseconds"), (1 / rate, "queries_a_second")):
            assert figure == pytest.approx(under[FLOAT][key] / under[ours][key], rel=0.01)
        free = [t["measured"] for t in found["targets"] if t["name"].startswith("no limit")]
        assert free[0] == pytest.approx(1 / speedup, rel=0.01)
        for show in ("times_block", "rates_block", "settings_block"):
            assert f"| {NARROW} |" in getattr(memory_tables, show)(found["figures"])
        assert "| HNSW, codes |" in memory_tables.builds_block(found["figures"])
        curves.draw_memory(found["figures"], tmp_path / "memory.png")
        assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")
