"""The Figures of a run: everything that its charts show, from its rows and what was recorded of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.checks import span
from loadgen.figures.axis import Axis
from loadgen.figures.curve import PercentileCurve, curves
from loadgen.figures.density import Cloud, Density, Scatter
from loadgen.figures.flow import Flow, FlowCounter
from loadgen.figures.grid import Band, Grid, Heat
from loadgen.figures.lateness import Lateness, LatenessGrid
from loadgen.figures.slowest import Slowest, SlowestFinder
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.recorder.formulas import Tokens, measure
from loadgen.types import ABSENT, MEASURED

HEAT: Final = (120, 60)
"""Columns and rows of the heat map at most."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Data of charts, of a size that requests and time don't grow. None where a run has nothing to show.

    `window` is where the measured window begins and ends, ns since the start of the schedule.
    """

    window: tuple[int, int]
    curves: tuple[PercentileCurve, ...]
    flow: Flow
    ttft: Band | None
    itl: Band | None
    e2e: Band | None
    heat: Heat | None
    slowest: Slowest | None
    prompts: Scatter | Density | None
    lateness: Lateness


def draw(recorder: Recorder, batches: Iterable[Batch], stream: bool = True, interrupted: bool = False) -> Figures:
    """Make the Figures of a run from its rows, all of which `recorder` has seen; their order changes nothing.

    Without `stream` an answer comes in one piece, and the times of its tokens have no meaning.
    """
    sketch = Sketch(recorder, stream, interrupted)
    for batch in batches:
        sketch.fold(batch)
    return sketch.figures()


class Sketch:
    """Folds rows into the Figures of a run, on axes whose extent the recorder knows; it has seen all the rows before.

    `stream` and `interrupted` are those of `draw`.
    """

    def __init__(self, recorder: Recorder, stream: bool = True, interrupted: bool = False) -> None:
        self._recorder, self._stream = recorder, stream
        self._window = span(recorder, interrupted)
        axis = Axis.over(recorder.bins, max(recorder.bins.end, recorder.last_due + 1, self._window[1]))
        gaps = recorder.metrics["chunk_gap"]
        self._flow = FlowCounter(axis)
        self._ttft, self._itl, self._e2e = Grid(axis), Grid(axis), Grid(axis)
        self._slowest = SlowestFinder(gaps.percentile(0.5) if gaps.count and stream else ABSENT)
        self._cloud = Cloud(recorder)
        self._lateness = LatenessGrid(axis)

    def fold(self, batch: Batch) -> None:
        """Add the rows of `batch`."""
        if not len(batch):
            return
        tokens = Tokens.of(batch, self._recorder.fresh)
        samples = measure(batch, tokens)
        good = batch.good
        self._flow.fold(batch, np.flatnonzero(~good))
        self._slowest.fold(batch, tokens)
        self._lateness.fold(batch, tokens, samples)
        e2e, ttft = samples["e2e"].of(good), samples["ttft"].of(good)
        self._e2e.add(batch.due[e2e.rows], e2e.values)
        if self._stream:
            self._ttft.add(batch.due[ttft.rows], ttft.values)
            self._fold_gaps(tokens, good)
            known = (batch.input_tokens[ttft.rows] >= 0) & (batch.phase[ttft.rows] == MEASURED)
            self._cloud.add(batch.input_tokens[ttft.rows][known].astype(np.int64), ttft.values[known])

    def _fold_gaps(self, tokens: Tokens, good: npt.NDArray[np.bool_]) -> None:
        """Count the gap before each event, as many times as it has tokens; see `itl` in docs/metrics.md."""
        kept = good[tokens.by("gap", tokens.row)]
        at, gaps, parts = tokens.by("gap", tokens.at)[kept], tokens.gaps[kept], tokens.parts[kept]
        self._itl.add(at, gaps // parts, parts)

    def figures(self) -> Figures:
        """Return what was folded."""
        return Figures(
            self._window, curves(self._recorder, self._stream), self._flow.flow(self._recorder.bins), self._ttft.band(),
            self._itl.band(), self._e2e.band(), self._itl.heat(*HEAT), self._slowest.slowest(), self._cloud.picture(),
            self._lateness.lateness(self._recorder))
