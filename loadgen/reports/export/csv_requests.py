"""The requests as CSV, one line an attempt, for a spreadsheet: times in ms, empty where there is none."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from loadgen.reports.format import clean
from loadgen.stats.histogram import Integers
from loadgen.summary.run_data import RequestColumns, RunData, of_a_request
from loadgen.types import ABSENT, CENSORED, COOLDOWN, MEASURED, MS, WARMUP

PHASES: Final = {WARMUP: "warm-up", MEASURED: "measured", COOLDOWN: "cool-down"}
_COUNTS: Final = ("input_tokens", "output_tokens")
_COMMANDS: Final = "=+-@"
"""What a cell begins with that a spreadsheet runs."""

Column = Callable[[RequestColumns], Iterable[Any]]


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Write a heading and a line for each attempt of all runs, all phases, in the order in which they ended."""
    made = columns_of()
    yield _lines([["run", *made]])
    for result in results:
        run = safe(result.name)
        for requests in result.requests():
            columns = [column(requests) for column in made.values()]
            yield _lines([run, *cells] for cells in zip(*columns, strict=True))


def safe(text: str) -> str:
    """Make a foreign text safe for a spreadsheet: one line, no control characters, no formula."""
    text = clean(text)
    return f"'{text}" if text.startswith(tuple(_COMMANDS)) else text


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _ms(values: Integers) -> list[str]:
    return ["" if value == ABSENT else f"{value / MS:.6f}" for value in values.tolist()]


def _counted(values: Any) -> list[Any]:
    return ["" if value == ABSENT else value for value in values.tolist()]


def _outcome(failure: str) -> str:
    return "failed" if failure and failure != CENSORED else failure or "succeeded"


def _plain(name: str) -> Column:
    return lambda requests: getattr(requests.batch, name).tolist()


def _text(name: str) -> Column:
    return lambda requests: [safe(text) if text else "" for text in getattr(requests.batch, name)]


def _count(name: str) -> Column:
    return lambda requests: _counted(getattr(requests.batch, name))


def _instant(name: str) -> Column:
    return lambda requests: _ms(getattr(requests.batch, name))


def _metric(name: str) -> Column:
    return lambda requests: _ms(requests.metrics[name])


def columns_of() -> dict[str, Column]:
    """Return each column after `run`: its heading, and what it makes of the requests."""
    return {**_ABOUT, **{f"{name}_ms": _metric(name) for name in of_a_request() if name not in _COUNTS}, **_AFTER}


_ABOUT: Final[dict[str, Column]] = {
    "index": _plain("index"), "attempt": _plain("attempt"),
    "phase": lambda requests: [PHASES[phase] for phase in requests.batch.phase.tolist()],
    "outcome": lambda requests: [_outcome(failure) for failure in requests.batch.failure],
    "failure": _text("failure"), "failure_type": _text("failure_type"), "detail": _text("detail"),
    "status": _count("status"), "target": _plain("target"), "sender": _plain("sender"), "held": _plain("held"),
    "reconnects": _plain("reconnects"),
    **{f"{name}_ms": _instant(name) for name in ("due", "sent", "end")},
}
_AFTER: Final[dict[str, Column]] = {
    **{name: _count(name) for name in (*_COUNTS, "asked_tokens")},
    "finish_reason": _text("finish_reason"),
}
