"""Django: the field, expressions, searches and operations, in a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.apps.registry import Apps
from django.core import checks, serializers
from django.core.exceptions import FieldError, ImproperlyConfigured, ValidationError
from django.db import (
    DataError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    connection,
    connections,
    models,
    router,
    transaction,
)
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLite
from django.db.migrations import AddField, AlterField, CreateModel, Migration, RenameField
from django.db.migrations.optimizer import MigrationOptimizer
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import OperationWriter
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Subquery, Value, Window
from django.db.models.functions import Length, RowNumber
from django.forms import modelform_factory
from django.test.utils import CaptureQueriesContext, override_settings
from pgvector import Bit, Vector
from pgvector.django import VectorField
from synthetic import clustered
from tests.django_project import configure, database_settings, default_database

import bitryoshka
from bitryoshka import SearchError, VectorsError, postgres
from bitryoshka.bits import hamming, largest_scores, query_planes
from bitryoshka.django import (
    AsymmetricScore,
    AttachCodec,
    CodeField,
    CodeIndex,
    DetachCodec,
    DropCodec,
    FillCodes,
    HammingDistance,
    InstallBitryoshka,
    Prefix,
    QueryBits,
    RegisterCodec,
    UpgradeBitryoshka,
)
from bitryoshka.errors import BitsError, CodecError, OptionError
from bitryoshka.postgres.server import Connection

configure("dbname=")  # models need settings, and no database yet

from django_library.models import Document, Signature, Tag  # noqa: E402

APP = "django_library"
ROWS, DIMENSIONS = 600, 48
VECTORS = clustered(0, ROWS + 4, DIMENSIONS)
QUERY = VECTORS[ROWS]
BINARIZER = bitryoshka.fit(
    VECTORS[:ROWS], bits=96, nested_bits=(32, 48, 96), hamming_bits=48, method="progressive"
).binarizer
OTHER = bitryoshka.fit(
    VECTORS[: ROWS // 2], bits=96, hamming_bits=48, method="progressive"
).binarizer


def migration(*operations: Any) -> Migration:
    made = Migration("0001", APP)
    made.operations = list(operations)
    return made


def apply(*operations: Any, state: ProjectState | None = None) -> ProjectState:
    """Run the operations forwards; gives the state of the models before them."""
    before = state or ProjectState.from_apps(apps)
    with connection.schema_editor() as editor:
        migration(*operations).apply(before.clone(), editor)
    return before


def unapply(*operations: Any, state: ProjectState | None = None) -> None:
    before = state or ProjectState.from_apps(apps)
    with connection.schema_editor() as editor:
        migration(*operations).unapply(before.clone(), editor)


@pytest.fixture
def empty(installed_database: str, tmp_path: Path) -> Iterator[Path]:
    """The tables without rows, the codec attached; gives the folder of the binarizers' files."""
    BINARIZER.save(tmp_path / "docs.safetensors")
    OTHER.save(tmp_path / "other.safetensors")
    with default_database(installed_database):
        apply(RegisterCodec("docs", tmp_path / "docs.safetensors"))
        with connection.schema_editor() as editor:
            for model in (Document, Tag, Signature):
                editor.create_model(model)
        apply(AttachCodec("Document", "code"))
        yield tmp_path


@pytest.fixture
def library(empty: Path) -> Path:
    Document.objects.bulk_create(
        Document(id=i, title=str(i), lang="en" if i % 3 else "de", embedding=row)
        for i, row in enumerate(VECTORS[:ROWS])
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return empty


# the field


def test_the_database_writes_the_codes(empty: Path) -> None:
    codes = BINARIZER.encode(VECTORS[:4])
    one = Document.objects.create(embedding=VECTORS[0])
    assert one.code.dtype == np.uint8
    assert not one.code.flags.writeable
    np.testing.assert_array_equal(one.code, codes[0])
    many = Document.objects.bulk_create(Document(embedding=row) for row in VECTORS[1:3])
    np.testing.assert_array_equal([made.code for made in many], codes[1:3])
    one.embedding = VECTORS[3].tolist()
    one.full_clean(exclude=["title"])
    one.save()
    one.refresh_from_db()
    np.testing.assert_array_equal(one.code, codes[3])
    Document.objects.filter(pk=one.pk).update(embedding=VECTORS[1], code=None)
    np.testing.assert_array_equal(Document.objects.get(pk=one.pk).code, codes[1])
    Document.objects.filter(pk=one.pk).update(embedding=None)
    assert Document.objects.get(pk=one.pk).code is None
    with pytest.raises(DataError, match="zero vector"), transaction.atomic():
        Document.objects.create(embedding=np.zeros(DIMENSIONS))


ROW = np.array([0b10000001, 0b00000010], np.uint8)
FORMS = {
    "uint8": ROW,
    "bytes": ROW.tobytes(),
    "bytearray": bytearray(ROW.tobytes()),
    "bool": np.unpackbits(ROW).astype(bool),
    "text": "1000000100000010",
    "Bit": Bit("1000000100000010"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_code(empty: Path, form: str) -> None:
    made = Signature(code=FORMS[form], other=None)
    made.full_clean()
    made.save()
    found = Signature.objects.get(code=FORMS[form])
    np.testing.assert_array_equal(found.code, ROW)
    assert found.other is None
    Signature.objects.update(other=FORMS[form])
    assert Signature.objects.filter(other=F("code"), other__in=[FORMS[form]]).count() == 1
    distance = HammingDistance("code", FORMS[form])
    assert Signature.objects.annotate(d=distance).values_list("d", flat=True).get() == 0


WRONG = {
    "a byte too few": (b"\1", "expected a code of 16 bits.*found uint8 of shape"),
    "int64": (np.array([1, 2]), "expected a code of 16 bits.*found int64"),
    "float": (1.5, "expected a code of 16 bits.*found float"),
    "a list": ([1, 2], "expected a code of 16 bits.*found list"),
    "other characters": ("2" * 16, "expected 16 characters 0 or 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_code_is_refused_before_it_is_sent(empty: Path, case: str) -> None:
    value, message = WRONG[case]
    with pytest.raises(ValidationError, match=message):
        Signature(code=value).full_clean()
    with pytest.raises(ValidationError, match=message):
        Signature.objects.create(code=value)
    with pytest.raises(ValidationError, match=message):
        Signature.objects.filter(code=value)
    with pytest.raises(ValidationError):
        list(Signature.objects.annotate(d=HammingDistance("code", value)))
    assert not Signature.objects.exists()


def test_null_is_refused_where_it_is_not_allowed(empty: Path) -> None:
    with pytest.raises(ValidationError, match="cannot be null"):
        Signature(code=None).full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        Signature.objects.create(code=None)


def test_serializers_and_forms(empty: Path) -> None:
    Signature.objects.create(id=1, code=ROW, other=None)
    text = serializers.serialize("json", Signature.objects.all())
    assert json.loads(text)[0]["fields"] == {
        **{"code": "1000000100000010", "other": None},
        "document": None,
    }
    Signature.objects.all().delete()
    for found in serializers.deserialize("json", text):
        found.save()
    one = Signature.objects.get()
    np.testing.assert_array_equal(one.code, ROW)
    form_class = modelform_factory(Signature, fields=["code", "other"])
    assert 'value="1000000100000010"' in form_class(instance=one).as_p()
    unchanged = form_class({"code": "1000000100000010", "other": ""}, instance=one)
    assert unchanged.is_valid(), unchanged.errors
    assert not unchanged.has_changed()
    assert unchanged.save().other is None
    changed = form_class({"code": "0" * 16, "other": "1" * 16}, instance=one)
    assert changed.has_changed()
    assert changed.is_valid()
    assert changed.save().other.tolist() == [255, 255]
    assert "expected 16 characters" in str(form_class({"code": "012"}, instance=one).errors)
    assert "code" not in modelform_factory(Document, fields="__all__")().fields


def test_what_a_migration_writes() -> None:
    full = {
        "bits": 96,
        "codec": "docs@1",
        "vector_field": "embedding",
        "prefix_bits": 48,
        "bad_vectors": "skip",
    }
    for given in ({"bits": 16}, {"bits": 16, "null": True}, full):
        field = CodeField(**given)
        _, path, args, kwargs = field.deconstruct()
        assert (path, args, kwargs) == ("bitryoshka.django.CodeField", [], given)
        assert field.clone().deconstruct()[3] == kwargs
    filled = CodeField(**full)
    assert (filled.null, filled.editable) == (True, False)
    assert filled.db_comment == "bitryoshka codec docs@1"
    with pytest.raises(OptionError, match="expected no db_comment, found 'mine'"):
        CodeField(**full, db_comment="mine")
    index = CodeIndex(fields=["code"], prefix_bits=48, name="i", m=16, ef_construction=64)
    path, args, kwargs = index.deconstruct()
    assert (path, args) == ("bitryoshka.django.CodeIndex", ())
    assert kwargs == {
        **{"fields": ["code"], "name": "i", "prefix_bits": 48},
        **{"m": 16, "ef_construction": 64},
    }
    assert index.clone() == index
    assert CodeIndex(fields=["code"], prefix_bits=48, name="i") != index


def test_wrong_indexes() -> None:
    for fields in ("code", ["code", "other"], ["-code"], []):
        with pytest.raises(OptionError, match="one CodeField, found"):
            CodeIndex(fields=fields, prefix_bits=48)
    for bits in (0, 12, "48", None):
        with pytest.raises(BitsError, match="prefix_bits must be"):
            CodeIndex(fields=["code"], prefix_bits=bits)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="m must be an integer from 2 to 100, found 1"):
        CodeIndex(fields=["code"], prefix_bits=48, m=1)


CHECKED = {
    "E001": {"bits": 12},
    "E001 none": {},
    "E002": {"bits": 96, "prefix_bits": 104},
    "E002 odd": {"bits": 96, "prefix_bits": 4},
    "E003": {"bits": 96, "codec": "docs", "vector_field": "embedding"},
    "E003 bad": {"bits": 96, "codec": "d@1", "vector_field": "embedding", "bad_vectors": "drop"},
    "E004": {"bits": 96, "codec": "docs@1"},
    "E004 other": {"bits": 96, "codec": "docs@1", "vector_field": "id"},
}


@pytest.mark.parametrize("case", CHECKED)
def test_system_checks(case: str) -> None:
    class Meta:
        app_label = "checked"
        apps = Apps()

    fields = {"embedding": VectorField(dimensions=48), "code": CodeField(**CHECKED[case])}
    model: Any = type("Checked", (models.Model,), {"__module__": "checked", "Meta": Meta, **fields})
    [found] = model._meta.get_field("code").check()
    assert found.id == f"bitryoshka.{case[:4]}"
    assert "found" in found.msg
    assert found.level == checks.ERROR


def test_an_index_of_other_bits_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    field = Document._meta.get_field("code")
    assert field.check() == []
    monkeypatch.setattr(field, "prefix_bits", 32)
    [found] = field.check()
    assert (found.id, found.level) == ("bitryoshka.W005", checks.WARNING)
    assert found.msg == "searches compare 32 bits first, found indexes of [48]"
    more = CodeIndex(fields=["code"], prefix_bits=32, name="more")
    monkeypatch.setattr(Document._meta, "indexes", [*Document._meta.indexes, more])
    assert field.check() == []


def database_checks() -> dict[str, str]:
    return {found.id: found.msg for found in Document.check(databases=["default"])}


def test_checks_against_the_database(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert database_checks() == {}
    field = Document._meta.get_field("code")
    with monkeypatch.context() as changed:
        changed.setattr(field, "bits", 104)
        changed.setattr(field, "prefix_bits", None)
        found = database_checks()
        assert found["bitryoshka.E005"] == "codec docs@1 has 96 bits, found bits=104"
        assert "one of [32, 48] bits first, found 104" in found["bitryoshka.E006"]
    with monkeypatch.context() as changed:
        changed.setattr(Document._meta.get_field("embedding"), "dimensions", 50)
        assert "expects 48 dimensions, found 50" in database_checks()["bitryoshka.E007"]
    apply(RegisterCodec("docs", empty / "docs.safetensors", version=2))
    with monkeypatch.context() as changed:
        changed.setattr(field, "codec", "docs@2")
        assert "codes of docs@1, found codec='docs@2'" in database_checks()["bitryoshka.W001"]
    with monkeypatch.context() as changed:
        changed.setattr(field, "codec", "unknown@1")
        assert "codes of docs@1, found codec='unknown@1'" in database_checks()["bitryoshka.W001"]
    with monkeypatch.context() as changed:
        other = VectorField(dimensions=48)
        other.set_attributes_from_name("other")
        known = Document._meta.get_field
        changed.setattr(field, "vector_field", "other")
        changed.setattr(Document._meta, "get_field", lambda n: other if n == "other" else known(n))
        message = "codes of column embedding, found vector_field='other'"
        assert message in database_checks()["bitryoshka.W003"]


def test_checks_of_a_column_that_nothing_fills(empty: Path, installed: Connection) -> None:
    apply(DetachCodec("Document", "code"))
    assert database_checks() == {
        "bitryoshka.W002": "no codec is attached to the column, found codec='docs@1'"
    }
    apply(AttachCodec("Document", "code", backfill=False))
    assert "not known to be filled" in database_checks()["bitryoshka.W004"]
    apply(FillCodes("Document", "code"))
    assert database_checks() == {}
    apply(DetachCodec("Document", "code"), DropCodec("docs@1"))
    assert list(database_checks()) == ["bitryoshka.W002"]
    # the table is made anew, without its codec, and without the schema
    unapply(InstallBitryoshka())
    assert list(database_checks()) == ["bitryoshka.W002"]
    with connection.schema_editor() as editor:
        editor.delete_model(Document)
    assert database_checks() == {}


ALTERED = {
    "length": {"bits": 48, "codec": "docs@1"},
    "codec": {"bits": 96, "codec": "other@1"},
    "bad vectors": {"bits": 96, "codec": "docs@1", "bad_vectors": "skip"},
}


@pytest.mark.parametrize("case", ALTERED)
def test_an_attached_column_is_not_altered(library: Path, case: str) -> None:
    """Neither in a database nor as a script, and what has been altered is known."""
    attach, detach = AttachCodec("Document", "code"), DetachCodec("Document", "code")
    altered = CodeField(**{"vector_field": "embedding", **ALTERED[case]})
    alter = AlterField("Document", "code", altered)
    state = ProjectState.from_apps(apps)
    attach.state_forwards(APP, state)
    assert state.apps.get_model(APP, "Document")._meta.get_field("code").attached
    with pytest.raises(FieldError, match=r"DetachCodec\('Document', 'code'\) before"):
        apply(alter, state=state)
    with (
        pytest.raises(FieldError, match="DetachCodec"),
        connection.schema_editor(collect_sql=True) as editor,
    ):
        migration(alter).apply(state.clone(), editor, collect_sql=True)
    with pytest.raises(FieldError, match=r"another AttachCodec, found docs@1 attached"):
        apply(attach, state=state)
    searched = CodeField(bits=96, codec="docs@1", vector_field="embedding", prefix_bits=32)
    apply(AlterField("Document", "code", searched), state=state)
    apply(detach, alter, state=state)


def test_a_column_that_was_altered_all_the_same(library: Path) -> None:
    field = CodeField(bits=96, codec="other@1", vector_field="embedding", prefix_bits=48)
    apply(AlterField("Document", "code", field))
    found = database_checks()
    assert list(found) == ["bitryoshka.E008"]
    assert "codec docs@1 writes 96 bits, found a column bit(96) with" in found["bitryoshka.E008"]
    assert "'bitryoshka codec other@1'" in found["bitryoshka.E008"]
    shorter = CodeField(bits=48, codec="docs@1", vector_field="embedding")
    with connection.schema_editor() as editor:
        editor.remove_index(Document, Document._meta.indexes[0])
    apply(AlterField("Document", "code", shorter))
    assert "found a column bit(48)" in database_checks()["bitryoshka.E008"]


# expressions


def test_distances_and_scores(library: Path) -> None:
    codes = BINARIZER.encode(VECTORS[:ROWS])
    rows = Document.objects.order_by("pk")

    def values(expression: Any) -> list[Any]:
        return list(rows.annotate(value=expression).values_list("value", flat=True))

    assert values(HammingDistance("code", codes[7])) == hamming(codes, codes[7:8])[:, 0].tolist()
    short = hamming(codes[:, :4], codes[7:8, :4])[:, 0].tolist()
    assert values(HammingDistance("code", codes[7, :4].tobytes(), prefix_bits=32)) == short
    assert values(HammingDistance("code", F("code"), prefix_bits=32)) == [0] * ROWS
    np.testing.assert_array_equal(values(Prefix("code", 32)), codes[:, :4])
    bits = BINARIZER.encode_queries(QUERY[None], 32)
    distance = HammingDistance("code", QueryBits("code", QUERY, 32), prefix_bits=32)
    assert values(distance) == hamming(codes[:, :4], bits)[:, 0].tolist()
    [found] = {tuple(x) for x in values(QueryBits("code", Vector(QUERY)))}
    assert found == tuple(BINARIZER.encode_queries(QUERY[None])[0])
    planes = query_planes(BINARIZER.query_weights(QUERY[None])).planes
    signs, plane_signs = (2 * np.unpackbits(x, axis=-1).astype(int) - 1 for x in (codes, planes[0]))
    scores = signs @ (2 ** np.arange(8)[::-1] @ plane_signs) / largest_scores(planes)[0]
    np.testing.assert_allclose(values(AsymmetricScore("code", QUERY)), scores, atol=1e-6)
    # the query is part of an expression's identity
    assert AsymmetricScore("code", QUERY) == AsymmetricScore("code", QUERY.tolist())
    assert hash(AsymmetricScore("code", QUERY)) != hash(AsymmetricScore("code", VECTORS[0]))
    assert Tag.objects.annotate(d=HammingDistance("document__code", codes[7])).count() == 0


def test_wrong_expressions(empty: Path) -> None:
    with pytest.raises(FieldError, match="expected a CodeField, found TextField"):
        Document.objects.annotate(d=HammingDistance("title", b"\0" * 12))
    with pytest.raises(FieldError, match="expected a CodeField, found VectorField"):
        Document.objects.annotate(d=AsymmetricScore("embedding", QUERY))
    with pytest.raises(FieldError, match="expected the CodeField of a table"):
        Document.objects.annotate(d=AsymmetricScore(Prefix("code", 32), QUERY))
    with pytest.raises(BitsError, match="at most 96 bits, found 104"):
        Document.objects.annotate(d=Prefix("code", 104))
    with pytest.raises(BitsError, match="expected a code of 96 bits, found one of 32"):
        Document.objects.annotate(d=HammingDistance("code", Prefix("code", 32)))
    with pytest.raises(VectorsError, match="found"):
        QueryBits("code", [[1.0, 2.0]])
    with pytest.raises(VectorsError, match="finite"):
        QueryBits("code", [1.0, np.nan])
    for score in (AsymmetricScore("code", QUERY[:5]), QueryBits("code", QUERY[:5])):
        with pytest.raises(VectorsError, match="48 numbers, as embedding has, found 5"):
            Document.objects.annotate(d=score)
    with pytest.raises(BitsError, match=r"of 48: HammingDistance\(..., prefix_bits=48\)"):
        Document.objects.annotate(d=HammingDistance("code", QueryBits("code", QUERY)))


def test_another_database_has_no_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither searches nor indexes nor operations are begun there."""
    lite = SQLite({**connection.settings_dict, "NAME": ":memory:"}, alias="lite")
    monkeypatch.setattr(connections._connections, "lite", lite, raising=False)
    for query in (
        Document.objects.search(QUERY),
        Document.objects.search(QUERY, rescore=None),
        Document.objects.annotate(d=HammingDistance("code", F("code"))),
        Document.objects.annotate(d=Prefix("code", 8)),
    ):
        with pytest.raises(NotSupportedError, match=r"expected a Postgres.* sqlite as .*'lite'"):
            query.query.get_compiler(connection=lite).as_sql()
    state = ProjectState.from_apps(apps)
    editor = lite.SchemaEditorClass(lite, collect_sql=True)
    for operation in (InstallBitryoshka(), AttachCodec("Document", "code"), DropCodec("docs@1")):
        with pytest.raises(NotSupportedError, match="expected a Postgres"):
            operation.database_forwards(APP, editor, state, state)
    with pytest.raises(NotSupportedError, match="expected a Postgres"):
        Document._meta.indexes[0].create_sql(Document, editor)


# searches

STAGES: list[dict[str, Any]] = [
    {},
    {"k": 3},
    {"candidates": 30, "prefix_bits": 32},
    {"rescore": None},
    {"rescore": "exact"},
    {"rescore": "exact", "shortlist": 20},
]


@pytest.mark.parametrize("stages", STAGES, ids=str)
def test_it_finds_what_the_other_doors_find(
    library: Path, installed: Connection, stages: dict[str, Any]
) -> None:
    table = Document._meta.db_table
    expected = postgres.search_column(installed, table, QUERY[None], **stages)
    found = list(Document.objects.search(QUERY, **stages))
    assert [row.pk for row in found] == expected.ids[0]
    np.testing.assert_allclose([row.score for row in found], expected.scores[0], atol=1e-6)
    where = postgres.columns.sql.SQL("lang = 'de'")
    expected = postgres.search_column(installed, table, QUERY[None], where=where, **stages)
    german = Document.objects.filter(lang="de").search(QUERY, **stages)
    assert [row.pk for row in german] == expected.ids[0]


def test_inner_products(empty: Path, installed: Connection) -> None:
    rows = VECTORS[:200] * np.linspace(0.5, 2, 200)[:, None].astype(np.float32)
    binarizer = bitryoshka.fit(
        rows, bits=96, hamming_bits=48, method="progressive", metric="inner_product"
    ).binarizer
    binarizer.save(empty / "products.safetensors")
    bracket = (DetachCodec("Document", "code"), AttachCodec("Document", "code"))
    field = CodeField(bits=96, codec="products@1", vector_field="embedding", prefix_bits=48)
    apply(RegisterCodec("products", empty / "products.safetensors"))
    apply(bracket[0], AlterField("Document", "code", field), bracket[1])
    Document.objects.bulk_create(Document(id=i, embedding=row) for i, row in enumerate(rows))
    found = Document.objects.search(QUERY, 5, candidates=200, rescore="exact").values_list(
        "pk", "score"
    )
    products = rows @ QUERY
    best = np.argsort(-products)[:5]
    assert [pk for pk, _ in found] == best.tolist()
    np.testing.assert_allclose([score for _, score in found], products[best], rtol=1e-5)


def plan(found: Any) -> str:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        return str(found.explain())


def test_the_default_search_is_one_by_the_default_index(library: Path) -> None:
    assert "Index Scan using docs_hnsw" in plan(Document.objects.search(QUERY))
    assert "Index Scan using docs_hnsw" in plan(
        Document.objects.filter(lang="de").search(QUERY, rescore=None)
    )
    assert "docs_hnsw" not in plan(Document.objects.search(QUERY, prefix_bits=32))


def test_a_filter_that_few_rows_pass_finds_them_all(library: Path) -> None:
    """The scan goes on beyond its first list, and its settings end with the transaction."""
    far = np.argsort(VECTORS[:ROWS] @ QUERY)[:30]
    Document.objects.filter(pk__in=far.tolist()).update(lang="la")
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute("SET enable_sort = off")
        found = Document.objects.filter(lang="la").search(QUERY, 30, candidates=30)
        assert "docs_hnsw" in found.explain()
        assert {row.pk for row in found} == set(far.tolist())
        cursor.execute("SELECT current_setting('hnsw.iterative_scan')")
        assert cursor.fetchone() == ("off",)


def test_it_is_a_queryset(library: Path) -> None:
    near = Document.objects.search(QUERY)
    ids = [row.pk for row in near]
    assert list(near.values_list("pk", flat=True)) == ids
    assert [row.pk for row in near[2:4]] == ids[2:4]
    assert len(near[8:20]) == 2
    assert near.count() == 10
    assert near.exists()
    assert near.first().pk == ids[0]
    named = Document.objects.only("title").search(QUERY, score="likeness").first()
    assert named.likeness > 0
    assert named.get_deferred_fields() == {"lang", "embedding", "code"}
    titled = Document.objects.values("title").search(QUERY, 1).get()
    assert titled == {"title": str(ids[0]), "score": near[0].score}
    # the rows of a search as a subquery, and a search among the rows of a subquery
    Tag.objects.bulk_create(Tag(document_id=pk, word=w) for pk in ids[:2] for w in ("a", "b"))
    assert Tag.objects.filter(document__in=near.values("pk")).count() == 4
    tagged = Document.objects.filter(Exists(Tag.objects.filter(document=OuterRef("pk"))))
    assert [row.pk for row in tagged.search(QUERY)] == ids[:2]

    async def ids_async() -> list[int]:
        return [row.pk async for row in near.all()]

    assert async_to_sync(ids_async)() == ids
    Document.objects.filter(pk=ids[0]).update(embedding=None)
    everything = Document.objects.search(QUERY, ROWS, candidates=ROWS)
    assert len(everything) == ROWS - 1


@pytest.mark.parametrize("stages", [STAGES[0], STAGES[-1]], ids=str)
def test_a_search_for_each_row_of_another_query(library: Path, stages: dict[str, Any]) -> None:
    langs = {"en": "a", "de": "b", "la": "c"}
    for i, (lang, word) in enumerate(langs.items(), ROWS):
        Tag.objects.create(document=Document.objects.create(id=i, lang=lang), word=word)
    stages = {**stages, "k": 3}
    # by a column of the outer query, and by a subquery that goes past two
    of_lang = Document.objects.filter(lang=OuterRef("document__lang"))
    words = Tag.objects.filter(document__lang=OuterRef("lang"), word=OuterRef(OuterRef("word")))
    for near in (of_lang, Document.objects.filter(Exists(words))):
        found = near.search(QUERY, **stages).values("pk")
        best = Tag.objects.annotate(best=Subquery(found[:1])).values_list("word", "best")
        expected: dict[str, Any] = dict.fromkeys(langs.values())
        for lang in ("en", "de"):
            expected[langs[lang]] = Document.objects.filter(lang=lang).search(QUERY, **stages)[0].pk
        assert dict(best) == expected
        assert {tag.word for tag in Tag.objects.filter(Exists(found))} == {"a", "b"}
    with pytest.raises(ValueError, match="may only be used in a subquery"):
        list(of_lang.search(QUERY, **stages))


@pytest.mark.parametrize("stages", STAGES, ids=str)
def test_a_prepared_search(library: Path, stages: dict[str, Any]) -> None:
    german = Document.objects.filter(lang="de").only("title")
    nearest = german.prepare_search(**stages)
    with CaptureQueriesContext(connection) as captured:
        for query in VECTORS[ROWS : ROWS + 2]:
            made = [(row.pk, row.title, row.score) for row in nearest(query)]
            anew = [(row.pk, row.title, row.score) for row in german.search(query, **stages)]
            assert made == anew
    assert len(captured) == 4
    assert nearest(QUERY)[0].get_deferred_fields() == {"lang", "embedding", "code"}
    with pytest.raises(VectorsError, match="found"):
        nearest(QUERY[:5])
    for empty in (german.none(), german.filter(pk__in=[])):
        assert list(empty.prepare_search(**stages)(QUERY)) == []
    for used, wrong in (
        ("values", german.values("title")),
        ("select_related", Document.objects.select_related()),
    ):
        with pytest.raises(SearchError, match=rf"own objects .* one with {used}\(\)$"):
            wrong.prepare_search()


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"k": 0}, "k must be"),
    ({"k": 101}, "expected at least k = 101 candidates, found 100"),
    ({"candidates": 0}, "candidates must be"),
    ({"rescore": "float"}, "found 'float'"),
    ({"prefix_bits": 12}, "found 12"),
    ({"prefix_bits": 104}, "found 104"),
    ({"shortlist": 20}, "found shortlist=20"),
]


@pytest.mark.parametrize(("stages", "message"), REFUSED, ids=str)
def test_what_does_not_fit_is_refused_at_once(stages: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchError, match=message):
        Document.objects.search(QUERY, **stages)


def test_wrong_searches(library: Path) -> None:
    with pytest.raises(SearchError, match=r"without distinct\(\)"):
        Document.objects.distinct().search(QUERY)
    with pytest.raises(FieldError, match="found a join with 'django_library_tag'"):
        Document.objects.filter(tags__word="a").search(QUERY)
    with pytest.raises(TypeError, match="slice"):
        Document.objects.all()[:5].search(QUERY)
    with pytest.raises(ValueError, match="conflicts with a field"):
        Document.objects.search(QUERY, score="title")
    with pytest.raises(FieldError, match=r"one of \['code', 'other'\], found None"):
        Signature.objects.search(QUERY)
    with pytest.raises(FieldError, match=r"one of \['code'\], found 'title'"):
        Document.objects.search(QUERY, code_field="title")
    with pytest.raises(SearchError, match="has no vector_field"):
        Signature.objects.search(QUERY, code_field="code", rescore="exact")
    with pytest.raises(VectorsError, match=r"expected a vector of 48 numbers.*found"):
        Document.objects.search(QUERY[:47])
    for values in ([np.nan] * 48, [np.inf] * 48, [1e39] * 48):
        with pytest.raises(VectorsError, match="finite"):
            Document.objects.search(values)
    for values in ([0.0] * 48, [1e-50] * 48):
        with pytest.raises(VectorsError, match="must be non-zero"):
            Document.objects.search(values)
    with pytest.raises(SearchError, match=r"new name, found the annotation 'score'"):
        Document.objects.annotate(score=Value(1)).search(QUERY)
    in_lang = Window(RowNumber(), partition_by="lang")
    for changed in (
        Document.objects.annotate(row=in_lang),
        Document.objects.alias(row=in_lang + Value(1)),
        Document.objects.annotate(n=Count("title")),
        Document.objects.values("lang").annotate(n=Count("pk")),
    ):
        with pytest.raises(SearchError, match="without aggregates and windows"):
            changed.search(QUERY)
    assert Document.objects.annotate(n=Length("title")).search(QUERY)[0].n > 0
    Tag.objects.create(document_id=1, word="a")
    found = Document.objects.search(QUERY)
    for prefetched, objects in (
        (
            Document.objects.all(),
            Prefetch("signatures", Signature.objects.search(QUERY, code_field="code")),
        ),
        (Tag.objects.all(), Prefetch("document", found.only("title"))),
    ):
        with pytest.raises(NotSupportedError, match=r"without search\(\) to be prefetched"):
            list(prefetched.prefetch_related(objects))
    five = Prefetch("document", Document.objects.filter(pk__in=found.values("pk")))
    assert len(Tag.objects.prefetch_related(five)) == 1
    with pytest.raises(DataError, match=r"bits must be one of .* up to 48, found 40"):
        list(Document.objects.search(QUERY, prefix_bits=40))
    Signature.objects.create(code=ROW)
    with pytest.raises(ProgrammingError, match="no codec is attached to column code"):
        list(Signature.objects.search(QUERY, code_field="code"))


def test_codes_that_somebody_else_writes(empty: Path, installed: Connection) -> None:
    binarizer = bitryoshka.fit(VECTORS[:ROWS], bits=16, method="itq").binarizer
    codes = binarizer.encode(VECTORS[:ROWS])
    Signature.objects.bulk_create(Signature(id=i, code=code) for i, code in enumerate(codes))
    label = postgres.register(installed, "signs", binarizer).label
    postgres.adopt(installed, Signature._meta.db_table, label)
    expected = postgres.search_column(installed, Signature._meta.db_table, QUERY[None])
    found = Signature.objects.search(QUERY, code_field="code")
    assert [row.pk for row in found] == expected.ids[0]


def test_parameters_that_the_server_binds(library: Path) -> None:
    searches = [
        Document.objects.filter(lang="de").search(QUERY, **stages).values_list("pk", "score")
        for stages in STAGES
    ]
    expected = [list(found) for found in searches]
    connection.close()
    connection.settings_dict["OPTIONS"] = {"server_side_binding": True}
    try:
        assert [list(found.all()) for found in searches] == expected
        made = Document.objects.create(id=ROWS, embedding=VECTORS[0])
        assert Document.objects.filter(code=made.code).count() == 2
        distance = HammingDistance("code", made.code[:4], prefix_bits=32)
        assert Document.objects.alias(d=distance).filter(d=0).exists()
    finally:
        connection.close()
        connection.settings_dict["OPTIONS"] = {}


# operations


def state_of(connection: Connection) -> dict[str, Any]:
    one = "SELECT count(*) FROM {}"
    names = ("bitryoshka.codecs", "bitryoshka.code_columns")
    triggers = "pg_trigger WHERE tgname ~ '^zz_bitryoshka'"
    return {
        name: connection.execute(one.format(name).encode()).fetchone()[0]  # type: ignore[index]
        for name in (*names, triggers)
    }


def test_detaching_leaves_the_codes(library: Path, installed: Connection) -> None:
    before = np.stack(list(Document.objects.order_by("pk").values_list("code", flat=True)))
    apply(DetachCodec("document", "code"))
    assert list(state_of(installed).values()) == [1, 0, 0]
    Document.objects.filter(pk=5).update(embedding=VECTORS[6])
    Document.objects.filter(pk=7).update(code=None)
    after = np.stack(
        list(Document.objects.order_by("pk").exclude(pk=7).values_list("code", flat=True))
    )
    np.testing.assert_array_equal(after, np.delete(before, 7, axis=0))
    unapply(DetachCodec("document", "code"))
    assert list(state_of(installed).values()) == [1, 1, 1]
    assert postgres.status(installed, Document._meta.db_table).state == "ready"
    again = np.stack(list(Document.objects.order_by("pk").values_list("code", flat=True)))
    assert np.flatnonzero((again != before).any(axis=1)).tolist() == [5]
    np.testing.assert_array_equal(again[5], before[6])


def test_filling_later(library: Path) -> None:
    apply(DetachCodec("Document", "code"))
    Document.objects.update(code=None)
    apply(AttachCodec("Document", "code", backfill=False))
    assert not Document.objects.exclude(code=None).exists()
    apply(FillCodes("Document", "code"))
    codes = np.stack(list(Document.objects.order_by("pk").values_list("code", flat=True)))
    np.testing.assert_array_equal(codes, BINARIZER.encode(VECTORS[:ROWS]))


def test_a_vector_field_is_renamed(library: Path) -> None:
    field = CodeField(bits=96, codec="docs@1", vector_field="vector", prefix_bits=48)
    operations = (
        DetachCodec("Document", "code"),
        RenameField("Document", "embedding", "vector"),
        AlterField("Document", "code", field),
        AttachCodec("Document", "code"),
    )
    before = apply(*operations)
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(Document._meta.db_table)
        cursor.execute(f"UPDATE {table} SET vector = %s WHERE id = 1", [
            Vector(VECTORS[2]).to_text()
        ])  # fmt: skip
    unapply(*operations, state=before)
    one, two = Document.objects.filter(pk__in=(1, 2)).order_by("pk")
    np.testing.assert_array_equal(one.code, two.code)
    Document.objects.filter(pk=1).update(embedding=VECTORS[3])
    np.testing.assert_array_equal(Document.objects.get(pk=1).code, Document.objects.get(pk=3).code)


def test_another_codec_never_keeps_codes_of_the_former(library: Path) -> None:
    field = CodeField(bits=96, codec="other@1", vector_field="embedding")
    operations = (
        RegisterCodec("other", library / "other.safetensors"),
        DetachCodec("Document", "code"),
        AlterField("Document", "code", field),
        AttachCodec("Document", "code"),
    )
    rows = Document.objects.order_by("pk").values_list("code", flat=True)
    before = apply(*operations)
    np.testing.assert_array_equal(np.stack(list(rows.all())), OTHER.encode(VECTORS[:ROWS]))
    unapply(*operations, state=before)
    np.testing.assert_array_equal(np.stack(list(rows.all())), BINARIZER.encode(VECTORS[:ROWS]))


def test_as_a_script(
    empty: Path, database: str, another_connection: Callable[[], Connection]
) -> None:
    """What sqlmigrate writes, run by another driver in another database, does the same."""
    other = another_connection()
    with connection.schema_editor(collect_sql=True) as editor:
        for operation in (
            InstallBitryoshka(),
            RegisterCodec("docs", empty / "docs.safetensors"),
        ):
            operation.database_forwards(APP, editor, None, None)
        editor.create_model(Document)
        state = ProjectState.from_apps(apps)
        AttachCodec("Document", "code").database_forwards(APP, editor, state, state)
    other.execute("\n".join(editor.collected_sql).encode())
    assert list(state_of(other).values()) == [1, 1, 1]
    assert postgres.export(other, "docs@1").fingerprint == BINARIZER.fingerprint
    with connection.schema_editor(collect_sql=True) as editor:
        AttachCodec("Document", "code").database_backwards(APP, editor, state, state)
        RegisterCodec("docs", "unread").database_backwards(APP, editor, state, state)
        InstallBitryoshka().database_backwards(APP, editor, state, state)
    other.execute("\n".join(editor.collected_sql).encode())
    assert other.execute("SELECT to_regnamespace('bitryoshka')").fetchone() == (None,)


def test_an_index_is_built_concurrently(library: Path) -> None:
    index = CodeIndex(fields=["code"], prefix_bits=32, name="docs_32", m=4, ef_construction=16)
    with connection.schema_editor(atomic=False) as editor:
        editor.add_index(Document, index, concurrently=True)
    assert "docs_32" in plan(Document.objects.search(QUERY, prefix_bits=32))
    made = str(index.create_sql(Document, editor, concurrently=True))
    assert made.startswith('CREATE INDEX CONCURRENTLY "docs_32"')
    assert made.endswith("bit_hamming_ops) WITH (m = 4, ef_construction = 16)")
    with connection.schema_editor(atomic=False) as editor:
        editor.remove_index(Document, index, concurrently=True)
    assert "docs_32" not in plan(Document.objects.search(QUERY, prefix_bits=32))
    whole = CodeIndex(fields=["code"], prefix_bits=96)
    whole.set_name_with_model(Document)
    assert whole.name.endswith("_hnsw")
    assert '(("code") bit_hamming_ops)' in str(whole.create_sql(Document, editor))
    with pytest.raises(BitsError, match="at most 96 bits, found 104"):
        CodeIndex(fields=["code"], prefix_bits=104, name="x").create_sql(Document, editor)


def test_words_of_operations() -> None:
    source = "docs.safetensors"
    described = {
        InstallBitryoshka(): ("Install schema bitryoshka", "install_bitryoshka"),
        UpgradeBitryoshka("0005"): (
            "Upgrade schema bitryoshka to 0005",
            "upgrade_bitryoshka_0005",
        ),
        RegisterCodec("Docs", source, 2): ("Register codec Docs@2", "register_docs_2"),
        DropCodec("docs@2"): ("Drop codec docs@2", "drop_docs_2"),
        AttachCodec("Document", "code"): (
            "Attach the codec of field code on Document",
            "document_code_attached",
        ),
        DetachCodec("Document", "code"): (
            "Detach the codec of field code on Document",
            "document_code_detached",
        ),
        FillCodes("Document", "code"): (
            "Fill field code on Document with codes",
            "document_code_filled",
        ),
    }
    for operation, words in described.items():
        assert (operation.describe(), operation.migration_name_fragment) == words
        kind, args, kwargs = operation.deconstruct()
        made = globals()[kind](*args, **kwargs)
        # what squashmigrations writes
        written, imports = OperationWriter(operation).serialize()
        assert written.lstrip().startswith(f"bitryoshka.django.{kind}(")
        assert imports == {"import bitryoshka.django"}
        assert made.deconstruct() == (kind, args, kwargs)
        assert operation.formatted_description()[0] in "+-~s"
    assert not DropCodec("docs@2").reversible
    assert DropCodec("docs@2", source).reversible

    def optimized(*operations: Any) -> list[Any]:
        return list(MigrationOptimizer().optimize(list(operations), APP))

    attach, detach = AttachCodec("Document", "code"), DetachCodec("document", "CODE")
    assert optimized(attach, detach) == []
    assert optimized(RegisterCodec("docs", source), DropCodec("docs@1")) == []
    assert len(optimized(RegisterCodec("docs", source), DropCodec("docs@2"))) == 2
    create = CreateModel("Document", [("id", models.AutoField(primary_key=True))])
    late = AddField("Document", "word", models.TextField())
    # never moved across what it needs
    assert optimized(create, attach, late) == [create, attach, late]
    other = CreateModel("Other", [("id", models.AutoField(primary_key=True))])
    more = AddField("Other", "word", models.TextField())
    assert len(optimized(other, attach, more)) == 2


def test_wrong_operations(empty: Path) -> None:
    with pytest.raises(CodecError, match=r"expected a codec name@version.*found 'docs'"):
        DropCodec("docs")
    with pytest.raises(CodecError, match="version must be"):
        RegisterCodec("docs", "x", version=0)
    with pytest.raises(CodecError, match=r"django_library/docs.safetensors, found none"):
        apply(RegisterCodec("docs", "docs.safetensors"))
    with pytest.raises(bitryoshka.DatabaseError, match="no revision 'newer'"):
        apply(InstallBitryoshka("newer"))
    with pytest.raises(FieldError, match="to be a CodeField, found TextField"):
        apply(AttachCodec("Document", "title"))
    with pytest.raises(ImproperlyConfigured, match="to have a codec, found none"):
        apply(AttachCodec("Signature", "code"))
    detach, attach = DetachCodec("Document", "code"), AttachCodec("Document", "code")
    field = CodeField(bits=96, codec="gone@1", vector_field="embedding")
    with pytest.raises(ProgrammingError, match="there is no codec"):
        apply(detach, AlterField("Document", "code", field), attach)
    field = CodeField(bits=96, codec="docs@1", vector_field="embedding", prefix_bits=96)
    with pytest.raises(DataError, match="prefix_bits must be one of"):
        apply(detach, AlterField("Document", "code", field), attach)


def test_a_router_decides(empty: Path, settings_routers: list[str], installed: Connection) -> None:
    settings_routers.append("tests.test_django.Nowhere")
    before = state_of(installed)
    apply(
        DetachCodec("Document", "code"),
        RegisterCodec("docs", empty / "docs.safetensors", 2),
        InstallBitryoshka("0001"),
    )
    unapply(InstallBitryoshka(), RegisterCodec("docs", "unread"))
    assert state_of(installed) == before


class Nowhere:
    """A router that lets nothing be migrated."""

    def allow_migrate(self, *_: Any, **__: Any) -> bool:
        return False


@pytest.fixture
def settings_routers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    routers: list[str] = []
    with override_settings(DATABASE_ROUTERS=routers):
        monkeypatch.delitem(router.__dict__, "routers", raising=False)
        monkeypatch.setattr(router, "_routers", routers)
        yield routers
    router.__dict__.pop("routers", None)


# the other driver

WITH_PSYCOPG2 = """
import json, sys
sys.modules["psycopg"] = None
import numpy as np
from django.db.backends.postgresql.psycopg_any import is_psycopg3
SETTINGS = json.loads(sys.argv[1])
from django.conf import settings
settings.configure(DATABASES={"default": SETTINGS}, INSTALLED_APPS=["django_library"])
import django
django.setup()
from django_library.models import Document, Signature
rows = np.array(json.loads(sys.stdin.read()), np.float32)
made = Document.objects.create(id=1000, embedding=rows[1])
Document.objects.bulk_create(Document(id=1001 + i, embedding=rows[1 + i]) for i in range(2))
found = {
    "three": is_psycopg3,
    "code": made.code.tolist(),
    "search": [[d.pk, d.score] for d in Document.objects.filter(pk__lt=1000).search(rows[0])],
    "exact": [d.pk for d in Document.objects.filter(pk__lt=1000).search(rows[0], rescore="exact")],
    "equal": sorted(Document.objects.filter(code=made.code).values_list("pk", flat=True)),
}
print(json.dumps(found))
"""


def test_psycopg2_does_the_same(library: Path, installed_database: str) -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", WITH_PSYCOPG2, json.dumps(database_settings(installed_database))],
        input=json.dumps(VECTORS[ROWS:].tolist()),
        capture_output=True,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}:{root / 'src'}"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["three"]
    assert found["code"] == BINARIZER.encode(VECTORS[ROWS + 1 :])[0].tolist()
    assert found["equal"] == [1000, 1001]
    ours = Document.objects.filter(pk__lt=1000)
    assert found["search"] == [[row.pk, row.score] for row in ours.search(QUERY)]
    assert found["exact"] == [row.pk for row in ours.search(QUERY, rescore="exact")]
