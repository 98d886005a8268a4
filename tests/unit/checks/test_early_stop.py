"""Tests of what is certain before the end of a run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.checks import certain
from loadgen.checks.gates import decide_all
from loadgen.stats.estimation import order_statistic_ranks
from loadgen.types import Window
from support.made_runs import MS, S, recorded, row

WINDOW = Window(0, 100 * S, 1000)


def test_an_objective_is_certain_to_be_missed_when_enough_were_slower() -> None:
    """The lower end of p99's interval is the r-th of 1,000: more than 1,000 - r beyond the limit put it there."""
    low, _ = order_statistic_ranks(1000, 0.99)
    assert low is not None and 980 < low < 990
    edge = 2 * (1000 - low) + 1
    said = f"ttft.p99<100ms is certain to be missed: {edge} of 1,000 requests were slower"
    for slow, reason in ((edge - 1, ""), (edge, said)):
        rows = [row(i, i * MS, ttft=200 * MS) for i in range(slow)]
        assert certain(recorded(rows, WINDOW, ["ttft.p99<100ms"])) == reason


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.9, 0.99]), st.integers(400, 1000))
def test_what_is_certain_comes_true_whatever_the_rest_does(seed: int, quantile: float, planned: int) -> None:
    rng = np.random.default_rng(seed)
    slow = rng.random(planned) < rng.uniform(0, 3 * (1 - quantile))
    window, slo = Window(0, 100 * S, planned), f"ttft.p{quantile * 100:g}<100ms"
    rows = [row(i, i * (100 * S // planned), ttft=(200 if late else 50) * MS, tokens=2)
            for i, late in enumerate(slow)]
    for part in (planned // 4, planned // 2, planned):
        if certain(recorded(rows[:part], window, [slo])):
            best = rows[:part] + [row(i, i * (100 * S // planned), ttft=MS, tokens=2) for i in range(part, planned)]
            assert decide_all(recorded(best, window, [slo]), 0, 100 * S)[0].gate.ok is not True


@pytest.mark.parametrize("slo", ["itl.p99<1ms", "e2e.mean<1ms", "goodput>900", "output_tokens.p50>100"])
def test_of_other_objectives_nothing_is_certain_before_the_end(slo: str) -> None:
    rows = [row(i, i * MS) for i in range(300)]
    assert certain(recorded(rows, WINDOW, [slo])) == ""


def test_failures_end_a_run_when_they_are_many_and_not_before() -> None:
    def failures(failed: int, of: int) -> str:
        return certain(recorded([row(i, i * MS, failure="http_500" if i < failed else "") for i in range(of)], WINDOW))

    assert failures(9, 9) == ""
    assert failures(10, 20) == "10 of 20 requests have failed"
    assert failures(10, 1000) == ""
    assert failures(30, 1000) == "30 of 1,000 requests have failed"


def test_an_objective_on_errors_is_missed_for_certain() -> None:
    rows = [row(i, i * MS, failure="http_500") for i in range(9)]
    assert certain(recorded(rows, WINDOW, ["errors<0.1%"])) == "errors<0.1% is certain to be missed"
    assert certain(recorded(rows[:1], WINDOW, ["errors<0.1%"])) == ""


def test_nothing_is_certain_of_a_window_that_nobody_can_count() -> None:
    rows = [row(i, i * MS, ttft=2 * S) for i in range(500)]
    assert certain(recorded(rows, Window(0, 100 * S), ["ttft.p99<1s"])) == ""
