"""Where the runs of a side are found."""

from pathlib import Path

import pytest

from loadgen.compare.load import runs_in
from loadgen.types import UsageError


def make(path: Path, *names: str) -> None:
    for name in names:
        (path / name).mkdir(parents=True)
        (path / name / "plan.json").write_text("{}")


def test_runs_are_found_below_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    make(tmp_path, "run-10", "run-2", "run-1", "other/deep/run", "other/deep/er/still/run")
    (tmp_path / "notes").mkdir()
    (tmp_path / "sweep.json").write_text("{}")
    assert [path.relative_to(tmp_path).as_posix() for path in runs_in(tmp_path)] == [
        "other/deep/run", "run-1", "run-2", "run-10"]


def test_a_run_is_itself_and_what_is_in_it_is_no_run_of_its_own(tmp_path: Path) -> None:
    make(tmp_path, "run", "run/inner")
    assert runs_in(tmp_path / "run") == [tmp_path / "run"]
    assert runs_in(tmp_path) == [tmp_path / "run"]


def test_what_a_sweep_set_aside_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, "001-rate-2.5", "002-rate-4", "002-rate-4.broken-1", "002-rate-4.interrupted-12", "003-x.gone-1")
    assert [path.name for path in runs_in(tmp_path)] == ["001-rate-2.5", "002-rate-4"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "run")
    (tmp_path / "latest").symlink_to(tmp_path / "run")
    assert runs_in(tmp_path) == [tmp_path / "run"]


def test_no_run_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no run"):
        runs_in(tmp_path)
    with pytest.raises(UsageError, match="is not a directory"):
        runs_in(tmp_path / "nowhere")


@pytest.mark.parametrize("path", ["", "ab"])
def test_runs_of_both_sides_are_not_one(tmp_path: Path, path: str) -> None:
    make(tmp_path / path, "base-1", "base-2", "new-1", "new-2")
    with pytest.raises(UsageError, match=r"both sides of a comparison: write --base .*/base-\* --new .*/new-\*"):
        runs_in(tmp_path)
    (tmp_path / "apart").mkdir()
    (tmp_path / path / "base-1").rename(tmp_path / "apart" / "base-1")
    assert runs_in(tmp_path / "apart") == [tmp_path / "apart" / "base-1"]


def test_a_path_that_can_not_be_looked_into_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read: File name too long"):
        runs_in(tmp_path / ("x" * 300))
