from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loadgen.outcomes.report import SCHEMA
from loadgen.recorder.batch import Batch
from loadgen.run_files import RunReader, RunWriter, arrow
from loadgen.types import ClockSample, Health, UsageError
from support.stored_runs import HEALTH, ROWS, as_rows, row, writer_of


def test_a_finished_run_comes_back_whole(tmp_path: Path) -> None:
    writer = writer_of(tmp_path / "run", ROWS[:1], [], ROWS[1:])
    writer.write_health(HEALTH)
    writer.write_health(ClockSample(7, 1 << 60))
    writer.write_health({"what": "interrupt", "at": 9})
    writer.write_outputs([{"index": 0, "text": "hello"}, {"index": 1, "text": "zwei\nlines"}])
    writer.finish({"schema": SCHEMA, "metrics": {"ttft": {"p99": 5}}})
    reader = RunReader(tmp_path / "run")
    assert as_rows(reader.rows()) == ROWS
    assert list(reader.health()) == [HEALTH, ClockSample(7, 1 << 60), {"what": "interrupt", "at": 9}]
    assert reader.plan() == {"target": {"backend": "openai"}}
    assert reader.summary() == {"schema": SCHEMA, "metrics": {"ttft": {"p99": 5}}}
    lines = (tmp_path / "run/outputs.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line)["text"] for line in lines] == ["hello", "zwei\nlines"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "health.jsonl", "outputs.jsonl", "plan.json", "requests.parquet", "summary.json"]


def test_the_parquet_file_is_plain_for_other_tools(tmp_path: Path) -> None:
    writer_of(tmp_path / "run", ROWS).finish({})
    table = pq.read_table(tmp_path / "run/requests.parquet")
    kinds = {field.name: str(field.type).replace("element", "item") for field in table.schema}
    assert kinds["token_at"] == "list<item: int64>"
    assert kinds["token_count"] == "list<item: int32>"
    assert kinds["server"].startswith("map<string, int64")
    assert (kinds["held"], kinds["failure"], kinds["due"]) == ("bool", "string", "int64")
    assert table["token_at"].to_pylist() == [r.token_at for r in ROWS]
    assert pq.ParquetFile(tmp_path / "run/requests.parquet").metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_run_without_rows_is_a_run(tmp_path: Path) -> None:
    writer_of(tmp_path / "run").finish({})
    assert list(RunReader(tmp_path / "run").rows()) == []


def test_what_is_written_is_readable_at_once_and_without_an_end(tmp_path: Path) -> None:
    writer = writer_of(tmp_path / "run", ROWS[:2])
    writer.write_health(HEALTH)
    reader = RunReader(tmp_path / "run")
    assert as_rows(reader.rows()) == ROWS[:2]
    assert list(reader.health()) == [HEALTH]
    assert reader.summary() is None
    writer.write_rows(Batch.of(ROWS[2:]))
    assert as_rows(reader.rows()) == ROWS
    writer.close()


@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_rows_cut_off_at_any_byte_never_break_and_are_never_wrong(tmp_path: Path, step: int) -> None:
    parts = [ROWS[:1], ROWS[1:3], ROWS[3:]]
    writer = writer_of(tmp_path / "run", *parts)
    writer.close()
    path = tmp_path / "run/requests.arrows"
    whole = path.read_bytes()
    possible = [[r for part in parts[:k] for r in part] for k in range(4)]
    seen = set()
    for size in (*range(0, len(whole), step), len(whole)):
        path.write_bytes(whole[:size])
        found = as_rows(RunReader(tmp_path / "run").rows())
        assert found in possible
        seen.add(len(found))
    assert seen == {0, 1, 3, 4}


def test_health_cut_off_at_any_byte_gives_the_whole_lines(tmp_path: Path) -> None:
    writer = writer_of(tmp_path / "run")
    lines: list[Any] = [HEALTH, ClockSample(1, 2), {"what": "sender_lost"}]
    for line in lines:
        writer.write_health(line)
    writer.close()
    path = tmp_path / "run/health.jsonl"
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        assert list(RunReader(tmp_path / "run").health()) == lines[: whole[:size].count(b"\n")]


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    writer_of(tmp_path / "run", ROWS).finish({})
    run = tmp_path / "run"
    (run / "health.jsonl").write_bytes(b'{"kind":"clock","at":1,"offset":2}\n{"kind":"clo\n{}\n')
    with pytest.raises(UsageError, match="line 2"):
        list(RunReader(run).health())
    (run / "requests.parquet").write_bytes((run / "requests.parquet").read_bytes()[:-9])
    with pytest.raises(UsageError, match="damaged"):
        list(RunReader(run).rows())
    (run / "plan.json").write_bytes(b"{")
    with pytest.raises(UsageError, match="damaged"):
        RunReader(run)


def test_a_damaged_summary_can_be_made_again_and_says_so(tmp_path: Path) -> None:
    writer_of(tmp_path / "run", ROWS).finish({"schema": SCHEMA})
    path = tmp_path / "run/summary.json"
    path.write_bytes(path.read_bytes()[:-4])
    reader = RunReader(tmp_path / "run")
    assert as_rows(reader.rows()) == ROWS
    with pytest.raises(UsageError, match=r"summary\.json is damaged: .*: loadgen report .*/run makes it again"):
        reader.summary()


def test_a_line_of_a_later_release_is_still_read(tmp_path: Path) -> None:
    writer_of(tmp_path / "run").close()
    line = {"kind": "health", "at": 1, "sender": 0, "cpu": 2, "rss": 3, "invented_later": 4}
    (tmp_path / "run/health.jsonl").write_bytes(msgspec.json.encode(line) + b'\n{"kind":"invented_later","a":1}\n')
    assert list(RunReader(tmp_path / "run").health()) == [Health(1, 0, 2, 3), {"a": 1}]


@pytest.mark.parametrize("name", ["nowhere", "empty", "file"])
def test_a_directory_that_is_no_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"not a directory|has no run"):
        RunReader(tmp_path / name)


def test_a_run_that_ended_before_anything_happened_is_empty(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(b"{}")
    reader = RunReader(tmp_path)
    assert (list(reader.rows()), list(reader.health()), reader.summary()) == ([], [], None)


def test_a_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "plan.json").mkdir()
    with pytest.raises(UsageError, match="can't be read"):
        RunReader(tmp_path)


def test_a_run_without_a_plan_says_so(tmp_path: Path) -> None:
    RunWriter(tmp_path / "run").close()
    with pytest.raises(UsageError, match="ended before"):
        RunReader(tmp_path / "run").plan()


@pytest.mark.parametrize("name", ["plan.json", "summary.json"])
def test_a_newer_schema_is_refused(tmp_path: Path, name: str) -> None:
    writer_of(tmp_path / "run").close()
    (tmp_path / "run" / name).write_bytes(msgspec.json.encode({"schema": SCHEMA + 1}))
    with pytest.raises(UsageError, match="newer"):
        RunReader(tmp_path / "run")


@pytest.mark.parametrize("finished", [True, False])
def test_rows_of_a_newer_schema_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool) -> None:
    newer = arrow.ROW_SCHEMA.with_metadata({b"loadgen.schema": str(SCHEMA + 1).encode()})
    with monkeypatch.context() as patch:
        patch.setattr(arrow, "ROW_SCHEMA", newer)
        patch.setattr(arrow, "SCHEMA", SCHEMA + 1)
        writer = writer_of(tmp_path / "run", ROWS)
        writer.finish({}) if finished else writer.close()
    with pytest.raises(UsageError, match="newer"):
        list(RunReader(tmp_path / "run").rows())


def test_a_parquet_file_of_something_else_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "requests.parquet")
    with pytest.raises(UsageError, match="no rows of loadgen"):
        list(RunReader(tmp_path).rows())


def test_rows_are_read_a_part_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadgen.run_files.arrow._GROUP", 1)
    parts = [[row(i), row(i + 100)] for i in range(5)]
    writer_of(tmp_path / "run", *parts).finish({})
    batches = list(RunReader(tmp_path / "run").rows())
    assert [len(batch) for batch in batches] == [2] * 5
    assert as_rows(batches) == [r for part in parts for r in part]
