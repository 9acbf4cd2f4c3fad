"""The result files: one JSON per benchmark, with its environment, figures and targets."""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER = Path(__file__).parent / "results"
PACKAGES = (
    *("bitryoshka", "numpy", "torch", "duckdb", "faiss-cpu", "pgvector", "psycopg", "pyarrow"),
    *("pyspark", "qdrant-edge-py", "ray", "sentence-transformers", "usearch"),
)
KEYS = ("name", "command", "environment", "figures", "targets")
_DIGITS = 4


class ResultError(ValueError):
    """A result file that does not have the form that `write` gives it."""


class Target(NamedTuple):
    """A figure that was promised, and what was measured.

    ``target`` is ``">= X"``, ``"<= X"`` or ``"X +- Y"``.
    """

    name: str
    target: str
    measured: float
    met: bool


def at_least(name: str, bound: float, measured: float) -> Target:
    """The figure must reach the bound."""
    return _target(name, f">= {bound:g}", measured)


def at_most(name: str, bound: float, measured: float) -> Target:
    """The figure must not exceed the bound."""
    return _target(name, f"<= {bound:g}", measured)


def near(name: str, expected: float, tolerance: float, measured: float) -> Target:
    """The figure must lie within the tolerance of what is expected."""
    return _target(name, f"{expected:g} +- {tolerance:g}", measured)


def _target(name: str, target: str, measured: float) -> Target:
    found = round(float(measured), _DIGITS)
    return Target(name, target, found, is_met(target, found))


def is_met(target: str, measured: float) -> bool:
    """Whether a measured figure meets a target's text; ResultError where it cannot be read."""
    number = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
    if found := re.fullmatch(rf"(>=|<=) {number}", target):
        bound = float(found[2])
        return measured >= bound if found[1] == ">=" else measured <= bound
    if found := re.fullmatch(rf"{number} \+- {number}", target):
        return abs(measured - float(found[1])) <= float(found[2]) + 1e-9
    raise ResultError(f"a target must be '>= X', '<= X' or 'X +- Y', found {target!r}")


def environment() -> dict[str, Any]:
    """What the figures depend on: processor and versions, no names of machines or folders."""
    packages: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            packages[package] = version(package)
        except PackageNotFoundError:
            packages[package] = None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_model(),
        "cores": cores,
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": packages,
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _plain(value: Any) -> Any:
    """JSON's own types, floats rounded so that files can be compared by eye."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return round(float(value), _DIGITS)
    return value


def write(
    name: str,
    figures: Mapping[str, Any],
    targets: Sequence[Target] = (),
    *,
    module: str | None = None,
    folder: Path = FOLDER,
) -> Path:
    """Write ``folder/name.json`` and return its path; ResultError for figures JSON cannot hold.

    ``module``: the benchmark that was run, where a result has another name.
    """
    content = {
        "name": name,
        "command": f"python -m benchmarks.{module or name}",
        "environment": environment(),
        "figures": _plain(figures),
        "targets": [target._asdict() for target in targets],
    }
    validate(content, name)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> dict[str, Any]:
    """A result file's content; ResultError says what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ResultError(f"{path.name} is no JSON: {error}") from error
    try:
        return validate(content, path.stem)
    except ResultError as error:
        raise ResultError(f"{path.name}: {error}") from error


def validate(content: Any, name: str) -> dict[str, Any]:
    """Return a result's content if it has the right form; ResultError otherwise."""
    if not isinstance(content, dict) or tuple(content) != KEYS:
        found = tuple(content) if isinstance(content, dict) else type(content).__name__
        raise ResultError(f"expected an object with the keys {KEYS}, found {found}")
    if content["name"] != name:
        raise ResultError(f"expected the name {name!r}, found {content['name']!r}")
    for key in ("environment", "figures"):
        if not isinstance(content[key], dict) or not content[key]:
            raise ResultError(f"expected an object under {key!r} that is not empty")
        _check_finite(content[key], key)
    if not isinstance(content["targets"], list):
        raise ResultError("expected a list under 'targets'")
    names = [_check_target(target) for target in content["targets"]]
    if len(set(names)) != len(names):
        raise ResultError(f"expected different names of targets, found {names}")
    return content


def _check_finite(value: Any, place: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_finite(item, f"{place}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _check_finite(item, f"{place}[{i}]")
    elif not isinstance(value, (str, int, float, type(None))) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise ResultError(f"expected text, a finite number or null at {place}, found {value!r}")


def _check_target(target: Any) -> str:
    if not isinstance(target, dict) or tuple(target) != Target._fields:
        raise ResultError(f"expected targets with {Target._fields}, found {target!r}")
    measured = target["measured"]
    if not isinstance(measured, (int, float)) or not math.isfinite(measured):
        raise ResultError(f"target {target['name']!r}: measured is {measured!r}, no finite number")
    met = is_met(str(target["target"]), measured)
    if target["met"] is not met:
        raise ResultError(
            f"target {target['name']!r}: {measured} against {target['target']} is "
            f"{'met' if met else 'missed'}, the file says met={target['met']!r}"
        )
    return str(target["name"])
