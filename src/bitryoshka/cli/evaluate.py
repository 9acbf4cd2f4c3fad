"""The commands that judge a binarizer on vectors: evaluate, plan, check."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from bitryoshka.atomic_file import check_output
from bitryoshka.binarizer import Binarizer
from bitryoshka.cli import options, tables
from bitryoshka.cli.options import example
from bitryoshka.cli.output import echo, print_json
from bitryoshka.cli.sample import check_judging, judgements_of, read_beside, sample_of
from bitryoshka.drift import SAMPLE, check_drift, recalibrate
from bitryoshka.evaluation import evaluate
from bitryoshka.planning import plan
from bitryoshka.search_parameters import CANDIDATES, TARGET_RECALL, K
from bitryoshka.vector_files import read_vectors

evaluation = typer.Typer()


@evaluation.command(
    "evaluate", epilog=example("evaluate docs.safetensors vectors.npy --queries queries.npy")
)
def _evaluate(
    binarizer: options.Binarizer,
    vectors: options.Vectors,
    queries: options.Queries = None,
    qrels: options.Qrels = None,
    ids: options.Ids = None,
    k: options.K = K,
    candidates: options.Candidates = CANDIDATES,
    seed: options.Seed = 0,
    column: options.Column = None,
    as_json: options.Json = False,
) -> None:
    """Compare searches on codes with exact float search.

    Plain sign bits of equal length stand beside them.
    """
    check_judging(qrels, ids, queries)
    loaded, array = Binarizer.load(binarizer), read_vectors(vectors, column)
    asked = read_beside(queries, column)
    judgements = judgements_of(qrels, ids, asked, len(array))
    found = evaluate(loaded, array, asked, judgements, k=k, candidates=candidates, seed=seed)
    if as_json:
        print_json({"fingerprint": loaded.fingerprint} | found.as_dict())
    else:
        tables.show_evaluation(found)


@evaluation.command(
    "plan", epilog=example("plan docs.safetensors vectors.npy --queries queries.npy -o plan.json")
)
def _plan(
    binarizer: options.Binarizer,
    vectors: options.Vectors,
    queries: options.Queries = None,
    k: options.K = K,
    target_recall: options.TargetRecall = TARGET_RECALL,
    rescoring: Annotated[
        str, typer.Option(help="What a search can do: of asymmetric,exact,shortlist.")
    ] = "asymmetric",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A .json to write.")] = None,
    seed: options.Seed = 0,
    column: options.Column = None,
    as_json: options.Json = False,
) -> None:
    """Find the cheapest search that reaches a target recall."""
    if output is not None:
        check_output(output, ".json", binarizer, vectors, queries)
    kinds: Any = tuple(rescoring.split(","))  # which plan checks
    found = plan(
        Binarizer.load(binarizer),
        read_vectors(vectors, column),
        read_beside(queries, column),
        k=k,
        target_recall=target_recall,
        rescoring=kinds,
        seed=seed,
    )
    if output is not None:
        found.save(output)
    if as_json:
        print_json(asdict(found))
    else:
        echo(found.text() if output is None else f"{found.text()}\nwrote {output}")


@evaluation.command("check", epilog=example("check docs.safetensors new.npy"))
def _check(
    binarizer: options.Binarizer,
    vectors: options.Source = None,
    from_postgres: options.FromPostgres = None,
    from_qdrant: options.FromQdrant = None,
    reference: Annotated[
        Path | None, typer.Option(help="Vectors it was fitted to, if it keeps no statistics.")
    ] = None,
    recalibrated: Annotated[
        Path | None, typer.Option(help="Write the binarizer with moved thresholds here.")
    ] = None,
    seed: options.Seed = 0,
    column: options.Column = None,
    as_json: options.Json = False,
) -> None:
    """Say whether new vectors are still like those fitted to.

    The exit code is 1 where they are not.
    """
    if recalibrated is not None:
        check_output(recalibrated, ".safetensors")
    loaded = Binarizer.load(binarizer)
    sample = sample_of(vectors, from_postgres, from_qdrant, column, SAMPLE, seed)
    sample.check(loaded.metric)
    before = read_beside(reference, column)
    found = check_drift(loaded, sample.vectors, reference=before, seed=seed)
    if recalibrated is not None:
        recalibrate(loaded, sample.vectors, reference=before, seed=seed).save(recalibrated)
    if as_json:
        print_json(asdict(found))
    else:
        echo(found.text())
    if found.advice != "keep":
        raise typer.Exit(1)
