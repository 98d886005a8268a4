"""Sequential running: when a run that may be extended has been looked at, and whether it is precise enough.

A run that is extended until it looks good passes by chance more often than it says. So it is looked at only when its
window is n0 x 2^k long, and the intervals of look k leave alpha / ((k + 1)(k + 2)) outside, which adds up to alpha over
all looks, however many there are: whichever look ends the run, its intervals hold their 95 %. Source: Armitage,
McPherson & Rowe 1969 for the inflation; alpha spending by a telescoping sum, as in Darling & Robbins 1967.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from loadgen import slo
from loadgen.checks import evidence
from loadgen.outcomes.run_record import RunRecord
from loadgen.plan import Duration, Plan
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.recorder.looks import InterimLook, cut, recorded
from loadgen.run.phases import Phases

LONGER: Final = 16
"""How many windows a run takes at most to reach --precision, where --max-duration does not say."""


def extended(plan: Plan) -> Plan:
    """Let a run go on until it is precise, where nothing says how long and there is something to be precise of."""
    load = plan.load
    gated = any(one.statistic for one in slo.expand(plan.judgement.slo))
    if load.concurrency or load.load_shape or load.max_duration or not load.window or not gated:
        return plan
    return replace(plan, load=replace(load, max_duration=Duration(LONGER * load.window)))


class SequentialStop:
    """The looks of one run, as it goes. `taken` is the look that closed its window, None until then."""

    def __init__(self, looks: tuple[InterimLook, ...], phases: Phases, record: RunRecord,
                 rows: Callable[[], Iterable[Batch]]) -> None:
        """Begin before the first look. `rows` gives all rows that were written so far."""
        self._looks = looks
        self._rows = rows
        self._phases = phases
        self._record = record
        self._next = 0
        self.taken: InterimLook | None = None
        self._closed: Recorder | None = None  # of the look that was taken

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
            self.taken, self._closed = look, recorder
        return precise

    def fold(self, batch: Batch) -> None:
        """Add rows that were written after the look that closed the window; before it they mean nothing."""
        if self.taken and self._closed:
            self._closed.fold(cut(batch, self.taken.last))

    def recorder(self, live: Recorder) -> Recorder:
        """Return what was recorded of the window as the look that ended the run closed it.

        `live` is that of the longest window, with all health lines.
        """
        if self._closed is None:
            live.confidence = self._looks[-1].confidence
            return live
        self._closed.health = live.health
        return self._closed

    def close(self) -> InterimLook:
        """Return the look that ended the run; the longest if none did before."""
        return self.taken or self._looks[-1]
