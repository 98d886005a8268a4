"""`loadgen report` of a directory that holds a sweep or a comparison: its page and its text again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadgen.cli import main
from loadgen.sweep import files
from support import comparison_samples, sweep_samples

SWEEP = next(iter(sweep_samples.ALL.values()))
COMPARISON = next(iter(comparison_samples.ALL.values()))


def tried(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main.main(["report", *arguments])
    done = capsys.readouterr()
    return code, done.out, done.err


def test_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files.store(tmp_path, SWEEP)
    code, out, _ = tried(capsys, str(tmp_path), "--no-write")
    assert code == SWEEP.exit_code and "sweep.json" in out
    assert not (tmp_path / "report.html").exists()
    code, again, _ = tried(capsys, str(tmp_path))
    assert (code, again) == (SWEEP.exit_code, out)
    assert "<html" in (tmp_path / "report.html").read_text()


def test_a_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "comparison.json").write_text(json.dumps(COMPARISON.to_json()))
    code, out, _ = tried(capsys, str(tmp_path))
    assert code == COMPARISON.exit_code and COMPARISON.cells[0].base.label in out
    assert "<html" in (tmp_path / "report.html").read_text()
    code, out, _ = tried(capsys, str(tmp_path), "--json")
    assert json.loads(out) == json.loads(json.dumps(COMPARISON.to_json()))


def test_an_answer_is_shown_although_its_page_can_not_be_written(tmp_path: Path,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.html").mkdir()
    (tmp_path / "comparison.json").write_text(json.dumps(COMPARISON.to_json()))
    code, out, err = tried(capsys, str(tmp_path))
    assert code == 2 and COMPARISON.cells[0].base.label in out and "can't write" in err
    (tmp_path / "comparison.json").unlink()
    files.store(tmp_path, SWEEP)
    code, out, err = tried(capsys, str(tmp_path))
    assert code == 2 and "sweep.json" in out and "can't write" in err


@pytest.mark.parametrize("name", ["sweep.json", "comparison.json"])
@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema": 99}'])
def test_a_file_that_is_damaged_or_newer_is_named(name: str, text: str, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_text(text)
    code, _, err = tried(capsys, str(tmp_path))
    assert code == 2 and str(tmp_path / name) in err, err
