"""Measurements behind the numbers of all pages, one command each.

Run from the repository root: ``python -m benchmarks.NAME`` writes ``benchmarks/results/NAME.json``.
"""
