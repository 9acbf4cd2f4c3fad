"""Whether codes are worth it for given vectors: findings, and pages that show them."""

from bitryoshka.report.advice import SwitchAdvice
from bitryoshka.report.findings import Findings, measure_codes
from bitryoshka.report.markdown import to_markdown
from bitryoshka.report.page import to_html

__all__ = ["Findings", "SwitchAdvice", "measure_codes", "to_html", "to_markdown"]
