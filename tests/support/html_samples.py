"""Pages of hostile servers for tests, and what must hold for each page."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

from loadgen.figures import Figures, draw
from loadgen.outcomes.report import CheckResult, Report, SloResult
from loadgen.recorder.batch import Batch
from loadgen.types import RequestRow
from support import report_samples as samples
from support.made_runs import S, recorded, run_of, window_of

TEMPLATES = Path(__file__).parents[2] / "loadgen" / "reports" / "html" / "templates"
EVIL = "</script><script>alert(1)</script><!--<b onclick='x'>&amp;\u2028\ud800"
LIBRARY = files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")


def hostile_rows(text: str = EVIL) -> list[RequestRow]:
    """Return rows of a server that says `text` wherever it can say something."""
    rows = run_of(60, 10 * S)
    return [replace(one, failure=text, failure_type=text, detail=text) if one.index % 9 == 0 else
            replace(one, finish_reason=text, input_source=text, output_source=text, input_tokens=50 + one.index % 300)
            for one in rows]


def figures_of(rows: list[RequestRow], stream: bool = True) -> Figures:
    recorder = recorded(rows, window_of(rows, 10 * S))
    return draw(recorder, [Batch.of(rows)], stream)


class Tags(HTMLParser):
    """Collects the elements of a page, their attributes, and the texts of its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.scripts: list[str] = []
        self.comments: list[str] = []
        self._in_script = False
        self.feed(page.replace(LIBRARY, "library"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


ALLOWED = {"html", "head", "meta", "title", "style", "body", "main", "header", "section", "h1", "h2", "h3", "p", "div",
           "span", "strong", "b", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption",
           "script", "noscript", "details", "summary"}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "class", "style", "scope", "role", "aria-label",
              "type"}


def check_harmless(page: str) -> Tags:
    """Hold a page to our own elements and attributes: no handler, no address, no script that is not ours."""
    found = Tags(page)
    assert set(found.tags) <= ALLOWED
    assert found.attributes <= ATTRIBUTES
    assert not found.comments
    charts = [text for text in found.scripts if text.startswith("{")]
    assert found.scripts == [*charts, "library", (TEMPLATES / "draw.js").read_text(encoding="utf-8")]
    assert len(charts) == found.tags.count("figure")
    page.encode("utf-8")
    return found


def evil_report(text: str) -> Report:
    return replace(
        samples.invalid,
        requests={**samples.valid.requests, "failures": {text: 1}, "types": {text: {text: 1}},
                  "examples": {text: text}},
        plan={**samples.PLAN, "target": {**samples.PLAN["target"], "model": text, "headers": {text: text},
                                         "url": [text]}, text: {text: text}},
        provenance={"model": text, text: text}, server={"error": text}, client={"stamps": text, "senders": 1},
        verdict=replace(samples.invalid.verdict, notes=(text,), gates=(SloResult(text, True, 1, 2),),
                        checks=(CheckResult(text, False, text, text, "", text),)))
