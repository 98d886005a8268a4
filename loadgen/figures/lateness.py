"""How late the client itself was: sending, reading, and its event loop, over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadgen.figures.axis import Axis
from loadgen.figures.grid import Band, Grid
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.recorder.formulas import Samples, Tokens


@dataclass(frozen=True, slots=True)
class Lateness:
    """`lag` by the instant a request was due, `receive_lag` by the instant a token came; both of all phases.

    `stalls` are the longest noteworthy stall of a sender's loop in each bin of `axis`, ns, 0 where there was none.
    """

    axis: Axis
    lag: Band | None
    receive_lag: Band | None
    stalls: npt.NDArray[np.int64]


class LatenessGrid:
    """Counts how late the client was by bin of time."""

    def __init__(self, axis: Axis) -> None:
        """Begin with nothing."""
        self._axis = axis
        self._lag, self._receive_lag = Grid(axis), Grid(axis)

    def fold(self, batch: Batch, tokens: Tokens, samples: Mapping[str, Samples]) -> None:
        """Add the rows of `batch`; one that --max-in-flight held back is not late."""
        lag = samples["lag"].of(batch.held == 0)
        self._lag.add(batch.due[lag.rows], np.maximum(lag.values, 0))
        self._receive_lag.add(tokens.at, samples["receive_lag"].values)

    def lateness(self, recorder: Recorder) -> Lateness:
        """Return it with the stalls that the recorder knows."""
        stalls = np.zeros(self._axis.count, np.int64)
        if recorder.health.stalls:
            at, _, length = np.asarray(recorder.health.stalls, np.int64).T
            np.maximum.at(stalls, self._axis.of(at), length)
        return Lateness(self._axis, self._lag.band(), self._receive_lag.band(), stalls)
