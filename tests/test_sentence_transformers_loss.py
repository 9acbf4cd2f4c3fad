"""The training loss: what it computes, what it trains, and what comes of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    InputExample,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.util import cos_sim
from tests.tiny_models import made_pairs, made_texts, static_model, transformer_model
from torch import Tensor, nn
from torch.utils.data import DataLoader

import bitryoshka
from bitryoshka import Binarizer, BitryoshkaError
from bitryoshka.bits import unpack
from bitryoshka.errors import BitsError, OptionError, VectorsError
from bitryoshka.sentence_transformers import BinaryMatryoshkaLoss

LENGTHS = (8, 16, 32)
SCALE = 20.0


def columns_of(model: SentenceTransformer, *texts: list[str]) -> list[dict[str, Any]]:
    return [model.preprocess(column) for column in texts]


@pytest.fixture(scope="module")
def start() -> Binarizer:
    vectors = np.asarray(static_model().encode(made_texts(1, 300)))
    return bitryoshka.fit(
        vectors, bits=32, nested_bits=LENGTHS, hamming_bits=32, method="progressive"
    ).binarizer


@pytest.fixture
def model() -> SentenceTransformer:
    return static_model()


class TestWhatIsCompared:
    def test_signs_are_bits_of_the_binarizer(
        self, model: SentenceTransformer, start: Binarizer
    ) -> None:
        loss = BinaryMatryoshkaLoss(model, losses.MultipleNegativesRankingLoss(model), start)
        vectors = np.asarray(model.encode(made_texts(2, 50)))
        for bits in LENGTHS:
            signs = loss.adapter.signs(torch.from_numpy(vectors), bits)
            assert torch.equal(signs.abs(), torch.full_like(signs, bits**-0.5))
            expected = unpack(start.encode(vectors, bits))
            assert np.array_equal(signs.detach().numpy() > 0, expected == 1)

    def test_scores_of_float_queries_are_those_of_the_binarizer(
        self, model: SentenceTransformer, start: Binarizer
    ) -> None:
        loss = BinaryMatryoshkaLoss(model, losses.MultipleNegativesRankingLoss(model), start)
        vectors = np.asarray(model.encode(made_texts(2, 50)))
        x = torch.from_numpy(vectors)
        trained = loss.binarizer()
        for bits in LENGTHS:
            weights = trained.query_weights(vectors, bits)
            scores = weights @ (2.0 * unpack(trained.encode(vectors, bits)) - 1).T
            found = loss.adapter.query_weights(x, bits) @ loss.adapter.signs(x, bits).T
            scores /= np.linalg.norm(weights, axis=1, keepdims=True) * bits**0.5
            assert np.allclose(found.detach().numpy(), scores, atol=1e-5)

    def test_signs_are_straight_through(self, model: SentenceTransformer, start: Binarizer) -> None:
        adapter = BinaryMatryoshkaLoss(
            model, losses.MultipleNegativesRankingLoss(model), start
        ).adapter
        vectors = torch.randn(5, 32, requires_grad=True)
        along = torch.randn(5, 16)
        (adapter.signs(vectors, 16) * along).sum().backward()
        found, vectors.grad = vectors.grad, None
        unit = nn.functional.normalize(vectors, dim=1)
        projected = (unit @ adapter.projection[:16].T - adapter.offset[:16]) * 32**0.5
        doubtful = projected.abs() < 1
        assert 0 < doubtful.sum() < doubtful.numel()
        (projected / 16**0.5 * along * doubtful).sum().backward()
        assert vectors.grad is not None
        assert found is not None
        assert torch.allclose(found, vectors.grad, atol=1e-6)
        assert found.abs().sum() > 0

    def test_the_sum(self, model: SentenceTransformer, start: Binarizer) -> None:
        base = losses.MultipleNegativesRankingLoss(model, scale=SCALE)
        loss = BinaryMatryoshkaLoss(
            model,
            base,
            start,
            nested_weights=(1, 0, 3),
            float_weight=0.5,
            hamming_weight=2.0,
            asymmetric_weight=4.0,
        )
        texts = made_pairs(3, 12)
        queries, rows = (torch.from_numpy(np.asarray(model.encode(column))) for column in texts)

        def ranked(a: Tensor, b: Tensor) -> Tensor:
            return nn.functional.cross_entropy(SCALE * cos_sim(a, b), torch.arange(12))

        expected = 0.5 * ranked(queries, rows)
        for bits, weight in ((8, 0.25), (32, 0.75)):
            a, b = (
                torch.from_numpy(2.0 * unpack(start.encode(v.numpy(), bits)) - 1).float()
                for v in (queries, rows)
            )
            weights = torch.from_numpy(loss.binarizer().query_weights(queries.numpy(), bits))
            expected = expected + weight * (2.0 * ranked(a, b) + 4.0 * ranked(weights, b))
        found = loss(columns_of(model, *texts), None)
        assert found.item() == pytest.approx(expected.item(), rel=1e-4)

    def test_no_binarizer_means_the_models_own_dimensions(self, model: SentenceTransformer) -> None:
        base = losses.MultipleNegativesRankingLoss(model)
        loss = BinaryMatryoshkaLoss(model, base, nested_bits=(8, 24))
        vectors = np.asarray(model.encode(made_texts(2, 20)))
        binarizer = loss.binarizer()
        assert binarizer.nested_bits == (8, 24)
        assert np.array_equal(unpack(binarizer.encode(vectors)), vectors[:, :24] > 0)
        loss(columns_of(model, *made_pairs(3, 8)), None).backward()
        assert all(p.grad is None for p in loss.adapter.parameters())
        assert all(p.grad is not None for p in model.parameters())

    def test_texts_alone_have_no_queries(self, model: SentenceTransformer) -> None:
        base = losses.BatchAllTripletLoss(model)
        given = columns_of(model, made_texts(4, 12)), torch.arange(12) // 3
        whole = BinaryMatryoshkaLoss(model, base, nested_bits=LENGTHS)(*given)
        without = BinaryMatryoshkaLoss(model, base, nested_bits=LENGTHS, asymmetric_weight=0.0)
        assert whole.item() == without(*given).item() > 0


WRAPPED: dict[str, tuple[Callable[[SentenceTransformer], nn.Module], int, Tensor | None]] = {
    "ranking": (losses.MultipleNegativesRankingLoss, 2, None),
    "ranking with negatives": (losses.MultipleNegativesRankingLoss, 3, None),
    "cosent": (losses.CoSENTLoss, 2, torch.linspace(0, 1, 8)),
    "cosine": (losses.CosineSimilarityLoss, 2, torch.linspace(0, 1, 8)),
    "triplet": (losses.TripletLoss, 3, None),
    "margins": (losses.MarginMSELoss, 3, torch.linspace(-1, 1, 8)),
    "batch": (losses.BatchHardSoftMarginTripletLoss, 1, torch.arange(8) // 2),
    "cached ranking": (
        lambda model: losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=3),
        3,
        None,
    ),
    "cached symmetric": (
        lambda model: losses.CachedMultipleNegativesRankingLoss(
            model, mini_batch_size=3, directions=("query_to_doc", "doc_to_query")
        ),
        2,
        None,
    ),
    "cached guided": (
        # the model as its own guide
        lambda model: losses.CachedGISTEmbedLoss(model, model, mini_batch_size=3),
        2,
        None,
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


class TestWrapped:
    @pytest.mark.parametrize("name", WRAPPED)
    def test_gradients_reach_model_and_adapter(
        self, name: str, folder: Path, start: Binarizer
    ) -> None:
        make, columns, labels = WRAPPED[name]
        model = transformer_model(folder)
        loss = BinaryMatryoshkaLoss(model, make(model), start, float_weight=0.0)
        texts = [made_texts(seed, 8) for seed in range(columns)]
        loss(columns_of(model, *texts), labels).backward()
        first = model[0].auto_model.embeddings.word_embeddings.weight
        assert first.grad.abs().sum() > 0
        assert loss.adapter.projection.grad is not None
        assert loss.adapter.offset.grad is not None
        assert loss.adapter.projection.grad.abs().sum() > 0

    @pytest.mark.parametrize("columns", [2, 3])
    def test_cached_gradients_are_those_of_the_plain_loss(
        self, columns: int, folder: Path, start: Binarizer
    ) -> None:
        found = []
        for make in (
            losses.MultipleNegativesRankingLoss,
            lambda model: losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=3),
        ):
            model = transformer_model(folder)
            loss = BinaryMatryoshkaLoss(model, make(model), start, nested_weights=(1, 2, 3))
            texts = [made_texts(seed, 8) for seed in range(columns)]
            value = loss(columns_of(model, *texts), None)
            # as a trainer does that accumulates gradients
            (value / 4).backward()
            gradients = {n: p.grad for n, p in loss.named_parameters() if p.grad is not None}
            found.append((value.item(), gradients))
        (plain, expected), (cached, gradients) = found
        assert cached == pytest.approx(plain, rel=1e-5)
        assert {"adapter.projection", "adapter.offset"} < set(expected)
        assert set(gradients) == set(expected)
        for name, gradient in expected.items():
            assert torch.allclose(gradients[name], gradient, rtol=1e-3, atol=1e-6), name

    def test_cached_losses_without_gradients(self, folder: Path, start: Binarizer) -> None:
        model = transformer_model(folder)
        values = []
        for make in (
            losses.MultipleNegativesRankingLoss,
            losses.CachedMultipleNegativesRankingLoss,
        ):
            loss = BinaryMatryoshkaLoss(model, make(model), start)
            with torch.no_grad():
                values.append(loss(columns_of(model, *made_pairs(5, 8)), None).item())
        assert values[0] == pytest.approx(values[1], rel=1e-5)

    def test_the_model_runs_once_and_is_left_as_it_was(
        self, folder: Path, start: Binarizer
    ) -> None:
        model = transformer_model(folder, dropout=0.1).train()
        calls = []
        model[0].register_forward_hook(lambda *_: calls.append(1))
        loss = BinaryMatryoshkaLoss(model, losses.MultipleNegativesRankingLoss(model), start)
        loss(columns_of(model, *made_pairs(5, 8)), None)
        assert len(calls) == 2
        assert "forward" not in vars(model)

    def test_a_failure_leaves_the_model_as_it_was(
        self, model: SentenceTransformer, start: Binarizer
    ) -> None:
        loss = BinaryMatryoshkaLoss(model, losses.CoSENTLoss(model), start)
        with pytest.raises(ValueError, match="expects 8 labels"):
            loss(columns_of(model, *made_pairs(5, 8)), torch.zeros(3))
        assert "forward" not in vars(model)
        assert model(columns_of(model, ["w1 w2"])[0])["sentence_embedding"].shape == (1, 32)

    def test_within_the_loss_of_layers(self, folder: Path, start: Binarizer) -> None:
        model = transformer_model(folder)
        inner = BinaryMatryoshkaLoss(model, losses.MultipleNegativesRankingLoss(model), start)
        loss = losses.AdaptiveLayerLoss(model, inner)
        value = loss(columns_of(model, *made_pairs(5, 8)), None)
        value.backward()
        assert value > inner(columns_of(model, *made_pairs(5, 8)), None)
        assert inner.adapter.projection.grad is not None

    def test_in_lower_precision(self, model: SentenceTransformer, start: Binarizer) -> None:
        loss = BinaryMatryoshkaLoss(model, losses.MultipleNegativesRankingLoss(model), start)
        given = columns_of(model, *made_pairs(5, 8))
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(given, None)
        value.backward()
        assert value.item() == pytest.approx(loss(given, None).item(), rel=0.1)


class TestRefused:
    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            ({"nested_bits": (8, 12)}, BitsError, "multiple of 8, found 12"),
            ({"nested_bits": (16, 8)}, BitsError, "must rise, found"),
            ({"nested_bits": ()}, BitsError, "must rise, found"),
            ({"nested_bits": (8, 40)}, BitsError, "at most the 32 Hamming bits, found"),
            ({"nested_weights": (1, 2)}, OptionError, "expected 3 nested_weights.* found 2"),
            ({"nested_weights": (1, -2, 1)}, OptionError, "not negative, found"),
            ({"nested_weights": (0, 0, 0)}, OptionError, "not all 0"),
            ({"float_weight": float("nan")}, OptionError, "float_weight must be finite"),
            (
                {"hamming_weight": 0.0, "asymmetric_weight": 0.0},
                OptionError,
                "hamming_weight or asymmetric_weight above 0",
            ),
        ],
    )
    def test_settings(
        self,
        given: dict[str, Any],
        error: type[BitryoshkaError],
        message: str,
        model: SentenceTransformer,
        start: Binarizer,
    ) -> None:
        base = losses.MultipleNegativesRankingLoss(model)
        with pytest.raises(error, match=message) as caught:
            BinaryMatryoshkaLoss(model, base, start, **given)
        assert isinstance(caught.value, ValueError)

    def test_neither_binarizer_nor_lengths(self, model: SentenceTransformer) -> None:
        with pytest.raises(OptionError, match="a binarizer, or nested_bits"):
            BinaryMatryoshkaLoss(model, losses.CoSENTLoss(model))

    def test_a_binarizer_of_another_model(self, start: Binarizer) -> None:
        wider = static_model(40)
        with pytest.raises(VectorsError, match="the model's 40 dimensions, found 32"):
            BinaryMatryoshkaLoss(wider, losses.CoSENTLoss(wider), start)

    def test_losses_that_need_vectors_of_one_length(
        self, model: SentenceTransformer, start: Binarizer
    ) -> None:
        base = losses.MultipleNegativesRankingLoss(model)
        for loss in (losses.MSELoss(model), losses.MatryoshkaLoss(model, base, [32, 16])):
            with pytest.raises(OptionError, match=f"similarity.*found {type(loss).__name__}"):
                BinaryMatryoshkaLoss(model, loss, start)
        with pytest.raises(VectorsError, match="expected vectors of 32 dimensions, found 16"):
            losses.MatryoshkaLoss(model, BinaryMatryoshkaLoss(model, base, start), [32, 16])(
                columns_of(model, *made_pairs(5, 8)), None
            )


def trained(folder: Path, start: Binarizer | None, **given: Any) -> tuple[Any, list[float]]:
    """A model's loss after a run of the trainer, and the values on the way."""
    model = static_model()
    loss = BinaryMatryoshkaLoss(model, losses.MultipleNegativesRankingLoss(model), start, **given)
    queries, rows = made_pairs(6, 256)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=40,
        per_device_train_batch_size=32,
        learning_rate=0.05,
        learning_rate_mapping={r"adapter\.": 1e-3},
        logging_steps=10,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        seed=3,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"query": queries, "row": rows}),
        loss=loss,
    )
    trainer.train()
    return loss, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def answered(binarizer: Binarizer, model: SentenceTransformer, bits: int) -> float:
    """Share of queries that find their row first, by Hamming distance."""
    queries, rows = (np.asarray(model.encode(column)) for column in made_pairs(6, 256))
    asked, kept = unpack(binarizer.encode(queries, bits)), unpack(binarizer.encode(rows, bits))
    distances = (asked[:, None] != kept[None]).sum(axis=2)
    return float((distances.argmin(axis=1) == np.arange(len(rows))).mean())


class TestTraining:
    def test_a_run_of_the_trainer(self, tmp_path: Path, start: Binarizer) -> None:
        loss, values = trained(tmp_path, start)
        assert values[-1] < 0.7 * values[0]
        for bits in LENGTHS:
            before = answered(start, static_model(), bits)
            assert answered(loss.binarizer(), loss.model, bits) > 1.4 * before
        moved = np.abs(loss.binarizer().projection - start.projection[:32])
        assert moved.max() > 1e-3
        # with what is written on the model's card
        loss.model.save(str(tmp_path / "model"))
        card = (tmp_path / "model" / "README.md").read_text("utf-8")
        assert '"nested_bits": [\n          8,\n          16,\n          32\n      ]' in card
        assert "yamada2021bpr" in card
        assert "BinaryMatryoshkaLoss" in card
        again = SentenceTransformer(str(tmp_path / "model"), device="cpu")
        texts = made_texts(7, 20)
        before, after = (np.asarray(m.encode(texts)) for m in (loss.model, again))
        codes = loss.binarizer().encode(before)
        assert np.array_equal(loss.binarizer().encode(after), codes)
        loss.binarizer().save(tmp_path / "codes.safetensors")
        kept = Binarizer.load(tmp_path / "codes.safetensors")
        given = columns_of(again, *made_pairs(8, 16))
        base = losses.MultipleNegativesRankingLoss(again)
        assert BinaryMatryoshkaLoss(again, base, kept)(given, None) == loss(given, None)

    def test_a_seed_decides(self, tmp_path: Path, start: Binarizer) -> None:
        (first, values), (second, same) = (trained(tmp_path, start) for _ in range(2))
        assert values == same
        assert first.binarizer().fingerprint == second.binarizer().fingerprint

    def test_own_signs_without_an_adapter(self, tmp_path: Path) -> None:
        loss, values = trained_own(tmp_path)
        assert values[-1] < 0.7 * values[0]
        own = loss.binarizer()
        assert answered(own, loss.model, 16) > answered(own, static_model(), 16) + 0.05

    def test_the_old_way_to_train(self, tmp_path: Path, start: Binarizer) -> None:
        model = static_model()
        loss = BinaryMatryoshkaLoss(model, losses.MultipleNegativesRankingLoss(model), start)
        examples = [InputExample(texts=list(pair)) for pair in zip(*made_pairs(6, 64), strict=True)]
        given = columns_of(model, *made_pairs(6, 64))
        before = loss(given, None).item()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.old_fit(
                [(DataLoader(examples, batch_size=16, shuffle=True), loss)],
                epochs=3,
                warmup_steps=0,
                optimizer_params={"lr": 1e-2},
                show_progress_bar=False,
            )
        assert loss(given, None).item() < before


def trained_own(folder: Path) -> tuple[Any, list[float]]:
    model = static_model()
    base = losses.MultipleNegativesRankingLoss(model)
    loss = BinaryMatryoshkaLoss(model, base, nested_bits=LENGTHS)
    queries, rows = made_pairs(6, 256)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    values = []
    for _ in range(40):
        value = loss(columns_of(model, queries, rows), None)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    return loss, values
