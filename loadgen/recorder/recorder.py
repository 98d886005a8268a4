"""The Recorder: folds rows and health lines into histograms and counts, in memory that requests don't grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from loadgen.metrics import Reached, known, names
from loadgen.recorder.batch import Batch
from loadgen.recorder.bins import Bins, Within
from loadgen.recorder.counts import Tally
from loadgen.recorder.formulas import Samples, Tokens, measure
from loadgen.recorder.health import ClientHealth
from loadgen.recorder.sections import Sections
from loadgen.slo import Slo
from loadgen.stats.histogram import Histogram
from loadgen.types import ABSENT, CENSORED, COOLDOWN, MEASURED, WARMUP, ClockSample, Health, Window

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Recorder:
    """Everything that a run's rows and health lines add up to.

    `metrics` are histograms over measured successes, but `lag`, which is of every measured request that was sent when
    the sender was free to (not held by --max-in-flight). `sections` has those of the headline metrics and of gated
    ones by tenth of the window. `at_least[name]` holds what censored requests had reached. Rows come in any order: the
    order, the division into batches, and into recorders that are merged, change nothing.
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
        self.metrics: dict[str, Histogram] = {name: Histogram() for name in names()}
        batched = dict.fromkeys([*names(lambda one: one.headline),
                                 *(gate.metric for gate in self.gates if gate.statistic)])
        self.sections = Sections(window, batched)
        self.at_least = {name: Histogram() for name in names(lambda one: one.reached)}
        self.tallies = {phase: Tally() for phase in (WARMUP, MEASURED, COOLDOWN)}
        self.bins = Bins(window)
        self.within = Within(window)
        self.health = ClientHealth()
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

    def merge(self, other: Recorder) -> None:
        """Add what another recorder has of the same run, so that this one holds what both were given.

        Raises ValueError if the other one began with another window, gates, `fresh` or confidence.
        """
        if self._terms() != other._terms():
            raise ValueError("only recorders of one run add up: same window, gates, connections and confidence")
        for mine, theirs in ((self.metrics, other.metrics), (self.at_least, other.at_least),
                             (self._since, other._since)):
            for name, histogram in theirs.items():
                mine.setdefault(name, Histogram()).merge(histogram)
        for phase, tally in other.tallies.items():
            self.tallies[phase].merge(tally)
        self.sections.merge(other.sections)
        self.bins.merge(other.bins)
        self.within.merge(other.within)
        self.health.merge(other.health)
        self.earliest_lag = min(self.earliest_lag, other.earliest_lag)
        self.residence += other.residence
        self.measured_residence += other.measured_residence
        self.last_due = max(self.last_due, other.last_due)
        self.last_end = max(self.last_end, other.last_end)

    def __add__(self, other: Recorder) -> Recorder:
        """Return a recorder of what both hold."""
        whole = Recorder(self.window, self.gates, self.fresh, self.confidence)
        whole.merge(self)
        whole.merge(other)
        return whole

    def _terms(self) -> tuple[Window, tuple[Slo, ...], bool, float]:
        return self.window, self.gates, self.fresh, self.confidence

    @property
    def batches(self) -> dict[str, list[Histogram]]:
        """The values of `sections`, by metric and tenth of the window."""
        return {name: self.sections.histograms(name) for name in self.sections.names}

    @property
    def measured(self) -> Tally:
        """The counts over the measured requests."""
        return self.tallies[MEASURED]

    def fold(self, batch: Batch) -> None:
        """Add the rows of `batch`."""
        if not len(batch):
            return
        tokens = Tokens.of(batch, self.fresh)
        samples = measure(batch, tokens)
        good = batch.good
        measured = batch.phase == MEASURED
        section = self.sections.blocks(batch, measured)
        for phase, tally in self.tallies.items():
            tally.fold(batch, tokens, batch.phase == phase, good)
        self._fold_metrics(samples, measured & good, section)
        self._fold_lag(samples["lag"], measured & (batch.held == 0), section)
        self._fold_censored(batch, tokens, measured)
        self._fold_time(batch, tokens, good)
        self._fold_goodput(samples, measured, good, section)

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
        if name in self.sections.names:
            of_value = section[samples.rows]
            for index in np.unique(of_value).tolist():
                part = Histogram()
                part.record(samples.values[of_value == index])
                self.sections.record(name, index, part)
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
        reached = Reached(batch.due[mask], np.where(batch.sent == ABSENT, end, batch.sent)[mask], first[mask],
                          end[mask])
        for metric in known():
            if metric.reached is not None:
                self.at_least[metric.name].record(np.maximum(metric.reached(reached), 0))

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
        self.sections.count(section[measured], section[met])


def _first(tokens: Tokens, input_tokens: Integers) -> tuple[Integers, Integers]:
    """Return (instant of the first token, input tokens) of the rows that have both."""
    rows = (tokens.events > 0) & (input_tokens > 0)
    return tokens.first[rows], input_tokens[rows]
