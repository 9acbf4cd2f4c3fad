"""What every search is asked for: the same words, defaults and bounds at every door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bitryoshka.errors import SearchError
from bitryoshka.limits import check_count

__all__ = ["CANDIDATES", "TARGET_RECALL", "K", "Rescore", "SearchParameters"]

Rescore = Literal["asymmetric", "exact"]

K = 10
CANDIDATES = 100
TARGET_RECALL = 0.95


@dataclass(frozen=True, kw_only=True)
class SearchParameters:
    """The stages of a search, each of which hands the best of its rows to the next.

    * ``k``: results of a query.
    * ``candidates``: rows of the first stage, which compares beginnings of codes by Hamming
      distance. The list of an index is as long.
    * ``prefix_bits``: how many leading bits the first stage compares; None: all Hamming bits.
    * ``rescore``: what ranks the candidates: "asymmetric", the float query against their whole
      codes; "exact", their stored vectors; None, the first stage's own order.
    * ``shortlist``: with "exact", how many rows are compared by their vectors, once the float
      query has ranked all candidates by their codes; None: all candidates, and no stage between.

    Raises SearchError for numbers that are none and for stages that do not fit.
    """

    k: int = K
    candidates: int = CANDIDATES
    prefix_bits: int | None = None
    rescore: Rescore | None = "asymmetric"
    shortlist: int | None = None

    @property
    def compared(self) -> int:
        """How many rows stored vectors rank, where they do."""
        return self.candidates if self.shortlist is None else self.shortlist

    @property
    def code_rescore(self) -> Rescore | None:
        """What chooses those rows among the candidates by their codes alone."""
        return None if self.shortlist is None else "asymmetric"

    def __post_init__(self) -> None:
        check_rescore(self.rescore)
        k = check_count(self.k, "k")
        if check_count(self.candidates, "candidates") < k:
            raise SearchError(
                f"expected at least k = {k} candidates, found {self.candidates}: give candidates= "
                "as well, the rows of the first stage, of which the others choose"
            )
        if self.prefix_bits is not None:
            check_prefix_bits(self.prefix_bits)
        if self.shortlist is None:
            return
        if self.rescore != "exact":
            raise SearchError(
                "a shortlist is what stored vectors rank: expected rescore='exact', found "
                f"shortlist={self.shortlist!r} and rescore={self.rescore!r}"
            )
        if not k <= check_count(self.shortlist, "shortlist") <= self.candidates:
            raise SearchError(
                f"expected k = {k} <= shortlist <= candidates = {self.candidates}, "
                f"found {self.shortlist}"
            )


def check_rescore(rescore: Any, offered: Sequence[str] = get_args(Rescore)) -> None:
    """Raise SearchError for what is neither None nor one of the words."""
    if rescore is not None and not (isinstance(rescore, str) and rescore in offered):
        raise SearchError(f"rescore must be None or one of {tuple(offered)}, found {rescore!r}")


def check_prefix_bits(prefix_bits: int, offered: Sequence[int] | None = None) -> int:
    """The length as an int; SearchError where it is none, or none of those that are offered."""
    check_count(prefix_bits, "prefix_bits")
    if offered is not None and prefix_bits not in offered:
        raise SearchError(f"prefix_bits must be one of {tuple(offered)}, found {prefix_bits}")
    return int(prefix_bits)


def check_share(value: float, name: str) -> float:
    """The value; SearchError where it does not lie between 0 and 1."""
    if not 0 < value < 1:
        meant = f"; {value:g} percent are {value / 100:g}" if 1 < value < 100 else ""
        raise SearchError(f"{name} must lie between 0 and 1, found {value}{meant}")
    return value
