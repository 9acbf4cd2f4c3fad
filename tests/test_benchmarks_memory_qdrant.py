"""The benchmark of Qdrant's engine with little memory, in the real engine on a few rows."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import memory, memory_qdrant, memory_qdrant_process, memory_qdrant_tables
from benchmarks.made_up import World
from benchmarks.memory_choice import WANTED, Choice
from benchmarks.memory_group import GroupError, memory_group
from benchmarks.memory_qdrant_layouts import ALONE, IN_MEMORY, LAYOUTS, ON_DISK, OURS, OWN
from benchmarks.memory_qdrant_process import Effort, Job, in_a_process
from benchmarks.results import read, write

USES = {"choosing": 30, "warming": 10, "measured": 20, "asked": 10}
CODES = {"short": (64, 64), "long": (128, 64)}
ROWS = 1500


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        vectors = World(64).draw(sum(USES.values()) + ROWS, np.random.default_rng(0))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        np.save(Path(name) / "vectors.npy", vectors)
        yield Path(name)


@pytest.fixture(scope="module")
def figures(folder: Path) -> Iterator[dict[str, Any]]:
    """Of a run without limits, whose second half goes on from the first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "USES", USES)
        patch.setattr(memory, "CODES", CODES)
        written: dict[str, Any] = {}
        patch.setattr(memory_qdrant, "write", lambda name, found, promised: written.update(found))
        given = ["--folder", str(folder), "--rows", str(ROWS), "--limits", "none"]
        given += ["--warm", "0.1", "--seconds", "5", "--asked", "0.1", "--threads", "2"]
        memory_qdrant.main([*given, "--rounds", "0"])
        assert written["layouts"] == {}
        made = [path.stat().st_mtime_ns for path in sorted(folder.rglob("graph.bin"))]
        assert len(made) >= len(LAYOUTS)
        memory_qdrant.main([*given, "--rounds", "1"])
        assert made == [path.stat().st_mtime_ns for path in sorted(folder.rglob("graph.bin"))]
        yield written


def test_every_search_finds_what_was_chosen_for(figures: dict[str, Any]) -> None:
    found = figures["layouts"]["none"]
    assert list(found) == list(figures["chosen"]) == list(LAYOUTS)
    for name, choice in figures["chosen"].items():
        assert choice["recall"] >= WANTED or name == ALONE
        assert abs(found[name]["recall"] - choice["recall"]) < 0.1, name
        assert found[name]["queries"] == USES["measured"]
        assert 0 < found[name]["p50_milliseconds"] <= found[name]["p99_milliseconds"]
        assert found[name]["queries_a_second"] > 0
        assert found[name]["disk_bytes_a_query"] == 0


def test_shortlists_are_those_that_vectors_compare(figures: dict[str, Any]) -> None:
    for name, choice in figures["chosen"].items():
        if name in (IN_MEMORY, ON_DISK, ALONE):
            assert choice["shortlist"] is None
        else:
            assert 10 <= choice["shortlist"] <= choice["length"]


def test_sizes_are_of_the_files(figures: dict[str, Any]) -> None:
    built = figures["built"]
    assert built[IN_MEMORY]["vector_bytes"] == 4 * 64 * ROWS + 4
    # the engine keeps bits in blocks of 128
    for name in (OWN[0], *OURS.values(), ALONE):
        assert built[name]["vector_bytes"] == 16 * ROWS
    assert built[ALONE]["disk_bytes"] < built[OURS["long"]]["disk_bytes"]


def test_pages(figures: dict[str, Any], tmp_path: Path) -> None:
    under = figures["layouts"]["none"]
    every = {
        **figures,
        "layouts": {"none": under, "1/4": under | {IN_MEMORY: None}},
        "limits": {"none": None, "1/4": 2**20},
        "least_limit_bytes": {ON_DISK: 2**20},
    }
    write("memory_qdrant", every, memory_qdrant.targets(every), folder=tmp_path)
    found = read(tmp_path / "memory_qdrant.json")
    assert len(found["targets"]) == 3
    times = memory_qdrant_tables.qdrant_times_block(found["figures"])
    assert re.search(rf"\| {IN_MEMORY} \| [\d.]+ \([\d.]+\) \| too little \|", times)
    for show in ("qdrant_rates_block", "qdrant_reads_block", "qdrant_settings_block"):
        assert f"| {OURS['long']} |" in getattr(memory_qdrant_tables, show)(found["figures"])


def test_the_least_limit_is_the_last_that_was_enough() -> None:
    allowed = memory_qdrant.limits(3200)
    assert allowed["1/2"] == 1600
    assert allowed["1/32"] == 100
    enough = {"p50_milliseconds": 1.0}
    found = {
        "none": {"a": enough, "b": enough},
        "1/2": {"a": enough, "b": enough},
        "1/4": {"a": None, "b": enough},
    }
    assert memory_qdrant.least(found, allowed) == {"a": 1600, "b": 800}


def test_the_fastest_round_counts() -> None:
    slow, fast = {"p50_milliseconds": 2.0}, {"p50_milliseconds": 1.0}
    assert memory_qdrant.fastest([slow, None, fast]) is fast
    assert memory_qdrant.fastest([None, None]) is None


def ended_by(sender: Connection, job: Job) -> None:
    """In the place of `work`: what the folder's name says."""
    if job.name == "late":
        sender.send({"p50_milliseconds": 1.0})
    if job.name == "slow":
        time.sleep(60)
    os.kill(os.getpid(), signal.SIGTERM if job.name == "other" else signal.SIGKILL)


class TestEnds:
    @pytest.fixture(autouse=True)
    def instead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory_qdrant_process, "work", ended_by)

    def job(self, name: str, folder: Path) -> Job:
        effort = Effort(0, 0, 0, 1, 1 if name == "slow" else 60)
        return Job(folder, name, Choice(10, None, 1.0), {}, [], effort, None)

    def test_ended_by_the_kernel(self, tmp_path: Path) -> None:
        assert in_a_process(self.job("memory", tmp_path)) is None

    def test_ended_while_many_ask(self, tmp_path: Path) -> None:
        found = in_a_process(self.job("late", tmp_path))
        assert found == {"p50_milliseconds": 1.0, "queries_a_second": 0.0}

    def test_no_answer_in_time(self, tmp_path: Path) -> None:
        assert in_a_process(self.job("slow", tmp_path)) is None

    def test_another_end_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="found exit status -15"):
            in_a_process(self.job("other", tmp_path))


def test_a_limit_holds_for_the_engine(figures: dict[str, Any], folder: Path) -> None:
    """Where this machine lets a group be made; elsewhere the benchmark says what that takes."""
    choice = Choice(**figures["chosen"][ON_DISK])
    every = np.load(folder / "vectors.npy")
    queries = dict.fromkeys(USES, every[:20])
    effort = Effort(0.1, 5, 0.1, 2, 60)
    truth = [[0] * 10 for _ in range(20)]
    job = Job(folder, ON_DISK, choice, queries, truth, effort, None)
    refusal = ""
    try:
        with memory_group("bitryoshka-test-qdrant"):
            pass
    except GroupError as error:
        refusal = str(error)
    if refusal:
        assert re.search("that takes root|no control group of memory", refusal)
        return
    # less than Python itself has in memory, and enough for 400 KB of vectors
    found = memory_qdrant.measure(job, 32 * 2**20)
    assert found
    assert found["queries"] == 20
    assert memory_qdrant.measure(job, 2**16) is None
