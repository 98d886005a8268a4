"""Tests of what one run means for its load: passes, fails, or can't be judged."""

from dataclasses import replace

import pytest

from loadgen.capacity import FAILS, PASSES, UNJUDGED
from loadgen.capacity.search import Range
from loadgen.capacity.trial import Probe, Seen, is_stable, judge
from loadgen.checks.check import CLIENT, SETUP, SHORT
from loadgen.checks.table import known
from loadgen.outcomes.report import CheckResult, Report, SloResult
from support import report_samples
from support.made_runs import MS, S, report_of, run_of, window_of
from support.report_samples import GATE, judged, valid
from support.searches import search


def failing(name: str, seen: float | str = 0.5, remedy: str = "do this") -> Report:
    return judged(valid, CheckResult(name, False, seen, 0.1, "share", remedy))


def test_a_valid_run_that_meets_its_objectives_passes() -> None:
    assert judge(valid).outcome == PASSES


@pytest.mark.parametrize("name", [check.name for check in known()])
def test_no_run_that_is_invalid_passes(name: str) -> None:
    assert judge(failing(name)).outcome != PASSES


def test_a_row_that_nobody_knows_is_the_set_ups() -> None:
    seen = judge(failing("moon"))
    assert (seen.outcome, seen.cause, seen.reason) == (UNJUDGED, SETUP, "moon: do this")


@pytest.mark.parametrize("name", ["lag", "receive_lag", "coalesced", "loop_stall", "held", "clock", "sender_lost",
                                  "model_lost", "interrupted"])
def test_a_client_that_was_too_slow_judges_nothing(name: str) -> None:
    missed = failing(name)
    missed = replace(missed, verdict=replace(missed.verdict, gates=(replace(GATE, ok=False),)))
    seen = judge(missed)
    assert (seen.outcome, seen.cause) == (UNJUDGED, CLIENT)
    assert seen.reason == f"{name}: do this"


@pytest.mark.parametrize("name", ["schedule", "token_counts", "output_length", "overflow"])
def test_what_was_measured_is_not_what_was_asked(name: str) -> None:
    assert judge(failing(name)).cause == SETUP


def test_prompts_that_do_not_fit_the_model_are_no_failure_of_the_server() -> None:
    """They fail at every load, also where they are refused by the server and so count as errors."""
    refused = replace(failing("errors"), requests={**valid.requests, "failures": {"too_long": 60, "http_503": 1}})
    assert judge(refused).cause == SETUP
    few = replace(failing("errors"), requests={**valid.requests, "offered": 60_000, "failures": {"too_long": 1}})
    assert judge(few).outcome == FAILS


def test_what_lax_makes_a_warning_speaks_against_nothing_and_a_run_is_held_against_its_own_number() -> None:
    assert judge(report_samples.lax).outcome == PASSES
    missed = judge(replace(report_samples.lax, verdict=replace(report_samples.lax.verdict, exit_code=1)))
    assert (missed.outcome, missed.reason) == (FAILS, "ttft.p99<500ms missed by the sample's own number (--lax)")


@pytest.mark.parametrize("name", ["errors", "censored"])
def test_failed_and_unfinished_requests_are_the_servers(name: str) -> None:
    assert judge(failing(name)).outcome == FAILS


def test_a_missed_objective_fails_though_the_run_was_short() -> None:
    report = judged(valid, report_samples.SHORT, gates=(replace(GATE, ok=False),))
    seen = judge(report)
    assert seen.outcome == FAILS
    assert seen.reason == "ttft.p99<500ms missed"


def test_an_undecided_objective_asks_for_as_many_requests_as_it_needs() -> None:
    report = judged(valid, report_samples.SAMPLE, gates=(replace(GATE, ok=None, needed=1900),))
    seen = judge(report)
    assert (seen.outcome, seen.cause, seen.longer) == (UNJUDGED, SHORT, 4)
    far = judged(valid, report_samples.SAMPLE, gates=(replace(GATE, ok=None, needed=10**9),))
    assert judge(far).longer == 8
    holds = CheckResult("precision", False, 0.12, 0.05, "share", "the interval holds the limit")
    assert judge(judged(valid, holds, gates=(replace(GATE, ok=None, needed=10**9),))).longer == 2


def test_growth_is_a_server_that_cannot_keep_up_and_decline_a_warm_up_too_short() -> None:
    assert judge(failing("steady_state", 0.4)).outcome == FAILS
    assert "UNSTABLE" in judge(failing("steady_state", 0.4)).reason
    falling = judge(failing("steady_state", -0.4))
    assert (falling.outcome, falling.cause) == (UNJUDGED, SHORT)


def test_growth_in_a_window_too_short_to_tell_is_no_failure() -> None:
    seen = judge(judged(failing("steady_state", 0.4), report_samples.SHORT))
    assert (seen.outcome, seen.cause) == (UNJUDGED, SHORT)


def test_less_than_99_percent_completed_fails_beyond_noise() -> None:
    slow = replace(valid, rates={**valid.rates, "offered": 100.0, "completed": 95.0},
                   requests={**valid.requests, "offered": 60_000})
    assert judge(slow).outcome == FAILS
    assert "95.0%" in judge(slow).reason
    few = replace(slow, requests={**valid.requests, "offered": 100})
    assert judge(few).outcome == PASSES  # 274 in flight of 100 offered: the window's ends say more


@pytest.mark.parametrize(("limit", "rate", "row", "hopeless"), [
    ("90ms", 0.1, "", True), ("100ms", 0.1, "", False),
    ("90ms", 10.0, "", False),  # 27 at a time: even the fastest may have waited
    ("90ms", 0.1, "steady_state", False), ("90ms", 0.1, "censored", False),
])
def test_a_limit_below_the_fastest_request_of_an_idle_server_is_hopeless(limit: str, rate: float, row: str,
                                                                         hopeless: bool) -> None:
    assert valid.metrics["ttft"].min == 92 * MS
    gate = SloResult(f"ttft.p99<{limit}", False, 341e6, 377e6)
    rows = [CheckResult(row, False, 0.4, 0.1, "share", "do this")] if row else []
    seen = judge(replace(judged(valid, *rows, gates=(gate,)), rates={**valid.rates, "offered": rate}))
    assert (seen.outcome, seen.hopeless) == (FAILS, hopeless)


def test_a_search_that_begins_far_above_the_capacity_comes_down_to_it() -> None:
    """16 slots of 290 ms carry 55 a second. At 100 every measured request has queued, which says nothing of 50."""
    def server(probe: Probe) -> Seen:
        length = 15 * S * probe.stretch
        rows = run_of(probe.load, length, tail=2 * S, slots=16, ttft=100 * MS, itl=10 * MS, jitter=0.01,
                      seed=probe.number)
        return judge(report_of(rows, window_of(rows, length), ["ttft.p99<500ms"], probe.load))

    found, _ = search(server, Range(100.0, 100 / 64, 1000.0, 0.1))
    assert found.low is not None and found.high is not None
    assert 45 < found.low < found.high < 60
    assert found.confidence == 0.95


def test_growth_is_told_of_a_run() -> None:
    assert judge(failing("steady_state", 0.4)).grows
    assert not judge(failing("steady_state", -0.4)).grows and not judge(valid).grows


@pytest.mark.parametrize("rate", [40, 50, 60, 70])
def test_a_server_with_slots_passes_below_and_fails_above_its_capacity(rate: int) -> None:
    """16 slots and 290 ms a request carry 55 requests per second; a minute is long enough to see it."""
    rows = run_of(rate, 60 * S, warmup=5 * S, tail=5 * S, slots=16, ttft=100 * MS, itl=10 * MS, tokens=20, jitter=0.01)
    report = report_of(rows, window_of(rows, 60 * S, 5 * S), ["ttft_scheduled.p99<1s"], rate)
    seen = judge(report)
    assert seen.outcome == (PASSES if rate < 55 else FAILS), seen
    assert is_stable(report) is (rate < 55)


def test_the_goodput_is_told_of_every_run() -> None:
    assert judge(valid).goodput == judge(failing("lag")).goodput == 9.83
