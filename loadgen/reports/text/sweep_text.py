"""A sweep as plain text: the answer first, then a line for each cell, in 100 to 120 columns and without colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TextIO

from rich.cells import cell_len

from loadgen.capacity import Sweep, SweepCell
from loadgen.metrics import names
from loadgen.reports import sweep_words as words
from loadgen.reports.format import clean, count, duration, rate
from loadgen.reports.text.layout import cut, flow, row

NARROWEST: Final = 60
_LEFT: Final = ("outcome", "why")


def render(sweep: Sweep, width: int = 120, files: str = "") -> str:
    """Write the sweep in at most `width` columns (60 at least). A pure function; foreign text is made safe."""
    width = max(NARROWEST, width)
    word, meaning = words.headline(sweep)
    head = [*flow(["loadgen sweep", words.title(sweep), *_target(sweep.plan)], width, "", "    "), "",
            *flow(f"{word}   {meaning}".split(" "), width, "    ", "      ", " ")]
    blocks = [head, [*_answers(sweep, width)], [*_across(sweep, width)], [*table(sweep, width)], [*_end(sweep, width)]]
    lines = ["\n".join(block) for block in blocks if block]
    return "\n\n".join([*lines, *row("files", files.split("  "), width, "  ")]) + "\n"


def write(sweep: Sweep, stream: TextIO, width: int, files: str) -> None:
    """Print the sweep on a stream, in what that can write."""
    encoding = stream.encoding or "utf-8"
    print(render(sweep, width, files).encode(encoding, "replace").decode(encoding), file=stream)


def line(cell: SweepCell, planned: int | None, again: bool, gated: bool) -> str:
    """Write one line about a cell that has just ended; `again`: it was there already."""
    of = f" of {planned}" if planned else ""
    parts = [f"cell {cell.number}{of}", words.where(cell.coordinates), words.outcome(cell, gated),
             f"ttft p99 {_latency(cell, 'ttft', 'p99')}", f"e2e p99 {_latency(cell, 'e2e', 'p99')}",
             clean(cell.reason, 70), "(there already)" if again else ""]
    return "   ".join(filter(None, parts))


def table(sweep: Sweep, width: int) -> Iterator[str]:
    """Lay out the cells, by place and then by load."""
    if not sweep.cells:
        return
    gated = any(cell.gates for cell in sweep.cells)
    ordered = sorted(sweep.cells, key=lambda cell: (_place(cell, sweep), cell.load, cell.number))
    rows = [cells_of(cell, gated) for cell in ordered]
    names = [name for name in rows[0] if name != "goodput" or gated]
    names = [name for name in names if any(one[name] for one in rows)]
    sizes = {name: max(cell_len(name), *(cell_len(one[name]) for one in rows)) for name in names}
    for one in ({name: name for name in names}, *rows):
        yield cut(("  " + "  ".join(_pad(one[name], sizes[name], name in _LEFT) for name in names)).rstrip(), width)


def cells_of(cell: SweepCell, gated: bool) -> dict[str, str]:
    """Return the columns of a cell as text, in order; markdown shows the same ones."""
    return {
        "cell": count(cell.number), **{axis: words.where({axis: value}).partition(" ")[2]
                                       for axis, value in cell.coordinates.items()},
        "outcome": words.outcome(cell, gated), "requests/s": rate(cell.rates.get("completed")),
        "tokens/s": count(cell.rates.get("output_tokens")), "goodput": rate(cell.rates.get("goodput")),
        **{f"{metric} p99": _latency(cell, metric, "p99") for metric in names(lambda one: one.brief)},
        "failed": count(cell.requests["failed"]) if cell.requests.get("failed") else "", "why": clean(cell.reason)}


def _latency(cell: SweepCell, metric: str, name: str) -> str:
    summary = cell.metrics.get(metric)
    if summary is None:
        return "-"
    if not cell.stable:
        return "unstable"
    if name in summary.bounds:
        return f">= {duration(summary.bounds[name])}"
    return duration(summary.percentiles.get(name))


def _target(plan: Mapping[str, Any]) -> list[str]:
    target = plan.get("target", {})
    urls = [clean(url, 60) for url in target.get("url", ())]
    return [clean(str(target.get("backend", ""))), " ".join(urls[:1]) + (f" and {len(urls) - 1} more" if urls[1:]
                                                                         else "")]


def _answers(sweep: Sweep, width: int) -> Iterator[str]:
    for one in sweep.answers:
        yield from flow(words.answer(one).split(" "), width, "  ", "    ", " ")
        for note in one.notes:
            yield from flow(f"note: {clean(note)}".split(" "), width, "    ", "      ", " ")
    for said in words.sizings(sweep):
        yield from flow(said.split(" "), width, "  ", "    ", " ")


def _across(sweep: Sweep, width: int) -> Iterator[str]:
    for one in sweep.across:
        verdict = {True: "pass", False: "MISSED", None: "undecided"}[one.ok] if one.slo else ""
        place = words.where({axis: value for axis, value in one.coordinates.items() if axis != "run"})
        items = [one.name, words.across(one), f"{one.runs} runs", clean(one.slo), verdict,
                 place if len({str(dict(other.coordinates)) for other in sweep.across}) > 1 else ""]
        yield from flow([item for item in items if item], width, "  ", "    ")


def _end(sweep: Sweep, width: int) -> Iterator[str]:
    if sweep.planned and len(sweep.cells) < sweep.planned:
        yield from row("left", [f"{sweep.planned - len(sweep.cells)} of {sweep.planned} cells were not run"], width)
    if sweep.resume:
        yield f"  {'go on with':<12} {clean(sweep.resume)}"  # never cut: it is to be copied
    for slo in sweep.slo:
        yield from row("slo", [clean(slo)], width)


def _place(cell: SweepCell, sweep: Sweep) -> Sequence[str]:
    """Return where a cell is on the axes that are no load, as positions in what was asked for."""
    found = []
    for axis, value in cell.coordinates.items():
        if axis not in ("rate", "concurrency", "run"):
            values = list(sweep.axes.get(axis, ()))
            found.append(f"{values.index(value):06d}" if value in values else str(value))
    return found


def _pad(text: str, size: int, left: bool) -> str:
    space = " " * (size - cell_len(text))
    return text + space if left else space + text
