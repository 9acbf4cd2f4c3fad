"""Measurements behind the numbers in the README, one command each.

Run from the repository root: ``python -m benchmarks.NAME`` writes ``benchmarks/results/NAME.json``.
"""
