"""Saving and loading: exact, complete or not at all, and nothing strange gets in."""

from __future__ import annotations

import json
import os
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from synthetic import exact_binarizer, integer_rows, quick

from bitryoshka import Binarizer, BitryoshkaError, FileFormatError
from bitryoshka import binarizer_file as module

FIELDS = (
    "projection",
    "offset",
    "step",
    "bit_dimension",
    "bit_plane",
    "levels",
    "weight_projection",
    "hamming_projection",
    "hamming_offset",
)
INFO = {"method": "itq", "source_model": "Modèle №1", "rows": 3, "held_out": {"recall": [0.5]}}


@pytest.fixture
def binarizer() -> Binarizer:
    return replace(exact_binarizer(5, "cosine"), info=INFO)


@pytest.fixture
def path(binarizer: Binarizer, tmp_path: Path) -> Path:
    binarizer.save(tmp_path / "docs.safetensors")
    return tmp_path / "docs.safetensors"


def rewrite(path: Path, drop: str = "", **changes: str) -> None:
    """The same file with some metadata changed and one array dropped."""
    with safe_open(path, framework="numpy") as file:
        metadata = {**file.metadata(), **changes}
    tensors = {name: a for name, a in load_file(path).items() if name != drop}
    save_file(tensors, path, {k: v for k, v in metadata.items() if v != "absent"})


@quick
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from(["cosine", "inner_product"]))
def test_save_and_load_are_exact(
    tmp_path_factory: pytest.TempPathFactory, seed: int, own: bool, metric: Any
) -> None:
    b = replace(exact_binarizer(seed, metric), info={"seed": seed})
    if own:
        m = b.hamming_bits
        weights = integer_rows(seed, sum(b.nested_bits)) / 3
        signs, offset = integer_rows(seed + 1, m) / 7, integer_rows(seed + 2, m)[:, 0]
        b = replace(b, weight_projection=weights, hamming_projection=signs, hamming_offset=offset)
    path = tmp_path_factory.getbasetemp() / "exact.safetensors"
    b.save(path)
    back = Binarizer.load(path)
    for name in FIELDS:
        old, new = getattr(b, name), getattr(back, name)
        if old is None:
            assert new is None
        else:
            assert new.dtype == old.dtype
            assert not new.flags.writeable
            np.testing.assert_array_equal(new, old)
    assert back.nested_bits == b.nested_bits
    assert back.metric == b.metric
    assert back.info == b.info
    assert back.fingerprint == b.fingerprint
    x = integer_rows(seed + 1, 5)
    np.testing.assert_array_equal(back.encode(x), b.encode(x))


def test_info_comes_back(binarizer: Binarizer, path: Path) -> None:
    assert dict(Binarizer.load(path).info) == INFO


def header_and_arrays(path: Path) -> tuple[dict[str, Any], bytes]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def test_saving_again_gives_the_same_content(binarizer: Binarizer, path: Path) -> None:
    # safetensors writes its metadata in no fixed order, so only the parsed header can be equal
    Binarizer.load(path).save(path.with_name("again"))
    assert header_and_arrays(path.with_name("again")) == header_and_arrays(path)


def test_text_and_path_objects_name_files(binarizer: Binarizer, tmp_path: Path) -> None:
    binarizer.save(str(tmp_path / "text"))
    assert Binarizer.load(str(tmp_path / "text")).fingerprint == binarizer.fingerprint


def test_the_header_is_plain_json(binarizer: Binarizer, path: Path) -> None:
    metadata = header_and_arrays(path)[0]["__metadata__"]
    assert metadata["format"] == "bitryoshka"
    assert metadata["format_version"] == "1"
    assert metadata["fingerprint"] == binarizer.fingerprint
    assert json.loads(metadata["settings"]) == {
        "metric": "cosine",
        "nested_bits": list(binarizer.nested_bits),
    }
    assert json.loads(metadata["info"]) == INFO


def test_the_file_is_readable_by_others(path: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_saving_replaces_an_older_file(path: Path) -> None:
    other = exact_binarizer(6)
    other.save(path)
    assert Binarizer.load(path).fingerprint == other.fingerprint
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("step", ["replace", "fsync", "chmod"])
def test_a_failed_save_leaves_the_old_file(
    path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left on device"):
        exact_binarizer(6).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_an_interrupted_save_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        exact_binarizer(6).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_info_that_is_not_json_is_refused_before_anything_is_written(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        replace(exact_binarizer(6), info={"a": object()}).save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_saving_into_a_missing_folder(binarizer: Binarizer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        binarizer.save(tmp_path / "missing" / "docs.safetensors")
    assert os.listdir(tmp_path) == []


def test_saving_over_a_folder(binarizer: Binarizer, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        binarizer.save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors: no such file"):
        Binarizer.load(tmp_path / "nowhere.safetensors")
    with pytest.raises(FileNotFoundError, match="no such file"):
        Binarizer.load(tmp_path)


def test_a_file_cut_off_anywhere(path: Path) -> None:
    content = path.read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    lengths = {0, 1, 7, 8, 9, 7 + header, 8 + header, 9 + header, len(content) - 1}
    lengths |= set(range(0, len(content), 97))
    for length in sorted(lengths):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError, match=r"is truncated or not a .safetensors") as caught:
            Binarizer.load(path)
        assert str(path) in str(caught.value)
        assert isinstance(caught.value, BitryoshkaError)
        assert isinstance(caught.value, ValueError)


def test_a_file_with_something_behind_it(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(FileFormatError, match="truncated or not"):
        Binarizer.load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"not a tensor", b"\x80\x04K\x01.", b"PK\x03\x04" * 9, b"\x93NUMPY\x01\x00" * 20, b"{}"],
    ids=["empty", "text", "pickle", "zip", "npy", "json"],
)
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"truncated or not a .safetensors file"):
        Binarizer.load(tmp_path / "x")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_safetensors_file_of_somebody_else(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    save_file({"projection": np.ones((8, 8), np.float32)}, tmp_path / "x", metadata)
    found = metadata and metadata["format"]
    with pytest.raises(FileFormatError, match=f"expected format 'bitryoshka' .* found {found!r}"):
        Binarizer.load(tmp_path / "x")


@pytest.mark.parametrize("version", ["3", "10"])
def test_a_newer_format(path: Path, version: str) -> None:
    rewrite(path, format_version=version)
    with pytest.raises(FileFormatError, match=f"has format {version}, .* reads up to 2: upgrade"):
        Binarizer.load(path)


@pytest.mark.parametrize("version", ["", "one", "-1", "1.5", "absent"])
def test_a_format_that_is_no_number(path: Path, version: str) -> None:
    rewrite(path, format_version=version)
    with pytest.raises(FileFormatError, match=r"format_version is .* not a number"):
        Binarizer.load(path)


def test_a_flipped_bit_in_the_arrays(path: Path) -> None:
    content = path.read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    for position in range(8 + header, len(content), 61):
        for mask in (0x01, 0x80):
            damaged = bytearray(content)
            damaged[position] ^= mask
            path.write_bytes(damaged)
            with pytest.raises(FileFormatError, match=r"is altered|is not a usable binarizer"):
                Binarizer.load(path)


def test_a_flipped_bit_in_the_header(binarizer: Binarizer, path: Path) -> None:
    content = path.read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    refused = 0
    for position in range(8 + header):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            loaded = Binarizer.load(path)
        except FileFormatError:
            refused += 1
            continue
        # only what does not decide codes may differ
        assert loaded.fingerprint == binarizer.fingerprint
    assert refused > header / 2


@pytest.mark.parametrize("name", FIELDS[:-3])
def test_a_missing_array(path: Path, name: str) -> None:
    rewrite(path, drop=name)
    with pytest.raises(FileFormatError, match=rf"lacks the arrays \['{name}'\]"):
        Binarizer.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": "absent"}, "is damaged: KeyError"),
        ({"info": "absent"}, "is damaged: KeyError"),
        ({"settings": "{"}, "is damaged: JSONDecodeError"),
        ({"settings": "[]"}, "is damaged: TypeError"),
        ({"settings": "{}"}, "is damaged: KeyError"),
        ({"settings": '{"nested_bits": 8}'}, "is damaged: TypeError"),
        ({"settings": '{"nested_bits": [8], "metric": "cosine"}'}, "not a usable binarizer"),
        ({"settings": '{"nested_bits": "abc", "metric": "cosine"}'}, "not a usable binarizer"),
        ({"settings": '{"nested_bits": [8], "metric": "cosine", "x": 1}'}, "not a usable"),
        ({"info": "[1, 2]"}, "not a usable binarizer"),
        ({"fingerprint": "absent"}, "is altered: .* its header says None"),
        ({"fingerprint": "0" * 64}, "is altered: .* its header says 0000"),
    ],
)
def test_metadata_that_does_not_fit(path: Path, changes: dict[str, str], message: str) -> None:
    rewrite(path, **changes)
    with pytest.raises(FileFormatError, match=message) as caught:
        Binarizer.load(path)
    assert str(path) in str(caught.value)


def test_settings_that_were_altered(path: Path) -> None:
    kept = {"metric": "inner_product", "nested_bits": list(Binarizer.load(path).nested_bits)}
    rewrite(path, settings=json.dumps(kept))
    with pytest.raises(FileFormatError, match="is altered: its content has fingerprint"):
        Binarizer.load(path)


def test_a_foreign_array_in_the_file(path: Path) -> None:
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    save_file({**load_file(path), "extra": np.ones(3, np.float32)}, path, metadata)
    with pytest.raises(FileFormatError, match=r"not a usable binarizer: .*'extra'"):
        Binarizer.load(path)


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Do something again and again while the block runs."""
    done = threading.Event()

    def repeat() -> None:
        while not done.is_set():
            work()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_loading_beside_a_save_gives_one_of_the_two(binarizer: Binarizer, path: Path) -> None:
    both = [binarizer, exact_binarizer(6)]

    def save() -> None:
        for one in both:
            one.save(path)

    with beside(save):
        found = {Binarizer.load(path).fingerprint for _ in range(300)}
    assert found <= {one.fingerprint for one in both}


def test_a_file_that_is_overwritten_while_it_is_read(binarizer: Binarizer, path: Path) -> None:
    content = path.read_bytes()
    with beside(lambda: path.write_bytes(content)):
        for _ in range(1000):
            with suppress(FileFormatError):
                assert Binarizer.load(path).fingerprint == binarizer.fingerprint
    assert Binarizer.load(path).fingerprint == binarizer.fingerprint


def test_a_file_too_large_for_a_binarizer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = path.stat().st_size
    monkeypatch.setattr(module, "MAX_BINARIZER_BYTES", size)
    loaded = Binarizer.load(path)
    monkeypatch.setattr(module, "MAX_BINARIZER_BYTES", size - 1)
    for use in (Binarizer.load, loaded.save):
        with pytest.raises(FileFormatError, match=f"at most {size - 1} bytes, found {size}"):
            use(path)


def nested(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels - 1):
        found = {"a": found}
    return found


def test_info_nested_too_deep(binarizer: Binarizer, path: Path) -> None:
    replace(binarizer, info=nested(32)).save(path)
    assert dict(Binarizer.load(path).info) == nested(32)
    with pytest.raises(BitryoshkaError, match="info must be nested at most 32 deep"):
        replace(binarizer, info=nested(33))
    for levels in (33, 3000):
        rewrite(path, info='{"a":' * levels + "1" + "}" * levels)
        with pytest.raises(FileFormatError, match=r"nested at most 32 deep|is damaged"):
            Binarizer.load(path)
    rewrite(path, info="[" * 1_000_000)
    with pytest.raises(FileFormatError, match="is damaged"):
        Binarizer.load(path)
