"""The pages of comparisons and sweeps: everything that can happen makes one, its charts are plotly's, nothing runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from loadgen.capacity import Sweep
from loadgen.outcomes.comparison import Comparison
from loadgen.reports.compared import headline
from loadgen.reports.html.compared import comparison_page
from loadgen.reports.html.sweep import sweep_page
from support import comparison_samples, sweep_samples
from support.html_samples import EVIL, check_harmless


def titles(page: str) -> list[str]:
    return re.findall("<h3>(.*?)</h3>", page)


def check_charts(page: str) -> list[dict[str, object]]:
    """Hold the charts of a page against plotly, and return them."""
    go = pytest.importorskip("plotly.graph_objects")
    charts = [json.loads(text) for text in check_harmless(page).scripts if text.startswith("{")]
    for chart in charts:
        go.Figure(chart)
    return charts


@pytest.mark.parametrize("name", comparison_samples.ALL)
def test_every_comparison_makes_a_page(name: str) -> None:
    comparison = comparison_samples.ALL[name]
    page = comparison_page(comparison)
    if name == "empty":
        assert "<script" not in page
    else:
        check_charts(page)
    assert f"<strong>{headline(comparison).word}</strong>".replace("'", "&#39;") in page
    assert page.count("<tr") == sum(len(cell.rows) + 1 for cell in comparison.cells)


def test_a_comparison_draws_what_changed_and_both_sides() -> None:
    page = comparison_page(comparison_samples.regression)
    assert titles(page) == ["Change of each statistic", "Time to first token, since sent (ttft)",
                            "Gaps between tokens (itl)"]
    moved, ttft, _ = check_charts(page)
    assert moved["data"][0]["x"] == pytest.approx([0.4, 2.1, 10, 9, 9, -7])  # type: ignore[index]
    assert [trace["name"] for trace in ttft["data"]] == ["base", "new"]  # type: ignore[attr-defined]


def test_curves_of_long_paths_are_told_apart() -> None:
    cell = comparison_samples.regression.cells[0]
    sides = [replace(side, label=f"runs/{'x' * 80}/{name}") for side, name in ((cell.base, "a"), (cell.new, "b"))]
    page = comparison_page(replace(comparison_samples.regression, cells=(replace(cell, base=sides[0], new=sides[1]),)))
    assert [trace["name"] for trace in check_charts(page)[1]["data"]] == ["base", "new"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sweep_samples.ALL)
def test_every_sweep_makes_a_page(name: str) -> None:
    sweep = sweep_samples.ALL[name]
    page = sweep_page(sweep)
    if sweep.cells:
        check_charts(page)
        assert page.count("<tr") == len(sweep.cells) + 1
    else:
        assert "<script" not in page


def test_a_search_says_its_capacity_and_draws_its_curves() -> None:
    page = sweep_page(sweep_samples.found)
    assert "One replica carries 41.0 requests/s of this workload within the SLO; for 300 requests/s take 9" in page
    assert titles(page) == ["ttft p99 against throughput", "itl p99 against throughput", "Goodput against load",
                            "Tokens for one user against tokens for all"]
    ttft = check_charts(page)[0]["data"][0]  # type: ignore[index]
    assert ttft["x"] == sorted(ttft["x"])
    assert "circle-open" in ttft["marker"]["symbol"]
    assert max(ttft["error_y"]["array"]) > 0
    assert len(ttft["x"]) == sum(cell.stable for cell in sweep_samples.CELLS) < len(sweep_samples.CELLS)


def test_a_grid_has_a_line_for_each_place() -> None:
    ttft = check_charts(sweep_page(sweep_samples.grid))[0]["data"]
    assert [trace["name"] for trace in ttft] == ["input_tokens 128", "input_tokens 512"]  # type: ignore[attr-defined]


def test_names_of_directories_and_servers_are_no_markup() -> None:
    base = comparison_samples.regression
    cell = replace(base.cells[0], label=EVIL, base=replace(base.cells[0].base, label=EVIL, model=EVIL, url=EVIL))
    evil: Comparison = replace(base, cells=(cell,), notes=(EVIL,), warnings=(EVIL,), differences=(EVIL,))
    check_charts(comparison_page(evil))
    cells = tuple(replace(one, reason=EVIL, coordinates={"url": EVIL, "rate": 1.0}) for one in sweep_samples.CELLS)
    swept: Sweep = replace(sweep_samples.found, cells=cells, stopped=EVIL, resume=EVIL, slo=(EVIL,),
                           plan={"target": {"backend": EVIL, "url": [EVIL]}})
    check_charts(sweep_page(swept))
