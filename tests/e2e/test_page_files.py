"""report.html as a file: who writes it and where, of which runs, and what becomes of those that can't be read."""

from __future__ import annotations

import json
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.cli import main
from loadgen.cli.page import PageInterrupted, add_file, add_page, stoppable
from loadgen.mock.process import MockProcess
from loadgen.recorder.batch import Batch
from loadgen.run_files import RunReader, arrow
from support.made_runs import run_of
from support.report_samples import valid
from support.runs import command, loadgen, run
from support.written_runs import written


def report(*arguments: object) -> int:
    return main.main(["report", *map(str, arguments)])


def page_of(dir: Path) -> str:
    return (dir / "report.html").read_text(encoding="utf-8")


def test_report_writes_the_page_again_and_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "a")
    (tmp_path / "a/report.html").write_text("old")
    code = report(tmp_path / "a")
    table = capsys.readouterr().out
    assert re.search(r"plan\.json\s+report\.html\s+requests\.arrows\s+summary\.json", table)
    page = page_of(tmp_path / "a")
    word = table.split("\n\n")[1].split()[0]
    assert f"<strong>{word}</strong>" in page
    assert code == RunReader(tmp_path / "a").summary()["verdict"]["exit_code"]
    assert page.count('<figure class="chart') > 10


def test_a_run_that_is_left_as_it_is_gets_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "a")
    report(tmp_path / "a", "--no-write")
    assert not (tmp_path / "a/report.html").exists()
    assert "report.html" not in capsys.readouterr().out


def test_several_runs_have_a_page_each_and_one_together_where_it_is_asked_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path / name)
    report(tmp_path / "a", tmp_path / "b")
    assert "side by side" not in page_of(tmp_path / "a") + page_of(tmp_path / "b")
    assert report(tmp_path / "a", tmp_path / "b", "--format", "html", "--out", tmp_path / "both.html") == 0
    both = (tmp_path / "both.html").read_text(encoding="utf-8")
    assert "<strong>2 runs side by side</strong>" in both
    assert report(tmp_path / "a", "--format", "html", "--out", tmp_path / "one.html") == 0
    assert (tmp_path / "one.html").read_text(encoding="utf-8") == page_of(tmp_path / "a")


def test_half_written_files_make_a_page_of_what_is_there(tmp_path: Path) -> None:
    result = written(tmp_path / "a")
    rows = tmp_path / "a/requests.arrows"
    rows.write_bytes(rows.read_bytes()[:-100])
    health = tmp_path / "a/health.jsonl"
    health.write_bytes(health.read_bytes()[:-10])
    assert report(tmp_path / "a") == 130
    page = page_of(tmp_path / "a")
    assert "<strong>INTERRUPTED</strong>" in page
    offered = re.search(r"offered (\d+)", page)
    assert offered is not None
    assert 0 < int(offered[1]) < result.report.requests["offered"]


def test_a_summary_that_was_cut_off_is_made_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "a")
    code = report(tmp_path / "a")
    path = tmp_path / "a/summary.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert report(tmp_path / "a", "--format", "json") == 0
    assert path.read_text() == whole[: len(whole) // 2]
    assert report(tmp_path / "a") == code
    assert path.read_text() == whole
    assert capsys.readouterr().err == ""


def test_a_run_that_died_before_its_first_row_makes_a_page(tmp_path: Path) -> None:
    written(tmp_path / "a", rows=[])
    report(tmp_path / "a")
    assert "there is no latency to show" in page_of(tmp_path / "a")


@pytest.mark.parametrize("broken", ["plan.json", "requests.arrows", "no run"])
def test_what_is_newer_or_no_run_is_refused_and_gets_no_page(
        tmp_path: Path, broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    dir = tmp_path / "a"
    if broken == "no run":
        dir.mkdir()
    else:
        written(dir)
        path = dir / broken
        if broken == "plan.json":
            path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
        else:
            newer = arrow.ROW_SCHEMA.with_metadata({b"loadgen.schema": b"99"})
            path.write_bytes(bytes(newer.serialize()) + arrow.stream_part(Batch.of(run_of(5, 10**9))))
    assert report(dir) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert ("has no run" if broken == "no run" else "newer loadgen") in err
    assert not (dir / "report.html").exists()


@pytest.mark.parametrize("plan", ['{"schema": 1, "load": {"rate": 1}}', '{"resolved": null}', '{"target": 1}', "{}"])
@pytest.mark.parametrize("command", ["report", "report --format json", "compare a"])
def test_a_plan_that_no_run_wrote_is_named(command: str, plan: str, tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str],
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "a", [])
    (tmp_path / "plan.json").write_text(plan)
    assert main.main([*command.split(), "."]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "plan.json is incomplete" in err
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["plan.json"]


def test_a_directory_that_can_not_be_looked_into_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert report("x" * 300) == 2
    assert "can't be read: File name too long" in capsys.readouterr().err


def test_a_page_that_can_not_be_written_is_a_warning_at_the_end_of_a_run(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = written(tmp_path / "a")
    (tmp_path / "a/report.html").mkdir()
    add_page(result)
    err = capsys.readouterr().err
    assert "warning: there is no report.html" in err
    assert "loadgen report" in err
    assert not list((tmp_path / "a").glob("*.part"))


def test_ctrl_c_while_a_file_is_added_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert not add_file("report.html", lambda: signal.raise_signal(signal.SIGINT), "Do it again")
    assert capsys.readouterr().err == (
        "loadgen: warning: there is no report.html: it was interrupted. Do it again\n")
    assert add_file("report.html", lambda: None, "")


def test_ctrl_c_while_a_page_is_made_is_no_keyboard_interrupt() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(PageInterrupted), stoppable():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert not issubclass(PageInterrupted, KeyboardInterrupt | Exception)


def test_the_page_of_a_run_shows_the_verdict_that_was_printed(tmp_path: Path) -> None:
    result = written(tmp_path / "a")
    add_page(replace(result, report=replace(valid, client={**valid.client, "stamps": "someone's"})))
    assert "someone&#39;s stamps" in page_of(tmp_path / "a")


COUNTED = """
import sys
from loadgen.cli.main import main
from loadgen.run_files import arrow

def counting(read):
    def counted(path):
        print("read", path.name, file=sys.stderr)
        return read(path)
    return counted

arrow.read_stream, arrow.read_parquet = counting(arrow.read_stream), counting(arrow.read_parquet)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("more", "reads"), [((), 1), (("--slo", "ttft.p50<5s", "--precision", "99%"), 2)],
                         ids=["fixed", "one look while it runs"])
def test_a_run_reads_its_rows_once_at_its_end(more: tuple[str, ...], reads: int, tmp_path: Path) -> None:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms"]) as mock:
        line = command(mock.url, tmp_path / "run", "--requests", "60", "--lax", "--page", *more)
        result = loadgen([sys.executable, "-c", COUNTED, *line[3:]], tmp_path / "run")
    assert result.err.splitlines() == ["read requests.arrows"] * reads
    assert page_of(tmp_path / "run").count('<figure class="chart') > 10


def test_a_run_leaves_a_page_and_says_so(tmp_path: Path) -> None:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms"]) as mock:
        result = run(mock.url, tmp_path / "run", "--requests", "60", "--lax", "--page")
        without = run(mock.url, tmp_path / "without", "--requests", "60", "--lax", "--no-page")
    assert re.search(r"files .*report\.html", result.out, re.DOTALL)
    assert page_of(tmp_path / "run").count('<figure class="chart') > 10
    assert result.err == ""
    assert not (without.dir / "report.html").exists()
    assert "report.html" not in without.out + without.err
    assert (result.plan["out"]["page"], without.plan["out"]["page"]) == (True, False)
