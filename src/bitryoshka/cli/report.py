"""The command that looks before a switch: report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bitryoshka.atomic_file import check_output, replacing
from bitryoshka.cli import options
from bitryoshka.cli.options import example
from bitryoshka.cli.output import echo, print_json, show_progress
from bitryoshka.cli.sample import check_judging, judgements_of, read_beside, sample_of
from bitryoshka.errors import FileFormatError, OptionError
from bitryoshka.search_parameters import TARGET_RECALL
from bitryoshka.vector_files import unzipped

reporting = typer.Typer()


@reporting.command("report", epilog=example("report vectors.npy --rows 20000000 -o report.html"))
def _report(
    vectors: options.Source = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Name of the .html; .md and .json beside it.")
    ] = Path("report.html"),
    queries: options.Queries = None,
    qrels: options.Qrels = None,
    ids: options.Ids = None,
    target_recall: options.TargetRecall = TARGET_RECALL,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Rows to plan for; by default those there are.")
    ] = None,
    bits: options.Bits = 384,
    method: options.Method = "auto",
    sample: Annotated[int, typer.Option(min=100, help="Most rows that are looked at.")] = 20_000,
    from_postgres: options.FromPostgres = None,
    from_qdrant: options.FromQdrant = None,
    texts: Annotated[Path | None, typer.Option(help="Texts of the rows: .txt or .jsonl.")] = None,
    query_texts: Annotated[Path | None, typer.Option(help="Texts of the queries.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write the fitted binarizer too.")] = None,
    column: options.Column = None,
    seed: options.Seed = 0,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Measure codes on your vectors, and advise for or against."""
    from bitryoshka.report import measure_codes, to_html, to_markdown

    check_judging(qrels, ids, queries)
    if query_texts is not None and queries is None:
        raise OptionError("--query-texts needs --queries")
    check_output(output, ".html", vectors, queries)
    if save is not None:
        check_output(save, ".safetensors")
    taken = sample_of(vectors, from_postgres, from_qdrant, column, sample, seed)
    taken.check("cosine")
    if (qrels is not None or texts is not None) and len(taken.vectors) != taken.rows:
        raise OptionError(
            f"--qrels and --texts need all rows: --sample must be at least {taken.rows}"
        )
    asked = read_beside(queries, column)
    found, fitted = measure_codes(
        taken.vectors,
        asked,
        judgements_of(qrels, ids, asked, len(taken.vectors)),
        bits=bits,
        target_recall=target_recall,
        rows=taken.rows if rows is None else rows,
        method=method,
        source=taken.place,
        texts=taken.names if texts is None else read_texts(texts),
        query_texts=None if query_texts is None else read_texts(query_texts),
        seed=seed,
        progress=show_progress(quiet),
    )
    content = json.dumps(found.as_dict(), indent=2, allow_nan=False) + "\n"
    for suffix, text in (
        (".html", to_html(found)),
        (".md", to_markdown(found)),
        (".json", content),
    ):
        with replacing(output.with_suffix(suffix)) as file:
            file.write(text.encode())
    if save is not None:
        fitted.binarizer.save(save)
    if as_json:
        print_json(found.as_dict())
    elif not quiet:
        advice = found.advice
        written = f"wrote {output}", f"next: {advice.next_command}"
        echo("\n".join((advice.headline, *advice.reasons, *written)))


def read_texts(path: Path) -> list[str]:
    """One text a line (.txt), or objects with ``text`` and perhaps ``title`` (.jsonl, .gz)."""
    try:
        content = unzipped(path) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode()
        lines = text.removesuffix("\n").split("\n")
        if path.suffix == ".txt":
            return lines
        entries = [json.loads(line) for line in lines if line.strip()]
        return [" ".join(filter(None, (e.get("title"), e["text"]))) for e in entries]
    except (FileFormatError, FileNotFoundError):
        raise
    except (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise FileFormatError(f"{path} holds no texts: {error!r}") from error
