"""Tests of the search for the largest goodput, and of the sizing that follows from an answer."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.capacity import FAILS, PASSES, UNJUDGED, SearchResult
from loadgen.capacity.goodput_search import answer, goodputs, next_step
from loadgen.capacity.search import Finish, Range
from loadgen.capacity.sizing import size
from loadgen.capacity.trial import Probe, Seen, Trial
from loadgen.checks.check import CLIENT
from support.searches import Server
from support.sweep_samples import ANSWER, CELLS, cell

WITHIN = Range(1.0, 0.25, 4096.0, 0.05, 60)


def search(server: Server, within: Range = WITHIN) -> tuple[SearchResult, list[Trial]]:
    trials: list[Trial] = []
    while not isinstance(step := next_step(trials, within), Finish):
        trials.append(Trial(step, server(step)))
    return answer(trials, within, "rate"), trials


def peaked(peak: float, fall: float = 3.0) -> Server:
    """Return a server whose goodput is its load up to `peak` and falls with a power of it above."""
    return lambda probe: Seen(PASSES, goodput=probe.load if probe.load <= peak
                              else peak * (peak / probe.load) ** fall)


@settings(deadline=None)
@given(st.floats(0.5, 2000), st.floats(0.5, 2000), st.floats(0.5, 20))
def test_the_peak_is_found_to_the_resolution(peak: float, start: float, fall: float) -> None:
    found, trials = search(peaked(peak, fall), Range(start, 0.01, 10_000, 0.05, 60))
    assert found.best is not None and found.reason == ""
    assert found.best / peak == pytest.approx(1, abs=0.06)
    assert found.confidence == 0.0
    assert len({trial.probe.load for trial in trials}) == len(trials)


def test_the_client_may_be_the_limit() -> None:
    def server(probe: Probe) -> Seen:
        if probe.load > 100:
            return Seen(UNJUDGED, "lag", CLIENT)
        return Seen(PASSES, goodput=probe.load)

    found, trials = search(server)
    assert found.best is not None and 95 <= found.best <= 100
    assert found.high is None
    assert 128 not in goodputs(trials)


def test_no_goodput_anywhere_is_said() -> None:
    found, _ = search(lambda probe: Seen(PASSES, goodput=0.0), Range(1, 0.25, 16))
    assert (found.best, found.reason) == (None, "no request met every objective at any load")
    assert found.missed
    some = Range(1, 0.25, 16, most=1)
    stopped, _ = search(lambda probe: Seen(PASSES, goodput=0.0), some)
    assert stopped.reason.startswith("stopped") and not stopped.missed


@settings(deadline=None)
@given(st.floats(1, 100), st.floats(0.5, 500))
def test_a_load_with_which_the_server_cannot_keep_up_is_never_the_best(capacity: float, start: float) -> None:
    """Above the capacity a run shows the goodput from before the queue had built, as much as was offered."""
    found, trials = search(lambda probe: Seen(PASSES if probe.load <= capacity else FAILS, goodput=probe.load,
                                              grows=probe.load > capacity), Range(start, 0.01, 10_000, 0.05, 60))
    assert found.best is not None and capacity / 1.06 <= found.best <= capacity
    assert found.reason == ""
    assert len({trial.probe.load for trial in trials}) == len(trials)


def test_a_server_that_keeps_up_with_no_load_is_said() -> None:
    found, trials = search(lambda probe: Seen(FAILS, "UNSTABLE", goodput=probe.load, grows=True), Range(1, 0.25, 16))
    assert [trial.probe.load for trial in trials] == [1, 0.5, 0.25]
    assert (found.best, found.reason, found.missed) == (None, "the server keeps up with no load: UNSTABLE", True)


def test_a_load_that_the_client_spoils_is_not_run_for_ever() -> None:
    def server(probe: Probe) -> Seen:
        if probe.load < 8:
            return Seen(UNJUDGED, "loop_stall", CLIENT)
        return Seen(PASSES, goodput=8 if probe.load == 8 else 1)

    found, trials = search(server, Range(8, 1, 1000))
    assert (found.best, found.reason) == (8, "")
    assert len({trial.probe for trial in trials}) == len(trials)
    assert max(trial.probe.number for trial in trials) == 2


def test_nothing_that_can_be_judged_ends_it() -> None:
    found, trials = search(lambda probe: Seen(UNJUDGED, "lag", CLIENT))
    assert len(trials) == 3
    assert (found.best, found.reason) == (None, "no goodput could be measured: lag")


def test_the_size_of_a_fleet() -> None:
    found = size(ANSWER, CELLS, 300, 0.1, 2.5)
    assert found is not None
    assert (found.per_replica, found.needed, found.replicas) == (41.0, 300 / 41, 9)
    assert found.output_tokens == 41 * 128
    assert found.cost == pytest.approx(2.5 / (41 * 128 * 3600) * 1e6)


@settings(deadline=None)
@given(st.floats(0.1, 1e4), st.floats(0.1, 1e6), st.floats(0, 2))
def test_replicas_carry_the_target_with_headroom_and_one_less_would_not(best: float, target: float,
                                                                         headroom: float) -> None:
    found = size(SearchResult("max-rate", "rate", {}, best, None, best, 0.95, cells=(1,)), [cell(1, best)], target,
                 headroom)
    assert found is not None and found.replicas is not None
    wanted = target * (1 + headroom)
    assert found.replicas * best >= wanted * (1 - 1e-6)
    assert found.replicas == 1 or (found.replicas - 1) * best < wanted * (1 + 1e-6)


def test_a_closed_loop_carries_what_it_completed_and_an_empty_answer_nothing() -> None:
    of_eight = cell(1, 0, coordinates={"concurrency": 8}, rates={"completed": 12.5, "output_tokens": 1600.0})
    found = size(SearchResult("max-concurrency", "concurrency", {}, 8, 9, 8, 0.95, cells=(1,)), [of_eight], 100)
    assert found is not None and found.per_replica == 12.5
    assert math.isclose(found.needed or 0, 8.0)
    assert size(SearchResult("max-rate", "rate"), CELLS, 300) is None
    assert size(SearchResult("max-rate", "rate", {}, 5, 6, 5, 0.95), CELLS, 300) is None


def test_nothing_is_reckoned_from_a_load_that_was_not_confirmed() -> None:
    assert size(replace(ANSWER, confidence=0.0), CELLS, 300) is None
    assert size(replace(ANSWER, goal="goodput", confidence=0.0), CELLS, 300) is not None
