import errno
import os
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from loadgen.outcomes.report import SCHEMA
from loadgen.recorder.batch import Batch
from loadgen.run_files import RunReader, RunWriter, StorageFull
from loadgen.run_files.disk import open_unbuffered
from loadgen.stats.histogram import Histogram
from loadgen.types import UsageError
from support.stored_runs import HEALTH, ROWS, as_rows, row, writer_of


def test_an_output_directory_in_use_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"not empty.*--out"):
        RunWriter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_output_directory_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"can't be made.*--out"):
        RunWriter(tmp_path / "file" / "run")


def test_an_output_directory_without_rights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere, so rights alone show nothing
    with pytest.raises(UsageError, match="can't be written"):
        RunWriter(tmp_path / "run")


def test_an_empty_output_directory_is_taken(tmp_path: Path) -> None:
    RunWriter(tmp_path).close()
    assert [path.name for path in tmp_path.iterdir()] == ["requests.arrows"]


class FullDisk:
    """Opens files on a disk that holds `room` more bytes, and takes at most 100 of them a write."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, path: Path, mode: str) -> BinaryIO:
        disk = self

        class File(BytesIO):
            def write(self, data: Any) -> int:
                size = min(len(data), disk.room, 100)
                if size == 0:
                    raise OSError(errno.ENOSPC, "No space left on device")
                disk.room -= size
                with open_unbuffered(path, "ab") as real:
                    return real.write(bytes(data)[:size])

        return File()


def whole_size(path: Path) -> int:
    writer = writer_of(path, ROWS)
    writer.close()
    return (path / "requests.arrows").stat().st_size


def test_a_full_disk_is_raised_once_and_what_was_written_can_be_read(tmp_path: Path) -> None:
    room = whole_size(tmp_path / "sized") + 500
    writer = RunWriter(tmp_path / "run", open=FullDisk(room))
    writer.write_rows(Batch.of(ROWS))
    with pytest.raises(StorageFull) as caught:
        writer.write_rows(Batch.of(ROWS))
    assert caught.value.path == tmp_path / "run/requests.arrows"
    assert "requests.arrows" in str(caught.value)
    writer.write_rows(Batch.of(ROWS))
    writer.write_health(HEALTH)
    writer.write_plan({})
    writer.finish({"schema": SCHEMA})
    assert writer.full == tmp_path / "run/requests.arrows"
    assert as_rows(RunReader(tmp_path / "run").rows()) == ROWS


def full_after(count: int) -> Any:
    """Open the first `count` files as usual, and every later one on a disk that is full."""
    opened = []

    def opener(path: Path, mode: str) -> BinaryIO:
        opened.append(path)
        return open_unbuffered(path if len(opened) <= count else Path("/dev/full"), mode)

    return opener


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("count", "full"), [(2, "requests.parquet"), (3, "summary.json")])
def test_a_disk_that_is_full_at_the_end_loses_no_row(tmp_path: Path, count: int, full: str) -> None:
    writer = writer_of(tmp_path / "run", ROWS, open=full_after(count))
    with pytest.raises(StorageFull, match=full):
        writer.finish({"schema": SCHEMA})
    assert as_rows(RunReader(tmp_path / "run").rows()) == ROWS
    assert not list((tmp_path / "run").glob("*.part"))


@pytest.mark.parametrize("room", [0, 10_000])
def test_logs_are_written_anew_as_a_whole_or_stay_as_they_are(tmp_path: Path, room: int) -> None:
    disk = FullDisk(100_000)
    writer = RunWriter(tmp_path / "run", open=lambda path, mode: (disk if ".hlog" in path.name else open_unbuffered)(
        path, mode))
    values = Histogram()
    values.record(np.asarray([5, 6]))
    writer.write_interval("ttft", values, 0, 10**9)
    writer.write_interval("ttft", values, 10**9, 2 * 10**9)
    writer.write_interval("itl", values, 10**9, 2 * 10**9)
    old = RunReader(tmp_path / "run").logs()["ttft"]
    disk.room = room
    try:
        writer.finish({}, seen=lambda: writer.rewrite_interval("ttft", values, 0, 10**9))
    except StorageFull as error:
        assert error.path.name == "ttft.hlog.part"
    logs = RunReader(tmp_path / "run").logs()
    assert set(logs) == ({"ttft", "itl"} if room == 0 else {"ttft"})
    new = logs["ttft"]
    assert new == (old if room == 0 else "".join(old.splitlines(keepends=True)[:-1]))
    assert not list((tmp_path / "run").glob("*.part"))
    writer.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_at_the_start_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no space.*--out"):
        RunWriter(tmp_path / "run", open=full_after(0))


def test_another_failure_of_the_disk_is_not_taken_for_a_full_one(tmp_path: Path) -> None:
    def opener(path: Path, mode: str) -> BinaryIO:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        RunWriter(tmp_path / "run", open=opener)


def test_secrets_are_masked_wherever_they_turn_up(tmp_path: Path) -> None:
    key = "sk-0123456789"
    writer = RunWriter(tmp_path / "run", secrets=(key, "short", ""))
    writer.write_plan({"target": {"headers": [("Authorization", f"Bearer {key}")], "body": {"short": 1}}})
    writer.write_rows(Batch.of([row(0, failure="http_4xx", detail=f"Incorrect API key: {key}", failure_type=key)]))
    writer.write_health({"what": key})
    writer.write_outputs([{"text": f"you said {key}"}])
    writer.finish({"schema": SCHEMA, "note": (key,)})
    for path in (tmp_path / "run").iterdir():
        assert key.encode() not in path.read_bytes()
    reader = RunReader(tmp_path / "run")
    assert as_rows(reader.rows())[0].detail == "Incorrect API key: ***"
    assert reader.plan()["target"] == {"headers": [["Authorization", "Bearer ***"]], "body": {"short": 1}}


def test_texts_and_numbers_that_a_server_made_up_do_not_stop_the_run(tmp_path: Path) -> None:
    writer = writer_of(tmp_path / "run", [row(0, detail="half \ud83d of a pair", server={"server_queue": 10**30})])
    writer.write_outputs([{"text": "half \ud83d"}])
    writer.write_health({"what": "\udc80"})
    writer.finish({"schema": SCHEMA, "example": "\ud83d"})
    found = as_rows(RunReader(tmp_path / "run").rows())[0]
    assert found.detail == "half ? of a pair"
    assert found.server == {"server_queue": 2**63 - 1}
    assert (tmp_path / "run/outputs.jsonl").read_text() == '{"text":"half ?"}\n'
