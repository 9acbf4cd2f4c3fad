"""Binarizers saved once must give the same bytes for ever: codes of them lie in databases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitryoshka import Binarizer

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = ("v1-fitted", "v1-all-planes", "v2-fitted", "v2-nested")


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest) -> Path:
    return GOLDEN / str(request.param)


@pytest.fixture
def binarizer(folder: Path) -> Binarizer:
    return Binarizer.load(folder / "binarizer.safetensors")


def test_every_golden_folder_is_tested() -> None:
    assert {path.parent.name for path in GOLDEN.glob("*/expected.json")} == set(FOLDERS)


def test_the_settings_are_read_as_they_were_written(folder: Path, binarizer: Binarizer) -> None:
    expected: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    expected["nested_bits"] = tuple(expected["nested_bits"])
    for name, value in expected.items():
        assert getattr(binarizer, name) == value, name


def test_the_codes_are_the_same_bytes(folder: Path, binarizer: Binarizer) -> None:
    vectors, codes = np.load(folder / "vectors.npy"), np.load(folder / "codes.npy")
    assert len(vectors) == 64
    assert binarizer.encode(vectors).tobytes() == codes.tobytes()
    for cut in binarizer.nested_bits:
        expected = np.ascontiguousarray(codes[:, : cut // 8]).tobytes()
        assert binarizer.encode(vectors, cut).tobytes() == expected
        assert binarizer.truncate(cut).encode(vectors).tobytes() == expected
        if cut <= binarizer.hamming_bits:
            query_codes = np.load(folder / "query_codes.npy")[:, : cut // 8]
            assert binarizer.encode_queries(vectors, cut).tobytes() == query_codes.tobytes()
    assert binarizer.encode(vectors[5:6]).tobytes() == codes[5].tobytes()


def test_the_weights_are_the_same_numbers(folder: Path, binarizer: Binarizer) -> None:
    vectors, weights = np.load(folder / "vectors.npy"), np.load(folder / "weights.npy")
    np.testing.assert_allclose(binarizer.query_weights(vectors[:4]), weights, rtol=1e-4, atol=1e-6)


def test_saving_again_keeps_the_fingerprint(binarizer: Binarizer, tmp_path: Path) -> None:
    binarizer.save(tmp_path / "again")
    assert Binarizer.load(tmp_path / "again").fingerprint == binarizer.fingerprint


def test_the_second_golden_file_uses_every_plane() -> None:
    binarizer = Binarizer.load(GOLDEN / "v1-all-planes" / "binarizer.safetensors")
    assert binarizer.plane_counts.tolist() == [8] * 8
    for name in ("weight_projection", "hamming_projection", "hamming_offset"):
        assert getattr(binarizer, name) is not None
