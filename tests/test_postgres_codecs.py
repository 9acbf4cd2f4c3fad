"""Codecs in the catalogue: what goes in comes out, and nothing changes in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from safetensors import safe_open
from synthetic import clustered, exact_binarizer

import bitryoshka
from bitryoshka import Binarizer, CodecError, DatabaseError, FingerprintError
from bitryoshka.alembic.codec_operations import RegisterCodecOp
from bitryoshka.postgres import drop_codec, export, list_codecs, register
from bitryoshka.postgres.server import Connection

GOLDEN = Path(__file__).parent / "golden"
TABLES = ("codecs", "weights", "code_bits", "cuts")


def rows(connection: Connection) -> dict[str, int]:
    found = {}
    for name in TABLES:
        query = sql.SQL("SELECT count(*) FROM bitryoshka.{}").format(sql.Identifier(name))
        [(found[name],)] = connection.execute(query).fetchall()
    return found


def content(binarizer: Binarizer, path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    binarizer.save(path)
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return dict(file.metadata()), {n: (a.dtype, a.tobytes()) for n, a in tensors.items()}


def random_floats(seed: int) -> Binarizer:
    """Every float is one of all that float32 has, denormal numbers and -0.0 among them."""
    rng = np.random.default_rng(seed)

    def floats(*shape: int) -> Any:
        found = rng.integers(0, 2**32, shape, np.uint32).view(np.float32)
        return np.where(np.isfinite(found), found, np.float32(-0.0))

    b = exact_binarizer(seed)
    m, cuts = b.hamming_bits, len(b.nested_bits)
    return replace(
        b,
        projection=floats(m, 16),
        offset=floats(m),
        levels=floats(cuts, b.bits),
        weight_projection=floats(sum(b.nested_bits), 16),
        hamming_projection=floats(m, 16),
        hamming_offset=floats(m),
        info={"source_model": "größe 🪆", "held_out": {"recall": 0.1 + 0.2}, "none": None},
    )


BINARIZERS = {
    "golden fitted": lambda: Binarizer.load(GOLDEN / "v1-fitted" / "binarizer.safetensors"),
    "golden planes": lambda: Binarizer.load(GOLDEN / "v1-all-planes" / "binarizer.safetensors"),
    "random floats": lambda: random_floats(3),
    "signs": lambda: bitryoshka.fit(clustered(0, 200), bits=48, method="sign").binarizer,
    "weights of queries' bits": lambda: replace(random_floats(4), hamming_offset=None),
    "thresholds of queries' bits": lambda: replace(random_floats(5), hamming_projection=None),
    "weights of queries alone": lambda: replace(
        random_floats(6), hamming_projection=None, hamming_offset=None
    ),
}


@pytest.mark.parametrize("name", BINARIZERS)
def test_an_export_is_the_very_binarizer(installed: Connection, name: str, tmp_path: Path) -> None:
    binarizer = BINARIZERS[name]()
    codec = register(installed, "docs", binarizer)
    found = export(installed, codec.label)
    assert found.fingerprint == codec.fingerprint == binarizer.fingerprint
    assert content(found, tmp_path / "found") == content(binarizer, tmp_path / "registered")


def test_a_dba_can_read_what_a_codec_is(installed: Connection) -> None:
    binarizer = exact_binarizer(3)
    codec = register(installed, "docs", binarizer)
    assert (codec.label, codec.nested_bits) == ("docs@1", binarizer.nested_bits)
    found = installed.execute(
        "SELECT label, fingerprint, metric, dimensions, bits, hamming_bits, nested_bits, "
        "registered_by = current_user FROM bitryoshka.codecs"
    ).fetchall()
    assert found == [
        (
            "docs@1",
            binarizer.fingerprint,
            binarizer.metric,
            binarizer.dimensions,
            binarizer.bits,
            binarizer.hamming_bits,
            list(binarizer.nested_bits),
            True,
        )
    ]
    assert list_codecs(installed) == [codec]


def test_versions_rise_and_a_known_fingerprint_keeps_its_own(installed: Connection) -> None:
    first, second = exact_binarizer(1), exact_binarizer(2)
    labels = [register(installed, "docs", b).label for b in (first, second, first, second)]
    assert labels == ["docs@1", "docs@2", "docs@1", "docs@2"]
    assert register(installed, "docs", first, version=7).label == "docs@7"
    assert register(installed, "other", second).label == "other@1"
    assert rows(installed)["codecs"] == 4


def test_another_binarizer_under_a_taken_version_is_refused(installed: Connection) -> None:
    first, second = exact_binarizer(1), exact_binarizer(2)
    register(installed, "docs", first)
    before = rows(installed)
    with pytest.raises(FingerprintError) as refused:
        register(installed, "docs", second, version=1)
    assert first.fingerprint in str(refused.value)
    assert second.fingerprint in str(refused.value)
    assert rows(installed) == before
    assert export(installed, "docs@1").fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("name", "version"),
    [("", 1), ("a@b", 1), ("a'b", 1), ("-a", 1), ("a" * 41, 1), ("ü", 1)],
)
def test_a_name_or_version_that_is_not_allowed(
    installed: Connection, name: str, version: int
) -> None:
    with pytest.raises(CodecError, match="a name of 1 to 40 letters, digits"):
        register(installed, name, exact_binarizer(1), version=version)
    assert rows(installed) == dict.fromkeys(TABLES, 0)


def test_registering_belongs_to_the_callers_transaction(installed: Connection) -> None:
    with installed.transaction(force_rollback=True):
        register(installed, "docs", exact_binarizer(1))
        assert rows(installed)["weights"]
    assert rows(installed) == dict.fromkeys(TABLES, 0)


def test_a_missing_codec_is_named(installed: Connection) -> None:
    register(installed, "docs", exact_binarizer(1))
    for call in (export, drop_codec):
        with pytest.raises(CodecError, match=r"no codec 'docs@2': expected one of \['docs@1'\]"):
            call(installed, "docs@2")


def test_without_the_schema_the_way_to_it_is_named(connection: Connection) -> None:
    with pytest.raises(DatabaseError, match="run bitryoshka install"):
        register(connection, "docs", exact_binarizer(1))


def test_a_codec_never_changes(installed: Connection) -> None:
    register(installed, "docs", exact_binarizer(1))
    for statement in (
        "UPDATE bitryoshka.codecs SET metric = 'cosine'",
        "UPDATE bitryoshka.weights SET threshold = 0",
        "UPDATE bitryoshka.code_bits SET plane = 0",
        "UPDATE bitryoshka.cuts SET bits = 8",
        "TRUNCATE bitryoshka.cuts",
    ):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="never changes"):
            installed.execute(statement)


def test_tables_that_were_altered_all_the_same_are_noticed(installed: Connection) -> None:
    codec = register(installed, "docs", exact_binarizer(1))
    installed.execute("ALTER TABLE bitryoshka.weights DISABLE TRIGGER refuse_change")
    installed.execute("UPDATE bitryoshka.weights SET threshold = threshold + 1 WHERE dimension = 0")
    with pytest.raises(FingerprintError, match="docs@1 is altered"):
        export(installed, codec.label)


def test_a_dropped_codec_leaves_nothing(installed: Connection) -> None:
    register(installed, "docs", exact_binarizer(1))
    kept = register(installed, "docs", exact_binarizer(2))
    drop_codec(installed, "docs@1")
    assert list_codecs(installed) == [kept]
    drop_codec(installed, "docs@2")
    assert rows(installed) == dict.fromkeys(TABLES, 0)


@pytest.mark.parametrize("version", [0, -1, 1.5, True, "1", 2**31])
def test_a_version_that_is_none(installed: Connection, version: Any) -> None:
    with pytest.raises(CodecError, match="version must be an integer from 1 to 2147483647, found"):
        register(installed, "docs", BINARIZERS["signs"](), version)
    with pytest.raises(CodecError, match="version must be an integer from 1 to 2147483647, found"):
        RegisterCodecOp("docs", "docs.safetensors", version)
    assert list_codecs(installed) == []


def test_a_name_that_no_text_can_hold(installed: Connection) -> None:
    with pytest.raises(CodecError, match="a codec has a name of 1 to 40 letters"):
        register(installed, "do\0cs", BINARIZERS["signs"]())


@pytest.mark.parametrize(("bits", "dimensions"), [(16_008, 8), (8, 16_008)])
def test_what_postgres_cannot_hold_is_refused_before_anything_is_written(
    installed: Connection, bits: int, dimensions: int
) -> None:
    large = Binarizer(
        projection=np.ones((bits, dimensions)), offset=np.zeros(bits), nested_bits=(bits,)
    )
    with pytest.raises(CodecError, match=r"Postgres takes at most 16000 .*, found 16008"):
        register(installed, "docs", large)
    assert list_codecs(installed) == []
