"""What happened when: rates, requests in flight, tokens, latencies as bands, and failures by class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from loadgen.figures import Band, Figures, Flow
from loadgen.reports.format import count
from loadgen.reports.html.chart import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    Chart,
    Numbers,
    Trace,
    Unit,
    area,
    beside_the_window,
    label,
    layout,
    line,
    middles,
    short,
    time_axis,
    titled,
)
from loadgen.types import ABSENT, SECOND


def flow_charts(figures: Figures) -> Iterator[Chart]:
    """Draw rates, in flight, tokens, and failures if there were any."""
    flow = figures.flow
    rates = [line("offered", middles(flow.axis), _a_second(flow, flow.offered), GREY, line={"width": 3.2}),
             line("sent", middles(flow.axis), _a_second(flow, flow.sent), BLUE),
             line("completed", middles(flow.axis), _a_second(flow, flow.completed), GREEN)]
    yield _over_time("Requests per second", "Offered is what the schedule wanted. Where completed stays below it, a "
                     "queue grows.", figures, rates, "requests/s")
    flight = [short(value) for value in (flow.in_flight / flow.axis.width).tolist()]
    yield _over_time("Requests in flight", "Level in a steady state; a line that climbs to the end is an overload.",
                     figures, [line("in flight", middles(flow.axis), flight, PURPLE)], "requests")
    if flow.output_tokens.any():
        tokens = line("output tokens", middles(flow.axis), _a_second(flow, flow.output_tokens), GREEN)
        yield _over_time("Output tokens per second", "By the instant at which each token arrived.", figures, [tokens],
                         "tokens/s")
    if flow.failures:
        yield _failures(figures)


def _failures(figures: Figures) -> Chart:
    flow = figures.flow
    bars: list[Trace] = [
        {"type": "bar", "name": label(kind), "x": middles(flow.axis), "y": counts.tolist(),
         "width": flow.axis.width / SECOND,
         "marker": {"color": COLOURS[(place + 4) % len(COLOURS)], "line": {"width": 0}}}
        for place, (kind, counts) in enumerate(flow.failures.items())]
    total = sum(int(counts.sum()) for counts in flow.failures.values())
    chart = _over_time("Failures by class", f"{count(total)} in all, of all phases, by when they ended.", figures, bars,
                       "requests")
    return Chart(chart.title, chart.note, chart.traces, {**chart.layout, "barmode": "stack", "showlegend": True})


def band_charts(figures: Figures) -> Iterator[Chart]:
    """Draw the bands of ttft and itl; of e2e where there are no tokens to time."""
    for band, title, when in ((figures.ttft, "ttft over time", "by the instant at which a request was due"),
                              (figures.itl, "itl over time", "by the instant at which a token came")):
        if band is not None:
            yield band_chart(figures, band, title, when)
    if figures.ttft is None and figures.e2e is not None:
        yield band_chart(figures, figures.e2e, "e2e over time", "by the instant at which a request was due")


def band_chart(figures: Figures, band: Band, title: str, when: str) -> Chart:
    """Draw the median of each bin of time, and the area up to its p99."""
    used = band.count > 0
    x = [middle for middle, there in zip(middles(band.axis), used.tolist(), strict=True) if there]
    unit = Unit.of(band.p99[used])
    p50, p99 = (unit.scale(values[used]) for values in (band.p50, band.p99))
    few = int(np.median(band.count[used]))
    note = f"p50 and p99 of each {band.axis.width / SECOND:g} s, {when}"
    note += f"; about {count(few)} values in each, so p99 is nearly the largest." if few < 100 else "."
    traces = [area(x, p50, p99, BLUE), line("p99", x, p99, ORANGE), line("p50", x, p50, BLUE)]
    if len(x) == 1:
        traces = [{**trace, "mode": "lines+markers"} for trace in traces]
    return _over_time(title, note, figures, traces, unit.name)


def client_charts(figures: Figures) -> Iterator[Chart]:
    """Draw how late the client was."""
    late = figures.lateness
    traces: list[Trace] = []
    values: list[Numbers] = [band.p99[band.count > 0] for band in (late.lag, late.receive_lag) if band]
    unit = Unit.of(*values, late.stalls)
    for band, name, colour in ((late.lag, "lag p99", BLUE), (late.receive_lag, "receive lag p99", ORANGE)):
        if band is not None:
            p99 = np.where(band.count > 0, band.p99, ABSENT)
            traces.append(line(name, middles(band.axis), unit.scale(p99), colour, connectgaps=True))
    if late.stalls.any():
        stalls = np.where(late.stalls > 0, late.stalls, ABSENT)
        traces.append({"type": "scatter", "mode": "markers", "name": "loop stall", "x": middles(late.axis),
                       "y": unit.scale(stalls), "marker": {"color": RED, "size": 6, "symbol": "x"}})
    if traces:
        yield _over_time("Ourselves: lag and receive lag", "How late loadgen sent and read. It says nothing of the "
                         "server, and the verdict judges it.", figures, traces, unit.name)


def _over_time(title: str, note: str, figures: Figures, traces: list[Trace], unit: str) -> Chart:
    axis = figures.flow.axis
    named = sum(trace.get("showlegend", True) for trace in traces)
    return Chart(title, note, traces, layout(
        time_axis(axis), titled(unit), hovermode="x unified", showlegend=named > 1,
        **beside_the_window(axis, figures.window)))


def _a_second(flow: Flow, counts: Numbers) -> list[float]:
    return [short(value * SECOND / flow.axis.width) for value in np.asarray(counts).tolist()]
