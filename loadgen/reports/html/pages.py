"""The format `html` of `loadgen report`: the page of a run, or one page with several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loadgen.reports.html.run import run_page
from loadgen.reports.html.runs import NamedRun, runs_page
from loadgen.summary.run_data import RunData


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Yield the page of the results."""
    if len(results) == 1:
        yield run_page(results[0].report, results[0].figures())
    else:
        yield runs_page([NamedRun(result.name, result.report, result.curves()) for result in results])
