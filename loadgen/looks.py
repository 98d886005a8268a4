"""Sequential running: when a run that may be extended has been looked at, and whether it is precise enough.

A run that is extended until it looks good passes by chance more often than it says. So it is looked at only when its
window is n0 x 2^k long, and the intervals of look k leave alpha / ((k + 1)(k + 2)) outside, which adds up to alpha over
all looks, however many there are: whichever look ends the run, its intervals hold their 95 %. Source: Armitage,
McPherson & Rowe 1969 for the inflation; alpha spending by a telescoping sum, as in Darling & Robbins 1967.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from loadgen import slo
from loadgen.checks import evidence
from loadgen.histogram import Histogram
from loadgen.phases import Phases
from loadgen.plan import SECOND, Duration, Plan
from loadgen.recorder import Recorder
from loadgen.rows import Batch
from loadgen.stats import look_confidence
from loadgen.types import COOLDOWN, MEASURED, ClockSample, Health, Window

LONGER: Final = 16
"""How many windows a run takes at most to reach --precision, where --max-duration does not say."""


def extended(plan: Plan) -> Plan:
    """Let a run go on until it is precise, where nothing says how long and there is something to be precise of."""
    load = plan.load
    gated = any(one.statistic for one in slo.expand(plan.judgement.slo))
    if load.concurrency or load.max_duration or not load.window or not gated:
        return plan
    return replace(plan, load=replace(load, max_duration=Duration(LONGER * load.window)))


@dataclass(frozen=True, slots=True)
class Look:
    """One look: the window it closes, the index of the first request after it, and the confidence of its intervals."""

    window: Window
    last: int
    confidence: float


def looks_of(window: Window, first: int, counts: Iterable[int]) -> tuple[Look, ...]:
    """Return the looks of a window that may be extended; `counts` are requests in each, `window` the longest."""
    return tuple(Look(Window(window.start, round(window.length * count / window.count), count), first + count,
                      look_confidence(k)) for k, count in enumerate(counts))


def cut(batch: Batch, last: int) -> Batch:
    """Return the batch with requests from index `last` on in the cool-down, where the window was closed before them."""
    beyond = (batch.phase == MEASURED) & (batch.index >= last)
    return replace(batch, phase=np.where(beyond, COOLDOWN, batch.phase).astype(batch.phase.dtype))


def recorded(look: Look, record: Mapping[str, Any], rows: Iterable[Batch],
             health: Iterable[Health | ClockSample]) -> Recorder:
    """Fold the rows and health lines of a run as if its window had ended with this look."""
    recorder = Recorder(look.window, slo.expand(record["judgement"]["slo"]),
                        bool(record["load"]["connections"] == "new"), look.confidence)
    for line in health:
        recorder.observe(line)
    for batch in rows:
        recorder.fold(cut(batch, look.last))
    return recorder


def intervals(look: Look, record: Mapping[str, Any], rows: Iterable[Batch],
              metrics: Sequence[str]) -> Iterator[tuple[str, Histogram, int, int]]:
    """Yield (metric, values, begin, end) of each second or more in which `rows`, in their order, ended.

    It is what the interval logs hold if this look closed the window; ns since the start of the schedule.
    """
    recorder = recorded(look, record, (), ())
    begin = end = 0
    for batch in rows:
        recorder.fold(cut(batch, look.last))
        end = max(end, int(batch.end.max(initial=0)))
        if end - begin >= SECOND:
            yield from _interval(recorder, metrics, begin, end)
            begin = end
    yield from _interval(recorder, metrics, begin, end)


def _interval(recorder: Recorder, metrics: Sequence[str], begin: int,
              end: int) -> Iterator[tuple[str, Histogram, int, int]]:
    for metric in metrics:
        values = recorder.interval(metric)
        if values.count:
            yield metric, values, begin, end


class Looking:
    """The looks of one run, as it goes. `taken` is the look that closed its window, None until then."""

    def __init__(self, looks: tuple[Look, ...], phases: Phases, record: Mapping[str, Any],
                 rows: Callable[[], Iterable[Batch]]) -> None:
        """Begin before the first look. `rows` gives all rows that were written so far."""
        self._looks = looks
        self._rows = rows
        self._phases = phases
        self._record = record
        self._next = 0
        self.taken: Look | None = None

    def due(self, elapsed: int) -> bool:
        """Say whether everything that the next look needs has ended. `elapsed` is ns from the start."""
        if self._next >= len(self._looks) - 1:  # the last one is the end of the run
            return False
        look = self._looks[self._next]
        return elapsed > look.window.start + look.window.length and self._phases.ended_before(look.last)

    def enough(self) -> bool:
        """Look at the rows so far: whether each gated number is as precise as asked; else the window is extended."""
        look = self._looks[self._next]
        self._next += 1
        recorder = recorded(look, self._record, self._rows(), ())
        seen = evidence(recorder, self._record)
        precise = all(one.has_interval and one.half_width <= seen.precision
                      for one in seen.gates if one.slo.statistic)
        if precise:
            self.taken = look
        return precise

    def close(self) -> Look:
        """Return the look that ended the run; the longest if none did before."""
        return self.taken or self._looks[-1]
