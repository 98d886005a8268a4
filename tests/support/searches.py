"""A made-up server with a known edge, and searches against it: no time passes, every run is a draw."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from loadgen.capacity import FAILS, PASSES, UNJUDGED, SearchResult
from loadgen.capacity.search import Finish, Range, answer, next_step
from loadgen.capacity.trial import Probe, Seen, Trial
from loadgen.checks.check import CLIENT, SHORT

WITHIN = Range(1.0, 1 / 64, 4096.0, 0.05)
Server = Callable[[Probe], Seen]


def server_with_edge(edge: float, rng: np.random.Generator, noise: float = 0.02, wrong: float = 0.025,
                     upset: float = 0.0, client: float = math.inf) -> Server:
    """Return a server whose runs are judged with noise.

    A run sees the distance of its load to the edge with a deviation of `noise` (relative; of a run of the usual
    length, less in longer ones), and decides where its interval does not hold the limit. `wrong` is the probability
    that it decides falsely at the edge itself: 2.5 % for intervals that keep their promise, more for those that
    don't. `upset` is the share of runs that come out at random, and above `client` no run can be judged.
    """
    half = -NormalDist().inv_cdf(wrong)

    def run(probe: Probe) -> Seen:
        if probe.load > client:
            return Seen(UNJUDGED, "lag", CLIENT)
        if rng.random() < upset:
            return Seen(*((PASSES,), (FAILS, "by chance"))[int(rng.integers(2))])
        seen = math.log(probe.load / edge) / (noise / math.sqrt(probe.stretch)) + rng.standard_normal()
        if abs(seen) < half:
            return Seen(UNJUDGED, "the interval holds the limit", SHORT)
        return Seen(PASSES) if seen < 0 else Seen(FAILS, "ttft.p99 missed")

    return run


def search(server: Server, within: Range = WITHIN) -> tuple[SearchResult, list[Trial]]:
    """Search to the end."""
    trials: list[Trial] = []
    while True:
        step = next_step(trials, within)
        if isinstance(step, Finish):
            return answer(trials, within, "max-rate", "rate"), trials
        trials.append(Trial(step, server(step)))
