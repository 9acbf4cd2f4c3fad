"""MTEB scores what our own searches find, and keeps its results apart.

Its tasks are made here, of row numbers for texts: `benchmarks.mteb_check` has a model for them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import mteb
import numpy as np
import pytest
import torch
from benchmarks import mteb_check
from benchmarks.datasets import Dataset
from benchmarks.judge import Coded, Judge
from benchmarks.mteb_check import RowModel, RowTask, mteb_ndcg
from mteb.abstasks import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import CachedEmbeddingWrapper
from mteb.types import OutputDType, PromptType
from scipy.stats import spearmanr
from tests.synthetic import clustered
from tests.tiny_models import made_pairs, static_model
from torch.utils.data import DataLoader

import bitryoshka
from bitryoshka.bits import hamming, prefix
from bitryoshka.errors import OptionError, SearchError, VectorsError
from bitryoshka.mteb import BinarizedModel, corpus_vectors
from bitryoshka.sentence_transformers import add_codes, fit_codes
from bitryoshka.vectors import normalized

BITS, HAMMING_BITS, PREFIX = 64, 32, 16


@pytest.fixture(scope="module")
def data() -> Dataset:
    """300 documents, many of them twice, and 40 queries with grades of 1 and 2."""
    rows = normalized(clustered(0, 340, 32, 20), "cosine")
    documents, queries = rows[:300], rows[300:]
    documents[200:] = documents[:100]
    generator = np.random.default_rng(1)
    near = np.argsort(-queries @ documents.T, axis=1)[:, :20]
    judgements = [
        {int(row): int(generator.integers(0, 3)) for row in generator.permutation(rows)[:6]}
        for rows in near
    ]
    judgements[7] = {}
    return Dataset("made_up", documents, queries, judgements, [frozenset()] * 40, None)


@pytest.fixture(scope="module")
def binarizer(data: Dataset) -> bitryoshka.Binarizer:
    return bitryoshka.fit(
        data.documents,
        bits=BITS,
        hamming_bits=HAMMING_BITS,
        nested_bits=(PREFIX, HAMMING_BITS, BITS),
        method="progressive",
    ).binarizer


@pytest.fixture(scope="module")
def model(data: Dataset) -> RowModel:
    return RowModel(data.documents, data.queries)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The benchmark, with lengths for few dimensions."""
    for name in ("BITS", "HAMMING_BITS", "PREFIX"):
        monkeypatch.setattr(mteb_check, name, globals()[name])


@pytest.mark.usefixtures("small")
def test_mteb_measures_what_we_measure(data: Dataset) -> None:
    found = mteb_check.compare(data, "progressive")
    assert len(found) == 7
    # equal documents have equal scores by any measure, and mteb orders those of floats by their ids
    for name, figure in list(found.items())[1:]:
        # mteb rounds to five decimals
        assert figure["difference"] < 6e-6, name
    assert abs(found["hamming"]["by_ids"] - found["hamming"]["own"]) > 1e-3
    assert len({round(figure["own"], 4) for figure in found.values()}) > 3


def searched(model: Any, data: Dataset, **more: Any) -> dict[str, dict[str, float]]:
    """What mteb has a model search for, with its best rows of all."""
    task = RowTask(data)
    tables = task.dataset["default"]["test"]
    same = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default"}
    silent = {"batch_size": 32, "show_progress_bar": False}
    model.index(tables["corpus"], **same, encode_kwargs=silent)
    return model.search(tables["queries"], **same, encode_kwargs=silent, top_k=1000, **more)


def order(found: dict[str, dict[str, float]]) -> list[list[int]]:
    """Rows of each query, best first, as anybody sorts them who has their scores alone."""
    ranked = [sorted(scores.items(), key=lambda one: -one[1]) for scores in found.values()]
    for hits in ranked:
        assert len({score for _, score in hits}) == len(hits)
    return [[int(name) for name, _ in hits] for hits in ranked]


@pytest.mark.usefixtures("small")
def test_every_row_is_where_our_search_has_it(
    data: Dataset, model: RowModel, binarizer: bitryoshka.Binarizer
) -> None:
    coded = Coded.of(Judge.of(data), binarizer)
    for name, (given, search) in mteb_check.comparisons(coded).items():
        behind = BinarizedModel(model, binarizer, **given)
        rows = given.get("shortlist") or given.get("candidates") or len(data.documents)
        count = 10 if "shortlist" in given else rows  # the reference finds 4 rows for 1
        found = order(searched(behind, data))
        assert {len(hits) for hits in found} == {rows}, name
        assert [hits[:count] for hits in found] == search(count).tolist(), name


@pytest.mark.parametrize(
    ("given", "scale"),
    [
        ({}, "share of the weight"),
        ({"rescore": None}, "share of the bits"),
        ({"candidates": 50, "rescore": "exact"}, "cosine"),
    ],
)
def test_scores_are_those_of_every_search(
    given: dict[str, Any],
    scale: str,
    data: Dataset,
    model: RowModel,
    binarizer: bitryoshka.Binarizer,
) -> None:
    found = searched(BinarizedModel(model, binarizer, **given), data)
    queries = data.queries
    weights = binarizer.query_weights(queries)
    signs = 2.0 * np.unpackbits(binarizer.encode(data.documents), axis=1) - 1
    apart = hamming(
        binarizer.encode_queries(queries), prefix(binarizer.encode(data.documents), HAMMING_BITS)
    )
    expected = {
        "share of the weight": weights @ signs.T / np.abs(weights).sum(axis=1, keepdims=True),
        "share of the bits": 1 - 2 * apart / HAMMING_BITS,
        "cosine": queries @ data.documents.T,
    }[scale]
    for query, scores in found.items():
        for row, score in scores.items():
            assert score == pytest.approx(expected[int(query), int(row)], abs=1e-4)


@pytest.mark.parametrize(
    "given", [{}, {"rescore": None}, {"candidates": 12}, {"candidates": 12, "rescore": "exact"}]
)
def test_reranking_searches_among_the_given_rows(
    given: dict[str, Any], data: Dataset, model: RowModel, binarizer: bitryoshka.Binarizer
) -> None:
    generator = np.random.default_rng(2)
    named = [generator.permutation(300)[:30] for _ in data.queries]
    named[3] = named[3][:0]
    names = {str(query): [str(row) for row in rows] for query, rows in enumerate(named)}
    behind = BinarizedModel(model, binarizer, **given)
    found = order(searched(behind, data, top_ranked=names))
    for query, rows in enumerate(named):
        if query == 3:
            assert found[query] == []
            continue
        rows = np.sort(rows)
        alone = data._replace(documents=data.documents[rows], queries=data.queries[[query]])
        few = BinarizedModel(RowModel(alone.documents, alone.queries), binarizer, **given)
        [best] = order(searched(few, alone._replace(judgements=[{0: 1}])))
        assert found[query] == rows[best].tolist()
        assert len(best) == given.get("candidates", 30)


def test_the_cache_keeps_results_apart(
    tmp_path: Path,
    data: Dataset,
    model: RowModel,
    binarizer: bitryoshka.Binarizer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = bitryoshka.fit(data.documents, bits=HAMMING_BITS, method="itq").binarizer
    before = model.mteb_model_meta.model_dump()
    compared = [
        model,
        BinarizedModel(model, binarizer),
        BinarizedModel(model, other),
        BinarizedModel(model, binarizer.truncate(HAMMING_BITS)),
        BinarizedModel(model, binarizer, rescore=None),
        BinarizedModel(model, binarizer, rescore=None, prefix_bits=PREFIX),
        BinarizedModel(model, binarizer, candidates=20),
        BinarizedModel(model, binarizer, candidates=20, rescore="exact"),
        BinarizedModel(model, binarizer, candidates=20, rescore="exact", shortlist=15),
    ]
    assert model.mteb_model_meta.model_dump() == before
    cache = mteb.ResultCache(tmp_path)

    def evaluated(one: Any) -> float:
        result = mteb.evaluate(
            one, RowTask(data), cache=cache, co2_tracker=False, show_progress_bar=False
        )
        return result.task_results[0].scores["test"][0]["ndcg_at_10"]

    scores = [evaluated(one) for one in compared]
    assert len({*scores}) > 5
    files = list(tmp_path.rglob("made_up.json"))
    assert len(files) == len(compared)
    assert scores == [mteb_ndcg(one, RowTask(data)) for one in compared]
    # from the cache alone
    monkeypatch.setattr(RowModel, "encode", None)
    assert [evaluated(one) for one in compared] == scores
    kept = cache.load_results(tasks=["made_up"], load_experiments="match_name")
    assert len(kept.model_results) == len(compared)
    metas = [json.loads((file.parent / "model_meta.json").read_text()) for file in files]
    prints = {(meta["experiment_kwargs"] or {}).get("fingerprint") for meta in metas}
    cut = binarizer.truncate(HAMMING_BITS)
    assert prints == {None, binarizer.fingerprint, other.fingerprint, cut.fingerprint}


def test_the_metadata_is_the_models_with_the_code(
    model: RowModel, binarizer: bitryoshka.Binarizer
) -> None:
    own = model.mteb_model_meta.model_copy(update={"experiment_kwargs": {"seed": 3}})
    seeded = RowModel(np.ones((1, 32), np.float32), np.ones((1, 32), np.float32))
    seeded.mteb_model_meta = own
    meta = BinarizedModel(seeded, binarizer, candidates=20).mteb_model_meta
    assert (meta.name, meta.revision) == (own.name, own.revision)
    assert (meta.embed_dim, meta.output_dtypes) == (BITS, [OutputDType.BINARY])
    assert meta.experiment_kwargs == {
        "seed": 3,
        "bits": BITS,
        "fingerprint": binarizer.fingerprint,
        "candidates": 20,
        "prefix_bits": HAMMING_BITS,
        "rescore": "asymmetric",
        "shortlist": None,
    }
    # mteb reads it again
    text = json.dumps(meta.to_dict(), default=str)
    assert type(meta).model_validate_json_resolved(
        json.dumps({k: v for k, v in json.loads(text).items() if k != "is_cross_encoder"})
    ).experiment_name == (meta.experiment_name)


# mteb's cache warns where it is new
@pytest.mark.filterwarnings("ignore:Dimension file not found:UserWarning")
@pytest.mark.filterwarnings("ignore:No existing files found:UserWarning")
def test_a_cache_of_embeddings(
    tmp_path: Path, data: Dataset, model: RowModel, binarizer: bitryoshka.Binarizer
) -> None:
    task = RowTask(data)
    below = CachedEmbeddingWrapper(model, tmp_path / "below")
    expected = mteb_ndcg(BinarizedModel(model, binarizer), task)
    assert np.array_equal(corpus_vectors(below, task), data.documents)
    assert mteb_ndcg(BinarizedModel(below, binarizer), task) == expected
    # around the codes, the cache hides their index: mteb scores what it kept
    above = CachedEmbeddingWrapper(BinarizedModel(model, binarizer), tmp_path / "above")
    assert mteb_ndcg(above, task) == pytest.approx(expected, abs=0.02)
    staged = BinarizedModel(model, binarizer, candidates=20)
    with pytest.raises(SearchError, match="leave candidates=20 out"):
        mteb_ndcg(CachedEmbeddingWrapper(staged, tmp_path / "staged"), task)


# tasks without a search


class Pairs(AbsTaskSTS):
    metadata = TaskMetadata(
        name="made_up_pairs",
        description="Row numbers in place of texts.",
        dataset={"path": "made/here", "revision": "1"},
        type="STS",
        category="t2t",
        eval_langs=["eng-Latn"],
        main_score="spearman",
    )
    min_score, max_score = 0, 1

    def load_data(self, *args: Any, **kwargs: Any) -> None:
        numbers = np.arange(200)
        table = {
            "sentence1": [str(n) for n in numbers],
            "sentence2": [str(n) for n in (numbers * 7 + 3) % 300],
            "score": np.random.default_rng(3).random(200).tolist(),
        }
        split = datasets.DatasetDict({"test": datasets.Dataset.from_dict(table)})
        self.dataset = split
        self.data_loaded = True


def test_pairs_without_queries_are_compared_by_hamming_distance(
    data: Dataset, model: RowModel, binarizer: bitryoshka.Binarizer
) -> None:
    task = Pairs()
    task.load_data()
    table = task.dataset["test"]
    codes = prefix(binarizer.encode(data.documents), PREFIX)
    left, right = ([int(n) for n in table[f"sentence{side}"]] for side in (1, 2))
    apart = np.bitwise_count(codes[left] ^ codes[right]).sum(axis=1)
    expected = spearmanr(-apart.astype(float), table["score"]).statistic
    for given in ({}, {"rescore": None}, {"candidates": 20, "rescore": "exact"}):
        behind = BinarizedModel(model, binarizer, prefix_bits=PREFIX, **given)
        result = mteb.evaluate(behind, task, cache=None, co2_tracker=False, show_progress_bar=False)
        [scores] = result.task_results[0].scores["test"]
        assert scores["spearman"] == pytest.approx(expected, abs=1e-3)
        assert scores["cosine_spearman"] == pytest.approx(expected, abs=1e-3)


def encoded(model: Any, rows: range, prompt_type: PromptType | None) -> Any:
    loader = DataLoader([{"text": str(row)} for row in rows], batch_size=8)
    return model.encode(
        loader,
        task_metadata=Pairs.metadata,
        hf_split="test",
        hf_subset="default",
        prompt_type=prompt_type,
    )


@pytest.mark.parametrize(
    ("given", "widths"),
    [
        ({}, (BITS, HAMMING_BITS)),
        ({"rescore": None, "prefix_bits": PREFIX}, (PREFIX, PREFIX)),
    ],
)
def test_inner_products_of_what_is_encoded_are_the_scores(
    given: dict[str, Any],
    widths: tuple[int, int],
    data: Dataset,
    model: RowModel,
    binarizer: bitryoshka.Binarizer,
) -> None:
    behind = BinarizedModel(model, binarizer, **given)
    queries = encoded(behind, range(40), PromptType.query)
    documents = encoded(behind, range(300), PromptType.document)
    alike = encoded(behind, range(20), None)
    assert (documents.shape[1], alike.shape[1]) == widths
    scores = np.asarray(behind.similarity(queries, documents))
    for query, found in searched(behind, data).items():
        for row, score in found.items():
            assert score == pytest.approx(scores[int(query), int(row)], abs=1e-4)
    pairs = behind.similarity_pairwise(queries[:20], documents[:20])
    assert np.allclose(pairs, np.diagonal(scores)[:20], atol=1e-6)
    assert np.allclose(np.diagonal(behind.similarity(alike, alike)), 1, atol=1e-6)


# what models give, and what is refused


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_tensors_of_any_floats(
    dtype: torch.dtype, data: Dataset, binarizer: bitryoshka.Binarizer
) -> None:
    tables = [torch.tensor(table).to(dtype) for table in (data.documents, data.queries)]
    rounded = [table.float().numpy() for table in tables]
    found = searched(BinarizedModel(RowModel(*tables), binarizer), data)
    assert found == searched(BinarizedModel(RowModel(*rounded), binarizer), data)
    assert corpus_vectors(RowModel(*tables), RowTask(data)).dtype == np.float32


def test_an_interrupted_search_leaves_nothing(
    data: Dataset, binarizer: bitryoshka.Binarizer
) -> None:
    broken = data.queries.copy()
    broken[5, 2] = np.nan
    model = RowModel(data.documents, broken)
    behind = BinarizedModel(model, binarizer)
    with pytest.raises(VectorsError, match="row 5"):
        searched(behind, data)
    model._queries = data.queries
    fresh = BinarizedModel(RowModel(data.documents, data.queries), binarizer)
    assert searched(behind, data) == searched(fresh, data)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rescore": "exact"}, "give candidates= as well"),
        ({"shortlist": 10}, "give candidates= as well"),
        ({"candidates": 20, "shortlist": 10}, "expected rescore='exact'"),
        ({"candidates": 20, "rescore": "exact", "shortlist": 30}, "shortlist <= candidates"),
        ({"candidates": 0}, "candidates"),
        ({"prefix_bits": BITS}, r"one of \(16, 32\), found 64"),
        ({"rescore": "hamming"}, "rescore must be None or one of"),
    ],
)
def test_stages_that_do_not_fit(
    given: dict[str, Any], message: str, model: RowModel, binarizer: bitryoshka.Binarizer
) -> None:
    with pytest.raises(SearchError, match=message):
        BinarizedModel(model, binarizer, **given)


def test_what_is_no_encoder(binarizer: bitryoshka.Binarizer) -> None:
    with pytest.raises(OptionError, match="found str"):
        BinarizedModel("all-MiniLM-L6-v2", binarizer)  # type: ignore[arg-type]


def test_what_is_no_binarizer(model: RowModel) -> None:
    with pytest.raises(OptionError, match=r"expected a Binarizer.*found str"):
        BinarizedModel(model, "docs.safetensors")  # type: ignore[arg-type]


class WordPairs(Pairs):
    """Texts of words that `static_model` knows."""

    def load_data(self, *args: Any, **kwargs: Any) -> None:
        left, right = made_pairs(1, 60)
        right[::2] = right[1::2]
        table = {"sentence1": left, "sentence2": right, "score": [i % 2 for i in range(60)]}
        self.dataset = datasets.DatasetDict({"test": datasets.Dataset.from_dict(table)})
        self.data_loaded = True


# mteb gives its own constructor an argument that it warns of, and asks the model by an old name
@pytest.mark.filterwarnings("ignore:The fill_missing parameter is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The `get_sentence_embedding_dimension` method:FutureWarning")
def test_a_model_with_codes_is_not_taken_for_the_plain_one(tmp_path: Path) -> None:
    plain = static_model()
    fitted = fit_codes(plain, made_pairs(2, 60)[1], bits=32, method="sign").binarizer
    coded = add_codes(plain, fitted)

    def score(one: Any, cache: Any) -> float:
        result = mteb.evaluate(
            one, WordPairs(), cache=cache, co2_tracker=False, show_progress_bar=False
        )
        return result.task_results[0].get_score()

    cache = mteb.ResultCache(tmp_path / "results")
    # which compares bytes as numbers
    assert score(coded, cache) < score(plain, None) - 0.1
    assert score(plain, cache) == score(plain, None)
    assert len(cache.load_results(tasks=["made_up_pairs"]).model_results) == 2
    for nested in (
        coded,
        mteb.models.SentenceTransformerEncoderWrapper(coded),
        BinarizedModel(plain, fitted),
        CachedEmbeddingWrapper(BinarizedModel(plain, fitted), tmp_path / "kept"),
    ):
        with pytest.raises(OptionError, match="found one that gives codes already"):
            BinarizedModel(nested, fitted)
    assert score(BinarizedModel(plain, fitted), cache) > score(coded, cache)


def test_vectors_of_another_model(data: Dataset, binarizer: bitryoshka.Binarizer) -> None:
    shorter = RowModel(data.documents[:, :16], data.queries[:, :16])
    with pytest.raises(VectorsError, match="32 dimensions, found 16"):
        searched(BinarizedModel(shorter, binarizer), data)


def test_the_corpus_of_a_task(data: Dataset, model: RowModel) -> None:
    task = RowTask(data)
    found = corpus_vectors(model, task, split="test", subset="default")
    assert np.array_equal(found, data.documents)
    assert task.data_loaded
    with pytest.raises(OptionError, match=r"split must be one of \('test',\), found 'dev'"):
        corpus_vectors(model, task, split="dev")
    with pytest.raises(OptionError, match="subset must be one of"):
        corpus_vectors(model, task, subset="deu")
    with pytest.raises(OptionError, match="retrieval task, found Pairs"):
        corpus_vectors(model, Pairs())  # type: ignore[arg-type]
