"""The page of a sweep: the capacity in a sentence, load against latency and goodput, and a table of its cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from loadgen.capacity import FAILS, PASSES, Sweep, SweepCell, grouped
from loadgen.capacity.curves import LOADS, pareto
from loadgen.metrics import names
from loadgen.reports import sweep_words as words
from loadgen.reports.format import clean, rate
from loadgen.reports.html.chart import Chart
from loadgen.reports.html.document import Document, document_page
from loadgen.reports.html.page import Section, Table
from loadgen.reports.html.relation import Point, Series, relation
from loadgen.reports.text.sweep_text import cells_of

_TONES: Final = {"FOUND": "ok", "VALID": "ok", "DONE": "ok", "NO ANSWER": "bad", "SLO MISSED": "bad"}
_MARKS: Final = {PASSES: "ok", FAILS: "bad"}
_TEXTS: Final = ("outcome", "why", "backend", "url")
_HOLLOW: Final = ("Hollow points can't be judged. A cell without a steady state has no latency to show: it would say "
                  "how long the run was.")


def sweep_page(sweep: Sweep) -> str:
    """Write the page, HTML. A pure function."""
    word, meaning = words.headline(sweep)
    target = sweep.plan.get("target", {})
    title = ["loadgen sweep", words.title(sweep), str(target.get("backend", "")), *list(target.get("url", ()))[:1]]
    cells = _table(sweep)
    return document_page(Document(
        f"{word}: loadgen sweep", [item for item in title if item], word, meaning, _TONES.get(word, "warn"),
        sentences=list(_sentences(sweep)), facts=[("slo", list(sweep.slo))] if sweep.slo else [],
        tables=[("Cells", cells)] if cells else [], sections=[Section("Curves", list(_charts(sweep)), _HOLLOW)],
        notes=list(_notes(sweep))))


def _sentences(sweep: Sweep) -> Iterator[str]:
    for one in sweep.answers:
        yield f"{_upper(words.answer(one))}."
    yield from (f"{_upper(said)}." for said in words.sizings(sweep))
    for statistic in sweep.across:
        yield f"{statistic.name}: {words.across(statistic)} over {statistic.runs} runs."


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _notes(sweep: Sweep) -> Iterator[tuple[str, list[str]]]:
    for one in sweep.answers:
        for note in one.notes:
            yield "note", [note]
    if sweep.resume:
        yield "go on with", [sweep.resume]


def _table(sweep: Sweep) -> Table | None:
    if not sweep.cells:
        return None
    ordered = sorted(sweep.cells, key=lambda cell: (str(_place(cell)), cell.load, cell.number))
    rows = [cells_of(cell, any(one.gates for one in sweep.cells)) for cell in ordered]
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    # The outcome comes second, where a page colours it.
    names = [names[0], "outcome", *(name for name in names[1:] if name != "outcome")]
    numbers = frozenset(i for i, name in enumerate(names) if name not in _TEXTS)
    return Table(names, [[row[name] for name in names] for row in rows], numbers,
                 [_MARKS.get(cell.outcome, "warn") for cell in ordered])


def _charts(sweep: Sweep) -> Iterator[Chart]:
    brief = names(lambda one: one.brief and one.streamed)
    found = (*(_latency(sweep, metric) for metric in brief), _goodput(sweep), _pareto(sweep))
    yield from (chart for chart in found if chart)


def _latency(sweep: Sweep, metric: str) -> Chart | None:
    """Draw throughput against a p99, with its interval."""
    series = [Series(name, [point for cell in cells if (point := _p99(cell, metric))]) for name, cells in _lines(sweep)]
    return relation(f"{metric} p99 against throughput", "Where the line turns up is where the server is full.",
                    "completed requests/s", "ns", series)


def _p99(cell: SweepCell, metric: str) -> Point | None:
    value, done = cell.percentile(metric, "p99"), cell.rates.get("completed")
    if value is None or done is None or not cell.stable:
        return None
    low, high = cell.metrics[metric].interval.get("p99", (None, None))
    return Point(done, value, _said(cell), low, high, _hollow(cell))


def _goodput(sweep: Sweep) -> Chart | None:
    if not sweep.slo:
        return None
    series = [Series(name, [Point(cell.load, cell.rates["goodput"], _said(cell), hollow=_hollow(cell))
                            for cell in cells if cell.rates.get("goodput") is not None])
              for name, cells in _lines(sweep)]
    axis = "concurrency" if any("concurrency" in cell.coordinates for cell in sweep.cells) else "offered requests/s"
    return relation("Goodput against load", "Requests per second that met every SLO. It falls where more load makes "
                    "more of them late.", axis, "requests/s", series)


def _pareto(sweep: Sweep) -> Chart | None:
    """Draw what one user gets against what all get; the front is a line."""
    by_number = {cell.number: cell for cell in sweep.cells}
    found = [(bool(one["front"]), Point(one["tokens_per_user"], one["output_tokens"], _said(by_number[one["cell"]]),
                                        hollow=_hollow(by_number[one["cell"]])))
             for one in pareto([cell for cell in sweep.cells if cell.stable])]
    series = [Series("front", [point for front, point in found if front]),
              Series("beaten in both", [point for front, point in found if not front], line=False)]
    return relation("Tokens for one user against tokens for all", "On the front nothing is better in both. To the "
                    "right each user is served faster, upwards more is served.", "output tokens/s of one user",
                    "output tokens/s", series)


def _lines(sweep: Sweep) -> Iterator[tuple[str, Sequence[SweepCell]]]:
    """Yield the cells of each line and its name, by rising load."""
    for key, cells in grouped(sweep.cells).items():
        yield words.where(dict(key)) or "all cells", sorted(cells, key=lambda cell: cell.load)


def _place(cell: SweepCell) -> list[tuple[str, str]]:
    return [(axis, str(value)) for axis, value in cell.coordinates.items() if axis not in LOADS]


def _hollow(cell: SweepCell) -> bool:
    return not (cell.stable and cell.judged)


def _said(cell: SweepCell) -> str:
    done = cell.rates.get("completed")
    more = f", {rate(done)} requests/s" if done else ""
    return clean(f"cell {cell.number}: {words.where(cell.coordinates)}{more}")
