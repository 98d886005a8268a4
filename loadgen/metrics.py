"""The one table of metrics: what each is called, what it means, how it is computed, and where it is shown.

A metric is a row here and nothing elsewhere: recorder, objectives, tables, pages, comparisons, sweeps, exports and the
Prometheus page take their lists from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from loadgen.types import ABSENT, MS

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Scope = Literal["request", "token", "gap", "event"]

Formula = Callable[[Any, Any], Any]
"""(rows: recorder.batch.Batch, tokens: recorder.formulas.Tokens) -> the values of a metric, ns or counts.

Of a metric with one value a request: (int64[rows], and bool[rows] that says which rows have one). Of any other:
int64[values], in the order of the events of `tokens`.
"""
SCHEDULED: Final = "_scheduled"
"""How the name of a metric ends that counts from when a request was due instead of when it was sent."""


@dataclass(frozen=True, slots=True)
class Reached:
    """Instants of requests that were still running when the run ended, int64[n] of ns each."""

    due: Integers
    sent: Integers
    first: Integers  # token, the end of the run if there was none
    end: Integers


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. `formula` gives its values: ns, or counts.

    `scope` says what one value stands for: a request, a token, the gap before a token event, or a token event.
    """

    name: str
    formula: Formula
    about: str  # one sentence, for tools that show help
    unit: Literal["ns", "count"] = "ns"
    scope: Scope = "request"
    streamed: bool = False  # needs token times, which an answer in one piece does not have
    headline: bool = False  # judged by tenths of the window, drawn by percentile, compared
    brief: bool = False  # shown where there is room for few: a cell of a sweep, the live view
    logged: bool = False  # has an interval log, and a histogram on the Prometheus page
    ours: bool = False  # loadgen's own delay, which says nothing about how one request was served
    better: Literal["less", "more"] = "less"
    label: str = ""  # its row in the latency table; "" for none, unless an objective asks for it
    note: str = ""  # behind that row
    title: str = ""  # of its chart
    finest: int = 10_000  # ns; the lowest bound of its Prometheus histogram, which has six decades
    of_request: str = ""  # the metric that its objectives limit in one request, where that is another one
    reached: Callable[[Reached], Integers] | None = None  # how far a request was that did not end

    @property
    def pooled(self) -> bool:
        """Whether a request has many values."""
        return self.scope != "request"

    @property
    def scheduled(self) -> bool:
        """Whether it counts from when the request was due."""
        return self.name.endswith(SCHEDULED)


def _answered(rows: Any, tokens: Any) -> Mask:
    return np.asarray((tokens.events > 0) & (rows.sent != ABSENT))


def _since(begin: str, event: str) -> Formula:
    """Return the formula of the time from an instant of a request to its first or last token event."""
    return lambda rows, tokens: (np.maximum(getattr(tokens, event) - getattr(rows, begin), 0), _answered(rows, tokens))


def _tpot(rows: Any, tokens: Any) -> tuple[Integers, Mask]:
    n = np.where(rows.output_tokens >= 0, rows.output_tokens, tokens.total)
    return (tokens.last - tokens.first) // np.maximum(n - 1, 1), (n >= 2) & (tokens.events > 1)


def _ttfo(rows: Any, tokens: Any) -> tuple[Integers, Mask]:
    known = _answered(rows, tokens) & (rows.first_answer != ABSENT)
    return np.maximum(rows.first_answer - rows.sent, 0), known


def _column(name: str) -> Formula:
    def formula(rows: Any, tokens: Any) -> tuple[Integers, Mask]:
        values = getattr(rows, name)
        return values, values >= 0
    return formula


METRICS: tuple[Metric, ...] = (
    Metric("ttft", _since("sent", "first"), "Time to first token, from when the request was sent.", streamed=True,
           headline=True, brief=True, logged=True, label="ttft", title="Time to first token", finest=MS,
           reached=lambda run: run.first - run.sent),
    Metric("ttft_scheduled", _since("due", "first"), "Time to first token, from when the request was due.",
           streamed=True, headline=True, logged=True, label="  scheduled", note="since it was due",
           title="Time to first token, since due", finest=MS, reached=lambda run: run.first - run.due),
    Metric("ttfo", _ttfo, "Time to the first token that is not reasoning.", streamed=True, label="ttfo",
           note="first token of the answer"),
    Metric("itl", lambda rows, tokens: tokens.token_gaps, "Inter-token latency, every gap between tokens.",
           scope="token", streamed=True, headline=True, brief=True, logged=True, label="itl", note="every token gap",
           title="Gaps between tokens", of_request="tpot"),
    Metric("chunk_gap", lambda rows, tokens: tokens.gaps, "Gap between token events, whatever they carry.",
           scope="gap", streamed=True, of_request="tpot"),
    Metric("max_gap", lambda rows, tokens: (tokens.longest_gap, tokens.events > 1),
           "Longest gap between token events of a request.", streamed=True),
    Metric("tpot", _tpot, "Time per output token, one mean a request.", streamed=True, headline=True, logged=True,
           label="tpot", note="per request", title="Time per output token"),
    Metric("e2e", _since("sent", "last"), "Time to the last token, from when the request was sent.", headline=True,
           brief=True, logged=True, label="e2e", title="Whole requests", finest=MS,
           reached=lambda run: run.end - run.sent),
    Metric("e2e_scheduled", _since("due", "last"), "Time to the last token, from when the request was due.",
           headline=True, logged=True, title="Whole requests, since due", finest=MS,
           reached=lambda run: run.end - run.due),
    Metric("connect", _column("connect"), "Time to open a connection.", ours=True),
    Metric("tls", _column("tls"), "Time of the TLS handshake.", ours=True),
    Metric("input_tokens", _column("input_tokens"), "Tokens of the prompt.", unit="count"),
    Metric("output_tokens", _column("output_tokens"), "Tokens of the answer.", unit="count"),
    Metric("lag", lambda rows, tokens: (rows.sent - rows.due - tokens.opening, rows.sent != ABSENT),
           "How late the load generator sent a request.", logged=True, ours=True),
    Metric("receive_lag", lambda rows, tokens: np.maximum(rows.token_lag.values.astype(np.int64, copy=False), 0),
           "How late the load generator read a token.", scope="event", ours=True),
)
"""In the order in which they are shown. Sources of the definitions: docs/metrics.md."""

_OF_SERVERS: Final = ("server_batch_size",)
"""Counts among the metrics that servers report of themselves, whose names begin with `server_`."""


def known() -> tuple[Metric, ...]:
    """Return all metrics."""
    return METRICS


def find(name: str) -> Metric | None:
    """Return the metric of a name; None for one that a server reports of itself, and for a rate."""
    return next((one for one in METRICS if one.name == name), None)


def names(chosen: Callable[[Metric], object] = lambda one: True) -> tuple[str, ...]:
    """Return the names of the metrics that `chosen` says yes to."""
    return tuple(one.name for one in METRICS if chosen(one))


def pairs() -> Iterator[tuple[Metric, Metric | None]]:
    """Yield each headline metric with the one that counts from when the request was due, if there is one."""
    for one in METRICS:
        if one.headline and not one.scheduled:
            yield one, find(one.name + SCHEDULED)


def unit_of(name: str) -> Literal["ns", "count"]:
    """Return the unit of a metric, also of one that a server reports."""
    metric = find(name)
    if metric is not None:
        return metric.unit
    return "count" if name in _OF_SERVERS else "ns"


def counts() -> tuple[str, ...]:
    """Return the names of the metrics that are counts."""
    return (*names(lambda one: one.unit == "count"), *_OF_SERVERS)


def unstreamed_absent() -> tuple[str, ...]:
    """Return the names of the metrics that an answer in one piece does not have."""
    return names(lambda one: one.streamed)
