"""The pages in a real Chromium: they draw, say nothing on the console, ask nobody, and nothing foreign runs in them."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import CantRunError, running
from loadgen.figures import curves
from loadgen.reports.html import NamedRun, run_page, runs_page
from support import report_samples as samples
from support.html_samples import EVIL, evil_report, figures_of, hostile_rows
from support.made_runs import S, recorded, run_of, window_of

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
ROWS = run_of(60, 10 * S)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    try:
        with running() as found:
            yield found
    except CantRunError as error:
        pytest.skip(str(error))


@dataclass
class Opened:
    """A page in the browser, and everything that it said, asked for or tried to open."""

    page: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def draw_all(self) -> int:
        """Scroll to each chart and wait until it is drawn; returns how many there are."""
        charts = self.page.locator("figure.chart")
        for place in range(charts.count()):
            charts.nth(place).scroll_into_view_if_needed()
            charts.nth(place).locator(".plot .main-svg").first.wait_for(
                state="attached")
        return int(charts.count())


@pytest.fixture
def open_page(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    contexts = []

    def opening(text: str, **options: Any) -> Opened:
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        context = chromium.new_context(viewport={"width": 1200, "height": 800}, **options)
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.on("console", lambda message: opened.said.append(message.text))
        opened.page.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.page.on("dialog", lambda dialog: (opened.said.append(dialog.message), dialog.dismiss()))
        opened.page.on("request", lambda request: opened.asked.append(request.url))
        opened.page.goto(path.as_uri())
        return opened

    yield opening
    for context in contexts:
        context.close()


def foreign(opened: Opened) -> list[str]:
    """Return what the page asked for besides itself."""
    return [url for url in opened.asked if not re.match(r"file:.*/page\.html$|data:|blob:", url)]


def test_every_chart_is_drawn_in_silence_and_offline(open_page: Any) -> None:
    opened = open_page(run_page(samples.valid, figures_of(hostile_rows("http_503"))))
    assert opened.draw_all() == 14
    assert opened.said == []
    assert foreign(opened) == []
    lines = opened.page.locator(".plot .scatterlayer .js-line")
    drawn = lines.evaluate_all("lines => lines.map((line) => line.getAttribute('d').length)")
    assert sum(length > 30 for length in drawn) > 20
    assert opened.page.locator(".plot .heatmaplayer image").count() == 1
    assert opened.page.locator(".plot .barlayer .point path").count() > 3
    assert opened.page.locator(".plot .plot-container").count() == 14


def test_charts_below_the_screen_wait_until_they_are_near(open_page: Any) -> None:
    opened = open_page(run_page(samples.valid, figures_of(ROWS)))
    opened.page.locator(".main-svg").first.wait_for(state="attached")
    assert opened.page.locator("figure.chart").last.locator(".main-svg").count() == 0
    opened.page.locator("figure.chart").last.scroll_into_view_if_needed()
    opened.page.locator("figure.chart").last.locator(".main-svg").first.wait_for(state="attached")


def test_a_server_that_answers_scripts_runs_none(open_page: Any) -> None:
    opened = open_page(run_page(evil_report(EVIL), figures_of(hostile_rows())))
    opened.draw_all()
    assert opened.said == []
    assert foreign(opened) == []
    legends = opened.page.locator(".legendtext").all_text_contents()
    assert any(text.startswith("</script><script>alert(1)") for text in legends)
    assert any("alert(1)" in text for text in opened.page.locator("td").all_text_contents())
    assert opened.page.locator("script").count() == 14 + 2


def test_what_is_injected_all_the_same_does_not_run(open_page: Any) -> None:
    page = run_page(samples.valid, figures_of(ROWS))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        evil = f"<script>console.log('ran')</script><img src='{url}' onerror='console.log(1)'>"
        opened = open_page(page.replace("<main>", f"<main>{evil}"))
        opened.page.locator(".main-svg").first.wait_for(state="attached")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not {"ran", "1"} & set(opened.said)
    assert len([text for text in opened.said if "Content Security Policy" in text]) >= 2


def luminance(colour: str) -> float:
    """Return how light a CSS colour is, 0 to 255."""
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


@pytest.mark.parametrize(("scheme", "paper_is_light"), [("light", True), ("dark", False)])
def test_paper_texts_and_lines_follow_the_colour_scheme(open_page: Any, scheme: str, paper_is_light: bool) -> None:
    opened = open_page(run_page(samples.valid, figures_of(ROWS)), color_scheme=scheme)
    opened.page.locator(".main-svg .xtick").first.wait_for(state="attached")

    def style(selector: str, name: str) -> float:
        element = opened.page.locator(selector).first
        return luminance(element.evaluate(f"element => getComputedStyle(element).{name}"))

    paper, text, line = (style("body", "backgroundColor"), style(".plot .xtick text", "fill"),
                         style(".plot .gridlayer path", "stroke"))
    assert (paper > 200, text < 60) == (paper_is_light, paper_is_light)
    assert 5 < abs(paper - line) < 60


def test_on_paper_every_chart_is_there_and_within_the_page(open_page: Any, tmp_path: Path) -> None:
    opened = open_page(run_page(samples.valid, figures_of(ROWS)), color_scheme="dark")
    opened.page.emulate_media(media="print")
    assert luminance(opened.page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")) == 255
    opened.page.emulate_media(media="screen")
    pdf = opened.page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert pdf.startswith(b"%PDF")
    widths = "plots => plots.map((plot) => plot.querySelector('.main-svg').getBoundingClientRect().width)"
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert max(opened.page.locator(".plot").evaluate_all(widths)) <= 718  # px of A4 between margins of 1 cm
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert max(opened.page.locator(".plot").evaluate_all(widths)) > 1000
    assert opened.page.locator(".plot .plot-container").count() == opened.page.locator("figure.chart").count()
    assert opened.said == []


def test_a_narrow_screen_needs_no_scrolling_sideways(open_page: Any) -> None:
    opened = open_page(run_page(evil_report("x" * 300), figures_of(ROWS)))
    opened.page.set_viewport_size({"width": 400, "height": 800})
    opened.draw_all()
    opened.page.evaluate("() => new Promise(requestAnimationFrame)")
    assert opened.page.evaluate("() => document.documentElement.scrollWidth") <= 400


def test_runs_side_by_side_are_drawn_too(open_page: Any) -> None:
    one, two = (recorded(run_of(60, 10 * S, ttft=ttft * 10**6), window_of(ROWS, 10 * S)) for ttft in (50, 80))
    opened = open_page(runs_page([NamedRun("<b>one</b>", samples.valid, curves(one)),
                                  NamedRun("two", samples.missed, curves(two))]))
    assert opened.draw_all() == 5
    assert opened.said == []
    assert set(opened.page.locator(".legendtext").all_text_contents()) == {"<b>one</b>", "two"}


def test_the_page_of_a_made_up_run_is_made_and_opened(chromium: Any) -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks.report_page", "--requests", "300,3000", "--output-tokens",
                           "4", "--json"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    rows = json.loads(done.stdout)["rows"]
    assert [row["requests"] for row in rows] == [300, 3000]
    for row in rows:
        assert 4e6 < row["size"] < 10e6
        assert 0 < row["text"] <= row["usable"]
        assert row["made"] > 0 < row["memory"]
