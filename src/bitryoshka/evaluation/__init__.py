"""The one room where codes are judged: exact search, searches by codes, and measures of both."""

from bitryoshka.evaluation.codes import EncodedSearch, SearchKind, without_own
from bitryoshka.evaluation.evaluating import Evaluation, Quality, SearchQuality, evaluate
from bitryoshka.evaluation.judgements import read_judgements
from bitryoshka.evaluation.measures import (
    Interval,
    bootstrap_interval,
    ndcg_at_k,
    order_at_k,
    ratio_interval,
    recall_at_k,
)
from bitryoshka.evaluation.parameter_choices import (
    Rescoring,
    query_cost,
    recalls_by_parameters,
    vectors_read,
)
from bitryoshka.evaluation.ranking import (
    Ranking,
    asymmetric_topk,
    exact_topk,
    hamming_topk,
    rescore,
)

__all__ = [
    "EncodedSearch",
    "Evaluation",
    "Interval",
    "Quality",
    "Ranking",
    "Rescoring",
    "SearchKind",
    "SearchQuality",
    "asymmetric_topk",
    "bootstrap_interval",
    "evaluate",
    "exact_topk",
    "hamming_topk",
    "ndcg_at_k",
    "order_at_k",
    "query_cost",
    "ratio_interval",
    "read_judgements",
    "recall_at_k",
    "recalls_by_parameters",
    "rescore",
    "vectors_read",
    "without_own",
]
