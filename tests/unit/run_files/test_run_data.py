"""A run read back whole: its metrics by request are those of the report, and each reading begins anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loadgen.recorder.batch import Batch
from loadgen.summary.run_data import RequestColumns, of_a_request
from loadgen.types import ABSENT
from support.made_runs import MS, row
from support.written_runs import written


def test_a_row_without_a_metric_has_none(tmp_path: Path) -> None:
    batch = Batch.of([row(0, tokens=3), row(1, tokens=1), row(2, tokens=0, failure="empty")])
    found = RequestColumns.of(batch).metrics
    assert set(found) == set(of_a_request())
    assert found["ttft"].tolist() == [50 * MS, 50 * MS, ABSENT]
    assert found["tpot"].tolist() == [10 * MS, ABSENT, ABSENT]
    assert found["lag"].tolist() == [20_000] * 3


def test_the_requests_of_a_result_add_up_to_its_report(tmp_path: Path) -> None:
    result = written(tmp_path / "a run")
    assert result.name == "a run"
    for _ in range(2):
        parts = list(result.requests())
        assert len(parts) > 1
        phase = np.concatenate([part.batch.phase for part in parts])
        good = np.concatenate([[not failure for failure in part.batch.failure] for part in parts])
        for name in ("ttft", "tpot", "e2e_scheduled", "output_tokens"):
            values = np.concatenate([part.metrics[name] for part in parts])[(phase == 1) & good]
            values = values[values != ABSENT]
            assert result.report.metrics[name].count == values.size == result.histograms[name].count
            assert result.report.metrics[name].mean == pytest.approx(values.mean())


def test_metrics_that_the_report_leaves_out_have_no_histogram(tmp_path: Path) -> None:
    result = written(tmp_path / "run", stream=False)
    assert "ttft" not in result.histograms
    assert set(result.histograms) == set(result.report.metrics)


def test_of_a_log_that_was_cut_off_the_whole_lines_are_read(tmp_path: Path) -> None:
    result = written(tmp_path / "run")
    whole = result.logs()["ttft"]
    assert whole.count("\nTag=ttft,") == 2
    with open(tmp_path / "run" / "ttft.hlog", "a") as log:
        log.write("Tag=ttft,2.000,1.0")
    assert result.logs()["ttft"] == whole
