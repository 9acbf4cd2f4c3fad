"""The report: what it finds, what it advises, and a page that every reader can use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import CONTRAST, DESKTOP, PHONE, Browser, browser
from synthetic import clustered

from bitryoshka import Binarizer, SearchError, VectorsError, cli, fit
from bitryoshka.planning import Plan
from bitryoshka.postgres.server import Connection
from bitryoshka.report import Findings, measure_codes, to_html, to_markdown
from bitryoshka.report.advice import Option, SwitchAdvice, advise, cheapest, memory, size

ROWS, QUERIES = clustered(0, 1200), clustered(1, 200)
MANY = 50_000_000
PLAN = Plan(
    k=10,
    target_recall=0.9,
    prefix_bits=64,
    candidates=100,
    rescore="exact",
    recall=0.93,
    recall_at_least=0.91,
    confidence=0.95,
    cost=130.0,
    rows=1000,
    queries=200,
    fingerprint="0",
)


@pytest.fixture(scope="module")
def found() -> Findings:
    judgements = [{i: 1.0, i + 1: 2.0} for i in range(len(QUERIES))]
    return measure_codes(
        ROWS,
        QUERIES,
        judgements,
        bits=48,
        target_recall=0.9,
        rows=MANY,
        source="<b>notes & papers</b>",
        texts=[f"text <script>alert({i})</script> | number {i}" for i in range(len(ROWS))],
        query_texts=["a question " * 40 + str(i) for i in range(len(QUERIES))],
    )[0]


@pytest.fixture(scope="module")
def page(found: Findings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(to_html(found), "utf-8")
    return file


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def option(method: str, plan: Plan | None = PLAN, failure: str = "") -> Option:
    return Option(method, f"{method} (of a kind)", 384, plan, failure)


def advice(*options: Option, rows: int = MANY) -> SwitchAdvice:
    return advise(cheapest(options), options, 384, rows)


class TestAdvice:
    def test_few_rows_are_left_alone(self) -> None:
        found = advice(option("itq"), rows=100_000)
        assert not found.switch
        assert "cheap enough" in found.headline
        assert "100,000 rows need 175 MiB" in found.reasons[0]
        assert "102 MiB of float16 (halfvec)" in found.reasons[0]
        many = int(found.next_command.split()[-1])
        assert not advice(option("itq"), rows=many - 1).switch
        assert advice(option("itq"), rows=many).switch

    def test_a_target_out_of_reach(self) -> None:
        found = advice(option("itq", None, "no plan reaches it"), option("sign", None, "nor this"))
        assert (found.switch, found.reasons) == (False, ("No plan reaches it.",))
        assert found.next_command == "bitryoshka report VECTORS --bits 768"

    def test_codes_that_pay(self) -> None:
        signs = option("sign", replace(PLAN, cost=260.0))
        found = advice(signs, option("itq"), option("progressive", replace(PLAN, cost=150.0)))
        assert (found.switch, found.headline) == (True, "Switch to ITQ codes of 384 bits")
        assert "sign (of a kind), 100 candidates on 64 bits, at 2.0 times" in found.reasons[-2]
        assert "384 bits do not reach the target: longer" in found.reasons[-1]
        assert "sign bits do not" in advice(option("itq"), option("sign", None)).reasons[-2]
        assert "instead of 49.7 GiB of float16 (halfvec) or 85.5 GiB of float32" in found.reasons[1]
        assert found.next_command.endswith("--bits 384 --method itq")
        assert any("plan again on the whole table" in reason for reason in found.reasons)

    def test_sign_bits_that_are_enough(self) -> None:
        signs = option("sign", replace(PLAN, cost=65.0, shortlist=50))
        found = advice(signs, option("itq"))
        assert "plain sign bits" in found.headline
        assert "reads 50 of them" in " ".join(found.reasons)
        assert "ITQ (of a kind), 100 candidates on 64 bits, at 2.0 times the" in found.reasons[-2]
        assert "plain sign bits" in advice(option("sign")).headline

    @pytest.mark.parametrize("bits", [64, 384])
    def test_sign_bits_are_indexed_by_the_next_command(
        self, connection: Connection, bits: int
    ) -> None:
        found = advice(option("sign", replace(PLAN, prefix_bits=bits)))
        connection.execute("CREATE TABLE docs (id bigint, embedding vector(384))")
        connection.execute("INSERT INTO docs SELECT 1, array_fill(0.5::real, ARRAY[384])::vector")
        connection.execute(found.next_command.encode())
        [(definition,)] = connection.execute("SELECT indexdef FROM pg_indexes").fetchall()[-1:]
        assert f"bit({bits})" in definition

    def test_a_method_has_to_save_more_than_a_tenth(self) -> None:
        for cost, headline in ((120.0, "plain sign bits"), (110.0, "ITQ codes")):
            found = advice(option("sign"), option("itq", replace(PLAN, cost=cost)))
            assert headline in found.headline

    def test_codes_alone_are_told_of_where_vectors_are_cheaper(self) -> None:
        alone = replace(PLAN, rescore="asymmetric", cost=390.0)
        found = advice(option("itq"), option("progressive", alone))
        assert "Switch to ITQ codes" in found.headline
        assert found.reasons[-1].startswith("Without stored vectors: progressive (of a kind)")
        assert "at 3.0 times" in found.reasons[-1]
        only = advice(option("progressive", alone))
        assert not any("Without" in reason for reason in only.reasons)
        assert any("48 bytes a row hold everything" in reason for reason in only.reasons)

    def test_memory(self) -> None:
        first, _, last = memory(384, (64,), 1000)
        assert (first.bytes_per_vector, first.graph) == (1536, 1_836_000)
        assert (last.name, last.vectors) == ("64 bits", 8000)
        assert [size(n) for n in (5, 2048, 2**31, 2**50)] == [
            "5 B",
            "2.0 KiB",
            "2.0 GiB",
            "1024.0 TiB",
        ]


class TestFindings:
    def test_every_method_is_there(self, found: Findings) -> None:
        names = [m.name for m in found.methods]
        assert names == ["sign", "centred", "rotation", "itq", "progressive", "additive"]
        assert found.chosen.split(" ")[0] in names
        for method in found.methods:
            for curve in (method.hamming, method.asymmetric, method.candidates, method.ndcg):
                assert curve is not None
                assert all(y.low <= y.mean <= y.high for y in curve.y)
            assert method.candidates.y[-1].mean >= method.candidates.y[0].mean
        assert [o.method for o in found.options if o.label == found.advised]
        for option in found.options:
            assert (option.plan is None) == bool(option.failure)
        best = min(o.plan.cost for o in found.options if o.plan is not None)
        assert found.plan is not None
        assert found.plan.cost <= 1.1 * best
        assert len(found.balance) == 48
        assert 0.9 < found.entropy <= 1
        assert found.spectrum[-1] == 1
        recalls = [w.recall for w in found.worst]
        assert recalls == sorted(recalls)

    def test_as_json(self, found: Findings) -> None:
        content = json.loads(json.dumps(found.as_dict(), allow_nan=False))
        assert content["advice"]["switch"] is found.advice.switch
        assert content["methods"][0]["hamming"]["y"][0].keys() == {"mean", "low", "high"}

    def test_markdown(self, found: Findings) -> None:
        text = to_markdown(found)
        assert text.startswith(f"# {found.advice.headline}\n")
        assert "<script>" not in text
        tables = [line for line in text.splitlines() if line.startswith("|")]
        assert len(tables) > 20

    def test_rows_are_held_out_without_queries(self) -> None:
        found, _ = measure_codes(ROWS, bits=48, target_recall=0.5, method="itq")
        assert (found.queries, found.sampled, found.queries_are_rows) == (240, 960, True)
        assert not found.advice.switch
        assert found.float_ndcg is None
        assert "nDCG" not in to_html(found)

    def test_texts_and_the_target_must_fit(self) -> None:
        with pytest.raises(SearchError, match="target_recall must lie between 0 and 1, found 95"):
            measure_codes(ROWS, target_recall=95)
        with pytest.raises(VectorsError, match="texts must be as many as the 1200 vectors"):
            measure_codes(ROWS, texts=["one"])


class TestPage:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
    def test_in_a_browser(
        self, tab: Browser, page: Path, size: tuple[int, int], scheme: str
    ) -> None:
        tab.open(page, size, scheme)
        tab.run("document.querySelectorAll('details').forEach(d => d.open = true)")
        root = "document.documentElement"
        assert tab.run(f"return {root}.scrollWidth <= {root}.clientWidth")
        assert tab.run(f"return matchMedia('(prefers-color-scheme: {scheme})').matches")
        contrast = tab.run(CONTRAST)
        assert len(contrast) > 100
        assert min(contrast)[0] >= 4.5, min(contrast)
        sizes = tab.run(
            "return [...document.querySelectorAll('svg text')]"
            ".map(e => e.getBoundingClientRect().height)"
        )
        assert min(sizes) >= 10
        assert tab.console() == []
        assert {url for url in tab.requests() if not url.startswith("data:")} == {page.as_uri()}

    def test_a_wide_table_scrolls_within_its_card(self, tab: Browser, page: Path) -> None:
        tab.open(page, PHONE, "light")
        seen = tab.run(
            "const card = document.querySelector('.wide');"
            "const right = e => e.getBoundingClientRect().right;"
            "const seen = cell => right(cell) <= right(card);"
            "const [_, candidates, ...more] = card.querySelector('tbody tr').cells;"
            "const before = [seen(candidates), seen(more.at(-1))];"
            "card.scrollLeft = 10000;"
            "return [...before, seen(more.at(-1))]"
        )
        assert seen == [True, False, True]

    def test_light_and_dark_differ(self, tab: Browser, page: Path) -> None:
        colours = set()
        for scheme in ("light", "dark"):
            tab.open(page, DESKTOP, scheme)
            colours.add(tab.run("return getComputedStyle(document.body).backgroundColor"))
        assert len(colours) == 2

    def test_lines_differ_by_more_than_colour(self, tab: Browser, page: Path) -> None:
        tab.open(page, DESKTOP, "light")
        marks = tab.run(
            "return [...document.querySelectorAll('.legend svg')].map(svg => {"
            "const m = svg.querySelector('.mark');"
            "return m.tagName + (m.getAttribute('d') || '').replace(/^M[0-9. ]+/, '')"
            " + getComputedStyle(svg.querySelector('.line')).strokeDasharray})"
        )
        assert len(marks) == len(set(marks)) == 6

    def test_what_users_wrote_stays_text(self, page: Path) -> None:
        text = page.read_text("utf-8")
        assert "<script" not in text
        assert "&lt;b&gt;notes &amp; papers&lt;/b&gt;" in text


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path | int) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def database_of_rows(connection: Connection, database: str) -> str:
    connection.execute("CREATE TABLE docs (id bigint PRIMARY KEY, embedding halfvec(48))")
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO docs VALUES (%s, %s::halfvec)",
            [(i, str(row.tolist())) for i, row in enumerate(ROWS)],
        )
    connection.execute("INSERT INTO docs VALUES (-1, NULL)")
    return database


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    import qdrant_edge as edge

    folder = tmp_path / "shard"
    folder.mkdir()
    params = edge.EdgeVectorParams(size=48, distance=edge.Distance.Dot)
    opened = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors={"text": params}))
    points = [edge.Point(i, {"text": row.tolist()}) for i, row in enumerate(ROWS)]
    opened.update(edge.UpdateOperation.upsert_points(points))
    opened.flush()
    opened.close()
    return folder


COMMON = ("--bits", 48, "--method", "sign", "--target-recall", 0.5, "--quiet")


class TestCommands:
    def test_a_report_on_files(self, run: Run, tmp_path: Path) -> None:
        np.save(tmp_path / "v.npy", ROWS)
        np.save(tmp_path / "q.npy", QUERIES)
        qrels = "query-id\tcorpus-id\tscore\n" + "".join(f"{i}\t{i}\t1\n" for i in range(200))
        (tmp_path / "qrels.tsv").write_text(qrels)
        (tmp_path / "t.jsonl").write_text("".join(f'{{"text": "t{i}"}}\n' for i in range(1200)))
        (tmp_path / "q.txt").write_text("".join(f"q{i}\n" for i in range(200)))
        code, out, err = run(
            *("report", tmp_path / "v.npy", "--queries", tmp_path / "q.npy"),
            *("--qrels", tmp_path / "qrels.tsv", "--texts", tmp_path / "t.jsonl"),
            *("--query-texts", tmp_path / "q.txt", "-o", tmp_path / "r.html", "--json", *COMMON),
            *("--save", tmp_path / "b.safetensors"),
        )
        assert (code, err) == (0, "")
        content = json.loads(out)
        assert content == json.loads((tmp_path / "r.json").read_text())
        assert content["rows"] == 1200
        assert content["worst"][0]["query"].startswith("q")
        assert (tmp_path / "r.md").read_text().startswith("# Do not switch")
        assert "<!doctype html>" in (tmp_path / "r.html").read_text()
        assert "bitryoshka report VECTORS --rows" in (tmp_path / "r.html").read_text()
        assert Binarizer.load(tmp_path / "b.safetensors").bits == 48

    def test_what_is_told_meanwhile(self, run: Run, tmp_path: Path) -> None:
        np.save(tmp_path / "v.npy", ROWS)
        code, out, err = run("report", tmp_path / "v.npy", "-o", tmp_path / "r.html", *COMMON[:-1])
        first, *stages = err.splitlines()
        assert first.startswith("Do not switch: exact vectors are cheap enough. 1,200 rows need ")
        assert [line for line in stages if line.endswith(" ...")] == [
            "fit ...",
            "fit sign to all rows ...",
            "measure ...",
        ]
        assert code == 0
        assert out.splitlines()[-1].startswith("next: bitryoshka report VECTORS --rows ")

    def test_a_report_on_a_table(self, run: Run, database_of_rows: str, tmp_path: Path) -> None:
        source = ("--from-postgres", database_of_rows, "docs", "embedding")
        code, _, err = run("report", *source, "-o", tmp_path / "r.html", "--sample", 600, *COMMON)
        assert (code, err) == (0, "")
        found = json.loads((tmp_path / "r.json").read_text())
        assert (found["rows"], found["source"]) == (1200, "docs.embedding")
        assert 400 <= found["sampled"] <= 480

    def test_a_report_on_a_shard(self, run: Run, shard: Path, tmp_path: Path) -> None:
        source = ("--from-qdrant", shard, "shard/text")
        code, _, err = run("report", *source, "-o", tmp_path / "r.html", "--sample", 600, *COMMON)
        assert (code, err) == (0, "")
        found = json.loads((tmp_path / "r.json").read_text())
        assert (found["rows"], found["sampled"]) == (1200, 480)

    def test_check_a_file_a_table_and_a_shard(
        self, run: Run, database_of_rows: str, shard: Path, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "v.npy", ROWS)
        np.save(tmp_path / "moved.npy", ROWS + 0.2)
        codec = tmp_path / "b.safetensors"
        assert run("fit", tmp_path / "v.npy", "-o", codec, *COMMON[:4], "--quiet")[0] == 0
        for source in (
            (tmp_path / "v.npy",),
            ("--from-postgres", database_of_rows, "public.docs", "embedding"),
            ("--from-qdrant", shard, "shard"),
        ):
            code, out, err = run("check", codec, *source)
            assert (code, out[:5], err) == (0, "keep:", "")
            again = tmp_path / "again.safetensors"
            assert run("fit", *source, "-o", again, *COMMON[:4], "--quiet") == (0, "", "")
            assert Binarizer.load(again).info["rows"] == 1200
        code, out, _ = run(
            "check", codec, tmp_path / "moved.npy", "--json", "--recalibrated", again
        )
        assert code == 1
        assert json.loads(out)["advice"] in ("recalibrate", "refit")
        assert Binarizer.load(again).info["recalibrated_from"] == Binarizer.load(codec).fingerprint

    def test_a_bad_row_is_named_by_its_number_in_the_source(self, run: Run, tmp_path: Path) -> None:
        codec, zero, nan = (tmp_path / n for n in ("b.safetensors", "zero.npy", "nan.npy"))
        fit(ROWS, bits=48, method="sign").binarizer.save(codec)
        rows = np.tile(ROWS, (5, 1))
        rows[5000] = 0
        np.save(zero, rows)
        rows[5000, 7] = np.nan
        np.save(nan, rows)
        report = ("report", "-o", tmp_path / "r.html", *COMMON, "--sample")
        for arguments in (
            ("check", codec, "--seed", 1),  # which looks at row 5000
            (*report, 5900, "--seed", 1),
            (*report, 6000),
        ):
            code, _, err = run(*arguments, zero)
            assert (code, err.count("\n")) == (2, 1)
            assert err.startswith("error: zero.npy must be non-zero"), arguments
            assert err.endswith(" row 5000 is zero\n")
            assert run(*arguments, nan)[2].endswith(" found nan in row 5000, column 7\n")
        # seed 0 looks at other rows, and a reference is looked at as a whole
        _, _, err = run("check", codec, zero, "--reference", zero, "--seed", 0)
        assert err.startswith("error: reference must be non-zero")
        assert err.endswith(" row 5000 is zero\n")

    def test_a_sample_names_rows_as_its_source_does(
        self, run: Run, database_of_rows: str, shard: Path, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "v.npy", np.tile(ROWS, (5, 1)))
        for source, name, most in (
            ((tmp_path / "v.npy",), "row", 6000),
            (("--from-postgres", database_of_rows, "docs", "embedding"), "sampled row", 600),
            (("--from-qdrant", shard, "shard/text"), "point", 1200),
        ):
            code, out, err = run(
                *("report", *source, "-o", tmp_path / "r.html", "--sample", 600, "--json", *COMMON)
            )
            assert (code, err) == (0, "")
            worst = json.loads(out)["worst"]
            numbers = [
                int(text.removeprefix(f"{name} "))
                for query in worst
                for text in (query["query"], *query["expected"], *query["found"])
            ]
            assert all(0 <= number < most for number in numbers)
            assert (max(numbers) >= 600) == (most > 600)

    def test_bad_vectors_of_a_table_and_a_shard(
        self, run: Run, connection: Connection, database_of_rows: str, shard: Path, tmp_path: Path
    ) -> None:
        import qdrant_edge as edge

        codec = tmp_path / "b.safetensors"
        fit(ROWS, bits=48, method="sign").binarizer.save(codec)
        connection.execute("UPDATE docs SET embedding = array_fill(0, ARRAY[48])::halfvec")
        code, _, err = run("check", codec, "--from-postgres", database_of_rows, "docs", "embedding")
        assert code == 2
        assert err.startswith("error: docs.embedding must be non-zero")
        assert err.endswith(" sampled row 0 is zero\n")
        opened = edge.EdgeShard.load(str(shard))
        zero = edge.Point(777, {"text": [0.0] * 48})
        opened.update(edge.UpdateOperation.upsert_points([zero]))
        opened.flush()
        opened.close()
        code, _, err = run("check", codec, "--from-qdrant", shard, "shard")
        assert (code, err.endswith(" point 777 is zero\n")) == (2, True)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((), "expected one of VECTORS, --from-postgres and --from-qdrant"),
            (("--from-postgres", "port=1 host=/nowhere", "t", "c"), "no Postgres server"),
            (("--from-qdrant", "nowhere", "c"), "no such folder"),
            (("--from-qdrant", "http://127.0.0.1:9", "c"), "no answer from the server"),
            (("--qrels", "x"), "--qrels needs --queries"),
            (("-o", "r.txt"), "must be called .html"),
            (
                ("--target-recall", "95"),
                "must lie between 0 and 1, found 95.0; 95 percent are 0.95",
            ),
        ],
    )
    def test_an_error_is_one_line(self, run: Run, arguments: tuple[str, ...], message: str) -> None:
        code, out, err = run("report", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err

    @pytest.mark.parametrize(
        ("table", "column", "message"),
        [
            ("docs", "id", "type vector or halfvec, found int8"),
            ("docs", "other", "found one of ['embedding', 'id']"),
            ("nothing", "embedding", "there is no table public.nothing"),
        ],
    )
    def test_tables_that_do_not_fit(
        self, run: Run, database_of_rows: str, table: str, column: str, message: str
    ) -> None:
        code, _, err = run("report", "--from-postgres", database_of_rows, table, column)
        assert code == 2
        assert message in err
