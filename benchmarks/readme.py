"""The numbers in README.md and docs/: ``python -m benchmarks.readme [--check]``.

Fills what lies between ``<!-- begin:NAME -->`` and ``<!-- end:NAME -->`` from the committed result
files. NAME is one of `BLOCKS`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bytes_table import byte_table, few_block, first_block
from benchmarks.lists_tables import codes_block, graphs_block, pages_block
from benchmarks.memory_qdrant_tables import BLOCKS as MEMORY_QDRANT
from benchmarks.memory_tables import (
    builds_block,
    line_block,
    rates_block,
    settings_block,
    times_block,
)
from benchmarks.partitions import FORMS
from benchmarks.quality_table import table
from benchmarks.results import FOLDER, read
from benchmarks.scale_tables import BLOCKS as SCALE
from bitryoshka.demo.report import searches_table

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

Figures = Mapping[str, Any]

_BLOCK = re.compile(r"(<!-- begin:([\w-]+) -->\n)(.*?)(<!-- end:\2 -->)", re.DOTALL)
_MARK = re.compile(r"<!-- (?:begin|end):[\w-]+ -->")


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]], right: int = 1) -> str:
    """A table whose columns from ``right`` on hold numbers."""
    rule = ["---"] * right + ["---:"] * (len(head) - right)
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


def _pair(found: Mapping[str, float] | None) -> str:
    return f"{found['recall']:.3f} / {found['retention']:.3f}" if found else ""


def demo_line(figures: Figures) -> str:
    """One sentence: size, recall and what sign bits give at the same size."""
    length = str(figures["bits"])
    ours = figures["quality"]["ours"]["asymmetric"][length]
    sign = figures["quality"]["sign"]["asymmetric"].get(length)
    beside = f"; sign bits keep {sign['retention']:.0%} and {sign['recall']:.2f}" if sign else ""
    times = figures["bytes_before"] / figures["bytes_after"]
    return (
        f"{figures['bytes_before']:,} bytes a vector become {figures['bytes_after']}, "
        f"{times:.0f} times fewer, and keep {ours['retention']:.0%} of the nDCG@10 of exact "
        f"float search and {ours['recall']:.2f} of its top 10{beside}."
    )


def demo_table(figures: Figures) -> str:
    """Sign bits and ours at each length of the demo's code."""
    ours, sign = figures["quality"]["ours"], figures["quality"]["sign"]
    rows = [
        [
            str(int(bits) // 8),
            bits,
            *(
                _pair(code[kind].get(bits))
                for kind in ("hamming", "asymmetric")
                for code in (sign, ours)
            ),
        ]
        for bits in sorted(ours["asymmetric"], key=int)
    ]
    head = ["bytes", "bits", "sign, Hamming", "ours, Hamming"]
    return _markdown([*head, "sign, float query", "ours, float query"], rows, 0)


def postgres_table(figures: Figures) -> str:
    """The demo's searches in one Postgres, as the demo shows them."""
    return f"{searches_table(figures['searches'])}\n\n{figures['documents']:,} rows."


def quality_means(figures: Figures) -> str:
    """Mean recall and retention over the judged sets, every method at equal bits."""
    names = ", ".join(figures["mean_over"])
    return f"{table(figures['mean'])}\n\nMean of {names}: recall@10 / nDCG@10 retention."


def quality_bytes(figures: Figures) -> str:
    """Every code of the quality benchmark, by bytes."""
    names = ", ".join(figures["mean_over"])
    return f"{byte_table(figures['mean'])}\n\nMean of {names}."


def sweep_table(figures: Figures) -> str:
    """Recall by length: one line a code and search."""
    mean = figures["mean"]
    lengths = sorted(mean["rotation"]["hamming"], key=int)
    names = {"hamming": "Hamming", "asymmetric": "float query"}
    rows = [
        [code, names[kind], *(f"{found[n]['recall']:.3f}" if n in found else "" for n in lengths)]
        for code, kinds in mean.items()
        if code != "turboquant"
        for kind, found in kinds.items()
    ]
    turbo = ", ".join(
        f"{int(bits):,} bits {found['recall']:.3f}"
        for bits, found in mean["turboquant"]["asymmetric"].items()
    )
    table_ = _markdown(["code", "search", *(f"{int(n):,}" for n in lengths)], rows, 2)
    sets = ", ".join(figures["mean_over"])
    return f"{table_}\n\nTurboQuant in Qdrant: {turbo}. Recall@10, mean of {sets}."


def quality_sets(figures: Figures) -> str:
    """Recall of ours on each set, beside ITQ's and that of progressive codes."""
    rows = []
    for name, found in figures["sets"].items():
        ours, peers = found["rows"]["ours"], found["rows"]
        cells = [
            _beside(ours[kind][bits], peers.get(peer, {}).get(kind, {}).get(bits))
            for kind, peer in (("hamming", "itq"), ("asymmetric", "progressive"))
            for bits in ours[kind]
        ]
        rows.append([name, str(found["dimensions"]), *cells])
    first = next(iter(figures["sets"].values()))["rows"]["ours"]
    lengths = [f"Hamming {bits}" for bits in first["hamming"]]
    lengths += [f"float query {bits}" for bits in first["asymmetric"]]
    return _markdown(["set", "dimensions", *lengths], rows)


def ablation_table(figures: Figures) -> str:
    """What each part is worth, mean over sets."""
    searches = {"asymmetric": "float query", "funnel": "funnel", "hamming": "Hamming"}
    rows = [
        [name, *(_pair(next(iter(found[kind].values()))) for kind in searches)]
        for name, found in figures["mean"].items()
    ]
    sets = ", ".join(figures["mean_over"])
    table_ = _markdown(["code", *searches.values()], rows)
    return f"{table_}\n\nMean of {sets}: recall@10 / nDCG@10 retention."


def hostile_table(figures: Figures) -> str:
    """What `fit` chose on hostile input, and how far it is from the best closed form."""
    rows = [
        [
            name,
            found["chosen"]["auto"],
            found["best_closed_form"],
            _difference(found["difference"]["auto"]["overall"]),
        ]
        for name, found in figures["inputs"].items()
    ]
    head = ["input", "chosen", "best closed form", "difference"]
    return _markdown(head, rows, 3)


def _beside(ours: Mapping[str, float], other: Mapping[str, float] | None) -> str:
    beside = f" ({other['recall']:.3f})" if other else ""
    return f"{ours['recall']:.3f}{beside}"


def _difference(found: Mapping[str, float]) -> str:
    return f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"


def encode_lines(figures: Figures) -> str:
    """Rows a second, beside what NumPy needs for the product and the packbits alone."""
    memory = max(max(peaks.values()) for peaks in figures["memory_mib_beyond_output"].values())
    rows = [
        [
            name,
            f"{found['rows_per_second']:,}",
            f"{found['share_of_whole']:.0%}",
            f"{found['share_of_blockwise']:.0%}",
        ]
        for name, found in figures["speed"].items()
    ]
    rows += [
        [name, f"{found['rows_per_second']:,}", "", ""]
        for name, found in figures.get("additive", {}).items()
    ]
    head = ["code", "rows a second", "of NumPy's product and packbits", "of the same, blockwise"]
    return (
        f"{_markdown(head, rows)}\n\nFrom {figures['dimensions']} float32 dimensions; "
        f"a memory-mapped file needs {memory:.0f} MiB beyond the codes, however long it is."
    )


def encode_peers(figures: Figures) -> str:
    """Sign encoders beside ours."""
    rows = [
        [
            name,
            f"{found['rows_per_second']:,}",
            f"{found['times_ours']:.2f}",
            f"{found['mib_beyond_output']:.0f}",
        ]
        for name, found in figures["peers"].items()
    ]
    return _markdown(["to 384 sign bits", "rows a second", "times ours", "MiB beyond codes"], rows)


def closed_form_table(figures: Figures) -> str:
    """Closed forms on each set, by the library."""
    sets = figures["sets"]
    labels = next(iter(sets.values()))["library"]
    rows = [
        [label, *(_pair(found["library"][label]) for found in sets.values())] for label in labels
    ]
    return _markdown(["code, search", *sets], rows)


def training_table(figures: Figures) -> str:
    """Time and memory of `fit` against rows and dimensions."""
    rows = [
        [
            *(f"{int(number):,}" for number in re.findall(r"\d+", label)),
            f"{found.get('cpu_seconds', found['seconds']):.0f}",
            f"{found['mib']:,.0f}",
            f"{found['own_mib']:,.0f}",
        ]
        for label, found in figures["costs"].items()
    ]
    head = ["rows", "dimensions", "bits", "seconds", "MiB", "without the file"]
    return _markdown(head, rows, 0)


def subsample_table(figures: Figures) -> str:
    """Recall of the learned method by the number of rows that it saw."""
    curves = figures["curves"]
    searches = list(next(iter(next(iter(curves.values()))["rows"].values()))["recall"])
    rows = [
        [
            name,
            f"{int(size):,}",
            *(f"{found['recall'][search]:.3f}" for search in searches),
            f"{found['behind_all']['mean']:.3f}",
        ]
        for name, curve in curves.items()
        for size, found in curve["rows"].items()
    ]
    return _markdown(["set", "rows", *searches, "behind all rows"], rows)


def codec_searches(figures: Figures) -> str:
    """Searches over one table in one database, each with the list that finds 0.98."""
    search = figures["search"]
    rows = []
    for name, found in search["at_recall"]["0.98"].items():
        index = search["indexes"].get(name)
        rows.append(
            [
                name,
                f"{found['list']:.0f}",
                f"{found['recall']:.3f}",
                f"{found['milliseconds']:.2f}",
                f"{found['queries_a_second']:.0f}",
                f"{found['pages']:.0f}",
                f"{index['bytes'] / 2**20:.0f}" if index else "",
                f"{index['seconds']:.0f}" if index else "",
            ]
        )
    scan, alone = search["scan"], search["bits only"]
    rows.append(["exact scan", "", "1", f"{scan['milliseconds']:.0f}", "", f"{scan['pages']:.0f}"])
    rows[-1] += ["", ""]
    head = ["search", "list", "recall@10", "median ms", "queries/s, 2 clients", "pages a query"]
    return (
        f"{_markdown([*head, 'index MiB', 'index s'], rows)}\n\n"
        f"{search['rows']:,} rows, 384 dimensions. Codes alone, without any float column, reach "
        f"{alone['recall']:.3f} with a list of {alone['candidates']:,.0f}."
    )


def codec_writing(figures: Figures) -> str:
    """Microseconds a row of every way to make codes in the database."""
    rows = []
    for name, found in figures["encode"].items():
        backfill = found["backfill"]
        rows.append(
            [
                name,
                *(
                    f"{found[way]['microseconds_a_row']:.0f}"
                    for way in ("tables", "column", "constants")
                ),
                f"{figures['trigger'][name]:.0f}",
                f"{backfill['numpy_microseconds_a_row']:.0f}",
                f"{backfill['in_database_microseconds_a_row']:.0f}",
            ]
        )
    head = ["codec", "encode", "column's function", "constants", "trigger"]
    return _markdown([*head, "backfill by NumPy", "backfill in SQL"], rows)


def codec_layouts(figures: Figures) -> str:
    """An exact Hamming scan, and what each layout takes."""
    layouts = figures["search"]["layouts"]
    times = _markdown(
        ["exact Hamming scan of 256 bits", "median ms"],
        [[name, f"{value:.1f}"] for name, value in layouts["milliseconds"].items()],
    )
    sizes = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in layouts["bytes"].items())
    return f"{times}\n\nSizes: {sizes}."


def qdrant_table(figures: Figures) -> str:
    """Qdrant's quantizers and ours, mean over the judged sets."""
    rows = [
        [
            label,
            f"{found['bytes']:.0f}",
            _pair(found),
            _pair(found["rescored"]),
            f"{found['milliseconds']:.2f}",
            f"{found['rescored_milliseconds']:.2f}",
        ]
        for label, found in figures["mean"].items()
    ]
    head = ["kept as", "bytes", "recall@10 / retention", "rescored"]
    table_ = _markdown([*head, "ms a query", "rescored ms"], rows)
    sets = ", ".join(figures["mean_over"])
    gains = ", ".join(f"{gain:+.3f} at {size} bytes" for size, gain in figures["gains"].items())
    return (
        f"{table_}\n\nMean of {sets}; retention is of nDCG@10. Recall@10 beyond that of TurboQuant "
        f"of the vectors with 1, 2 and 4 bits: {gains}."
    )


def qdrant_sets(figures: Figures) -> str:
    """What was chosen for each set and budget, beside TurboQuant of the vectors."""
    peers = {48: "TurboQuant 1 bits", 96: "TurboQuant 2 bits", 192: "TurboQuant 4 bits"}
    rows = []
    for name, found in figures["sets"].items():
        for size, peer in peers.items():
            ours, theirs = found[f"ours for {size} bytes"], found[peer]
            rows.append([name, ours["chosen"], f"{ours['bytes']:.0f}", _pair(ours), _pair(theirs)])
    return _markdown(["set", "chosen", "bytes", "ours", "TurboQuant"], rows, 2)


def qdrant_costs(figures: Figures) -> str:
    """Upsert and search with and without codes."""
    costs = figures["costs"]
    rows = [
        [
            name,
            f"{costs[key]['plain']:.2f}",
            f"{costs[key]['codes']:.2f}",
            f"{costs[ratio]:.2f}",
        ]
        for name, key, ratio in (
            ("upsert, s", "upsert_seconds", "upsert_ratio"),
            ("search, ms a query", "search_milliseconds", "search_ratio"),
        )
    ]
    table_ = _markdown(["", "vectors as they are", "with codes", "times"], rows)
    return f"{table_}\n\n{costs['rows']:,} rows, {costs['dimensions']} dimensions, in process."


def qdrant_parallel(figures: Figures) -> str:
    """Upsert, move and its check by number of threads, in process."""
    seconds, processor = figures["seconds"], figures["processor_seconds"]
    threads = [name.removeprefix("upsert ") for name in seconds if name.startswith("upsert ")]
    rows = [
        [what, *(f"{seconds[f'{what} {n}']:.1f}" for n in threads), f"{processor[f'{what} 1']:.2f}"]
        for what in ("upsert", "move", "verify")
    ]
    heads = [f"s, {n} thread{'s' if n != '1' else ''}" for n in threads]
    table_ = _markdown(["", *heads, "processor s"], rows)
    return (
        f"{table_}\n\n{figures['rows']:,} rows, {figures['dimensions']} dimensions, 384 bits. "
        "Processor time with one thread; encoding alone takes "
        f"{processor['encode']:.2f} s, an upsert of the vectors as they are "
        f"{processor['plain']:.2f} s. Load average {figures['load']:.0f}."
    )


def qdrant_curves(figures: Figures) -> str:
    """Searches with a graph, each with the list that finds 0.98, and what is kept for them."""
    search = figures["search"]
    rows = []
    for name, cost in search["costs"].items():
        found = search["at_recall"]["0.98"].get(name)
        cells = ["", "", ""]
        if name not in search["curves"]:
            cells = ["", f"{search['scan']['recall']:g}", f"{search['scan']['milliseconds']:.2f}"]
        elif found:
            cells = [f"{found['list']:.0f}", f"{found['recall']:.3f}"]
            cells.append(f"{found['milliseconds']:.2f}")
        kept = (cost[f"{what}_bytes"] / 2**20 for what in ("vector", "graph", "disk"))
        rows.append([name, *cells, *(f"{size:.0f}" for size in kept)])
        rows[-1] += [f"{cost['upsert_seconds']:.0f}", f"{cost['index_seconds']:.0f}"]
    head = ["kept as", "list", "recall@10", "median ms", "walked MiB", "graph MiB", "disk MiB"]
    table_ = _markdown([*head, "upsert s", "index s"], rows)
    return f"{table_}\n\n{search['rows']:,} rows; seconds of processor time."


def qdrant_alone(figures: Figures) -> str:
    """Searches with a graph that take the order of the quantized vectors, by the list's length."""
    search = figures["search"]
    lengths = [point["list"] for point in next(iter(search["alone"].values()))]
    rows = [
        [name, *(f"{p['recall']:.3f} ({p['milliseconds']:.2f})" for p in points)]
        for name, points in search["alone"].items()
    ]
    table_ = _markdown(["kept as", *(f"list of {n:,}" for n in lengths)], rows)
    return f"{table_}\n\n{search['rows']:,} rows; recall@10, in brackets median milliseconds."


def growth_table(figures: Figures) -> str:
    """Milliseconds of a query by wanted recall and rows."""
    runs = [*figures["growth"], figures["search"]]
    rows = []
    for wanted in runs[-1]["at_recall"]:
        for name in runs[-1]["curves"]:
            points = [run["at_recall"][wanted].get(name) for run in runs]
            if any(points):
                cells = [f"{p['milliseconds']:.2f} ({p['list']:.0f})" if p else "" for p in points]
                rows.append([wanted, name, *cells])
    head = ["recall@10", "search", *(f"{run['rows']:,} rows" for run in runs)]
    return f"{_markdown(head, rows, 2)}\n\nMedian milliseconds, in brackets the list's length."


def plan_table(figures: Figures) -> str:
    """Share of plans that fresh queries kept, of those that were made."""
    goals = list(next(iter(next(iter(figures["sets"].values())).values()))["targets"])
    rows = []
    for name, kinds in figures["sets"].items():
        for kind, found in kinds.items():
            cells = [
                f"{t['kept']:.0%} of {t['planned']} ({t['fresh_recall']:.3f})"
                if t["planned"]
                else "none made"
                for t in found["targets"].values()
            ]
            rows.append([name, kind, str(found["queries"]), *cells])
    table_ = _markdown(["set", "queries", "number", *goals], rows, 2)
    return (
        f"{table_}\n\n{figures['trials']} trials, half of the queries for the plan and half fresh; "
        "in brackets the mean recall of the fresh ones."
    )


def drift_table(figures: Figures) -> str:
    """What was noticed and advised, by what was done to the sample."""
    rows = [
        [
            name,
            kind,
            f"{found['noticed'][kind]:.0%}",
            *(str(advice.get(a, 0)) for a in ("keep", "recalibrate", "refit")),
        ]
        for name, found in figures["sets"].items()
        for kind, advice in found["advice"].items()
    ]
    return _markdown(["set", "sample", "noticed", "keep", "recalibrate", "refit"], rows, 2)


def reports_table(figures: Figures) -> str:
    """The report's advice on each set."""
    rows = [
        [name, size, found["chosen"], found["headline"]]
        for name, sizes in figures["sets"].items()
        for size, found in sizes.items()
    ]
    target = f"Target recall@10 {figures['target_recall']:g}, {figures['bits']} bits."
    return f"{_markdown(['set', 'rows', 'chosen', 'advice'], rows, 4)}\n\n{target}"


def sqlalchemy_overhead_table(figures: Figures) -> str:
    """One query by the builder, by hand through the same engine, and by the driver alone."""
    names = {
        "once": "`funnel`, made once",
        "anew": "`funnel`, made for each query",
        "text": "`text()` by hand",
        "psycopg": "psycopg by hand",
    }
    rows = []
    for name, title in names.items():
        beyond = figures["beyond"].get(name, {})
        shares = [f"{beyond[side]:+.0%}" if beyond else "" for side in ("text", "psycopg")]
        rows.append([title, f"{figures['milliseconds'][name]:.2f}", *shares])
    table_ = _markdown(["search", "median ms", "beyond `text()`", "beyond psycopg"], rows)
    return (
        f"{table_}\n\n{figures['rows']:,} rows of {figures['bits']} bits, HNSW on the first "
        f"{figures['prefix_bits']}, {figures['candidates']} candidates."
    )


def mteb_check_table(figures: Figures) -> str:
    """nDCG@10 by MTEB, and how far ours is from it, for each set and comparison."""
    sets = {name: found["additive"] for name, found in figures.items() if isinstance(found, dict)}
    kinds = list(next(iter(sets.values())))
    rows = [
        [
            set_,
            kind,
            f"{(found := both[kind])['mteb']:.4f}",
            f"{found['difference']:.4f}",
            f"{found['by_ids']:.4f}" if "by_ids" in found else "",
        ]
        for set_, both in sets.items()
        for kind in kinds
    ]
    table_ = _markdown(["set", "comparison", "MTEB", "apart", "by ids"], rows, 2)
    return f"{table_}\n\nAdditive codes of {figures['bits']} bits; MTEB {figures['mteb']}."


def sentence_transformers_cost_table(figures: Figures) -> str:
    """A text encoded as it is, and to codes of each kind."""
    names = {
        "embeddings": "embeddings alone",
        "itq": "codes, ITQ",
        "additive, compiled": "additive codes, extra `fast`",
        "additive, NumPy": "additive codes, NumPy alone",
    }
    rows = []
    for name, title in names.items():
        found = figures[name]
        share = "" if name == "embeddings" else f"{found['beyond']:+.1%}"
        rows.append([title, f"{found['milliseconds_of_a_text']:.1f}", share])
    table_ = _markdown(["`encode_document` gives", "median ms a text", "beyond embeddings"], rows)
    return (
        f"{table_}\n\n{figures['texts']:,} texts of {figures['median_characters']:.0f} characters "
        f"(median), {figures['bits']} bits, one core."
    )


def django_overhead_table(figures: Figures) -> str:
    """One query by the queryset, by its own SQL through Django, and by the driver alone."""
    names = {
        "prepared": "`prepare_search()`, once",
        "search": "`search(query).values_list(...)`",
        "objects": "`search(query)`, as objects",
        "cursor": "its SQL by Django's cursor",
        "psycopg": "its SQL by psycopg",
    }
    rows = []
    for name, title in names.items():
        ratio = figures["ratio"].get(name, {})
        ratios = [f"{ratio[side]:.2f}" if ratio else "" for side in ("cursor", "psycopg")]
        taken = [f"{figures[f'{of}_milliseconds'][name]:.2f}" for of in ("processor", "client")]
        rows.append([title, *taken, *ratios])
    head = ["search", "processor ms", "of these the client's", "to the cursor", "to psycopg"]
    return (
        f"{_markdown(head, rows)}\n\n{figures['rows']:,} rows of {figures['bits']} bits, HNSW on "
        f"the first {figures['prefix_bits']}, {figures['candidates']} candidates; processor time "
        "of client and server, medians, and ratios of the same query's."
    )


def partitions_table(figures: Figures) -> str:
    """Searches of one table and of its partitions: milliseconds of the processor and recall."""
    ways = ("exact", "exact, shorter lists", "asymmetric", "search", "one tenant")
    rows = []
    for name, found in figures["searches"].items():
        kind, count = name.split("_")
        cells = [
            f"{found[way]['processor_ms']:.2f} ({found[way]['recall']:.3f})" if way in found else ""
            for way in ways
        ]
        cells.insert(1, f"{figures['lists'][name]}" if kind != "one" else "")
        rows.append([count, "" if kind == "one" else kind, *cells])
    head = [
        *("partitions", "by", "all", "shorter lists of", "all, shorter lists", "`asymmetric`"),
        *("`bitryoshka.search`", "one tenant of 16"),
    ]
    return (
        f"{_markdown(head, rows, 2)}\n\n{figures['rows']:,} rows, 384 bits, 100 candidates, "
        "ranked by their vectors but for `asymmetric`; median milliseconds of the processor, "
        "recall@10 in brackets."
    )


def partition_builds_table(figures: Figures) -> str:
    """Seconds of the processor for the indexes of all partitions, and their size."""
    builds = figures["builds"]
    rows = []
    for name, found in builds["512MB"].items():
        kind, count = name.split("_")
        low = builds["8MB"].get(name)
        seconds = [found["processor_s"], found["longest_processor_s"], low and low["processor_s"]]
        cells = [f"{value:.1f}" if value else "" for value in (*seconds, found["index_mib"])]
        rows.append([count, "" if kind == "one" else kind, *cells])
    head = ["partitions", "by", "all", "the longest", "all, with 8 MB", "index MiB"]
    return _markdown(head, rows, 2)


def pruning_table(figures: Figures) -> str:
    """How many partitions are read under each form of a filter, whatever the kind of plan."""
    rows = []
    for form, found in figures["partitions_read_of_16"].items():
        read_ = sorted({found["custom"], found["generic"]})
        rows.append([form, f"`{FORMS[form]}`", " or ".join(map(str, read_))])
    return _markdown(["one value, or two", "filter", "partitions read, of 16"], rows, 2)


def duckdb_table(figures: Figures) -> str:
    """Milliseconds of a query, how much faster than floats, and what is found."""
    titles = {
        "float": "floats, cosine similarity",
        "float, inner product": "floats, inner product",
        "hamming": "Hamming distance alone, codes as BLOB",
        "hamming, BIT": "the same, stored as BIT",
        "two stages": "`search`",
        "then exact": '`search(rescore="exact")`, vectors in the table',
        "float, Parquet": "floats from Parquet",
        "hamming, Parquet": "Hamming distance alone, from Parquet",
        "two stages, Parquet": "`search` from Parquet",
    }
    rows = []
    for name, title in titles.items():
        faster = figures["times_faster"].get(name)
        rows.append(
            [
                title,
                f"{figures['milliseconds'][name]:.0f}",
                f"{faster:.1f}" if faster else "",
                f"{figures['recall'][name]:.3f}",
            ]
        )
    table_ = _markdown(["search", "ms", "times faster", "recall@10"], rows)
    files, tables = figures["parquet_bytes"], figures["table_bytes"]
    return (
        f"{table_}\n\n{figures['rows']:,} made-up rows of {figures['dimensions']} dimensions, "
        f"{figures['bits']} bits, {figures['candidates']} candidates, "
        f"{figures['threads']} thread, medians of a processor's time "
        f"(`python -m benchmarks.duckdb_search`). Recall of Hamming distance alone is that of its "
        f"list of {figures['candidates']}. In Parquet codes take "
        f"{files['codes'] / 1e6:.0f} MB and vectors {files['vectors'] / 1e6:.0f}, in DuckDB's own "
        f"file {tables['codes'] / 1e6:.0f} (as BIT {tables['bits'] / 1e6:.0f}) and "
        f"{tables['vectors'] / 1e6:.0f}."
    )


def training_loss_table(figures: Figures) -> str:
    """nDCG@10 of codes by what the model was trained for, and what the loss added."""
    groups = figures["groups"]
    keys = list(next(iter(groups.values()))["ndcg"]["tuned"])
    head = [key.replace("asymmetric", "float query").replace("hamming", "Hamming") for key in keys]
    parts = []
    for name, group in groups.items():
        rows = [
            [label, *(f"{values[key]:.3f}" for key in keys)]
            for label, values in group["ndcg"].items()
        ]
        rows += [
            [f"*{label}*", *(_difference(values[key]) for key in keys)]
            for label, values in group["differences"].items()
        ]
        title = f"{group['queries']} queries to {name} documents"
        parts.append(_markdown([title, *head], rows))
    facts = f"{figures['pairs']} training pairs, {figures['documents']:,} documents"
    return "\n\n".join([*parts, f"nDCG@10; {facts}, {figures['seeds']} seeds."])


def engine_load_table(figures: Figures) -> str:
    """Loads by the clock, what a row costs, and what that means for many."""
    names = {
        "one process": "one process",
        "a process a core": "a pool of processes",
        "Ray": "Ray",
        "Spark": "Spark",
    }
    rows = [
        [
            title,
            f"{figures['rows_per_second'][name]:,.0f}",
            f"{figures['times_one_process'][name]:.2f}",
        ]
        for name, title in names.items()
    ]
    table_ = _markdown(["load", "rows/s", "times one process"], rows)
    cost, plan = figures["rows_per_processor_second"], figures["planned"]
    return (
        f"{table_}\n\n{figures['rows']:,} rows of {figures['dimensions']} dimensions in "
        f"{figures['pieces']} pieces, {figures['bits']} bits, {figures['workers']} workers on as "
        "many cores, which the server shares with them, at a load average of "
        f"{figures['load_average']:.0f} (`python -m benchmarks.engine_load`). By the time of one "
        f"processor, which other work hardly changes: reading and encoding "
        f"{cost['reading and encoding']:,.0f} rows/s, COPY in the client "
        f"{cost['COPY, client']:,.0f}, in the server {cost['COPY, server']:,.0f}.\n\n"
        f"So {plan['rows'] / 1e6:.0f} million rows on {plan['workers']} workers, a core each: "
        f"{plan['rows_per_second_of_a_worker']:,.0f} rows/s and worker, "
        f"{plan['minutes_of_workers']:.1f} minutes of theirs; and "
        f"{plan['minutes_of_one_server_processor']:.1f} minutes of one processor of the server, "
        "divided by as many as it has to spare, if its disk keeps up. The workers' share falls "
        "with their number, the server's does not: the longer one is what the load takes."
    )


BLOCKS: dict[str, tuple[str, Callable[[Figures], str]]] = {
    "demo-line": ("demo", demo_line),
    "demo": ("demo", demo_table),
    "postgres": ("demo", postgres_table),
    "few": ("quality", few_block),
    "bytes": ("quality", first_block),
    "quality": ("quality", quality_means),
    "quality-bytes": ("quality", quality_bytes),
    "sweep": ("sweep", sweep_table),
    "encode": ("encode", encode_lines),
    "encode-peers": ("encode", encode_peers),
    "closed-form": ("closed_form", closed_form_table),
    "other-models": ("quality_other_models", quality_sets),
    "documents": ("quality_documents", quality_sets),
    "ablation": ("ablation", ablation_table),
    "hostile": ("hostile", hostile_table),
    "training": ("training", training_table),
    "subsample": ("training", subsample_table),
    "codec-searches": ("postgres", codec_searches),
    "codec-growth": ("postgres", growth_table),
    "codec-writing": ("postgres", codec_writing),
    "codec-layouts": ("postgres", codec_layouts),
    "qdrant": ("qdrant", qdrant_table),
    "qdrant-sets": ("qdrant", qdrant_sets),
    "qdrant-costs": ("qdrant", qdrant_costs),
    "qdrant-parallel": ("qdrant_parallel", qdrant_parallel),
    "qdrant-curves": ("qdrant_curves", qdrant_curves),
    "qdrant-alone": ("qdrant_curves", qdrant_alone),
    "qdrant-growth": ("qdrant_curves", growth_table),
    "plan": ("plan", plan_table),
    "drift": ("drift", drift_table),
    "reports": ("reports", reports_table),
    "mteb-check": ("mteb_check", mteb_check_table),
    "sentence-transformers-cost": (
        "sentence_transformers_cost",
        sentence_transformers_cost_table,
    ),
    "django-overhead": ("django_overhead", django_overhead_table),
    "duckdb": ("duckdb_search", duckdb_table),
    "engine-load": ("engine_load", engine_load_table),
    "list-codes": ("lists", codes_block),
    "list-graphs": ("lists", graphs_block),
    "list-pages": ("lists", pages_block),
    "memory-line": ("memory", line_block),
    "memory-times": ("memory", times_block),
    "memory-rates": ("memory", rates_block),
    "memory-settings": ("memory", settings_block),
    "memory-builds": ("memory", builds_block),
    **MEMORY_QDRANT,
    **SCALE,
    "partitions": ("partitions", partitions_table),
    "partition-builds": ("partitions", partition_builds_table),
    "partition-pruning": ("partitions", pruning_table),
    "sqlalchemy-overhead": ("sqlalchemy_overhead", sqlalchemy_overhead_table),
    "training-loss": ("training_loss", training_loss_table),
}


def render(text: str, folder: Path = FOLDER) -> str:
    """The text with its blocks filled; ValueError for a block that is unknown or not closed."""

    def fill(found: re.Match[str]) -> str:
        name = found[2]
        if name not in BLOCKS:
            raise ValueError(f"block {name!r} is unknown, expected one of {', '.join(BLOCKS)}")
        file, renderer = BLOCKS[name]
        return f"{found[1]}{renderer(read(folder / f'{file}.json')['figures'])}\n{found[4]}"

    filled, count = _BLOCK.subn(fill, text)
    marks = _MARK.findall(text)
    if len(marks) != 2 * count:
        raise ValueError(f"expected a begin and an end for every block, found {marks}")
    return filled


def main(arguments: Sequence[str] | None = None, pages: Sequence[Path] = PAGES) -> int:
    """Rewrite the pages in place; with ``--check`` only say whether one is stale (1)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 where a page is stale")
    check = parser.parse_args(arguments).check
    stale = 0
    for page in pages:
        before = page.read_text(encoding="utf-8")
        after = render(before)
        if check and before != after:
            print(f"{page.name} is stale: run python -m benchmarks.readme", file=sys.stderr)
            stale = 1
        elif before != after:
            page.write_text(after, encoding="utf-8")
    return stale


if __name__ == "__main__":
    sys.exit(main())
