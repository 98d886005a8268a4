"""How a run goes, for the live view: made from what is recorded so far. Pure."""

from __future__ import annotations

from collections import deque

from loadgen import checks
from loadgen.metrics import names
from loadgen.outcomes.run_record import RunRecord
from loadgen.recorder import Recorder
from loadgen.types import ABSENT, MEASURED, SECOND, Progress, Window

_SPAN = 5  # seconds over which rates are taken


class Pace:
    """Rates over the last few seconds, from counters looked at now and then."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int, int, int]] = deque()

    def rates(self, elapsed: int, offered: int, completed: int, tokens: int) -> tuple[float, float, float]:
        """Take the counters at `elapsed` ns; give offered, completed and tokens per second."""
        seen = self._seen
        seen.append((elapsed, offered, completed, tokens))
        while len(seen) > 2 and elapsed - seen[1][0] >= _SPAN * SECOND:
            seen.popleft()
        first = seen[0]
        passed = (elapsed - first[0]) / SECOND
        if passed <= 0:
            return 0.0, 0.0, 0.0
        return (offered - first[1]) / passed, (completed - first[2]) / passed, (tokens - first[3]) / passed


def phase_name(elapsed: int, window: Window, stopping: bool) -> str:
    if stopping:
        return "draining"
    if elapsed < window.start:
        return "warm-up"
    if window.length == ABSENT or elapsed < window.start + window.length:
        return "measured"
    return "cool-down"


def quantiles(recorder: Recorder, name: str) -> tuple[int, int]:
    """p50 and p99 so far, ABSENT without samples."""
    histogram = recorder.metrics[name]
    if not histogram.count:
        return ABSENT, ABSENT
    return histogram.percentile(0.5), histogram.percentile(0.99)


def describe(recorder: Recorder, record: RunRecord, elapsed: int, counts: tuple[int, int, int, int],
             pace: Pace, stopping: bool) -> Progress:
    """Make the Progress. `counts` are offered, completed, in flight and output tokens, of all phases."""
    window = recorder.window
    offered, completed, in_flight, tokens = counts
    tally = recorder.tallies[MEASURED]
    lag = recorder.metrics["lag"]
    lag_p99 = lag.percentile(0.99) if lag.count else ABSENT
    offered_rate, completed_rate, token_rate = pace.rates(elapsed, offered, completed, tokens)
    total = window.start + window.length if window.length != ABSENT else ABSENT
    return Progress(
        elapsed=elapsed, total=total, phase=phase_name(elapsed, window, stopping), planned=window.count,
        offered=offered, completed=completed, failed=tally.failed, in_flight=in_flight,
        offered_rate=offered_rate, completed_rate=completed_rate, token_rate=token_rate,
        quantiles={name: quantiles(recorder, name) for name in names(lambda one: one.brief and one.streamed)},
        failures=dict(tally.failures),
        lag_p99=lag_p99, warnings=checks.warnings(recorder, record))
