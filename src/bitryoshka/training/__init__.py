"""Fitting binarizers: closed forms, additive codes, learned query weights, and the choice."""

from bitryoshka.training.comparison import Candidate, Comparison, HeldOut, Outcome
from bitryoshka.training.fitting import FitResult, fit

__all__ = ["Candidate", "Comparison", "FitResult", "HeldOut", "Outcome", "fit"]
