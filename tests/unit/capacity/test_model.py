"""Tests of the Sweep as data, and of the curves through its cells."""

import json

import pytest

from loadgen.capacity import Sweep, SweepCell, curves
from loadgen.types import UsageError
from support import sweep_samples
from support.sweep_samples import CELLS, cell


@pytest.mark.parametrize("name", sweep_samples.ALL)
def test_a_sweep_survives_json(name: str) -> None:
    sweep = sweep_samples.ALL[name]
    assert Sweep.from_json(json.loads(json.dumps(sweep.to_json(), allow_nan=False))) == sweep


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(UsageError, match="newer loadgen"):
        Sweep.from_json({**sweep_samples.grid.to_json(), "schema": 99})


@pytest.mark.parametrize("data", [{}, {"schema": 1}, {"kind": "sweep"}, {"kind": "run", "schema": 1},
                                  {"kind": "sweep", "schema": 1, "cells": 3},
                                  {**sweep_samples.grid.to_json(), "cells": [{}]},
                                  {**sweep_samples.grid.to_json(), "cells": None}])
def test_what_is_no_sweep_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Sweep.from_json(data)


def test_a_curve_runs_along_the_load_and_the_others_part_it() -> None:
    found = curves(sweep_samples.grid.cells)["load"]
    assert [one["coordinates"] for one in found] == [{"input_tokens": "128"}, {"input_tokens": "512"}]
    assert [[point["load"] for point in one["points"]] for one in found] == [[1, 2, 4], [1, 2, 4]]
    assert found[0]["points"][0]["ttft_p99"] == 140_000_000


def test_no_cell_beats_one_of_the_front_and_some_cell_beats_each_other() -> None:
    points = curves(CELLS)["pareto"]
    front = [point for point in points if point["front"]]
    stable = {one.number for one in CELLS if one.stable}

    def beats(one: dict[str, float], other: dict[str, float]) -> bool:
        names = ("tokens_per_user", "output_tokens")
        return all(one[name] >= other[name] for name in names) and any(one[name] > other[name] for name in names)

    usable = [point for point in points if point["cell"] in stable]
    assert front
    assert not any(beats(one, other) for one in usable for other in front)
    assert all(any(beats(one, other) or one == other for one in front) or other in front or
               any((one["tokens_per_user"], one["output_tokens"]) == (other["tokens_per_user"], other["output_tokens"])
                   for one in front) for other in usable)


def test_an_unstable_cell_is_not_on_the_front() -> None:
    points = curves([cell(1, 4), cell(2, 64, stable=False)])["pareto"]
    assert [point["front"] for point in sorted(points, key=lambda one: one["cell"])] == [True, False]


def test_a_cell_without_token_times_is_on_no_front() -> None:
    bare = SweepCell(1, {"rate": 2.0}, "x", "passes")
    assert bare.tokens_per_user is None
    assert curves([bare])["pareto"] == []
    assert bare.load == 2.0
