"""What `benchmarks.scale` reckons of Qdrant's engine in process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import read
from benchmarks.scale_growth import growth_of, wanted

# of memory_qdrant.json, and the series of qdrant_curves.json whose times grow as theirs do
LAYOUTS = {
    "float32 in memory": "HNSW, float32",
    "float32 on disk": "HNSW, float32",
    "1-bit BQ, 8-bit query": "1-bit BQ, 8-bit query",
    "TurboQuant 2 bits": "TurboQuant 2 bits",
    "codes, 256 bits": "ours, 384 bits",
    "codes, 768 bits": "ours, 768 bits",
    "codes alone, 768 bits": "ours, 768 bits",
}
FREE, SHORT_OF_MEMORY = "none", "1/4"


def reckon_qdrant(folder: Path, rows_at: Sequence[int]) -> dict[str, Any]:
    """The same for Qdrant's engine in process, of what `benchmarks.memory_qdrant` measured."""
    memory = read(folder / "memory_qdrant.json")["figures"]
    curves = read(folder / "qdrant_curves.json")["figures"]
    measured, found = memory["rows"], {}
    for name, series in LAYOUTS.items():
        built = wanted(memory["built"], name, "memory_qdrant.json, built")
        line = growth_of(curves, series, "milliseconds", "qdrant_curves.json")
        times = {
            limit: (wanted(memory["layouts"], limit, "memory_qdrant.json").get(name) or {})
            for limit in (FREE, SHORT_OF_MEMORY)
        }
        sizes = {
            "disk": built["disk_bytes"] / measured,
            "memory": (built["vector_bytes"] + built["graph_bytes"]) / measured,
        }
        at = {}
        for rows in rows_at:
            growth = line.growth(rows, measured)
            seconds = built["upsert_seconds"] + built["index_seconds"] * math.log(rows) / math.log(
                measured
            )
            p50 = {limit: of.get("p50_milliseconds") for limit, of in times.items()}
            at[str(rows)] = {
                **{f"{what}_bytes": size * rows for what, size in sizes.items()},
                "build_seconds": seconds * rows / measured,
                "milliseconds_in_memory": p50[FREE] and p50[FREE] * growth,
                "milliseconds_from_disk": p50[SHORT_OF_MEMORY] and p50[SHORT_OF_MEMORY] * growth,
            }
        found[name] = {"recall": memory["chosen"][name]["recall"], "at": at}
    return {"dimensions": memory["dimensions"], "measured_rows": measured, "layouts": found}
