"""The requests one by one: a line each, with what it waited for, and ttft against the length of the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from loadgen.figures import LOWEST, Density, Figures, Scatter, Span
from loadgen.reports.format import count, duration
from loadgen.reports.html.chart import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    Chart,
    Trace,
    Unit,
    faint,
    label,
    layout,
    line,
    log_axis,
    time_axis,
    titled,
)
from loadgen.stats.histogram import Integers
from loadgen.types import ABSENT, SECOND

Piece = tuple[int, int]

_SHORTEST: Final = 0.05
"""Share of the time axis that requests must take on average to be seen as lines on it."""


def timeline(figures: Figures) -> Iterator[Chart]:
    """Draw each request as a line from due to its end; where lines would be too short to see, all from one start."""
    slowest = figures.slowest
    if slowest is None:
        return
    spans, axis = slowest.spans, figures.flow.axis
    aligned = sum(span.length for span in spans) < _SHORTEST * len(spans) * axis.count * axis.width
    starts = [span.due if aligned else 0 for span in spans]
    width = max(1.2, min(8.0, 360 / len(spans)))
    streamed = slowest.stall != ABSENT
    pieces: tuple[tuple[str, str, Callable[[Span], list[Piece]]], ...] = (
        ("not sent yet", ORANGE, _held), (f"wait for the {'first token' if streamed else 'answer'}", GREY, _waiting),
        ("tokens", BLUE, _answering), ("stall", RED, lambda span: list(span.stalls)), ("failed", RED, _failing))
    traces = [trace for name, colour, find in pieces
              if (streamed or name != "tokens") and (trace := _segments(name, colour, find, spans, starts, width))]
    note = f"All {count(len(spans))} measured requests" if len(spans) == slowest.total else (
        f"The {count(len(spans))} slowest of {count(slowest.total)} measured requests")
    note += ", a line each, in the order in which they were due."
    if streamed:
        note += f" A stall is a gap of {duration(slowest.stall)} or more, ten times the median."
    x = titled("seconds since it was due", rangemode="tozero") if aligned else time_axis(axis)
    y = titled("requests", showticklabels=False, showgrid=False, rangemode="normal",
               range=[len(spans) * 1.01, -0.01 * len(spans) - 0.5])
    yield Chart("Requests, from due to end", note, [*traces, _hover(spans, starts)], layout(x, y), wide=True,
                height=round(min(560, max(220, 140 + 6 * len(spans)))))


def _held(span: Span) -> list[Piece]:
    return [(span.due, span.sent)] if span.sent != ABSENT else []


def _waiting(span: Span) -> list[Piece]:
    return [(span.sent, span.first)] if ABSENT not in (span.sent, span.first) else []


def _answering(span: Span) -> list[Piece]:
    return [(span.first, span.end)] if span.first != ABSENT else []


def _failing(span: Span) -> list[Piece]:
    """Draw a failure from where nothing more came of it, at least a dot."""
    begin = span.due if span.sent == ABSENT else span.sent
    return [(begin if span.first == ABSENT else span.end, span.end)] if span.failure else []


def _segments(name: str, colour: str, find: Callable[[Span], list[Piece]], spans: tuple[Span, ...],
              starts: list[int], width: float) -> Trace | None:
    """Return one line with gaps for a kind of piece of all spans; None if no span has one."""
    x: list[Any] = []
    y: list[Any] = []
    for place, (span, start) in enumerate(zip(spans, starts, strict=True)):
        for begin, end in find(span):
            x += [round((begin - start) / SECOND, 4), round((end - start) / SECOND, 4), None]
            y += [place, place, None]
    if not x:
        return None
    extra: dict[str, Any] = {"mode": "lines+markers", "marker": {"size": max(3.0, width), "symbol": "x"}} \
        if name == "failed" else {}
    return line(name, x, y, colour, line={"width": width}, hoverinfo="skip", **extra)


def _hover(spans: tuple[Span, ...], starts: list[int]) -> Trace:
    """Return invisible points at the end of each line, which say what it was."""
    texts = []
    for span in spans:
        parts = [f"request {span.index}", f"due at {duration(span.due)}"]
        if ABSENT not in (span.first, span.sent):
            parts.append(f"first token after {duration(span.first - span.sent)}, {count(span.tokens)} tokens")
        parts.append(f"{'failed' if span.failure else 'ended'} after {duration(span.length)}")
        texts.append("<br>".join([*parts, *([label(span.failure)] if span.failure else [])]))
    ends = [round((span.end - start) / SECOND, 4) for span, start in zip(spans, starts, strict=True)]
    return {"type": "scatter", "mode": "markers", "x": ends, "y": list(range(len(spans))), "text": texts,
            "marker": {"opacity": 0, "size": 8}, "hovertemplate": "%{text}<extra></extra>", "showlegend": False}


def prompts(figures: Figures) -> Iterator[Chart]:
    """Draw ttft against input tokens: points, or how many requests are where."""
    picture = figures.prompts
    if isinstance(picture, Scatter):
        unit = Unit.of(picture.ttft)
        points = {"type": "scatter", "mode": "markers", "x": picture.input_tokens.tolist(),
                  "y": unit.scale(picture.ttft), "marker": {"color": BLUE, "size": 5, "opacity": 0.6},
                  "hovertemplate": f"%{{x}} tokens, %{{y}} {unit.name}<extra></extra>"}
        yield Chart("ttft against prompt length", "A point a request. A slope is the price of prefill.", [points],
                    layout(titled("input tokens"), titled(unit.name), showlegend=False))
    elif isinstance(picture, Density):
        unit = Unit.of(picture.ttft_edges)
        cells = heat(picture.input_edges.tolist(), picture.ttft_edges, unit, picture.counts, "requests")
        yield Chart("ttft against prompt length", "How many requests are where. A slope is the price of prefill.",
                    [cells], layout(titled("input tokens"), log_axis(unit, *picture.ttft_edges[[0, -1]].tolist()),
                                     showlegend=False))


def heat_map(figures: Figures) -> Iterator[Chart]:
    """Draw how the gaps between tokens were spread over time."""
    found = figures.heat
    if found is None:
        return
    unit = Unit.of(found.edges)
    cells = heat([edge / SECOND for edge in found.axis.edges.tolist()], found.edges, unit, found.counts, "tokens")
    note = "How many token gaps of each length there were, and when."
    if found.edges[0] <= LOWEST:
        note += f" The lowest row holds all below {duration(LOWEST)}: tokens that came together."
    times = log_axis(unit, *found.edges[[0, -1]].tolist())
    yield Chart("itl, all gaps", note, [cells], layout(time_axis(figures.flow.axis), times, showlegend=False),
                wide=True, height=340)


def heat(x: list[float], edges: Integers, unit: Unit, counts: Integers, what: str) -> Trace:
    """Return a map of counts between edges; the darker a cell, the more (as a logarithm), and 0 is nothing.

    `edges` are ns. They are not rounded: rows can be closer to each other than four digits can tell.
    """
    shades = [[[None if n == 0 else round(float(np.log10(n + 1)), 2) for n in row] for row in counts.tolist()],
              [[n or None for n in row] for row in counts.tolist()]]
    top = int(counts.max())
    ticks = [n for power in range(10) for n in (10**power,) if n <= top] or [1]
    return {"type": "heatmap", "x": x, "y": (edges / unit.size).tolist(), "z": shades[0], "customdata": shades[1],
            "hoverongaps": False, "colorscale": [[0, faint(BLUE, 0.12)], [0.5, faint(BLUE, 0.6)], [1, faint(BLUE, 1)]],
            "colorbar": {"title": {"text": what}, "thickness": 10, "outlinewidth": 0,
                         "tickvals": [round(float(np.log10(n + 1)), 2) for n in ticks],
                         "ticktext": [count(n) for n in ticks]},
            "hovertemplate": f"%{{customdata}} {what}<extra></extra>"}
