"""Tests of the steps of a sweep with a campaign whose runs are made up: what the knee is held against."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from loadgen.capacity import FAILS, PASSES, UNJUDGED, SearchResult, SweepCell
from loadgen.capacity.trial import Seen
from loadgen.checks.check import CLIENT, SETUP, SHORT
from loadgen.plan import Duration, Load, Plan, Target
from loadgen.sweep.parse_spec import spec_of
from loadgen.sweep.spec import Spec
from loadgen.sweep.steps import BASELINE, steps
from loadgen.types import SECOND
from support.report_samples import metric
from support.sweep_samples import cell

SPOILT = Seen(UNJUDGED, "loop_stall: late", CLIENT)
PASSED = Seen(PASSES)


@dataclass
class MadeUp:
    """A campaign whose runs take no time: those at low load are as `low` says, the others pass up to a rate of 10."""

    low: Callable[[int], tuple[Seen, float | None]]  # what the n-th says, and its p99 of e2e in ms
    spec: Spec = field(default_factory=lambda: spec_of(
        Plan(target=Target(url=("http://host:8000",)), load=Load(duration=Duration(10 * SECOND))), {"rate": ["2"]},
        "knee"))
    cells: list[SweepCell] = field(default_factory=list)
    answers: list[SearchResult] = field(default_factory=list)
    asked: list[tuple[float, int, int, tuple[str, ...]]] = field(default_factory=list)

    def cell(self, at: Mapping[str, Any], attempt: int = 0, stretch: int = 1, plan: Plan | None = None) -> Seen:
        self.asked.append((at["rate"], attempt, stretch, plan.judgement.slo if plan else ()))
        seen, p99 = PASSED if at["rate"] <= 10 else Seen(FAILS, "missed"), 100.0
        if attempt >= BASELINE:
            seen, low = self.low(attempt - BASELINE)
            p99 = low or 0.0
        made = cell(len(self.cells) + 1, at["rate"], seen.outcome)
        metrics = {"e2e_scheduled": metric(600, 1, 1, 1, p99, 9000)} if p99 else {}
        self.cells.append(replace(made, metrics=metrics))
        return seen


def knee(*low: tuple[Seen, float | None]) -> MadeUp:
    campaign = MadeUp(lambda number: low[number])
    steps(campaign)  # type: ignore[arg-type]
    return campaign


def test_the_knee_is_held_against_the_mean_of_two_runs_that_pass() -> None:
    done = knee((SPOILT, 9000.0), (PASSED, 100.0), (Seen(FAILS, "errors"), 9000.0), (PASSED, 110.0))
    assert [one[:3] for one in done.asked[:4]] == [(2, BASELINE + number, 1) for number in range(4)]
    assert {one[3] for one in done.asked[4:]} == {("e2e_scheduled.p99<=210000us",)}
    answer, = done.answers
    assert answer.low is not None and answer.low <= 10 < (answer.high or 0) and answer.confidence == 0.95
    assert answer.notes[0].startswith("p99 of e2e at low load was 100 ms and 110 ms: the confidence is of 2 times")
    assert answer.cells == tuple(range(1, len(done.cells) + 1))


@pytest.mark.parametrize(("low", "runs", "why"), [
    ([(SPOILT, 100.0)] * 3, 3, "loop_stall: late"),
    ([(PASSED, 100.0), *[(Seen(FAILS, "UNSTABLE"), 100.0)] * 3], 4, "UNSTABLE"),
    ([(Seen(UNJUDGED, "token_counts: other", SETUP), 100.0)], 1, "token_counts: other"),
    ([(PASSED, None)] * 3, 3, "too few requests for a p99"),
])
def test_a_low_load_that_cannot_be_judged_is_no_measure(low: list[tuple[Seen, float | None]], runs: int,
                                                        why: str) -> None:
    done = knee(*low)
    assert len(done.asked) == runs
    answer, = done.answers
    assert answer.reason == f"the runs at low load can't be held against: {why}"
    assert (answer.best, answer.missed, answer.cells) == (None, False, tuple(range(1, runs + 1)))


def test_a_run_at_low_load_that_was_too_short_is_made_longer() -> None:
    done = knee((Seen(UNJUDGED, "duration: short", SHORT, longer=4), 90.0), (PASSED, 100.0), (PASSED, 100.0))
    assert [one[2] for one in done.asked[:3]] == [1, 4, 4]
