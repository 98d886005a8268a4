"""`loadgen report --format`: where it writes, what it refuses, and that it changes no run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from loadgen.cli import main
from loadgen.cli.export import names_of
from loadgen.cli.formats import BINARY, COMPARISON, FILES, FORMATS, SWEEP, Format, names
from support import comparison_samples, sweep_samples
from support.made_runs import row
from support.written_runs import written

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs")
    written(path / "a")
    written(path / "b", slo=("ttft.p99<500ms",))
    return path


def report(*arguments: object) -> int:
    return main.main(["report", *map(str, arguments)])


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert report(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_every_format_is_written_to_where_it_was_asked(format: Format, runs: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (runs / "a").iterdir()}
    dirs = [runs / "a"] if format.single else [runs / "a", runs / "b"]
    out = tmp_path / "out"
    assert report(*dirs, "--format", format.name, "--out", out) == 0
    assert out.is_dir() == (format.form == FILES)
    files = list(out.iterdir()) if out.is_dir() else [out]
    assert files and all(path.stat().st_size for path in files)
    assert {path: path.read_bytes() for path in (runs / "a").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("format", [format for format in FORMATS if format.form != FILES],
                         ids=lambda format: format.name)
def test_standard_output_gets_the_same_bytes(format: Format, runs: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "loadgen", "report", str(runs / "a"), "--format", format.name]
    done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT, env={**os.environ, "LC_ALL": "C"})
    assert report(runs / "a", "--format", format.name, "--out", tmp_path / "out") == 0
    assert done.stderr == b""
    if format.form == BINARY:
        (tmp_path / "piped").write_bytes(done.stdout)
        assert pq.read_table(tmp_path / "piped").equals(pq.read_table(tmp_path / "out"))
    else:
        assert done.stdout == (tmp_path / "out").read_bytes()


@pytest.mark.parametrize(("arguments", "message"), [
    (["--format", "markdwon"], "unknown format 'markdwon'; did you mean markdown?; the formats are text, html, "),
    (["--format", "hgrm"], "the format hgrm is several files: add --out DIR"),
    (["--format", "hgrm", "--out", "a/plan.json"], "is several files and a/plan.json is one: write --out DIR"),
    (["--format", "csv", "--out", "b"], "b is a directory: write the name of a file"),
    (["--format", "csv", "--out", "none/x.csv"], "can't write none/x.csv: No such file or directory"),
    (["b", "--format", "aiperf"], "the format aiperf holds one run: name one directory, not 2"),
    (["./a", "--format", "csv"], "a is named twice"),
    (["--out", "x"], "--out says where --format writes: add --format NAME"),
    (["b", "--json"], "--json prints one summary"),
    (["c", "--format", "csv"], "c is not a directory"),
])
def test_what_does_not_fit_is_refused(arguments: list[str], message: str, runs: Path,
                                      capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    before = sorted(runs.rglob("*"))
    assert message in said(capsys, "a", *arguments)
    assert sorted(runs.rglob("*")) == before


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a sweep, one with a comparison, and one with a run."""
    path = tmp_path_factory.mktemp("several")
    for kind, found in ((SWEEP, sweep_samples.found), (COMPARISON, comparison_samples.regression)):
        (path / kind).mkdir()
        (path / kind / f"{kind}.json").write_text(json.dumps(found.to_json()))
    written(path / "run")
    return path


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in (SWEEP, COMPARISON) for name in names(kind)])
def test_sweeps_and_comparisons_have_formats_by_the_same_table(kind: str, name: str, several: Path, tmp_path: Path,
                                                               capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert report(several / kind, "--format", name) == 0
    printed = capfdbinary.readouterr().out
    assert report(several / kind, "--format", name, "--out", tmp_path / "out") == 0
    assert printed == (tmp_path / "out").read_bytes()
    word = {SWEEP: b"FOUND", COMPARISON: b"REGRESSION"}[kind]
    if name == "json":
        assert json.loads(printed) == json.loads((several / kind / f"{kind}.json").read_text())
    else:
        assert word in printed
    assert [path.name for path in (several / kind).iterdir()] == [f"{kind}.json"]


@pytest.mark.parametrize(("dirs", "format", "message"), [
    (["sweep"], "csv", "sweep holds a sweep, and the format csv holds none: write one of text, html, markdown, json"),
    (["comparison"], "prometheus", "comparison holds a comparison, and the format prometheus holds none: write one"),
    (["sweep", "run"], "json", "sweep holds a sweep, which is exported alone: name no other directory"),
    (["run", "comparison"], "html", "comparison holds a comparison, which is exported alone"),
])
def test_what_a_format_does_not_hold_is_refused(dirs: list[str], format: str, message: str, several: Path,
                                                capsys: pytest.CaptureFixture[str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(several)
    assert message in said(capsys, *dirs, "--format", format)


def test_a_sweep_that_is_damaged_is_refused_in_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in (SWEEP, COMPARISON):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"{kind}.json").write_text('{"schema": 1, "cells": 7')
        for name in names(kind):
            assert f"{kind}.json" in said(capsys, tmp_path / kind, "--format", name)


def test_several_runs_are_reported_one_after_the_other(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(runs / "a", runs / "b", "--no-write") == 3
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if "VALID   " in line] == ["VALID", "INVALID"]
    assert not (runs / "a" / "summary.json").exists()


def test_runs_with_one_name_are_told_apart_by_their_paths() -> None:
    assert names_of([Path("x/run"), Path("y/other")]) == ["run", "other"]
    assert names_of([Path("x/run"), Path("y/run")]) == ["x_run", "y_run"]


@pytest.mark.parametrize("name", [format.name for format in FORMATS])
def test_a_run_of_failures_alone_has_every_format(name: str, tmp_path: Path) -> None:
    rows = [row(n, due=2_000_000_000 + n, tokens=0, failure="connect", sent=-1, end=-1) for n in range(5)]
    written(tmp_path / "run", rows)
    assert report(tmp_path / "run", "--format", name, "--out", tmp_path / "out") == 0


def test_a_file_is_replaced_whole_and_a_device_is_not(runs: Path, tmp_path: Path) -> None:
    target, device = tmp_path / "report.json", Path("/dev/null")
    target.write_text("x" * 100_000)
    assert report(runs / "a", "--format", "json", "--out", target) == 0
    assert json.loads(target.read_text())["schema"] == 1
    assert report(runs / "a", "--format", "json", "--out", device) == 0
    assert device.is_char_device()
