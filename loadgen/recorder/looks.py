"""A look at a run: the window it closes, and the rows of the run folded as if its window had ended there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadgen import slo
from loadgen.outcomes.run_record import RunRecord
from loadgen.recorder.batch import Batch
from loadgen.recorder.recorder import Recorder
from loadgen.stats.estimation import look_confidence
from loadgen.stats.histogram import Histogram
from loadgen.types import COOLDOWN, MEASURED, SECOND, ClockSample, Health, Window


@dataclass(frozen=True, slots=True)
class InterimLook:
    """One look: the window it closes, the index of the first request after it, and the confidence of its intervals."""

    window: Window
    last: int
    confidence: float


def looks_of(window: Window, first: int, counts: Iterable[int]) -> tuple[InterimLook, ...]:
    """Return the looks of a window that may be extended; `counts` are requests in each, `window` the longest."""
    return tuple(InterimLook(Window(window.start, round(window.length * count / window.count), count), first + count,
                      look_confidence(k)) for k, count in enumerate(counts))


def cut(batch: Batch, last: int) -> Batch:
    """Return the batch with requests from index `last` on in the cool-down, where the window was closed before them."""
    beyond = (batch.phase == MEASURED) & (batch.index >= last)
    return replace(batch, phase=np.where(beyond, COOLDOWN, batch.phase).astype(batch.phase.dtype))


def recorded(look: InterimLook, record: RunRecord, rows: Iterable[Batch],
             health: Iterable[Health | ClockSample]) -> Recorder:
    """Fold the rows and health lines of a run as if its window had ended with this look."""
    recorder = Recorder(look.window, slo.expand(record.plan.judgement.slo), record.opens_each, look.confidence)
    for line in health:
        recorder.observe(line)
    for batch in rows:
        recorder.fold(cut(batch, look.last))
    return recorder


Interval = tuple[str, Histogram, int, int]
"""Metric, its values, and begin and end of the interval, ns since the start of the schedule."""


class LookIntervals:
    """The intervals of a second or more that the interval logs hold if a look closed the window.

    An interval ends with the batch in which the last of its rows ended: give the rows in their order.
    """

    def __init__(self, look: InterimLook, record: RunRecord, metrics: Sequence[str]) -> None:
        self._recorder = recorded(look, record, (), ())
        self._metrics = metrics
        self._begin = self._end = 0

    def fold(self, batch: Batch) -> Iterator[Interval]:
        """Add rows as the look left them (see `cut`); yield what has become whole with them."""
        self._recorder.fold(batch)
        self._end = max(self._end, int(batch.end.max(initial=0)))
        if self._end - self._begin >= SECOND:
            yield from self.rest()
            self._begin = self._end

    def rest(self) -> Iterator[Interval]:
        """Yield what has come since the last interval."""
        for metric in self._metrics:
            values = self._recorder.interval(metric)
            if values.count:
                yield metric, values, self._begin, self._end
