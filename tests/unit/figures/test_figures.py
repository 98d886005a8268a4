"""The data of charts: counts add up to what the recorder counted, and sizes do not grow with requests or time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.figures import LOWEST, Density, Figures, Scatter, curves, draw
from loadgen.figures import axis as axes
from loadgen.figures.axis import Axis, together
from loadgen.figures.grid import Grid
from loadgen.figures.slowest import MOST
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.recorder.bins import Bins
from loadgen.stats.histogram import Histogram
from loadgen.types import ABSENT, CENSORED, COOLDOWN, MEASURED, RequestRow, Window
from support.made_runs import MS, S, recorded, row, run_of, window_of


def figures_of(rows: list[RequestRow], window: Window | None = None, size: int = 500, **options: bool) -> Figures:
    recorder = recorded(rows, window or window_of(rows, 10 * S))
    batches = [Batch.of(rows[first : first + size]) for first in range(0, len(rows), size)]
    return draw(recorder, batches, **options)


@pytest.fixture(scope="module")
def rows() -> list[RequestRow]:
    rows = run_of(60, 10 * S, slots=10)
    rows[100] = replace(rows[100], failure="http_503", token_at=[], token_count=[], token_lag=[])
    rows[200] = replace(rows[200], failure="truncated")
    return rows


def test_everything_is_counted_once(rows: list[RequestRow]) -> None:
    found = figures_of(rows)
    good = [row for row in rows if not row.failure]
    assert found.flow.offered.sum() == found.flow.sent.sum() == len(rows)
    assert found.flow.completed.sum() == len(good)
    assert found.flow.output_tokens.sum() == sum(sum(row.token_count) for row in rows)
    assert {kind: int(counts.sum()) for kind, counts in found.flow.failures.items()} == {"http_503": 1, "truncated": 1}
    assert found.flow.in_flight.sum() == sum(row.end - row.sent for row in rows)
    assert found.ttft is not None
    assert found.ttft.count.sum() == len(good)
    assert found.itl is not None
    assert found.heat is not None
    assert found.itl.count.sum() == found.heat.counts.sum() == sum(len(row.token_at) - 1 for row in good)
    assert found.lateness.lag is not None
    assert found.lateness.lag.count.sum() == len(rows)


def test_the_division_into_batches_changes_nothing(rows: list[RequestRow]) -> None:
    one, other = figures_of(rows, size=7), figures_of(rows, size=10_000)
    assert one.slowest == other.slowest
    for name in ("offered", "sent", "completed", "in_flight"):
        assert (getattr(one.flow, name) == getattr(other.flow, name)).all()
    assert one.heat is not None
    assert other.heat is not None
    assert (one.heat.counts == other.heat.counts).all()


def test_a_gap_of_several_tokens_counts_as_many_times() -> None:
    rows = [row(i, i * 100 * MS, itl=40 * MS, tokens=3, token_count=[1, 4, 2]) for i in range(20)]
    found = figures_of(rows, Window(0, 2 * S, 20))
    assert found.itl is not None
    assert found.itl.count.sum() == 20 * 6
    assert found.itl.max.max() == 20 * MS
    assert found.itl.p50.min() == pytest.approx(10 * MS, rel=0.01)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 100 * S), st.integers(0, 3600 * S)), min_size=1, max_size=300))
def test_percentiles_over_time_are_those_of_the_values_within_a_hundredth(seen: list[tuple[int, int]]) -> None:
    grid = Grid(Axis(0, S, 100))
    instants, values = (np.asarray(column, np.int64) for column in zip(*seen, strict=True))
    grid.add(instants, values)
    band = grid.band()
    assert band is not None
    assert band.count.sum() == len(seen)
    places = band.axis.of(instants)
    for place in range(band.axis.count):
        here = np.sort(values[places == place])
        assert band.count[place] == here.size
        if here.size == 0:
            assert band.p50[place] == band.p99[place] == band.max[place] == ABSENT
            continue
        assert band.max[place] == here[-1]
        exact = Histogram()
        exact.record(here)
        for share, found in ((0.5, band.p50[place]), (0.99, band.p99[place])):
            assert found == pytest.approx(exact.percentile(share), rel=0.01, abs=20)
            assert found <= here[-1]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3600 * S), min_size=1, max_size=200), st.integers(1, 60), st.integers(1, 120))
def test_a_heat_map_is_bounded_and_loses_nothing(values: list[int], rows: int, columns: int) -> None:
    grid = Grid(Axis(0, S, 50))
    grid.add(np.arange(len(values)) * S // 5, np.asarray(values, np.int64))
    heat = grid.heat(columns, rows)
    assert heat is not None
    assert heat.counts.sum() == len(values)
    assert heat.counts.shape == (heat.edges.size - 1, heat.axis.count)
    assert heat.counts.shape[0] <= rows
    assert heat.counts.shape[1] <= columns
    assert (np.diff(heat.edges) > 0).all()
    assert heat.edges[0] <= max(min(values), LOWEST) + 1
    assert max(values) <= heat.edges[-1]


def test_an_empty_grid_shows_nothing() -> None:
    grid = Grid(Axis(0, S, 5))
    grid.add(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert grid.band() is grid.heat(10, 10) is None


@given(st.integers(0, 10**6 * S), st.sampled_from([Window(2 * S, 10 * S), Window(S, 3600 * S), Window(1, ABSENT, 5)]))
def test_an_axis_covers_the_run_in_few_whole_bins(end: int, window: Window) -> None:
    bins = Bins(window)
    axis = Axis.over(bins, end)
    assert 1 <= axis.count <= axes.MOST + 1
    assert axis.width % bins.width == 0
    assert axis.width >= S // 2
    assert axis.edges[0] <= 0
    assert axis.edges[-1] >= end


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50), st.integers(1, 60))
def test_neighbours_add_up(values: list[int], factor: int) -> None:
    sums = together(np.asarray(values), factor)
    assert sums.sum() == sum(values)
    assert sums.size == Axis(0, 1, len(values)).coarser(factor).count
    assert sums[0] == sum(values[:factor])


def test_the_slowest_are_kept_and_no_more() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.permutation(MOST + 500)
    rows = [row(i, i * MS, ttft=(int(length) + 1) * MS, tokens=2) for i, length in enumerate(lengths)]
    rows += [row(5000, phase=COOLDOWN, ttft=100 * S)]
    found = figures_of(rows, Window(0, 10 * S, len(rows) - 1), size=300).slowest
    assert found is not None
    assert found.total == MOST + 500
    assert {span.index for span in found.spans} == set(np.flatnonzero(lengths >= 500).tolist())
    assert [span.due for span in found.spans] == sorted(span.due for span in found.spans)


def test_stalls_are_gaps_far_above_the_median() -> None:
    steady = [row(i, i * 10 * MS) for i in range(50)]
    at = [100 * MS + 10 * MS * i for i in range(5)] + [700 * MS, 710 * MS, 900 * MS]
    stalling = row(99, 0, tokens=8, token_at=at, end=at[-1])
    found = figures_of([*steady, stalling], Window(0, S, 51)).slowest
    assert found is not None
    assert found.stall == pytest.approx(100 * MS, rel=0.001)
    stalls = {span.index: span.stalls for span in found.spans}
    assert stalls[99] == ((140 * MS, 700 * MS), (710 * MS, 900 * MS))
    assert not any(one for index, one in stalls.items() if index != 99)


def test_a_failure_that_was_never_sent_is_shown_where_it_was_due() -> None:
    lost = row(1, 3 * S, failure="connect", sent=ABSENT, end=ABSENT, token_at=[], token_count=[], token_lag=[])
    found = figures_of([row(0), lost], Window(0, 10 * S, 2))
    assert found.flow.failures["connect"].nonzero()[0].tolist() == [found.flow.axis.of(np.asarray([3 * S]))[0]]
    assert found.slowest is not None
    assert [(span.end, span.failure) for span in found.slowest.spans if span.index] == [(3 * S, "connect")]


def test_what_the_cool_down_broke_off_is_no_failure() -> None:
    cut = row(1, 9 * S, failure=CENSORED, phase=COOLDOWN)
    running = row(2, 5 * S, failure=CENSORED, phase=MEASURED)
    found = figures_of([row(0), cut, running], Window(0, 8 * S, 2))
    assert {kind: int(counts.sum()) for kind, counts in found.flow.failures.items()} == {CENSORED: 1}


def test_prompts_are_points_when_few_and_counts_when_many() -> None:
    few = [row(i, i * MS, input_tokens=100 + i % 50, ttft=(i % 7 + 1) * MS) for i in range(100)]
    points = figures_of(few, Window(0, 10 * S, 100)).prompts
    assert isinstance(points, Scatter)
    assert points.ttft.size == 100
    many = [row(i, i * MS, input_tokens=1 + i * 7 % 5000, ttft=(i % 700 + 1) * MS, tokens=1) for i in range(3000)]
    counted = figures_of(many, Window(0, 10 * S, 3000)).prompts
    assert isinstance(counted, Density)
    assert counted.counts.sum() == 3000
    assert counted.counts.shape[0] <= 60
    assert counted.counts.shape[1] <= 80
    assert figures_of([row(i, i * MS) for i in range(20)], Window(0, S, 20)).prompts is None


def test_without_streaming_there_are_whole_requests_only() -> None:
    found = figures_of([row(i, i * 50 * MS, tokens=1, token_count=[20]) for i in range(60)], Window(0, 3 * S, 60),
                       stream=False)
    assert {curve.metric for curve in found.curves} == {"e2e", "e2e_scheduled"}
    assert found.ttft is found.itl is found.heat is found.prompts is None
    assert found.e2e is not None
    assert found.slowest is not None
    assert (found.slowest.stall, found.slowest.spans[0].stalls) == (ABSENT, ())


def test_a_run_without_a_request_has_figures_of_nothing() -> None:
    found = draw(Recorder(Window(0, 10 * S, 100)), [])
    assert found.curves == ()
    assert found.slowest is found.ttft is found.heat is None
    assert found.flow.offered.sum() == 0
    assert found.flow.axis.edges[-1] >= 10 * S


def test_curves_carry_what_the_table_says(rows: list[RequestRow]) -> None:
    recorder = recorded(rows, window_of(rows, 10 * S))
    for curve in curves(recorder):
        assert (np.diff(curve.shares) > 0).all()
        values = curve.values[curve.values != ABSENT]
        assert (np.diff(values) >= 0).all()
        place = int(np.flatnonzero(curve.shares == 0.9)[0])
        assert curve.values[place] == recorder.metrics[curve.metric].percentile(0.9)
        assert curve.low[place] <= curve.values[place] <= curve.high[place]
        assert ((curve.values == ABSENT) | (curve.bounds == ABSENT)).all()


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=60), st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_what_is_unfinished_never_lowers_a_curve(lengths: list[int], unfinished: int) -> None:
    rows = [row(i, ttft=length, tokens=1) for i, length in enumerate(lengths)]
    rows += [row(100 + i, tokens=1, ttft=MS, failure=CENSORED) for i in range(unfinished)]
    for curve in curves(recorded(rows, Window(0, 10 * S, len(rows)))):
        known = np.maximum(curve.values, curve.bounds)
        assert (np.diff(known) >= 0).all()
