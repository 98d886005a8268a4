"""The pure parts of a comparison: gates as they are written, values of sides, verdicts, the block bootstrap."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.compare import Measured, blocks, decide, rows
from loadgen.compare.gates import read, read_all
from loadgen.outcomes.comparison import ComparisonRow, GateResult, Interval, LoadPair, RunRef, Side
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.reports.compared import cells_of, gate_words
from loadgen.stats import rank_tests
from loadgen.stats.histogram import Histogram
from loadgen.types import RequestRow as RowOf
from loadgen.types import UsageError
from support import report_samples as samples
from support.made_runs import MS, S, row, run_of, window_of


@pytest.mark.parametrize(("text", "clean", "better", "tolerance"), [
    ("ttft.p99>3%", "ttft.p99>3%", "less", 0.03), (" itl.mean > 2.5 % ", "itl.mean>2.5%", "less", 0.025),
    ("e2e.p99.9>+10%", "e2e.p99.9>+10%", "less", 0.1), ("output_tokens<-3%", "output_tokens<-3%", "more", 0.03),
    ("goodput<0%", "goodput<0%", "more", 0.0), ("ttft.p50", "ttft.p50>5%", "less", 0.05),
    ("completed", "completed<-5%", "more", 0.05), ("output_tokens.p50<-1%", "output_tokens.p50<-1%", "more", 0.01),
    ("server_queue.p99>0%", "server_queue.p99>0%", "less", 0.0),
])
def test_a_gate_is_read(text: str, clean: str, better: str, tolerance: float) -> None:
    gate = read(text, 0.05)
    assert (gate.text, gate.better, gate.tolerance) == (clean, better, pytest.approx(tolerance))


@pytest.mark.parametrize(("text", "said"), [
    ("", "invalid gate"), ("ttft.p99>", "invalid gate"), ("ttft.p99>3", "invalid gate"), ("ttft.p99>=3%",
                                                                                          "invalid gate"),
    ("ttft.p99<3%", "would fail when ttft.p99 gets better: write 'ttft.p99>3%'"),
    ("ttft.p99>-3%", "the change that fails is upwards"), ("output_tokens>3%", "write 'output_tokens<-3%'"),
    ("output_tokens<3%", "the change that fails is downwards"), ("output_tokens<-100%", "by more than all of it"),
    ("ttft>3%", "which percentile"), ("tfft.p99>3%", "did you mean ttft"), ("ttft.p98>3%", "there is no ttft.p98"),
    ("errors>3%", "errors have no ratio"), ("output_tokens.p50", "which way is worse"),
    ("goodput.p50<-1%", "one number"),
])
def test_a_gate_that_is_none_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(UsageError, match="--fail-on") as caught:
        read(text)
    assert said in str(caught.value)


def test_one_statistic_has_one_gate() -> None:
    with pytest.raises(UsageError, match="gated already, by ttft"):
        read_all(["ttft.p99>3%", "ttft.p99>5%"])


def test_a_side_is_its_median_run_and_says_how_sure_that_is() -> None:
    own = Interval(5.0, 4.0, 6.0, 0.95)
    assert rows.centre([own]) == own
    five = rows.centre([Interval(float(value)) for value in (3, 1, 5, 2, 4)])
    assert five == Interval(3.0, 1.0, 5.0, 0.9375)
    eight = rows.centre([Interval(float(value)) for value in range(8)])
    assert (eight.value, eight.low, eight.high) == (3.5, 0.0, 7.0)
    assert eight.confidence == pytest.approx(1 - 2 / 256)
    assert rows.centre([Interval(None), Interval(None)]) == Interval(None)
    assert rows.centre([Interval(3.0), Interval(2.0, bound=True)]) == Interval(2.0, bound=True)
    assert rows.centre([Interval(3.0), Interval(None), Interval(2.0)]) == Interval(None)  # and no bound
    assert rows.centre([Interval(3.0, bound=True), Interval(None)]) == Interval(None)


@given(st.integers(2, 40))
def test_the_interval_of_the_median_holds_95_percent_from_six_runs_on(n: int) -> None:
    found = rows.centre([Interval(float(value)) for value in range(1, n + 1)])
    assert found.low is not None
    assert found.high is not None
    inside = sum(math.comb(n, k) for k in range(int(found.low), int(found.high))) / 2**n
    assert found.confidence == pytest.approx(inside)
    assert (found.confidence >= 0.95) == (n >= 6)


def made(name: str, base: Sequence[float], new: Sequence[float], better: str = "less",
         gated: bool = False) -> ComparisonRow:
    metric, _, statistic = name.partition(".")
    return ComparisonRow(metric, statistic, "ns", better, rows.centre([Interval(v) for v in base]),  # type: ignore[arg-type]
               rows.centre([Interval(v) for v in new]), tuple(base), tuple(new), Interval(*rank_tests.ratio(base, new)),
               rank_tests.mann_whitney(base, new), gated=gated)


BASE = (100.0, 101.0, 102.0, 103.0, 104.0)


def times(factor: float) -> tuple[float, ...]:
    return tuple(value * factor for value in BASE)


@pytest.mark.parametrize(("factor", "better", "verdict"), [
    (1.1, "less", "worse"), (1.1, "more", "better"), (0.9, "less", "better"), (0.9, "more", "worse"),
    (1.055, "less", "worse"), (1.0, "less", "same"), (1.01, "less", "same")])
def test_a_verdict_needs_significance_and_the_tolerance(factor: float, better: str, verdict: str) -> None:
    judged = rows.judge([made("itl.p50", BASE, times(factor), better)], 0.05, {"": 0.03})
    assert judged[0].verdict == verdict
    within = rows.judge([made("itl.p50", BASE, times(factor), better)], 0.05, {"": 0.03, "itl.p50": 0.2})
    assert within[0].verdict == "same"


def test_six_rows_of_five_runs_can_be_told_and_seven_can_not() -> None:
    worse = [made(f"itl.p{i}", BASE, times(1.1)) for i in range(7)]
    assert {row.verdict for row in rows.judge(worse[:6], 0.05, {"": 0.03})} == {"worse"}
    told = rows.judge(worse, 0.05, {"": 0.03})
    assert {row.verdict for row in told} == {"unknown"}
    assert told[0].why == "5 + 5 runs can't be significant with 7 rows tested together: 6 + 6 can"


def test_a_row_without_p_is_in_no_family() -> None:
    empty = ComparisonRow("ttft", "p99", "ns", "less", Interval(None), Interval(None), why="no ttft")
    judged = rows.judge([empty, made("itl.p50", BASE, times(1.1))], 0.05, {"": 0.03})
    assert judged[0] == empty
    assert judged[1].p_adjusted == judged[1].p


def test_the_usual_rows_depend_on_the_loop_and_gates_come_first() -> None:
    gates = read_all(["max_gap.p99", "ttft.p50"])
    names = [row.name for row in rows.blank((), gates, closed=False)]
    assert names == ["max_gap.p99", "ttft.p50", "ttft.p99", "itl.mean", "itl.p99", "e2e.p50", "e2e.p99"]
    closed = rows.blank((), (), closed=True)
    assert [row.name for row in closed] == list(rows.CLOSED_LOOP)
    assert [row.better for row in closed] == ["less"] * 5 + ["more"]


def cell_of(*found: ComparisonRow, runs: int = 5) -> LoadPair:
    side = Side("", tuple(RunRef(str(i)) for i in range(runs)))
    return LoadPair("", side, side, found)


@pytest.mark.parametrize(("outcomes", "doubted", "interrupted", "code"), [
    ((), False, False, 0), (("pass", "pass"), False, False, 0), (("pass", "regression"), False, False, 1),
    (("unknown", "pass"), False, False, 3), (("unknown", "regression"), False, False, 1),
    (("regression",), True, False, 3), (("pass",), True, False, 3), ((), True, False, 3),
    (("pass",), False, True, 130)])
def test_the_exit_code(outcomes: tuple[str, ...], doubted: bool, interrupted: bool, code: int) -> None:
    results = [GateResult("", "", 0.03, outcome, "") for outcome in outcomes]  # type: ignore[arg-type]
    assert decide.exit_code(results, doubted, interrupted) == code


def test_a_gate_without_values_is_not_helped_by_more_runs() -> None:
    gates = read_all(["ttfo.p99"])
    empty = ComparisonRow("ttfo", "p99", "ns", "less", Interval(None), Interval(None), gated=True, why="a has no ttfo")
    found = decide.decide([cell_of(empty, runs=2)], gates, 0.05)[0]
    assert (found.outcome, found.why, found.missing) == ("unknown", "a has no ttfo", 0)


@pytest.mark.parametrize(("values", "missing"), [((3.0, 4.0), 3), ((0.0, 4.0), 3), ((None, 4.0), 0), ((0.0, 0.0), 0)])
def test_more_runs_help_one_run_a_side_only_if_they_have_values(values: tuple[float | None, float | None],
                                                               missing: int) -> None:
    none = Interval(None)
    row = ComparisonRow("ttft", "p99", "ns", "less", none, none, values[:1], values[1:], gated=True, why="why")
    cell = replace(cell_of(row, runs=1), indicative=True)
    assert decide.decide([cell], read_all(["ttft.p99"]), 0.05)[0].missing == missing


def measured(dir: str, **rates: float) -> Measured:
    return Measured(dir, replace(samples.valid, rates={**samples.valid.rates, **rates}))


def goodputs(base: Sequence[float], new: Sequence[float], strict: bool = False) -> GateResult:
    """What becomes of a gate on goodput."""
    gates = read_all(["goodput<-3%"])
    sides = [[measured(f"{name}{i}", goodput=value) for i, value in enumerate(side)]
             for name, side in (("a", base), ("b", new))]
    row = rows.fill(rows.blank((), gates, closed=False)[0], *sides, None)
    judged = rows.judge([row], 0.05, {"": 0.03})
    return decide.decide([cell_of(*judged, runs=len(base))], gates, 0.05, strict)[0]


GOOD, NONE = (9.0, 9.1, 9.2, 9.3, 9.4), (0.0,) * 5


def test_what_fell_to_0_has_regressed_and_what_rose_from_0_has_not() -> None:
    fell = goodputs(GOOD, NONE)
    assert (fell.outcome, fell.ratio) == ("regression", Interval(0.0, 0.0, 0.0, pytest.approx(1 - 8 / 252)))
    assert gate_words(fell) == ["goodput<-3%", "REGRESSION", "-100 % [-100 %, -100 %]",
                                "significant, and beyond the tolerance"]
    mostly = goodputs(GOOD, (0.0, 0.0, 0.0, 0.1, 0.0))
    assert mostly.outcome == "regression"
    rose = goodputs(NONE, GOOD)
    assert (rose.outcome, rose.why) == ("pass", "better")
    assert rose.ratio == Interval(None, None, None, pytest.approx(1 - 8 / 252))
    assert goodputs(NONE, GOOD, strict=True).outcome == "pass"


def test_a_gap_that_rose_from_0_has_regressed() -> None:
    gates = read_all(["itl.p50"])
    made = ComparisonRow("itl", "p50", "ns", "less", rows.centre([Interval(v) for v in NONE]),
               rows.centre([Interval(v) for v in GOOD]), NONE, GOOD, Interval(None, confidence=0.968),
               rank_tests.mann_whitney(NONE, GOOD), gated=True)
    row = rows.judge([made], 0.05, {"": 0.03})[0]
    assert row.verdict == "worse"
    assert cells_of(row, False, 0.05)[5:7] == ("from 0", "")
    found = decide.decide([cell_of(row)], gates, 0.05)[0]
    assert gate_words(found) == ["itl.p50>3%", "REGRESSION", "significant, and from 0"]


def test_0_on_both_sides_tells_nothing() -> None:
    found = goodputs(NONE, NONE)
    assert (found.outcome, found.missing) == ("unknown", 0)
    assert found.why == "goodput is 0 in all runs, so there is no change to tell"


def test_strict_proves_nothing_where_the_base_is_0_in_a_run() -> None:
    gates = read_all(["itl.p50"])
    base = (0.0, *GOOD[1:])
    shift = rows._finite(rank_tests.ratio(base, GOOD))
    assert shift.high is None
    row = ComparisonRow("itl", "p50", "ns", "less", Interval(9.1), Interval(9.2), base, GOOD, shift, 0.5, 0.5, "same",
                        gated=True)
    assert decide.decide([cell_of(row)], gates, 0.05)[0].outcome == "pass"
    strict = decide.decide([cell_of(row)], gates, 0.05, strict=True)[0]
    assert (strict.outcome, strict.missing) == ("unknown", 0)
    assert gate_words(decide.decide([cell_of(row)], gates, 0.05)[0])[2].endswith("unbounded], any not ruled out")
    fell = goodputs(GOOD, (0.0, 0.0, 9.2, 9.3, 9.5), strict=True)
    assert (fell.outcome, fell.missing) == ("unknown", 0)


def test_strict_guesses_how_many_runs_are_missing() -> None:
    gates = read_all(["itl.p50>3%"])
    noisy = made("itl.p50", BASE, (99.0, 103.0, 101.0, 105.0, 104.5), gated=True)
    row = rows.judge([noisy], 0.05, {"": 0.03})[0]
    assert decide.decide([cell_of(row)], gates, 0.05)[0].outcome == "pass"
    strict = decide.decide([cell_of(row)], gates, 0.05, strict=True)[0]
    assert strict.outcome == "unknown"
    assert row.ratio is not None
    assert row.ratio.high is not None
    assert row.ratio.value is not None
    needed = 5 * (math.log(row.ratio.high / row.ratio.value) / math.log(1.03 / row.ratio.value)) ** 2
    assert strict.missing == math.ceil(needed) - 5 > 0
    proven = rows.judge([made("itl.p50", BASE, times(0.9), gated=True)], 0.05, {"": 0.03})[0]
    assert decide.decide([cell_of(proven)], gates, 0.05, strict=True)[0].outcome == "pass"


def blocks_of(found: list[RowOf], length: int, count: int = 20) -> blocks.Blocks:
    return blocks.cut([Batch.of(found)], 2 * S, length, count)


@pytest.fixture(scope="module")
def run() -> list[RowOf]:
    return run_of(50, 20 * S, seed=3)


@pytest.mark.parametrize("fresh", [False, True])
def test_blocks_hold_what_the_recorder_holds(run: list[RowOf], fresh: bool) -> None:
    length = 20 * S
    run = [replace(one, failure=("timeout" if place % 7 == 0 else ""), held=place % 3 * MS, connect=4000, tls=1000)
           for place, one in enumerate(run)]
    recorder = Recorder(window_of(run, length), fresh=fresh)
    recorder.fold(Batch.of(run))
    cut = blocks.cut([Batch.of(run)], 2 * S, length, 20, fresh)
    for metric in ("ttft", "itl", "chunk_gap", "tpot", "e2e", "max_gap", "output_tokens", "receive_lag", "lag"):
        whole, known = cut.whole(metric), recorder.metrics[metric]
        assert (whole.count, whole.total, whole.min, whole.max) == (known.count, known.total, known.min, known.max)
        assert np.array_equal(whole.counts, known.counts)
    assert cut.sums["output_tokens"].sum() == recorder.within.totals["output_tokens"]
    assert cut.sums["completed"].sum() == recorder.within.totals["completed"]


def test_a_gap_is_in_the_block_in_which_its_token_came_and_a_request_in_that_of_its_due() -> None:
    one = row(due=2 * S, ttft=100 * MS, itl=1 * S, tokens=4)  # tokens 0.1, 1.1, 2.1 and 3.1 s after
    cut = blocks.cut([Batch.of([one])], 2 * S, 4 * S, 4)
    assert [part.count for part in cut.metrics["itl"]] == [0, 1, 1, 1]
    assert [part.count for part in cut.metrics["ttft"]] == [1, 0, 0, 0]
    assert cut.sums["output_tokens"].tolist() == [1, 1, 1, 1]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(["p50", "p99", "mean"]))
def test_a_scaled_run_has_its_scale_as_ratio_within_the_interval(seed: int, statistic: str) -> None:
    rng = np.random.default_rng(seed)
    values = rng.lognormal(16, 0.4, (20, 200)).astype(np.int64)
    found = blocks.ratio(_made(values), _made(values * 11 // 10), "itl", statistic, np.random.default_rng(1))
    assert found is not None
    assert found.value == pytest.approx(1.1, rel=2e-3)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.5


def _made(values: np.ndarray) -> blocks.Blocks:
    parts = []
    for block in values:
        part = Histogram()
        part.record(block)
        parts.append(part)
    return blocks.Blocks({"itl": parts}, {"output_tokens": values.sum(axis=1).astype(np.float64)})


def test_blocks_that_differ_widen_the_interval_which_shuffling_would_hide() -> None:
    rng = np.random.default_rng(2)
    level = np.repeat(rng.lognormal(0, 0.3, 20), 200).reshape(20, 200)
    values = (rng.lognormal(16, 0.1, (20, 200)) * level).astype(np.int64)
    shuffled = rng.permutation(values.ravel()).reshape(20, 200)
    widths = []
    for one in (values, shuffled):
        found = blocks.ratio(_made(one), _made(one), "itl", "p50", np.random.default_rng(1))
        assert found is not None
        assert found.high is not None
        assert found.low is not None
        widths.append(found.high - found.low)
    assert widths[0] > 3 * widths[1]


def test_the_bootstrap_covers_about_as_often_as_it_says() -> None:
    rng, inside = np.random.default_rng(7), 0
    for _ in range(200):
        base, new = (_made(rng.lognormal(16, 0.4, (30, 40)).astype(np.int64)) for _ in range(2))
        found = blocks.ratio(base, new, "itl", "mean", rng)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 1 <= found.high
    assert inside >= 180  # 95 % nominal; blocks of one run are few, so a little below is what is known of it


def test_what_has_no_values_has_no_ratio() -> None:
    some, none = _made(np.full((10, 5), 3 * MS)), blocks.Blocks({}, {"output_tokens": np.zeros(10)})
    rng = np.random.default_rng(0)
    for metric, statistic in (("itl", "p50"), ("itl", "mean"), ("output_tokens", ""), ("goodput", "")):
        assert blocks.ratio(some, none, metric, statistic, rng) is None
    one = blocks.Blocks({"itl": [*_made(np.full((2, 5), 3)).metrics["itl"], *(Histogram() for _ in range(8))]}, {})
    found = blocks.ratio(one, one, "itl", "p50", rng)
    assert found == Interval(1.0, 1.0, 1.0, 0.95)
    lone = blocks.Blocks({"itl": [*_made(np.full((1, 5), 3)).metrics["itl"], *(Histogram() for _ in range(99))]}, {})
    assert blocks.ratio(lone, lone, "itl", "mean", rng) is None  # most resamples are empty
    rate = blocks.ratio(some, some, "output_tokens", "", rng)
    assert rate == Interval(1.0, 1.0, 1.0, 0.95)


def test_a_window_has_ten_to_fifty_blocks() -> None:
    assert [blocks.count_for(60 * S, time) for time in (0, 10 * S, 3 * S, 1 * MS)] == [50, 10, 20, 50]


def test_a_curve_goes_from_the_least_to_the_most_and_is_dense_in_the_tail(run: list[RowOf]) -> None:
    curve = blocks.curves([blocks_of(run, 20 * S)], ["itl", "ttfo"])
    assert list(curve) == ["itl"]
    points = curve["itl"].points
    whole = blocks_of(run, 20 * S).whole("itl")
    assert points[0] == (1 / whole.count, whole.min)
    assert points[-1] == (1.0, whole.max)
    assert [value for _, value in points] == sorted(value for _, value in points)
    assert sum(share > 0.99 for share, _ in points) > 50
    assert len(points) < 600
