"""Tests of runs that are extended until they are precise: the looks, what they spend, and the files they leave."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadgen.plan import Duration, Load
from loadgen.recorder.batch import Batch
from loadgen.recorder.looks import LookIntervals, cut, looks_of, recorded
from loadgen.run.phases import Phases
from loadgen.run.sequential import SequentialStop
from loadgen.run.setup import make_schedule
from loadgen.schedule import look_counts, plan_offsets
from loadgen.stats.estimation import look_confidence, order_statistic_ranks
from loadgen.stats.histogram import Histogram
from loadgen.types import COOLDOWN, MEASURED, SECOND, WARMUP, Window
from support.flights import flight_of
from support.made_runs import MS, S, record_of, run_of
from support.stored_runs import as_rows


@settings(deadline=None)
@given(st.integers(0, 200), st.floats(0.5, 0.999))
def test_all_looks_together_leave_no_more_outside_than_one(last: int, confidence: float) -> None:
    spent = math.fsum(1 - look_confidence(k, confidence) for k in range(last + 1))
    assert spent < 1 - confidence
    assert spent == pytest.approx((1 - confidence) * (1 - 1 / (last + 2)))


def passes_falsely(confidences: list[float], rng: np.random.Generator, first: int = 400) -> bool:
    """Extend a run whose p99 is at the limit, so that passing is false, until a look decides; say if it passes."""
    values = np.empty(0)
    for k, confidence in enumerate(confidences):
        values = np.append(values, rng.random(first * 2**k - values.size))
        low, high = order_statistic_ranks(values.size, 0.99, confidence)
        ordered = np.sort(values)
        if high is not None and ordered[high - 1] < 0.99:
            return True
        if low is not None and ordered[low - 1] > 0.99:
            return False
    return False


def test_looking_again_and_again_passes_falsely_and_spending_alpha_does_not() -> None:
    """A limit at the true p99: one look may pass with 2.5 %, and so may all of them together, if alpha is spent."""
    runs, looks = 2000, 6
    rng = np.random.default_rng(9)
    spent = sum(passes_falsely([look_confidence(k) for k in range(looks)], rng) for _ in range(runs)) / runs
    naive = sum(passes_falsely([0.95] * looks, rng) for _ in range(runs)) / runs
    assert spent <= 0.025
    assert naive > 0.05


@settings(deadline=None)
@given(st.integers(1, 200), st.floats(1, 500), st.integers(2, 40), st.sampled_from(["poisson", "constant", "gamma"]))
@example(1, 499.99999999999994, 2, "poisson")
def test_each_look_has_its_exact_rate_and_the_first_is_the_run_without(n: int, rate: float, times: int,
                                                                       law: str) -> None:
    length = n / rate
    load = Load(rate=rate, requests=n, arrivals=law, seed=3, burstiness=0.5 if law == "gamma" else 1.0)
    longer = Load(rate=rate, requests=n, arrivals=law, seed=3, burstiness=load.burstiness,
                  max_duration=Duration(math.ceil(times * length * SECOND)))
    counts = look_counts(longer)
    assert counts == [n * 2**k for k in range(int(math.log2(times)) + 1)]
    alone, first, last = plan_offsets(load, 0, 0)
    offsets, begin, end = plan_offsets(longer, 0, 0)
    assert (begin, end - begin) == (first, counts[-1])
    assert np.array_equal(offsets[begin : begin + n], alone[first:last])
    assert (np.diff(offsets) >= 0).all()
    for count in counts:
        assert (offsets[begin : end] < count / rate * SECOND + 1).sum() - count in (0, 1)  # one may fall on the edge


def test_a_course_knows_its_looks() -> None:
    schedule = make_schedule(Load(rate=10, duration=Duration(2 * SECOND), max_duration=Duration(9 * SECOND),
                                warmup=Duration(0)))
    assert [(look.window.length, look.window.count, look.last - schedule.first) for look in schedule.looks] == [
        (2 * S, 20, 20), (4 * S, 40, 40), (8 * S, 80, 80)]
    assert schedule.window == schedule.looks[-1].window
    assert make_schedule(Load(rate=10, duration=Duration(2 * SECOND))).looks == ()
    assert schedule.describe(Load(rate=10), schedule.looks[0].last)["count"] == 20


def test_requests_after_the_window_was_closed_are_cool_down() -> None:
    rows = run_of(20, 6 * S, 1 * S, 1 * S)
    batch = Batch.of(sorted(rows, key=lambda row: row.index))
    first = int(batch.index[batch.phase == MEASURED].min())
    left = cut(batch, first + 10)
    assert (left.phase == MEASURED).sum() == 10
    assert (left.phase[batch.phase == WARMUP] == WARMUP).all()
    assert (left.phase[batch.index >= first + 10] == COOLDOWN).all()


class ExtendableRun:
    """A run of 8 s that may have ended after 2 or 4 s, with rows of a known spread."""

    def __init__(self, jitter: float, precision: float) -> None:
        rows = sorted(run_of(100, 8 * S, 0, 2 * S, jitter=jitter), key=lambda row: row.due)
        self.rows = [Batch.of(rows)]
        count = sum(row.phase == MEASURED for row in rows)
        window = Window(0, 8 * S, count)
        self.phases = Phases(window, 0, count)
        self.looks = looks_of(window, 0, [count // 4, count // 2, count])
        self.record = record_of(100, ["ttft.p50<1s"], precision=precision)
        self.stop = SequentialStop(self.looks, self.phases, self.record, lambda: iter(self.rows))


def test_a_run_ends_at_the_first_look_that_is_precise() -> None:
    sharp, never = ExtendableRun(0.05, 0.05), ExtendableRun(0.5, 0.001)
    assert sharp.stop.enough()
    assert sharp.stop.close() == sharp.looks[0]
    assert [never.stop.enough(), never.stop.enough()] == [False, False]
    assert never.stop.close() == never.looks[-1]
    assert not never.stop.due(1 << 60)  # the last look is the end of the run


def test_the_logs_of_a_closed_window_hold_what_its_report_does() -> None:
    run = ExtendableRun(0.05, 0.05)
    ended = sorted((row for batch in run.rows for row in as_rows([batch])), key=lambda row: row.end)
    parts = [Batch.of(ended[first : first + 25]) for first in range(0, len(ended), 25)]
    metrics = ("ttft", "itl", "lag")
    logs = LookIntervals(run.looks[0], run.record, metrics)
    found = [one for part in parts for one in logs.fold(cut(part, run.looks[0].last))] + list(logs.rest())
    closed, open_still = (recorded(look, run.record, parts, ()) for look in (run.looks[0], run.looks[-1]))
    for metric in metrics:
        whole, ends = Histogram(), [(begin, end) for name, _, begin, end in found if name == metric]
        for name, values, _, _ in found:
            if name == metric:
                whole.merge(values)
        assert (whole.count, whole.total) == (closed.metrics[metric].count, closed.metrics[metric].total)
        assert 0 < whole.count < open_still.metrics[metric].count
        assert len(ends) > 1 and all(end - begin >= S for begin, end in ends[:-1])
        assert all(one[1] == other[0] for one, other in pairwise(ends))


def test_a_look_waits_for_what_it_is_about() -> None:
    run = ExtendableRun(0.05, 0.05)
    end, last = run.looks[0].window.length, run.looks[0].last
    for index in range(last - 1):
        run.phases.end(flight_of(index))
    assert not run.stop.due(end + MS)  # the last one has not been sent
    running = flight_of(last - 1, end - 1)
    run.phases.begin(running)
    assert not run.stop.due(end + MS)  # it is running
    run.phases.begin(flight_of(last, end + 1))
    run.phases.end(running)
    assert run.stop.due(end + MS)  # the next one is of no interest
    assert not run.stop.due(end)


def test_there_is_no_look_before_the_first() -> None:
    with pytest.raises(ValueError, match="looks count from 0"):
        look_confidence(-1)
