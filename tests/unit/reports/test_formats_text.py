"""Formats for people against golden files, and what no text of a server may do in any of them.

After a wanted change, write the golden files again and read the diff:
`PYTHONPATH=.:tests python tests/unit/reports/test_formats_text.py`.
"""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.outcomes.report import CheckResult, Report, SloResult
from loadgen.reports.export import csv_requests, csv_summary, github_benchmark, markdown, summary_json
from loadgen.reports.text import plain, run_text
from support import report_samples as samples
from support.inert import HOSTILE, assert_inert, tokens
from support.made_runs import row
from support.report_samples import result_of

GOLDEN = Path(__file__).parents[2] / "support" / "golden"
EVIL = '=HYPERLINK("http://evil","x") | `code` <script>alert(1)</script> @everyone #1 [a](b)'


ROWS = [row(0, tokens=3),
        row(1, due=5_000_000, tokens=0, failure="http_5xx", failure_type=EVIL, detail="-1+1\n\x1b[31m", status=503,
            output_tokens=-1),
        row(2, due=9_000_000, tokens=1, phase=2, held=True), row(3, sent=-1, end=-1, tokens=0, failure="censored")]
GOLDENS = {
    **{f"markdown_{name}.md": lambda name=name: markdown.render([result_of(samples.ALL[name])])
       for name in ("valid", "invalid", "missed", "unstable", "all_failed", "hostile", "empty")},
    "markdown_two.md": lambda: markdown.render([result_of(samples.valid, "a"), result_of(samples.smoke, "b`|")]),
    "csv_requests.csv": lambda: csv_requests.render([result_of(samples.valid, "=run", ROWS)]),
    "csv_summary.csv": lambda: csv_summary.render([result_of(samples.valid, "a"), result_of(samples.all_failed, "b")]),
    "github_smaller.json": lambda: [github_benchmark.render([result_of(samples.missed)])["smaller.json"]],
    "github_bigger.json": lambda: [github_benchmark.render([result_of(samples.missed)])["bigger.json"]],
}


def rendered(name: str) -> str:
    make: Any = GOLDENS[name]
    return "".join(make())


@pytest.mark.parametrize("name", GOLDENS)
def test_what_is_written_is_as_it_was_agreed_on(name: str) -> None:
    assert rendered(name) == (GOLDEN / name).read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    found = {path.name for pattern in ("markdown_*", "csv_*", "github_*") for path in GOLDEN.glob(pattern)}
    assert found == set(GOLDENS)


@pytest.mark.parametrize("name", samples.ALL)
def test_every_format_of_numbers_takes_every_report(name: str) -> None:
    results = [result_of(samples.ALL[name], "a"), result_of(samples.valid, "b")]
    for module in (markdown, csv_summary, summary_json, plain):
        assert "".join(module.render(results))
    for content in github_benchmark.render(results).values():
        assert [entry for entry in json.loads(content) if entry["name"].startswith("b ")]


# Markdown.

@settings(max_examples=300, deadline=None)
@given(HOSTILE)
def test_no_text_of_a_server_is_markup_for_github(evil: str) -> None:
    assert_inert(lambda text: markdown.section(hostile(text)), evil)


def hostile(evil: str) -> Report:
    verdict = replace(samples.invalid.verdict, notes=(evil,), gates=(SloResult(evil, True, 1, 2),),
                      checks=(CheckResult(evil, False, evil, evil, "", evil),))
    return replace(samples.invalid, verdict=verdict, plan={**samples.PLAN, "resolved": {"model": evil}},
                   requests={**samples.valid.requests, "failures": {evil: 1}, "types": {evil: {evil: 1}},
                             "examples": {evil: evil}})


@pytest.mark.parametrize("text", ["- a", "+ a", "-", "---", "- - -", "12. a", "1) a", "+1 %", "2.5 s", "> a"])
def test_a_line_that_is_an_item_holds_no_other(text: str) -> None:
    found = [token for token in tokens(markdown.bullet(text)) if token.type not in ("text", "text_special")]
    assert [token.type.removesuffix("_open") for token in found if token.nesting != -1] == [
        "bullet_list", "list_item", "paragraph", "inline"]
    assert found[3].content.replace("\\", "").replace("&gt;", ">") == text


def test_a_code_span_is_longer_than_any_fence_in_it() -> None:
    assert markdown.code("a``b`c") == "``` a``b`c ```"
    assert markdown.code("a|b") == "`a|b`"
    assert markdown.code("") == ""


def test_the_cells_of_the_table_are_those_of_the_text() -> None:
    ours = rendered("markdown_valid.md")
    theirs = run_text.render(samples.valid)
    for cell in ("184 ms", "19.8 ms", "75,946", "402 ms"):
        assert cell in ours and cell in theirs
    assert r"341 ms \[314, 368\]" in ours


# CSV.

def read(content: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content)))


def test_a_line_of_csv_is_a_request_in_ms() -> None:
    first, second, third, fourth = read(rendered("csv_requests.csv"))
    assert (first["ttft_ms"], first["tpot_ms"], first["lag_ms"]) == ("50.000000", "10.000000", "0.020000")
    assert (first["outcome"], second["outcome"], fourth["outcome"]) == ("succeeded", "failed", "censored")
    assert (third["phase"], third["held"], third["tpot_ms"]) == ("cool-down", "True", "")
    assert (second["ttft_ms"], second["output_tokens"], fourth["sent_ms"], fourth["lag_ms"]) == ("", "", "", "")


@settings(deadline=None)
@given(st.text(max_size=30))
def test_no_cell_is_a_formula(evil: str) -> None:
    cell = csv_requests.safe(evil)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert len(cell.splitlines()) <= 1


def test_a_bound_is_in_a_column_of_its_own() -> None:
    lines = {line["name"]: line for line in read(rendered("csv_summary.csv")) if line["run"] == "a"}
    ttft = lines["ttft"]
    assert (ttft["p99"], ttft["p99_low"], ttft["p99_high"], ttft["p99_at_least"]) == ("341.0", "313.72", "368.28", "")
    assert (ttft["p99.9"], ttft["p99.9_at_least"]) == ("", "402.0")
    assert lines["rate completed"]["value"] == "9.97"
    assert lines["requests failed"]["value"] == "2"


# JSON and github-action-benchmark.

def test_json_of_one_run_is_its_summary_and_of_several_a_list_with_names() -> None:
    one = json.loads("".join(summary_json.render([result_of(samples.valid)])))
    assert Report.from_json(one) == samples.valid
    several = json.loads("".join(summary_json.render([result_of(samples.valid, "a"), result_of(samples.smoke, "b")])))
    assert [entry["run"] for entry in several] == ["a", "b"]


def test_a_range_reads_as_the_action_reads_it() -> None:
    entries = {entry["name"]: entry for entry in json.loads(rendered("github_smaller.json"))}
    found = re.search(r"(\+-|±)\s*(\d.*)", entries["ttft p99"]["range"])  # as src/extractRangeInfo.ts
    assert found and float(found[2]) == pytest.approx(27.28)
    assert entries["ttft p99"]["value"] == 341.0
    assert entries["errors"]["value"] == pytest.approx(100 / 300)
    assert "SLO MISSED" in entries["ttft p99"]["extra"]
    assert all(set(entry) <= {"name", "unit", "value", "range", "extra"} for entry in entries.values())


def test_a_bound_is_no_point_of_a_chart() -> None:
    bounded = replace(samples.METRICS["ttft"], bounds={"p99": 402 * samples.MS})
    report = replace(samples.valid, metrics={"ttft": bounded})
    names = [entry["name"] for entry in json.loads(github_benchmark.render([result_of(report)])["smaller.json"])]
    assert names == ["ttft p50", "ttft p90", "errors"]


if __name__ == "__main__":
    for name in GOLDENS:
        (GOLDEN / name).write_text(rendered(name), encoding="utf-8")
