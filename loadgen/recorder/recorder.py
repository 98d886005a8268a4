"""The Recorder: folds rows and health lines into histograms and counts, in memory that requests don't grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.recorder.batch import Batch
from loadgen.recorder.bins import Bins, Within
from loadgen.recorder.counts import Tally
from loadgen.recorder.formulas import PER_REQUEST, Samples, Tokens, measure
from loadgen.recorder.health import ClientHealth
from loadgen.slo import Slo
from loadgen.stats.histogram import Histogram
from loadgen.types import ABSENT, CENSORED, COOLDOWN, MEASURED, WARMUP, ClockSample, Health, Window

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

METRICS: Final = (*PER_REQUEST, "itl", "chunk_gap", "lag", "receive_lag")
HEADLINE: Final = ("ttft", "ttft_scheduled", "itl", "tpot", "e2e", "e2e_scheduled")
"""Metrics that always have histograms by time batch; gated ones have too."""
BOUNDED: Final = ("ttft", "ttft_scheduled", "e2e", "e2e_scheduled")
"""Metrics of which a censored request gives a lower bound."""
BATCHES: Final = 10


class Recorder:
    """Everything that a run's rows and health lines add up to.

    `metrics` are histograms over measured successes, but `lag`, which is of every measured request that was sent when
    the sender was free to (not held by --max-in-flight). `batches[name]` are the same values by time batch, tenths of
    the window by due (of the count, where only that is known). `at_least[name]` holds what censored requests had
    reached. Rows come in any order, and the order and the division into batches change no total.
    """

    def __init__(self, window: Window, gates: Sequence[Slo] = (), fresh: bool = False,
                 confidence: float = 0.95) -> None:
        """Begin with nothing. `fresh`: each request opens a connection on purpose, which is no lag of ours.

        `confidence` is that of the intervals that are made of what is recorded.
        """
        self.window = window
        self.confidence = confidence
        self.fresh = fresh
        self.gates = tuple(gates)
        self.metrics: dict[str, Histogram] = {name: Histogram() for name in METRICS}
        batched = dict.fromkeys([*HEADLINE, *(gate.metric for gate in self.gates if gate.statistic)])
        self.batches = {name: [Histogram() for _ in range(BATCHES)] for name in batched}
        self.at_least = {name: Histogram() for name in BOUNDED}
        self.tallies = {phase: Tally() for phase in (WARMUP, MEASURED, COOLDOWN)}
        self.bins = Bins(window)
        self.within = Within(window)
        self.health = ClientHealth()
        self.offered_by_batch: Integers = np.zeros(BATCHES, np.int64)
        self.good_by_batch: Integers = np.zeros(BATCHES, np.int64)
        self.earliest_lag = 0  # below 0 if a request was sent before it was due
        self.residence = 0  # ns that requests of all phases were in flight, together
        self.measured_residence = 0
        self.last_due = ABSENT  # of the measured requests
        self.last_end = ABSENT
        self._since: dict[str, Histogram] = {}

    def observe(self, line: Health | ClockSample) -> None:
        """Add a health line or a clock sample; those of one process in the order of their instants."""
        self.health.observe(line)

    def interval(self, metric: str) -> Histogram:
        """Return the histogram of what was recorded for `metric` since the last call for it, and begin a new one."""
        return self._since.pop(metric, None) or Histogram()

    @property
    def measured(self) -> Tally:
        """The counts over the measured requests."""
        return self.tallies[MEASURED]

    def fold(self, batch: Batch) -> None:
        """Add the rows of `batch`."""
        if not len(batch):
            return
        tokens = Tokens.of(batch)
        samples = measure(batch, tokens, self.fresh)
        good = batch.good
        measured = batch.phase == MEASURED
        section = self._sections(batch, measured)
        for phase, tally in self.tallies.items():
            tally.fold(batch, tokens, batch.phase == phase, good)
        self._fold_metrics(samples, measured & good, section)
        self._fold_lag(samples["lag"], measured & (batch.held == 0), section)
        self._fold_censored(batch, tokens, measured)
        self._fold_time(batch, tokens, good)
        self._fold_goodput(samples, measured, good, section)

    def _sections(self, batch: Batch, measured: Mask) -> Integers:
        """Return the time batch of each row; only those of measured rows mean something."""
        if self.window.length != ABSENT:
            since = (batch.due - self.window.start) * BATCHES // max(1, self.window.length)
        else:
            place = self.measured.offered + np.cumsum(measured) - 1
            since = place * BATCHES // max(1, self.window.count)
        return np.clip(since, 0, BATCHES - 1)

    def _fold_metrics(self, samples: Mapping[str, Samples], mask: Mask, section: Integers) -> None:
        for name, all_samples in samples.items():
            if name != "lag":
                self._record(name, all_samples.of(mask), section)

    def _fold_lag(self, lag: Samples, mask: Mask, section: Integers) -> None:
        chosen = lag.of(mask)
        if chosen.values.size:
            self.earliest_lag = min(self.earliest_lag, int(chosen.values.min()))
            self._record("lag", Samples(np.maximum(chosen.values, 0), chosen.rows), section)

    def _record(self, name: str, samples: Samples, section: Integers) -> None:
        if not samples.values.size:
            return
        whole = Histogram()
        if name in self.batches:
            of_value = section[samples.rows]
            for index in np.unique(of_value).tolist():
                part = Histogram()
                part.record(samples.values[of_value == index])
                self.batches[name][index].merge(part)
                whole.merge(part)
        else:
            whole.record(samples.values)
        self.metrics.setdefault(name, Histogram()).merge(whole)
        self._since.setdefault(name, Histogram()).merge(whole)

    def _fold_censored(self, batch: Batch, tokens: Tokens, measured: Mask) -> None:
        if CENSORED not in batch.failure:
            return
        mask = measured & np.asarray([failure == CENSORED for failure in batch.failure], np.bool_)
        end = np.maximum(batch.end, tokens.last)
        first = np.where(tokens.events > 0, tokens.first, end)
        sent = np.where(batch.sent == ABSENT, end, batch.sent)
        for name, reached in (("ttft", first - sent), ("ttft_scheduled", first - batch.due), ("e2e", end - sent),
                              ("e2e_scheduled", end - batch.due)):
            self.at_least[name].record(np.maximum(reached[mask], 0))

    def _fold_time(self, batch: Batch, tokens: Tokens, good: Mask) -> None:
        """Fold what is counted by instants, in which all phases take part."""
        bins, measured = self.bins, batch.phase == MEASURED
        end = np.maximum(batch.end, tokens.last)
        flew = (batch.sent != ABSENT) & (end >= batch.sent)
        bins.add("arrivals", batch.sent[flew])
        bins.add("completions", end[flew])
        bins.add_residence(batch.sent[flew], end[flew])
        spent = end - batch.sent
        self.residence += int(spent[flew].sum())
        self.measured_residence += int(spent[flew & measured].sum())
        if measured.any():
            self.last_due = max(self.last_due, int(batch.due[measured].max()))
            self.last_end = max(self.last_end, int(end[measured].max()))
        self.within.add("completed", end[good])
        bins.add("completed", end[good])
        counted = (("output_tokens", tokens.at, tokens.count),
                   ("input_tokens", *_first(tokens, batch.input_tokens.astype(np.int64))))
        for name, instants, weights in counted:
            bins.add(name, instants, weights)
            self.within.add(name, instants, weights)
        answered = good & (tokens.events > 0)
        bins.add("first_tokens", batch.due[answered])
        bins.add("first_token_time", batch.due[answered], (tokens.first - batch.due)[answered])

    def _fold_goodput(self, samples: Mapping[str, Samples], measured: Mask, good: Mask, section: Integers) -> None:
        """Count the requests that met every objective that speaks of one request; one without the metric meets it."""
        met = measured & good
        for gate in self.gates:
            if gate.per_request in samples:
                one = samples[gate.per_request]
                met = met.copy()
                met[one.rows[~gate.meets_all(one.values)]] = False
        self.offered_by_batch += np.bincount(section[measured], minlength=BATCHES)
        self.good_by_batch += np.bincount(section[met], minlength=BATCHES)


def _first(tokens: Tokens, input_tokens: Integers) -> tuple[Integers, Integers]:
    """Return (instant of the first token, input tokens) of the rows that have both."""
    rows = (tokens.events > 0) & (input_tokens > 0)
    return tokens.first[rows], input_tokens[rows]
