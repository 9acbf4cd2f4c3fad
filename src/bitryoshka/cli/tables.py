"""Tables for people; the command line prints them where nobody asked for JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitryoshka.cli.terminal import printable
from bitryoshka.evaluation import Evaluation, Interval

# longer lists of a binarizer's file are for programs
LISTED = 16


class _Console(Console):
    """Every string that is printed, cells of tables too, comes through here."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


def _console() -> Console:
    """Text as it is: names of files may hold square brackets."""
    width = None if sys.stdout.isatty() else 130
    return _Console(markup=False, highlight=False, emoji=False, width=width)


def _table(left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(box=SIMPLE)
    for name in left:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def show(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Values under their names."""
    table = _table(tuple(names), ())
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    _console().print(table)


def _ranged(mean: float, low: float, high: float) -> str:
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _interval(interval: Interval | None) -> str:
    return "" if interval is None else _ranged(*interval)


def _measured(found: Mapping[str, Any] | None) -> str:
    return "" if not found else _ranged(found["recall"], *found["recall_interval"])


def show_candidates(comparison: Mapping[str, Any]) -> None:
    """One line a candidate of a fit (`Comparison.as_dict`), the chosen one marked."""
    table = _table(("", "candidate"), (f"recall@{comparison['k']} (funnel)", "order", "utility"))
    for candidate in comparison["candidates"]:
        table.add_row(
            "*" if candidate["label"] == comparison["chosen"] else "",
            candidate["label"],
            _measured(candidate["funnel"]),
            f"{candidate['funnel']['order']:.3f}",
            f"{candidate['utility']:.3f}",
        )
    console = _console()
    console.print(
        f"candidates, judged by {comparison['held_out_queries']} held-out queries "
        f"over {comparison['rows']} rows",
        table,
    )
    for method, reason in comparison["skipped"].items():
        console.print(f"skipped {method}: {reason}")


def show_lengths(candidate: Mapping[str, Any]) -> None:
    """Held-out recall of one candidate at every length."""
    table = _table((), ("bits", "bytes", "Hamming", "asymmetric"))
    for bits in sorted(candidate["asymmetric"], key=int):
        hamming, asymmetric = candidate["hamming"].get(bits), candidate["asymmetric"][bits]
        table.add_row(bits, str(int(bits) // 8), _measured(hamming), _measured(asymmetric))
    _console().print(f"{candidate['label']}: held-out recall at every length", table)


def show_evaluation(found: Evaluation) -> None:
    """One line for each search and length: the binarizer's codes and sign bits."""
    judged = found.float_ndcg is not None
    figures = [f"recall@{found.k}", f"sign recall@{found.k}"]
    if judged:
        figures += [f"nDCG@{found.k} retention", "sign retention"]
    table = _table(("search",), ("bits", "bytes", *figures))
    for row in found.rows:
        name = f"funnel ({found.candidates})" if row.search == "funnel" else row.search
        cells = [name, str(row.bits), str(row.bits // 8)]
        sign = row.sign
        cells += [_interval(row.codes.recall), _interval(sign.recall if sign else None)]
        if judged:
            cells.append(_interval(row.codes.ndcg_retention))
            cells.append(_interval(sign.ndcg_retention if sign else None))
        table.add_row(*cells)
    console = _console()
    console.print(
        f"{found.queries} queries, {found.vectors} vectors, against exact float search; "
        "sign: plain sign bits of equal length",
        table,
    )
    if found.float_ndcg is not None:
        console.print(f"nDCG@{found.k} of exact float search: {found.float_ndcg:.3f}")
    if found.held_out:
        console.print(
            "The queries are rows of the vectors, each left out of its own search. "
            "Real queries (--queries) say more."
        )


def show_inspection(found: Mapping[str, Any]) -> None:
    """What is in a binarizer file, but for long lists and what is not a plain value."""
    table = _table(("", "found"), ())
    facts = {k: v for k, v in found.items() if k not in ("file", "info")}
    for name, value in {**facts, **found["info"]}.items():
        if isinstance(value, (list, tuple)) and len(value) <= LISTED:
            value = ", ".join(map(str, value))
        if not isinstance(value, (Mapping, list, tuple)):
            table.add_row(name.replace("_", " "), "" if value is None else str(value))
    _console().print(found["file"], table)


def show_quantizers(report: Mapping[str, Any]) -> None:
    """One line for each way of keeping vectors in Qdrant, and which to take."""
    k = report["k"]
    head = ("bytes", f"recall@{k}", "rescored", "ms", "rescored ms")
    table = _table(("",), head)
    for row in report["rows"]:
        numbers = (row["recall"], row["rescored_recall"])
        times = (row["milliseconds"], row["rescored_milliseconds"])
        cells = [f"{n:.3f}" for n in numbers] + [f"{t:.2f}" for t in times]
        table.add_row(row["label"], f"{row['bytes']:.0f}", *cells)
    console = _console()
    console.print(f"{report['queries']} queries, {report['vectors']} vectors", table)
    for advice in report["advice"]:
        console.print(
            f"within {advice['budget']:.0f} bytes take {advice['take']}: {advice['best_of_ours']} "
            f"against {advice['best_of_qdrant']} "
            + _ranged(advice["gain"], advice["low"], advice["high"])
        )
