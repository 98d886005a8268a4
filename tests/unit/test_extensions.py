"""Each extension takes one file or one row: a test adds one of its own and finds it where it belongs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadgen import metrics
from loadgen.arrivals.laws import LAWS, Law
from loadgen.arrivals.shapes import SHAPES, ShapeForm
from loadgen.backends import registry
from loadgen.capacity import FAILS
from loadgen.checks import table
from loadgen.checks.check import SERVER, Check, Judged
from loadgen.cli import formats
from loadgen.cli.formats import Format
from loadgen.cli.main import main
from loadgen.config.plan_check import check
from loadgen.metrics import Metric
from loadgen.plan import Duration, Load, Plan, Target, Workload
from loadgen.preflight.server import PlanServer
from loadgen.reports.export import prometheus
from loadgen.reports.html.sweep import sweep_page
from loadgen.reports.text import sweep_text
from loadgen.run.metrics_server import snapshot
from loadgen.run.progress import Pace, describe
from loadgen.run.setup import make_schedule
from loadgen.run_files.read_back import read_back
from loadgen.slo import parse
from loadgen.sweep.cells import SweepCell, Wanted, cell_of
from loadgen.sweep.files import store
from loadgen.types import ABSENT, SECOND, Request, UsageError, Window
from loadgen.workload.datasets import FORMS
from loadgen.workload.datasets.form import Form
from loadgen.workload.jsonl import Listed
from loadgen.workload.source import make as make_source
from support.made_runs import record_of, recorded, run_of
from support.replay import answer
from support.run_dirs import PLAN, write_side
from support.sweep_samples import grid

BACKEND = '''
from loadgen import Connected, Request, ServiceBackend


class Rows:
    count = count_tokens = None

    def __init__(self, file):
        self.file = file

    def request(self, index):
        return Request(index, prompt=f"row {index} of {self.file}")

    def describe(self):
        return {"kind": "rows"}


class Mine(ServiceBackend):
    takes_input_data = True
    speaks = "mine"
    dialects = {"mine": ("my server", "--backend mine.py:Mine")}

    def connect(self, plan, server):
        return Connected(self, (), plan, told={"version": 3})

    def source(self, plan):
        return Rows(plan.workload.input_data)

    @classmethod
    def recognises(cls, answer, path=""):
        return "mine" if "mine" in answer else ""
'''


def test_a_backend_of_ones_own_is_one_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(BACKEND)
    plan = Plan(target=Target(f"{file}:Mine", ("http://127.0.0.1:9",)), workload=Workload(input_data="rows.csv"))
    backend = registry.make(plan.target)
    connected = backend.connect(plan, PlanServer(plan, lambda text: None))
    assert (connected.told, connected.source().request(7).prompt) == ({"version": 3}, "row 7 of rows.csv")
    said = {'{"mine": 1}': "the answer ended", '{"choices": []}': "this looks like the OpenAI dialect"}
    for event, words in said.items():
        failure = backend.decode(answer(f"data: {event}\n\n".encode()), Request(0, prompt="x")).failure
        assert failure is not None and failure.detail.startswith(words)
    check(replace(plan, load=replace(plan.load, rate=1.0, requests=5)))  # takes_input_data
    (tmp_path / "plain.py").write_text("import loadgen\n\n\nclass Plain(loadgen.ServiceBackend):\n    pass\n")
    with pytest.raises(UsageError, match="takes prompts"):
        check(replace(plan, target=replace(plan.target, backend=f"{tmp_path / 'plain.py'}:Plain")))


class Steps:
    """One rate for a second, ten times as much from then on."""

    def __init__(self, low: float) -> None:
        self.low, self.peak = low, 10 * low

    def rate(self, at: float) -> float:
        return self.low if at < SECOND else self.peak

    def count(self, length: float) -> float:
        return self.low * (min(length, SECOND) + 10 * max(0.0, length - SECOND)) / SECOND

    def instants(self, points: np.ndarray) -> np.ndarray:
        return np.minimum(points * 10, SECOND) + np.maximum(points - SECOND / 10, 0)

    def __str__(self) -> str:
        return f"steps from {self.low:g} requests/s"


def test_a_law_and_a_load_shape_of_ones_own_are_a_row_each(monkeypatch: pytest.MonkeyPatch) -> None:
    load = Load(load_shape="steps:20", arrivals="uniform", duration=Duration(3 * SECOND), warmup=Duration(SECOND))
    plan = Plan(Target(url=("http://127.0.0.1:9",)), load=load)
    with pytest.raises(UsageError, match=r"'steps'.*ramp:(.|\n)*unknown arrivals 'uniform'"):
        check(plan)
    monkeypatch.setitem(LAWS, "uniform", Law(lambda rng, n, burstiness: rng.uniform(0.5, 1.5, n)))
    monkeypatch.setitem(SHAPES, "steps", ShapeForm("20", lambda text: Steps(float(text))))
    check(plan)
    schedule = make_schedule(load)
    assert schedule.describe(load)["shape"] == "steps from 20 requests/s"
    assert schedule.offsets is not None
    due = schedule.offsets[schedule.first:schedule.last] - SECOND
    assert (due.size, schedule.first, schedule.window.length) == (420, 20, 3 * SECOND)
    assert np.searchsorted(due, SECOND) == pytest.approx(20, abs=2)
    gaps = np.diff(due[due > SECOND]) / (SECOND / 200)
    assert 0.45 < gaps.min() < gaps.max() < 1.55  # the uniform law at 200 requests/s


def test_a_form_of_dataset_files_of_ones_own_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pairs.tsv").write_text("one and one\t2\ntwo and two\t4\n")
    asked = Workload(datasets=str(tmp_path / "pairs.tsv"))
    with pytest.raises(UsageError, match=r"pairs.tsv:1: not JSON.*known: gsm8k \(.*prompts \("):
        make_source(asked)
    monkeypatch.setitem(FORMS, "pairs", Form(
        "prompt<TAB>answer", lambda head: b"\t" in head,
        lambda path, chat: Listed(path, [Request(0, prompt=line.split("\t")[0])
                                         for line in path.read_text().splitlines()]), {"pairs": True}))
    source = make_source(asked)
    assert [source.request(index).prompt for index in range(3)] == ["one and one", "two and two", "one and one"]
    assert source.request(2).index == 2
    facts = source.describe()
    assert (facts["prompts"], facts["pairs"], facts["kind"], len(facts["sha256"])) == (2, True, "dataset", 64)


# A metric: from the first to the last byte of an answer.

BODY_TIME = Metric("body_time", lambda rows, tokens: (rows.end - rows.first_byte, rows.first_byte != ABSENT),
                   "Time from the first byte of an answer to its last.", streamed=True, headline=True, brief=True,
                   logged=True, label="body", title="Time of the body")


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two sides of a comparison, written and read with one more metric."""
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, BODY_TIME))
    return write_side(tmp_path / "base", 4), write_side(tmp_path / "new", 4, 10, itl=15_000_000)


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def test_a_metric_of_its_own_is_in_the_table_the_page_and_every_export(
        sides: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run = sides[0] / "run-0"
    values = np.concatenate([requests.metrics["body_time"] for requests in read_back(run).requests()])
    assert (values > 0).all()
    table = said(capsys, "report", run)
    assert any(line.split()[0] == "body" for line in table.splitlines() if line.strip())
    assert "Time of the body (body_time)" in (run / "report.html").read_text()
    assert "loadgen_body_time_seconds_count " in said(capsys, "report", run, "--format", "prometheus")
    assert "body_time_ms" in said(capsys, "report", run, "--format", "csv").splitlines()[0].split(",")
    assert "body_time" in said(capsys, "report", run, "--format", "csv-summary")
    assert '"body_time p50"' in said(capsys, "report", run, "--format", "github-benchmark", "--out", run / "bench") + (
        run / "bench" / "smaller.json").read_text()


def test_a_metric_of_its_own_can_be_an_objective_and_a_gate(sides: tuple[Path, Path],
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    assert parse("body_time.p99<5s").per_request == "body_time"
    compared = said(capsys, "compare", *sides, "--fail-on", "body_time.p50>3%")
    (line,) = (line for line in compared.splitlines() if line.strip().startswith("body_time.p50") and "%" in line
               and "[" in line)
    assert "+4" in line or "+5" in line  # gaps are half as long again


def test_a_metric_of_its_own_is_a_column_of_a_sweep(sides: tuple[Path, Path]) -> None:
    report = read_back(sides[0] / "run-0").report
    cell, _ = cell_of(Wanted(1, {"rate": 1.0}, "one", PLAN), report)
    assert "body_time" in cell.metrics
    sweep = type(grid)("grid", {"rate": (1.0, 2.0)}, _both(cell), plan=grid.plan)
    assert "body_time p99" in sweep_text.render(sweep, 200)
    assert "body_time p99 against throughput" in sweep_page(sweep)


def _both(cell: SweepCell) -> tuple[SweepCell, ...]:
    return cell, replace(cell, number=2, coordinates={"rate": 2.0})


# A check: no request is sent to a busy port.

def test_a_check_of_its_own_is_judged_shown_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    quick = Check("quick", "server", lambda seen: Judged(seen.recorder is not None and seen.recorder.last_end < SECOND,
                                                         7, 3, "count"),
                  live=True, remedy="a faster server", cause=SERVER)
    monkeypatch.setattr(table, "CHECKS", (*table.CHECKS, quick))
    base, new = write_side(tmp_path / "base", 4), write_side(tmp_path / "new", 4, 10)
    assert said(capsys, "report", base / "run-0").count("quick") == 1
    assert "a faster server" in (base / "run-0" / "report.html").read_text()
    assert "INVALID: quick" in said(capsys, "compare", base, new)
    report = read_back(base / "run-0").report
    cell, seen = cell_of(Wanted(1, {"rate": 1.0}, "one", PLAN), report)
    assert (cell.outcome, seen.reason) == (FAILS, "quick: a faster server")
    recorder = recorded(run_of(60, 6 * int(SECOND)), Window(2 * int(SECOND), 6 * int(SECOND), 360))
    progress = describe(recorder, record_of(), 9 * SECOND, (1, 1, 0, 1), Pace(), False)
    assert "quick" in progress.warnings
    page = prometheus.expose(snapshot(recorder, record_of(), progress))
    assert f"loadgen_failing_checks {len(progress.warnings)}" in page


# A report format: one line a result.

FORMAT = '''
def runs(results):
    for result in results:
        yield f"{result.name}: {result.report.requests['succeeded']} succeeded\\n"


def sweep(found):
    return f"{len(found.cells)} cells\\n"


def comparison(found):
    return f"{len(found.gates)} gates\\n"
'''


def test_a_report_format_of_its_own_is_a_row_and_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lines_format.py").write_text(FORMAT)
    monkeypatch.syspath_prepend(tmp_path)
    lines = Format("lines", "one line a result", *(f"lines_format:{name}" for name in ("runs", "sweep", "comparison")))
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, lines))
    base, new, out = write_side(tmp_path / "base", 2), write_side(tmp_path / "new", 2), tmp_path / "compared"
    runs = [base / "run-0", base / "run-1"]
    counts = [f"{run.name}: {read_back(run).report.requests['succeeded']} succeeded\n" for run in runs]
    assert said(capsys, "report", *runs, "--format", "lines") == "".join(counts)
    assert said(capsys, "compare", base, new, "--fail-on", "ttft.p50", "--format", "lines", "--out", out) == "1 gates\n"
    assert said(capsys, "report", out, "--format", "lines") == "1 gates\n"
    (tmp_path / "sweep").mkdir()
    store(tmp_path / "sweep", grid)
    assert said(capsys, "report", tmp_path / "sweep", "--format", "lines") == f"{len(grid.cells)} cells\n"
    assert "  lines                one line a result" in said(capsys, "report", "--help")
