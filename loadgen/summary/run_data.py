"""The Result: a run read back whole, as renderers take it; data only, read from the files elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loadgen.figures import Figures, PercentileCurve
from loadgen.metrics import names
from loadgen.outcomes.report import Report
from loadgen.recorder.batch import Batch, ListColumn
from loadgen.recorder.formulas import Samples, Tokens, measure
from loadgen.stats.histogram import Histogram, Integers
from loadgen.types import ABSENT


def of_a_request() -> tuple[str, ...]:
    """Return the metrics with one value a request."""
    return names(lambda one: not one.pooled)


@dataclass(frozen=True, slots=True)
class RequestColumns:
    """Request attempts as columns, and the metrics of each: int64[n] of ns or counts, ABSENT where it has none.

    `chunk_at` are the instants of the chunks of each, as metrics have them: none before the one ahead of it.
    """

    batch: Batch
    metrics: Mapping[str, Integers]
    chunk_at: ListColumn

    @classmethod
    def of(cls, batch: Batch, fresh: bool = False) -> RequestColumns:
        """Measure every row of `batch`, whatever became of it. `fresh`: see recorder.formulas.Tokens."""
        tokens = Tokens.of(batch, fresh)
        samples = measure(batch, tokens)
        return cls(batch, {name: _column(samples[name], len(batch)) for name in of_a_request()},
                   ListColumn(tokens.at, batch.token_at.offsets))


def _none() -> None:
    return None


@dataclass(frozen=True, slots=True)
class RunData:
    """A run, ended or killed. `name` tells it from others that are rendered beside it.

    `histograms` has the metrics of the report, over the same values. `requests` reads the rows of all phases, in the
    order in which they ended, some thousands in memory at a time; each call begins anew. `logs` are the run's
    HdrHistogram interval logs as text, by metric. `curves` are its percentile curves, and `figures` all that its charts
    show, for which the rows are read once more; None if there are no rows to be had.
    """

    name: str
    dir: Path
    report: Report
    histograms: Mapping[str, Histogram]
    requests: Callable[[], Iterator[RequestColumns]]
    logs: Callable[[], Mapping[str, str]]
    curves: Callable[[], tuple[PercentileCurve, ...]] = tuple
    figures: Callable[[], Figures | None] = _none


def _column(samples: Samples, size: int) -> Integers:
    values = np.full(size, ABSENT, np.int64)
    values[samples.rows] = samples.values
    return values
