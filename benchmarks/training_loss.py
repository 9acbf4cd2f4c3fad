"""What training for codes is worth: ``python -m benchmarks.training_loss --data DIR`` (minutes).

The set's own vectors are the outputs of a frozen model; a dense layer on top of it, which starts as
the identity, is trained on pairs of queries and rows, by the trainer of Sentence Transformers:

* frozen: no training, codes by `bitryoshka.fit`, method "itq" unless another is asked for;
* tuned: by MultipleNegativesRankingLoss, codes by `fit`: what more training alone is worth;
* for codes, fit: by `BinaryMatryoshkaLoss` around the same loss, codes by `fit`;
* for codes, trained: the same model, codes of the loss's own binarizer.

``fit`` sees the documents and makes a code for each length alone; that of the loss is nested.
Queries are judged in two groups: those to documents that other queries were trained on ("known"),
and those to documents that were in no pair ("new"). Rate and scale are chosen for both losses
alike, by validation queries of both groups, with codes of ITQ and of the loss. The set's own
queries judge once: nDCG@10, each query's value averaged over the seeds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import bitryoshka
from benchmarks.datasets import Dataset, Floats, read_dataset
from benchmarks.results import Target, at_least, write
from bitryoshka import Binarizer
from bitryoshka.evaluation import EncodedSearch, bootstrap_interval, exact_topk, ndcg_at_k

LENGTHS = (48, 96, 192)
K = 10
STEPS, BATCH, SEEDS = 150, 128, (0, 1, 2)
RATES, SCALES = (1e-3, 3e-3), (10.0, 20.0)
METHOD = "itq"
# shares of the documents that have training queries, and of the others' queries
NEW_DOCUMENTS, KNOWN_QUERIES = 0.15, 0.15

FROZEN, TUNED, CODES_FIT, CODES = "frozen", "tuned", "for codes, fit", "for codes, trained"
DIFFERENCES = {
    "more training alone": (TUNED, FROZEN),
    "for codes beyond it": (CODES, TUNED),
    "for codes, fit, beyond it": (CODES_FIT, TUNED),
}
LEAST_GAIN = 0.02

Values = NDArray[np.float64]


class Asked(NamedTuple):
    """Queries (Q, d), the rows that answer each, and whether those are known: (Q,)."""

    queries: Floats
    judgements: list[dict[int, float]]
    known: NDArray[np.bool_]


class Task(NamedTuple):
    """Documents to search, pairs to train on, and queries that choose and that judge.

    A pair is a row of ``training`` and one of ``documents``.
    """

    documents: Floats
    training: Floats
    pairs: list[tuple[int, int]]
    validation: Asked
    test: Asked


def task_of(data: Dataset) -> Task:
    """Split the training pairs: some documents with all their queries, and some further queries."""
    if data.judgements is None or data.training_queries is None or data.training_pairs is None:
        raise ValueError(f"{data.name} must have judgements and training pairs")
    generator = np.random.default_rng(0)
    judgements: list[dict[int, float]] = [{} for _ in data.training_queries]
    for query, row in zip(*data.training_pairs, strict=True):
        judgements[query][int(row)] = 1.0
    answers = np.unique(data.training_pairs[1])
    new = set(generator.permutation(answers)[: int(NEW_DOCUMENTS * len(answers))].tolist())
    choosing = {
        query
        for query, found in enumerate(judgements)
        if generator.random() < KNOWN_QUERIES or not new.isdisjoint(found)
    }
    pairs = [
        (query, row)
        for query, found in enumerate(judgements)
        if query not in choosing
        for row in found
    ]
    trained_on = {row for _, row in pairs}

    def asked(queries: Floats, found: Sequence[Mapping[int, float]], of: Iterable[int]) -> Asked:
        """Queries whose answers are all known, or all new."""
        relevant = {i: {row for row, grade in found[i].items() if grade > 0} for i in of}
        kept = [
            i
            for i, rows in relevant.items()
            if rows and (rows <= trained_on or rows.isdisjoint(trained_on))
        ]
        known = np.array([relevant[i] <= trained_on for i in kept])
        return Asked(queries[kept], [dict(found[i]) for i in kept], known)

    return Task(
        data.documents,
        data.training_queries,
        pairs,
        asked(data.training_queries, judgements, sorted(choosing)),
        asked(data.queries, data.judgements, range(len(data.queries))),
    )


class Settings(NamedTuple):
    """Learning rate, and scale of the ranking loss."""

    rate: float
    scale: float


def model_of(task: Task) -> Any:
    """Stored vectors, which texts name by their numbers, and the layer that is trained."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    stored = np.concatenate([task.documents, task.training])
    names = {str(number): number for number in range(len(stored))}
    body = StaticEmbedding(Tokenizer(WordLevel(names, "0")), stored)
    body.requires_grad_(False)
    d = stored.shape[1]
    head = Dense(
        d,
        d,
        activation_function=torch.nn.Identity(),
        init_weight=torch.eye(d),
        init_bias=torch.zeros(d),
    )
    return SentenceTransformer(modules=[body, head], device="cpu")


def mapped(model: Any, vectors: Floats) -> Floats:
    """What the trained layer makes of stored vectors."""
    with torch.no_grad():
        found: Floats = model[1]({"sentence_embedding": torch.from_numpy(vectors)})[
            "sentence_embedding"
        ].numpy()
    return found


def trained(
    task: Task, start: Binarizer | None, settings: Settings, seed: int, steps: int
) -> tuple[Any, Binarizer | None]:
    """The model after training, and where it was for codes (``start``) the loss's binarizer."""
    from datasets import Dataset as Table
    from sentence_transformers import (
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.base.sampler import BatchSamplers
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    from bitryoshka.sentence_transformers import BinaryMatryoshkaLoss

    model = model_of(task)
    loss: Any = MultipleNegativesRankingLoss(model, scale=settings.scale)
    if start is not None:
        loss = BinaryMatryoshkaLoss(model, loss, start, nested_bits=LENGTHS)
    rows, queries = len(task.documents), [query for query, _ in task.pairs]
    table = {
        "query": [str(rows + query) for query in queries],
        "row": [str(row) for _, row in task.pairs],
    }
    with tempfile.TemporaryDirectory(prefix="bitryoshka-") as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            learning_rate=settings.rate,
            learning_rate_mapping={r"adapter\.": 1e-3} if start is not None else {},
            warmup_steps=steps // 10,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=seed,
        )
        SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=Table.from_dict(table), loss=loss
        ).train()
    return model, loss.binarizer() if start is not None else None


def judged(
    binarizers: Mapping[int, Binarizer], documents: Floats, asked: Asked, queries: Floats
) -> dict[str, Values]:
    """nDCG@10 of each query, by kind of search and length: the code that serves each length."""
    found = {}
    for bits, binarizer in binarizers.items():
        search = EncodedSearch.of(binarizer, documents, queries)
        width = min(bits, binarizer.hamming_bits)
        for kind, rows in (
            ("hamming", search.hamming(width, K)),
            ("asymmetric", search.asymmetric(bits, K)),
        ):
            found[f"{kind} {bits}"] = ndcg_at_k(rows, asked.judgements, K)
    return found


def fitted(documents: Floats, method: str) -> dict[int, Binarizer]:
    """A code for each length alone."""
    return {bits: bitryoshka.fit(documents, bits=bits, method=method).binarizer for bits in LENGTHS}


def nested(binarizer: Binarizer) -> dict[int, Binarizer]:
    """The beginnings of one code."""
    return dict.fromkeys(LENGTHS, binarizer)


def start_of(documents: Floats) -> Binarizer:
    """Where the loss's projection starts."""
    return bitryoshka.fit(
        documents, bits=LENGTHS[-1], nested_bits=LENGTHS, hamming_bits=LENGTHS[-1], method="itq"
    ).binarizer


def chosen(
    task: Task, start: Binarizer | None, steps: int, rates: Sequence[float]
) -> tuple[Settings, dict[str, float]]:
    """The settings whose codes find most for the validation queries, and what each found."""
    found = {}
    for settings in (Settings(rate, scale) for rate in rates for scale in SCALES):
        model, own = trained(task, start, settings, SEEDS[0], steps)
        documents, queries = (mapped(model, v) for v in (task.documents, task.validation.queries))
        codes = nested(start_of(documents)) if own is None else nested(own)
        values = judged(codes, documents, task.validation, queries)
        known = task.validation.known
        found[settings] = float(
            np.mean([v[group].mean() for v in values.values() for group in (known, ~known)])
        )
    best = max(found, key=lambda settings: found[settings])
    return best, {f"rate {s.rate:g}, scale {s.scale:g}": value for s, value in found.items()}


def variants(
    task: Task,
    settings: Mapping[str, Settings],
    start: Binarizer,
    seed: int,
    steps: int,
    method: str,
) -> Iterator[tuple[str, dict[str, Values]]]:
    """Every way to codes, judged by the test queries."""

    def values(model: Any, own: Binarizer | None = None) -> dict[str, Values]:
        documents, queries = (
            v if model is None else mapped(model, v) for v in (task.documents, task.test.queries)
        )
        codes = fitted(documents, method) if own is None else nested(own)
        floats = exact_topk(queries, documents, K).rows
        return {
            "float": ndcg_at_k(floats, task.test.judgements, K),
            **judged(codes, documents, task.test, queries),
        }

    yield FROZEN, values(None)
    yield TUNED, values(trained(task, None, settings[TUNED], seed, steps)[0])
    model, own = trained(task, start, settings[CODES], seed, steps)
    yield CODES_FIT, values(model)
    yield CODES, values(model, own)


def measure(
    task: Task,
    steps: int = STEPS,
    seeds: Sequence[int] = SEEDS,
    method: str = METHOD,
    rates: Sequence[float] = RATES,
) -> dict[str, Any]:
    """Means, and differences with their 95 % bootstrap intervals over the test queries."""
    start = start_of(task.documents)
    settings, validation = {}, {}
    for name, begin in ((TUNED, None), (CODES, start)):
        settings[name], validation[name] = chosen(task, begin, steps, rates)
    runs: dict[str, list[dict[str, Values]]] = {}
    for seed in seeds:
        for name, values in variants(task, settings, start, seed, steps, method):
            # the frozen model's are the same for all seeds
            if name != FROZEN or not runs.get(FROZEN):
                runs.setdefault(name, []).append(values)
    mean = {
        name: {key: np.mean([values[key] for values in found], axis=0) for key in found[0]}
        for name, found in runs.items()
    }
    known = task.test.known
    return {
        "documents": len(task.documents),
        "pairs": len(task.pairs),
        "validation_queries": len(task.validation.queries),
        "settings": {name: found._asdict() for name, found in settings.items()},
        "validation": validation,
        "groups": {
            name: {"queries": int(group.sum()), **compared(mean, group)}
            for name, group in (("known", known), ("new", ~known))
        },
    }


def compared(mean: Mapping[str, Mapping[str, Values]], group: NDArray[np.bool_]) -> dict[str, Any]:
    """Means over a group of queries, and differences with their intervals."""
    return {
        "ndcg": {
            name: {key: values[group].mean() for key, values in found.items()}
            for name, found in mean.items()
        },
        "differences": {
            name: {
                key: bootstrap_interval((mean[a][key] - mean[b][key])[group])._asdict()
                for key in mean[a]
            }
            for name, (a, b) in DIFFERENCES.items()
        },
    }


def targets(figures: Mapping[str, Any]) -> list[Target]:
    """On known documents, short codes must gain beyond what more training alone gives."""
    found = figures["groups"]["known"]["differences"]["for codes beyond it"]
    return [
        at_least(
            f"known documents, {kind} {LENGTHS[0]}: nDCG@10 beyond the plain loss, lower end",
            LEAST_GAIN,
            found[f"{kind} {LENGTHS[0]}"]["low"],
        )
        for kind in ("hamming", "asymmetric")
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_loss", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a set with training pairs")
    parser.add_argument("--method", default=METHOD, help="of the fits")
    parser.add_argument("--small", action="store_true", help="a few steps and one seed")
    given = parser.parse_args(arguments)
    small: dict[str, Any] = {"steps": 10, "seeds": (0,), "rates": RATES[:1]}
    data = read_dataset(given.data)
    found = measure(task_of(data), method=given.method, **(small if given.small else {}))
    settings = {
        "set": data.name,
        "method": given.method,
        "steps": STEPS,
        "batch": BATCH,
        "seeds": len(SEEDS),
    }
    figures = {**settings, **found}
    print(figures)
    if not given.small:
        write("training_loss", figures, targets(figures))


if __name__ == "__main__":
    main()
