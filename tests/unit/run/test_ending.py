"""The end of a run: what it returns is what its files say, its rows are read once, and nothing stops the files."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from loadgen.metrics import names
from loadgen.outcomes.run_record import Resolved, RunRecord
from loadgen.plan import Criteria, Load, OutputOptions, Plan
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.recorder.looks import looks_of
from loadgen.run.ending import RunEnd, end_run
from loadgen.run.phases import Phases
from loadgen.run.sequential import SequentialStop
from loadgen.run_files import RunReader, RunWriter, arrow
from loadgen.run_files.disk import open_unbuffered
from loadgen.run_files.read_back import read_back
from loadgen.run_files.record import to_json
from loadgen.slo import expand
from loadgen.summary.run_data import RunData
from loadgen.types import COOLDOWN, MEASURED, ClockSample, Health, RequestRow, UsageError, Window
from support.made_runs import S, run_of, window_of

ROWS = run_of(60, 8 * S, 0, 2 * S)
SLO = ("ttft.p50<1s",)


def record_of(window: Window, page: bool = True) -> RunRecord:
    plan = Plan(load=Load(rate=60.0), judgement=Criteria(SLO, 0.5), out=OutputOptions(page=page))
    return RunRecord(plan, Resolved(window, {"sha256": "all"}, {"loadgen": "0.1.0"}, length="forced"))


class MadeRun:
    """A run whose rows come in batches, from the first to its end, in a directory."""

    def __init__(self, dir: Path, rows: list[RequestRow] = ROWS, page: bool = True, **options: Any) -> None:
        self.window = window_of(rows, 8 * S, 0)
        self.record = record_of(self.window, page)
        self.recorder = Recorder(self.window, expand(SLO))
        self.writer = RunWriter(dir, **options)
        self.writer.write_plan(to_json(self.record))
        self.parts = [Batch.of(rows[first : first + 50]) for first in range(0, len(rows), 50)]
        self.warnings: list[str] = []

    def write(self, first: int = 0, last: int | None = None) -> MadeRun:
        for batch in self.parts[first:last]:
            self.recorder.fold(batch)
            self.writer.write_rows(batch)
        for line in (Health(last or 0, 0, cpu=first, rss=5), ClockSample(first, 50)):
            self.recorder.observe(line)
            self.writer.write_health(line)
        return self

    def end(self, end: RunEnd | None = None) -> RunData:
        end = end or RunEnd(server={"requests": 3})
        return end_run(self.writer, self.record, self.recorder, end, self.warnings.append)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of rows that were read, in order."""
    found: list[str] = []

    def counting(read: Callable[[Path], Iterator[Any]]) -> Callable[[Path], Iterator[Any]]:
        def counted(path: Path) -> Iterator[Any]:
            found.append(path.name)
            return read(path)
        return counted

    for name in ("read_stream", "read_parquet"):
        monkeypatch.setattr(arrow, name, counting(getattr(arrow, name)))
    return found


def same(one: RunData, other: RunData) -> bool:
    """Whether two results have the same report, charts and histograms."""
    assert json.dumps(one.report.to_json()) == json.dumps(other.report.to_json())
    assert repr(one.figures()) == repr(other.figures())
    assert {name: one.histograms[name].counts.tolist() for name in one.histograms} == {
        name: other.histograms[name].counts.tolist() for name in other.histograms}
    return (one.name, one.dir, one.logs(), repr(one.curves())) == (
        other.name, other.dir, other.logs(), repr(other.curves()))


def test_what_ends_is_what_is_read_back_and_the_rows_are_read_once(tmp_path: Path, reads: list[str]) -> None:
    result = MadeRun(tmp_path / "run").write().end()
    figures = result.figures()
    assert reads == ["requests.arrows"]
    assert figures is not None and figures.flow is not None
    assert same(result, read_back(tmp_path / "run"))
    assert RunReader(tmp_path / "run").summary() == json.loads(json.dumps(result.report.to_json()))
    assert result.report.server == {"requests": 3} and result.report.plan["resolved"]["length"] == "forced"


def test_without_a_page_rows_are_only_copied_until_charts_are_asked_for(tmp_path: Path, reads: list[str]) -> None:
    result = MadeRun(tmp_path / "run", page=False).write().end()
    assert reads == ["requests.arrows"]
    assert same(result, read_back(tmp_path / "run"))
    assert len(reads) == 4


@pytest.mark.parametrize("first_look", [True, False])
def test_a_look_that_closes_the_window_needs_no_further_reading(tmp_path: Path, reads: list[str],
                                                              first_look: bool) -> None:
    rows = sorted(ROWS, key=lambda one: one.end)
    run = MadeRun(tmp_path / "run", [replace(one, index=place) for place, one in enumerate(
        sorted(rows, key=lambda one: one.due))])
    count = run.window.count
    looks = SequentialStop(looks_of(run.window, 0, [count // 2, count]), Phases(run.window, 0, count), run.record,
                           RunReader(tmp_path / "run").rows)
    run.writer.on_rows = looks.fold
    run.write(0, 6)
    if first_look:
        assert looks.enough()
    assert reads == ["requests.arrows"] * first_look
    run.write(6)
    look = looks.close()
    run.recorder = looks.recorder(run.recorder)
    run.record = replace(run.record, resolved=replace(run.record.resolved, schedule={"sha256": "half"}))
    result = run.end(RunEnd(look=look))
    result.figures()
    assert reads == ["requests.arrows"] * (1 + first_look)
    assert result.report.requests["offered"] == (count // 2 if first_look else count)
    assert same(result, read_back(tmp_path / "run"))
    assert set(result.logs()) == set(names(lambda one: one.logged))
    phases = [phase for batch in RunReader(tmp_path / "run").rows() for phase in batch.phase.tolist()]
    assert phases.count(MEASURED) == (count // 2 if first_look else count) and phases.count(COOLDOWN) > 0
    assert any("each interval is one of" in note for note in result.report.verdict.notes)


def test_a_disk_that_is_full_at_the_end_takes_no_chart_away(tmp_path: Path, reads: list[str]) -> None:
    def opener(path: Path, mode: str) -> BinaryIO:
        return open_unbuffered(path if "parquet" not in path.name else Path("/dev/full"), mode)

    run = MadeRun(tmp_path / "run", open=opener).write()
    result = run.end()
    result.figures()
    assert reads == ["requests.arrows"]
    assert [warning.rpartition("/")[2] for warning in run.warnings] == ["requests.parquet"]
    assert same(result, read_back(tmp_path / "run"))


def test_ctrl_c_at_the_end_leaves_the_page_out_and_the_files_whole(tmp_path: Path) -> None:
    def opener(path: Path, mode: str) -> BinaryIO:
        if "parquet" in path.name:
            signal.raise_signal(signal.SIGINT)
        return open_unbuffered(path, mode)

    before = signal.getsignal(signal.SIGINT)
    run = MadeRun(tmp_path / "run", open=opener).write()
    result = run.end()
    with pytest.raises(UsageError, match="it was interrupted"):
        result.figures()
    assert signal.getsignal(signal.SIGINT) is before
    assert not run.warnings
    assert sum(map(len, RunReader(tmp_path / "run").rows())) == len(ROWS)
    assert read_back(tmp_path / "run").report == result.report


def test_a_run_that_the_disk_ended_is_invalid_and_has_charts_of_what_was_written(tmp_path: Path) -> None:
    run = MadeRun(tmp_path / "run").write(0, 4)
    run.writer.full = tmp_path
    result = run.write(4).end(RunEnd(interrupted=True, full=True))
    assert result.report.verdict.exit_code == 3 and not run.warnings
    found = result.figures()
    assert found is not None
    assert 0 < sum(map(len, RunReader(tmp_path / "run").rows())) < len(ROWS)
