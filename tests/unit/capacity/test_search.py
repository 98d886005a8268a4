"""Tests of the search for the edge: where it ends, what it asks for, and how often its interval holds the truth."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.capacity import FAILS, PASSES, UNJUDGED
from loadgen.capacity.search import LONGEST, Finish, Range, answer, next_step
from loadgen.capacity.trial import Probe, Seen, Trial
from loadgen.checks.check import CLIENT, SETUP, SHORT
from support.searches import WITHIN, Server, search, server_with_edge


def sharp(edge: float) -> Server:
    """Return a server that never errs."""
    return lambda probe: Seen(PASSES) if probe.load <= edge else Seen(FAILS, "ttft.p99 missed")


@settings(deadline=None)
@given(st.floats(0.1, 3000), st.floats(0.1, 3000), st.sampled_from([0.02, 0.05, 0.2]))
def test_a_sharp_edge_is_found_to_the_resolution(edge: float, start: float, resolution: float) -> None:
    found, trials = search(sharp(edge), Range(start, 0.01, 5000, resolution, 100))
    assert found.low is not None and found.high is not None
    assert found.low <= edge < found.high
    assert found.high / found.low <= (1 + resolution) * 1.001
    assert (found.confidence, found.reason, found.best) == (0.95, "", found.low)
    for end in (found.low, found.high):
        assert sum(trial.probe.load == end for trial in trials) == 2


@settings(deadline=None)
@given(st.integers(1, 500), st.integers(1, 64))
def test_whole_loads_are_found_exactly_where_the_resolution_asks_for_it(edge: int, start: int) -> None:
    found, trials = search(sharp(edge), Range(start, 1, 1000, 1e-6, 100, whole=True))
    assert (found.low, found.high) == (edge, edge + 1)
    assert all(trial.probe.load == int(trial.probe.load) for trial in trials)


@pytest.mark.parametrize(("noise", "wrong", "upset", "least"), [
    (0.005, 0.025, 0.0, 0.97),  # runs much finer than the resolution
    (0.02, 0.025, 0.0, 0.97),
    (0.05, 0.025, 0.0, 0.97),  # a run's interval is four times as wide as the resolution
    (0.02, 0.13, 0.0, 0.95),  # intervals that are wrong five times as often as they say
    (0.02, 0.025, 0.05, 0.95),  # one run in twenty comes out at random
])
def test_the_interval_holds_the_edge_in_95_percent(noise: float, wrong: float, upset: float, least: float) -> None:
    rng = np.random.default_rng(11)
    held = given_ = 0
    for _ in range(400):
        edge = float(np.exp(rng.uniform(math.log(3), math.log(300))))
        found, _ = search(server_with_edge(edge, rng, noise, wrong, upset))
        if found.confidence and found.low is not None and found.high is not None:
            given_ += 1
            held += found.low <= edge <= found.high
    assert held / given_ >= least
    assert given_ >= 390


def test_one_run_an_end_would_not_hold_95_percent() -> None:
    """The repetition is what makes it: the same search that believes each run does worse than it says."""
    rng = np.random.default_rng(12)
    held = 0
    for _ in range(300):
        edge = float(np.exp(rng.uniform(math.log(3), math.log(300))))
        _, trials = search(server_with_edge(edge, rng, 0.05, 0.13))
        first = {trial.probe.load: trial.seen.outcome for trial in reversed(trials)}  # the first run of each load
        high = min((load for load, outcome in first.items() if outcome == FAILS), default=math.inf)
        low = max((load for load, outcome in first.items() if outcome == PASSES and load < high), default=0.0)
        held += low <= edge <= high
    assert held / 300 < 0.95


def test_a_run_that_could_not_be_judged_is_repeated_longer_and_never_a_bound() -> None:
    def server(probe: Probe) -> Seen:
        if 30 < probe.load < 60:
            return Seen(UNJUDGED, "short", SHORT, longer=4)
        return Seen(PASSES) if probe.load <= 30 else Seen(FAILS, "missed")

    found, trials = search(server, Range(4, 1, 1000, 0.05, 200))
    assert found.low is not None and found.low <= 30 and found.high is not None and found.high >= 60
    grey = [trial.probe for trial in trials if trial.probe.load == 32.0]
    assert [probe.stretch for probe in grey] == [1, 4, LONGEST]
    assert "neither passes nor fails" in " ".join(found.notes)


def test_the_client_is_the_limit_and_the_answer_says_so() -> None:
    found, trials = search(server_with_edge(1000.0, np.random.default_rng(1), client=100.0))
    assert found.high is None
    assert found.low is not None and 95 <= found.low <= 100
    assert "the client is the limit" in found.reason
    assert found.confidence == 0.95  # that of the one bound
    again = [trial.probe for trial in trials if trial.seen.cause == CLIENT and trial.probe.load == 128]
    assert [probe.stretch for probe in again] == [1, 1, 1]


def test_an_edge_below_what_the_client_can_do_is_found_all_the_same() -> None:
    found, _ = search(server_with_edge(80.0, np.random.default_rng(1), noise=0.001, client=100.0))
    assert found.low is not None and found.high is not None
    assert found.low <= 80 <= found.high


def test_nothing_fails_up_to_the_highest() -> None:
    found, _ = search(sharp(math.inf), Range(1, 1, 50))
    assert (found.low, found.high) == (50, None)
    assert found.reason == "nothing fails up to 50, the highest that was allowed"


def test_an_objective_that_no_load_meets_ends_at_the_lowest() -> None:
    found, trials = search(sharp(0.0), Range(8, 1, 64))
    assert (found.low, found.high, found.best) == (None, 1, None)
    assert found.reason == "1, the lowest load that was allowed, fails too: ttft.p99 missed"
    assert found.missed and found.confidence == 0.95
    assert [trial.probe.load for trial in trials] == [8, 4, 2, 1, 1]


def test_a_limit_that_the_fastest_request_of_an_idle_server_misses_ends_the_search_at_once() -> None:
    found, trials = search(lambda probe: Seen(FAILS, "ttft.p99<1ms missed", hopeless=True))
    assert len(trials) == 2
    assert found.reason.startswith("no load would do")


def test_what_no_run_can_judge_ends_with_the_reason() -> None:
    found, _ = search(lambda probe: Seen(UNJUDGED, "coalesced: read late", CLIENT), Range(8, 4, 64))
    assert (found.low, found.high, found.confidence) == (None, None, 0.0)
    assert found.reason == "4, the lowest load that was allowed, can't be judged: coalesced: read late"
    found, trials = search(lambda probe: Seen(UNJUDGED, "coalesced: read late", CLIENT), Range(8, 0.1, 64))
    assert found.reason == "the client spoilt every run, down to 2: coalesced: read late"
    assert len(trials) == 9


def test_a_measurement_that_is_wrong_whatever_the_load_ends_the_search() -> None:
    found, trials = search(lambda probe: Seen(UNJUDGED, "token_counts: wrong dialect", SETUP))
    assert len(trials) == 1
    assert found.reason == "token_counts: wrong dialect"


def test_runs_that_contradict_each_other_bound_nothing() -> None:
    """A false failure far below the edge is found out when it is repeated, and the search goes on above it."""
    def server(probe: Probe) -> Seen:
        if probe == Probe(8.0):
            return Seen(FAILS, "a neighbour compiled")
        return Seen(PASSES) if probe.load <= 41 else Seen(FAILS, "missed")

    found, _ = search(server)
    assert found.low is not None and found.high is not None
    assert found.low <= 41 < found.high
    assert found.confidence == 0.95


@pytest.mark.parametrize("once", [PASSES, FAILS])
def test_a_load_that_was_judged_once_and_never_again_is_given_up(once: str) -> None:
    """It bounds nothing, and is inside the interval; the search does not spend its probes on it."""
    def server(probe: Probe) -> Seen:
        if 37 < probe.load < 42 and probe.number:
            return Seen(UNJUDGED, "lag", CLIENT)
        return Seen(PASSES) if probe.load < 37 or (probe.load < 42 and once == PASSES) else Seen(FAILS, "missed")

    found, trials = search(server, Range(8, 1, 1000))
    assert found.low is not None and found.low < 37 and found.high is not None and found.high >= 42
    assert (found.confidence, found.reason) == (0.95, "")
    grey = [trial.probe.load for trial in trials if 37 < trial.probe.load < 42]
    assert grey and max(map(grey.count, grey)) == 4


def test_a_load_that_passed_twice_where_three_must_agree_is_given_up_too() -> None:
    """Runs contradicted each other elsewhere, so that 8 needs a third run, which the client spoils for ever."""
    def seen(load: float, number: int, outcome: str) -> Trial:
        return Trial(Probe(load, number), Seen(outcome, "x", CLIENT if outcome == UNJUDGED else ""))

    trials = [seen(8, 0, PASSES), seen(8, 1, PASSES), seen(16, 0, FAILS), seen(16, 1, PASSES),
              *(seen(8, number, UNJUDGED) for number in (2, 3, 4)), seen(32, 0, FAILS)]
    following = next_step(trials, Range(8, 1, 1000))
    assert isinstance(following, Probe) and following.load < 8


def test_a_failure_above_what_could_not_be_judged_does_not_mean_that_no_load_passes() -> None:
    def server(probe: Probe) -> Seen:
        return Seen(FAILS, "missed") if probe.load == 8 else Seen(UNJUDGED, "loop_stall", CLIENT)

    found, trials = search(server, Range(8, 4, 64))
    assert (found.low, found.high, found.best, found.confidence, found.missed) == (None, 8, None, 0.0, False)
    twice = [Trial(Probe(8, number), Seen(FAILS, "missed")) for number in (0, 1)]
    assert not answer([*twice, *trials[1:]], Range(8, 4, 64), "max-rate", "rate").missed
    once = answer(trials[:1], Range(8, 4, 64, most=1), "max-rate", "rate")
    assert once.reason.startswith("stopped") and not once.missed


def test_a_search_that_runs_out_of_probes_says_so_and_claims_nothing() -> None:
    found, trials = search(sharp(40), Range(1, 0.1, 1000, 0.05, most=7))
    assert len(trials) == 7
    assert found.reason == "stopped after 7 probes: more with --max-probes"
    assert found.confidence == 0.0
    assert found.low == 32 and found.high == 64


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.2), st.floats(0.025, 0.4), st.floats(0, 0.5))
def test_every_search_ends_and_its_bounds_are_what_was_seen(seed: int, noise: float, wrong: float,
                                                            upset: float) -> None:
    found, trials = search(server_with_edge(40.0, np.random.default_rng(seed), noise, wrong, upset, client=300.0))
    assert len(trials) <= WITHIN.most
    assert isinstance(next_step(trials, WITHIN), Finish)
    if found.low is not None and found.high is not None:
        assert found.low < found.high
    for end, side in ((found.low, PASSES), (found.high, FAILS)):
        if end is not None:
            outcomes = {trial.seen.outcome for trial in trials if trial.probe.load == end}
            assert side in outcomes and outcomes <= {side, UNJUDGED}


def test_the_trials_are_all_the_memory() -> None:
    """A search that is stopped anywhere goes on as if it had not been."""
    _, trials = search(server_with_edge(40.0, np.random.default_rng(3)))
    for cut in range(len(trials)):
        assert next_step(trials[:cut], WITHIN) == trials[cut].probe
    partial = answer(trials[:3], WITHIN, "max-rate", "rate")
    assert partial.reason == "the search was stopped before its end"


def test_a_window_too_short_for_a_request_is_not_tried_at_each_load_again() -> None:
    def server(probe: Probe) -> Seen:
        if probe.stretch < 4:
            return Seen(UNJUDGED, "duration: too short", SHORT, longer=4, too_short=True)
        return Seen(PASSES) if probe.load <= 40 else Seen(FAILS, "missed")

    found, trials = search(server, Range(8, 1, 1000, 0.05))
    assert found.confidence == 0.95
    assert [trial.probe.stretch for trial in trials].count(1) == 1
