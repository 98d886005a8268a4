"""The pages without a browser: nothing in them can run or be fetched but what is ours, and every chart is plotly's."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.figures import Figures, curves, draw
from loadgen.reports.html import Document, NamedRun, document_page, run_page, runs_page
from loadgen.reports.html.answer import answer
from loadgen.reports.html.chart import label
from loadgen.reports.html.page import Section, Table
from loadgen.reports.html.percentiles import sampled
from loadgen.reports.html.relation import Change, Point, Series, changes, relation
from loadgen.reports.html.requests import prompts
from loadgen.types import CENSORED, Window
from support import report_samples as samples
from support.effort import examples
from support.html_samples import EVIL, LIBRARY, Tags, check_harmless, evil_report, figures_of, hostile_rows
from support.made_runs import MS, S, recorded, row, run_of


@pytest.fixture(scope="module")
def figures() -> Figures:
    return figures_of(hostile_rows())


@pytest.fixture(scope="module")
def nothing() -> Figures:
    return draw(recorded([], Window(0, 10 * S, 1)), [])


@pytest.mark.parametrize("name", samples.ALL)
def test_every_report_makes_a_page(name: str, figures: Figures) -> None:
    page = run_page(samples.ALL[name], figures)
    check_harmless(page)
    assert answer(samples.ALL[name]) in page.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'")


def test_a_run_that_measured_nothing_makes_a_page(nothing: Figures) -> None:
    assert "there is no latency to show" in run_page(samples.empty, nothing)


def test_without_figures_a_page_has_no_chart_and_no_script() -> None:
    page = run_page(samples.valid, None)
    assert "<script" not in page
    assert "script-src &#39;none&#39;" in page
    assert "184 ms" in page


def test_a_server_that_answers_scripts_is_shown_and_not_run() -> None:
    found = check_harmless(run_page(evil_report(EVIL), figures_of(hostile_rows())))
    assert "alert(1)" in "".join(found.scripts[:-2])  # as a failure's name in a chart's data


@settings(max_examples=examples(5, 20))
@given(st.text(st.characters(codec=None) | st.sampled_from("<>&'\"/!-{}%\ud800\u2028"), max_size=40))
def test_no_text_of_a_server_becomes_markup(figures: Figures, text: str) -> None:
    check_harmless(run_page(evil_report(text), figures))
    run = NamedRun(text, evil_report(text), figures.curves)
    check_harmless(runs_page([run, replace(run, name=f"{text}2")]))


@given(st.text(max_size=200))
def test_a_label_of_a_chart_is_no_markup_of_plotly(text: str) -> None:
    assert not set(label(text)) & set("<>\"'\n")
    assert len(label(text)) <= 60 * len("&quot;")


def test_data_of_charts_can_not_end_their_script(figures: Figures) -> None:
    page = run_page(samples.valid, figures).replace(LIBRARY, "")
    data = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert data
    for text in data:
        assert not set(text) & set("<>&\u2028\u2029")
        json.loads(text)


def test_the_page_lets_only_its_own_scripts_run(figures: Figures) -> None:
    page = run_page(samples.valid, figures)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    policy = unescape(policy)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    script = policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe" not in script
    assert script.count("sha256-") == 2
    assert "http" not in policy


def test_every_chart_is_one_that_plotly_knows(figures: Figures) -> None:
    go = pytest.importorskip("plotly.graph_objects")
    no_stream = figures_of([row(i, i * 20 * MS, tokens=1, token_count=[9]) for i in range(200)], stream=False)
    crowded = figures_of([row(i, i * 3 * MS, input_tokens=i % 900 + 1, tokens=3) for i in range(3000)])
    for shown in (figures, no_stream, crowded):
        for text in Tags(run_page(samples.valid, shown)).scripts[:-2]:
            go.Figure(json.loads(text), skip_invalid=False)


def test_titles_of_charts_are_those_that_the_run_has(figures: Figures) -> None:
    def titles(page: str) -> list[str]:
        return re.findall("<h3>(.*?)</h3>", page)

    streamed = titles(run_page(samples.valid, figures))
    assert streamed == ["Time to first token (ttft)", "Gaps between tokens (itl)", "Time per output token (tpot)",
                        "Whole requests (e2e)", "Requests per second", "Requests in flight", "Output tokens per second",
                        "Failures by class", "ttft over time", "itl over time", "Requests, from due to end",
                        "itl, all gaps", "ttft against prompt length", "Ourselves: lag and receive lag"]
    whole = figures_of([row(i, i * 20 * MS, tokens=1, token_count=[9]) for i in range(200)], stream=False)
    assert titles(run_page(samples.no_stream, whole)) == [
        "Whole requests (e2e)", "Requests per second", "Requests in flight", "Output tokens per second",
        "e2e over time", "Requests, from due to end", "Ourselves: lag and receive lag"]


def test_a_map_of_prompts_has_a_row_for_each_of_its_counts_however_close_they_are() -> None:
    rows = [row(i, i * MS, ttft=500 * MS + i * 100, tokens=1, input_tokens=100 + i % 7) for i in range(3000)]
    (chart,) = prompts(figures_of(rows))
    edges, counts = chart.traces[0]["y"], chart.traces[0]["customdata"]
    assert edges == sorted(set(edges))
    assert len(edges) == len(counts) + 1 > 20
    assert sum(number or 0 for line in counts for number in line) == 3000
    ticks = chart.layout["yaxis"]["tickvals"]
    assert ticks == sorted(set(ticks)) and len(ticks) > 2


def test_runs_side_by_side_have_a_line_each(figures: Figures) -> None:
    recorder = recorded(run_of(60, 10 * S, ttft=80 * MS), Window(2 * S, 10 * S, 600))
    page = runs_page([NamedRun("one", samples.valid, figures.curves),
                      NamedRun("two", samples.missed, curves(recorder))])
    assert "2 runs side by side" in page
    first = json.loads(check_harmless(page).scripts[0])
    assert {trace["name"] for trace in first["data"] if "name" in trace} == {"one", "two"}


def test_the_answer_says_what_was_measured() -> None:
    assert answer(samples.valid) == (
        "At 10 requests a second, 598 of 600 requests succeeded; 2 failed, most often with in_band. Half of them had "
        "their first token within 184 ms, 99 % within 342 ms. Then a token came every 19.8 ms (median). The SLO is "
        "met.")
    assert answer(samples.closed).startswith("With 16 requests running at any time, 598 of 600")
    assert answer(samples.invalid).startswith("Not to be believed, because of coalesced, lag. At 10 requests")
    assert answer(samples.missed).endswith("Missed: ttft.p99 < 300ms.")
    assert answer(samples.interrupted).startswith("The run was interrupted; this is what it saw until then.")
    assert "did not keep up" in answer(samples.unstable)
    assert "Not one of 600 requests succeeded: 600 failed, most often with connect." in answer(samples.all_failed)
    assert "were answered whole within 2.74 s" in answer(samples.no_stream)
    assert answer(samples.empty) == "No request was offered."


def test_what_is_unfinished_is_said() -> None:
    report = replace(samples.valid, requests={**samples.valid.requests, "censored": 3, "succeeded": 595,
                                              "failures": {CENSORED: 3, "in_band": 2}})
    assert "595 of 600 requests succeeded; 2 failed, most often with in_band, and 3 had not ended" in answer(report)


def test_a_document_of_plain_data_is_escaped_and_drawn() -> None:
    points = [Point(1.0, 100 * MS, EVIL, 90 * MS, 130 * MS), Point(2.0, 2000 * MS, hollow=True)]
    chart = relation(EVIL, EVIL, EVIL, "ns", [Series(EVIL, points), Series("alone", points[:1], line=False)])
    moved = changes("Changes", EVIL, [Change(EVIL, 1.1, 1.05, 1.2, "worse"), Change("e2e.p50", 0.9, way="better"),
                                      Change("p99", 1.0, None, 1.3)])
    assert chart is not None
    assert moved is not None
    page = document_page(Document(
        EVIL, [EVIL], EVIL, EVIL, "bad", EVIL, [EVIL], [(EVIL, [EVIL])],
        [(EVIL, Table([EVIL, "n"], [[EVIL, EVIL]], frozenset({1}), ["bad"]))],
        [Section(EVIL, [chart, moved], EVIL)], [(EVIL, [EVIL])]))
    drawn = check_harmless(page)
    first, second = (json.loads(text) for text in drawn.scripts[:2])
    assert first["data"][0]["y"] == [0.1, 2.0]
    assert first["data"][0]["error_y"] == {"type": "data", "symmetric": False, "color": "#3b7ddd", "thickness": 1,
                                           "array": [0.03, 0.0], "arrayminus": [0.01, 0.0]}
    assert first["data"][0]["marker"]["symbol"] == ["circle", "circle-open"]
    assert second["data"][0]["x"] == [10.0, -10.0, 0.0]
    assert second["data"][0]["error_x"]["array"] == [10.0, 0.0, 30.0]
    go = pytest.importorskip("plotly.graph_objects")
    for chart_data in (first, second):
        go.Figure(chart_data)


def test_nothing_to_relate_is_no_chart() -> None:
    assert relation("t", "", "x", "y", [Series("none", [])]) is None
    assert changes("t", "", []) is None


def test_a_curve_of_points_ends_where_its_largest_value_is() -> None:
    curve = sampled("ttft", 100, [(0.0, 1), (0.5, 5 * MS), (0.99, 8 * MS), (1.0, 9 * MS)])
    assert curve.shares.tolist() == [0.5, 0.99]
    assert curve.values.tolist() == [5 * MS, 9 * MS]
