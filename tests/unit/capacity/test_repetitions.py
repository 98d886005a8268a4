"""Tests of statistics over repeated runs, and of the exit code of a sweep."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from loadgen.capacity import FAILS, PASSES, UNJUDGED, SearchResult, Sweep, SweepCell
from loadgen.capacity.repetitions import across, interval
from loadgen.outcomes.report import SloResult
from loadgen.sweep.verdict import exit_code
from support import sweep_samples as samples
from support.sweep_samples import ANSWER, SLO, cell


def runs(*p99s: float, **changes: Any) -> tuple[SweepCell, ...]:
    return tuple(cell(i + 1, 4, ttft=p99, coordinates={"rate": 4.0, "run": float(i + 1)}, **changes)
                 for i, p99 in enumerate(p99s))


def test_the_interval_holds_the_mean_in_95_percent() -> None:
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(2000):
        _, low, high = interval(rng.normal(10, 2, 5).tolist())
        assert low is not None and high is not None
        held += low <= 10 <= high
    assert 0.935 <= held / 2000 <= 0.965


def test_one_run_has_no_interval() -> None:
    assert interval([3.0]) == (3.0, None, None)
    assert across(runs(300.0)) == ()


@pytest.mark.parametrize(("p99s", "ok"), [((300, 310, 320), True), ((600, 610, 620), False), ((450, 500, 540), None)])
def test_an_objective_is_decided_over_all_runs(p99s: tuple[float, ...], ok: bool | None) -> None:
    one = across(runs(*p99s))[0]
    assert (one.name, one.slo, one.ok) == ("ttft.p99", SLO, ok)
    assert one.values == tuple(value * 1e6 for value in p99s)


def test_places_are_not_mixed() -> None:
    other = tuple(replace(one, coordinates={"rate": 8.0, "run": one.coordinates["run"]}) for one in runs(600, 610))
    found = across([*runs(300, 310), *other])
    assert [(one.coordinates["rate"], round(one.mean / 1e6)) for one in found if one.name == "ttft.p99"] == [
        (4.0, 305), (8.0, 605)]


def repeated(cells: tuple[SweepCell, ...], slo: str = SLO, lax: bool = False) -> Sweep:
    return Sweep("repeat", {}, cells, (slo,), across=across(cells), plan={"judgement": {"lax": lax}})


def small(*seen: float | None, outcome: str = UNJUDGED, ok: bool | None = None) -> tuple[SweepCell, ...]:
    """Runs of which some are too short for a p99."""
    return tuple(replace(one, outcome=outcome, reason="sample_size: too few", gates=(SloResult(SLO, ok, value, None),))
                 for one, value in zip(runs(*(300.0 for _ in seen)), seen, strict=True))


def without_failure(runs_: int, offered: int, slo: str = "errors<0.1%") -> tuple[SweepCell, ...]:
    counts = {"offered": offered, "sent": offered, "succeeded": offered, "failed": 0, "censored": 0}
    gate = SloResult(slo, None, 0.0, 0.01, "share")
    return tuple(replace(one, requests=counts, gates=(gate,), outcome=UNJUDGED, reason="sample_size: too few")
                 for one in runs(*(300.0 for _ in range(runs_))))


def test_an_objective_without_a_value_in_every_run_is_there_and_undecided() -> None:
    none, some = across(small(None, None))[0], across(small(3e8, None, 3e8))[0]
    assert (none.slo, none.ok, none.values, none.mean, none.missing) == (SLO, None, (), None, 2)
    assert (some.ok, some.values, some.mean, some.low, some.missing) == (None, (3e8, 3e8), 3e8, None, 1)
    assert across(small(None, 9e8, ok=False))[0].ok is False  # each run alone misses it


def test_a_statistic_that_some_runs_lack_is_not_told_of_the_others() -> None:
    cells = runs(300, 310, 320)
    bare = replace(cells[0], metrics={name: one for name, one in cells[0].metrics.items() if name != "itl"})
    names = {one.name for one in across((bare, *cells[1:]))}
    assert "itl.p99" not in names and "e2e.p99" in names


def test_no_failure_proves_as_much_as_all_requests_together() -> None:
    """Equal runs have no spread. Clopper and Pearson: none of n leaves 1 - 0.025 ** (1 / n)."""
    few = across(without_failure(3, 100))[0]
    assert few.low == 0 and few.high == pytest.approx(1 - 0.025 ** (1 / 300))
    assert (few.ok, few.mean) == (None, 0.0)
    assert across(without_failure(3, 1230))[0].ok is True  # 3,690; 3,688 do
    gates = (SloResult("goodput>3.9", True, 4.0, 3.95, "per_second"),)
    rates = {"offered": 4.0, "goodput": 4.0}
    all_good = tuple(replace(one, rates=rates, gates=gates) for one in without_failure(3, 20))
    found = across(all_good)[0]
    assert found.low == pytest.approx(4 * 0.025 ** (1 / 60)) and found.ok is None


def test_failures_that_differ_between_runs_widen_the_interval_beyond_that_of_the_requests() -> None:
    cells = tuple(replace(one, requests={"offered": 1000, "failed": failed},
                          gates=(SloResult("errors<5%", True, failed / 1000, 0.04, "share"),))
                  for one, failed in zip(runs(300, 300, 300), (0, 0, 60), strict=True))
    found = across(cells)[0]
    assert found.high == pytest.approx(interval([0, 0, 0.06])[2])
    assert found.ok is None


@pytest.mark.parametrize(("sweep", "code"), [
    (samples.found, 0), (samples.grid, 0), (samples.missed, 1), (samples.empty, 3),
    (replace(samples.found, answers=(replace(ANSWER, confidence=0.0),)), 3),
    (replace(samples.found, answers=(ANSWER, samples.missed.answers[0])), 1),
    (replace(samples.missed, answers=(replace(samples.missed.answers[0], confidence=0.0),)), 3),
    (replace(samples.found, answers=()), 3),
    (Sweep("goodput", answers=(replace(ANSWER, goal="goodput", confidence=0.0),)), 0),
    (Sweep("max-rate", cells=(cell(1, 1, UNJUDGED),), answers=(SearchResult("max-rate", "rate", cells=(1,)),)), 3),
    (Sweep("grid", cells=(cell(1, 1), cell(2, 2, FAILS))), 1),
    (Sweep("grid", cells=(cell(1, 1, FAILS), cell(2, 2, UNJUDGED))), 3),
    (repeated(runs(300, 310, 320)), 0), (repeated(runs(600, 610, 620)), 1), (repeated(runs(450, 500, 540)), 3),
    (repeated(runs(300)), 3),
    (repeated(runs(300, 310, 320, outcome=UNJUDGED, reason="sample_size: too few")), 0),
    (repeated(runs(300, 310, 320, outcome=UNJUDGED, reason="lag: late")), 3),
    (repeated(runs(300, 310, 320, outcome=UNJUDGED, reason="duration: too short")), 3),
    (repeated(small(None, None, None)), 3), (repeated(small(3e8, None, 3e8)), 3),
    (repeated(small(None, None, outcome=PASSES), lax=True), 0),
    (repeated((*small(None, outcome=PASSES), *small(None, outcome=FAILS)), lax=True), 1),
    (repeated(without_failure(3, 20), "errors<0.1%"), 3), (repeated(without_failure(3, 1230), "errors<0.1%"), 0),
    (replace(repeated(runs(300, 310, 320)), slo=(SLO, "itl.p99<1s")), 3),
    (replace(repeated(runs(300, 310, 320)), across=()), 3),
    (repeated(runs(300, 310, 320, outcome=FAILS, reason="UNSTABLE", gates=(SloResult(SLO, True, 3e8, 3e8),))), 1),
])
def test_the_exit_code_follows_from_cells_and_answers(sweep: Sweep, code: int) -> None:
    assert exit_code(sweep) == code
