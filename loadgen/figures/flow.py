"""What flowed when: requests offered, sent and completed, those in flight, tokens, and failures by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadgen.figures.axis import Axis, together
from loadgen.recorder.batch import Batch
from loadgen.recorder.bins import Bins
from loadgen.types import CENSORED, COOLDOWN

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Flow:
    """Counts by bin of time, of all phases; int64[axis.count] each.

    `in_flight` is the integral of the number in flight over the bin, in request-ns. `failures` are by class and by the
    instant at which the request ended, or should have been sent; without those of the cool-down that loadgen itself
    broke off.
    """

    axis: Axis
    offered: Integers
    sent: Integers
    completed: Integers
    output_tokens: Integers
    in_flight: Integers
    failures: Mapping[str, Integers]


class FlowCounter:
    """Counts what the recorder's bins do not hold: offered requests and failures."""

    def __init__(self, axis: Axis) -> None:
        self._axis = axis
        self._offered = np.zeros(axis.count, np.int64)
        self._failures: dict[str, Integers] = {}

    def fold(self, batch: Batch, failed: npt.NDArray[np.int64]) -> None:
        """Add the rows of `batch`, of which `failed` are no successes."""
        np.add.at(self._offered, self._axis.of(batch.due), batch.attempt == 0)
        cut = [batch.failure[row] == CENSORED and batch.phase[row] == COOLDOWN for row in failed.tolist()]
        failed = failed[~np.asarray(cut, np.bool_)]
        if not failed.size:
            return
        ended = np.maximum(np.maximum(batch.end, batch.sent), batch.due)[failed]
        kinds = np.asarray([batch.failure[row] for row in failed.tolist()])
        for kind in np.unique(kinds).tolist():
            counts = self._failures.setdefault(kind, np.zeros(self._axis.count, np.int64))
            np.add.at(counts, self._axis.of(ended[kinds == kind]), 1)

    def flow(self, bins: Bins) -> Flow:
        """Return it with what `bins` hold."""
        axis, factor = self._axis, self._axis.width // bins.width
        end = axis.start + axis.count * axis.width
        series = {name: together(bins.series(name, axis.start, end), factor)
                  for name in ("arrivals", "completed", "output_tokens")}
        in_flight = together(bins.in_flight(axis.start, end), factor)
        return Flow(axis, self._offered, series["arrivals"], series["completed"], series["output_tokens"], in_flight,
                    dict(sorted(self._failures.items())))
