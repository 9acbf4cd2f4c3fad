"""The findings as one HTML page that needs nothing else."""

from __future__ import annotations

from bitryoshka.errors import MissingExtraError
from bitryoshka.report.advice import named, size
from bitryoshka.report.charts import Chart, bars, lines
from bitryoshka.report.findings import Findings
from bitryoshka.report.markdown import PLAN_HEAD, plan_cells, ranged

__all__ = ["to_html"]


def to_html(found: Findings) -> str:
    """A page with its charts and styles inside: no script, no network, light and dark."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("the report's page", "report") from error
    environment = Environment(
        loader=PackageLoader("bitryoshka.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"named": named, "size": size, "ranged": ranged}
    template = environment.get_template("page.html.j2")
    plans = {"plan_head": PLAN_HEAD, "plan_cells": plan_cells}
    return template.render(found=found, charts=_charts(found), **plans) + "\n"


def _charts(found: Findings) -> list[Chart]:
    methods, k = found.methods, found.k
    charts = [
        lines(f"Recall@{k}, Hamming", "bits", [m.hamming for m in methods]),
        lines(f"Recall@{k}, float query", "bits", [m.asymmetric for m in methods]),
        lines(f"Recall@{k} after exact rescoring", "candidates", [m.candidates for m in methods]),
    ]
    judged = [m.ndcg for m in methods if m.ndcg is not None]
    if judged:
        charts.append(lines(f"nDCG@{k}, share of exact search's", "bits", judged))
    charts.append(bars("Share of ones in each bit", "bit", found.balance))
    charts.append(bars("Variance explained", "principal axes", found.spectrum))
    return charts
