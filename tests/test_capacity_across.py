"""Tests of statistics over repeated runs, and of the exit code of a sweep."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sweep_samples as samples
from loadgen.capacity import FAILS, UNJUDGED, Cell, Sweep
from loadgen.capacity.across import across, interval
from loadgen.report import Gate
from loadgen.sweep.verdict import exit_code
from sweep_samples import ANSWER, SLO, cell


def runs(*p99s: float, **changes: Any) -> tuple[Cell, ...]:
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


def repeated(cells: tuple[Cell, ...]) -> Sweep:
    return Sweep("repeat", {}, cells, (SLO,), across=across(cells))


@pytest.mark.parametrize(("sweep", "code"), [
    (samples.found, 0), (samples.grid, 0), (samples.missed, 1), (samples.empty, 3),
    (replace(samples.found, answers=(replace(ANSWER, confidence=0.0),)), 3),
    (replace(samples.found, answers=(ANSWER, replace(ANSWER, best=None))), 1),
    (replace(samples.found, answers=()), 3),
    (Sweep("goodput", answers=(replace(ANSWER, goal="goodput", confidence=0.0),)), 0),
    (Sweep("max-rate", cells=(cell(1, 1, UNJUDGED),), answers=(replace(ANSWER, best=None, cells=(1,)),)), 3),
    (Sweep("grid", cells=(cell(1, 1), cell(2, 2, FAILS))), 1),
    (Sweep("grid", cells=(cell(1, 1, FAILS), cell(2, 2, UNJUDGED))), 3),
    (repeated(runs(300, 310, 320)), 0), (repeated(runs(600, 610, 620)), 1), (repeated(runs(450, 500, 540)), 3),
    (repeated(runs(300)), 3),
    (repeated(runs(300, 310, 320, outcome=UNJUDGED, reason="sample_size: too few")), 0),
    (repeated(runs(300, 310, 320, outcome=UNJUDGED, reason="lag: late")), 3),
    (repeated(runs(300, 310, 320, outcome=FAILS, reason="UNSTABLE", gates=(Gate(SLO, True, 3e8, 3e8),))), 1),
])
def test_the_exit_code_follows_from_cells_and_answers(sweep: Sweep, code: int) -> None:
    assert exit_code(sweep) == code
