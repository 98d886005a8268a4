"""Tests of how a sweep goes and ends, over cells that are there already: nothing is run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.capacity import FAILS, PASSES, Sweep, SweepCell
from loadgen.sweep.parse_spec import spec_of
from loadgen.sweep.spec import Spec
from loadgen.types import UsageError
from support.made_runs import MS
from support.stored_cells import PLAN, campaign_over, store_cell


def grid(rates: str = "1,2,3", abort: bool = False) -> Spec:
    return spec_of(replace(PLAN, judgement=replace(PLAN.judgement, abort_on_fail=abort)), {"rate": [rates]})


def stored(dir: Path) -> Sweep:
    return Sweep.from_json(json.loads((dir / "sweep.json").read_text()))


def test_what_is_there_is_read_and_not_run_again(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        store_cell(grid(), tmp_path, number, {"rate": float(number)})
    found = campaign_over(grid(), tmp_path)
    assert [cell.outcome for cell in found.cells] == [PASSES] * 3
    assert (found.whole, found.exit_code, found.resume) == (True, 0, "")
    assert stored(tmp_path) == found


def test_a_sweep_that_has_not_ended_does_not_look_whole(tmp_path: Path) -> None:
    seen: list[Sweep] = []
    for number in (1, 2, 3):
        store_cell(grid(), tmp_path, number, {"rate": float(number)})
    campaign_over(grid(), tmp_path, lambda cell: seen.append(stored(tmp_path)) if cell.number > 1 else None)
    assert [len(one.cells) for one in seen] == [1, 2]
    assert not any(one.whole for one in seen)
    assert {one.exit_code for one in seen} == {3}
    assert {one.resume for one in seen} == {f"loadgen sweep --resume {tmp_path}"}
    assert stored(tmp_path).whole


def test_abort_on_fail_ends_a_grid_with_its_first_cell_that_fails(tmp_path: Path) -> None:
    spec = grid(abort=True)
    store_cell(spec, tmp_path, 1, {"rate": 1.0})
    store_cell(spec, tmp_path, 2, {"rate": 2.0}, ttft=900 * MS)
    found = campaign_over(spec, tmp_path)
    assert [cell.outcome for cell in found.cells] == [PASSES, FAILS]
    assert found.stopped.startswith("cell 2 failed (--abort-on-fail): ttft.p99<500ms missed")
    assert (found.exit_code, found.resume) == (1, "")


def test_two_sweeps_are_not_in_one_directory(tmp_path: Path) -> None:
    said: list[str] = []

    def again(cell: SweepCell) -> None:
        with pytest.raises(UsageError, match="another sweep is running in"):
            campaign_over(grid(), tmp_path)
        said.append("refused")

    for number in (1, 2, 3):
        store_cell(grid(), tmp_path, number, {"rate": float(number)})
    assert campaign_over(grid(), tmp_path, again).whole
    assert said == ["refused"] * 3
    assert campaign_over(grid(), tmp_path).whole
