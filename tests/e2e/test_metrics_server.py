"""The metrics page: valid by Prometheus's own parser, exact by the histograms, served while a run goes on."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Metric

from loadgen import metrics
from loadgen.metrics import known
from loadgen.mock.process import MockProcess
from loadgen.prometheus_text import CONTENT_TYPE
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.reports.export import prometheus
from loadgen.reports.export.prometheus import LIVE, PHASES, Snapshot, expose
from loadgen.run.metrics_server import MetricsServer, snapshot
from loadgen.stats.histogram import HIGHEST, Histogram
from loadgen.types import CENSORED, FAILURES, Progress
from support import report_samples as samples
from support.made_runs import MS, S, record_of, recorded, row, run_of, window_of
from support.prometheus_text import PROGRESS, parsed
from support.report_samples import result_of
from support.runs import LIMIT, command
from support.written_runs import written

FAMILIES = [metric for metric in known() if metric.logged]


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """Return the only sample of that name with these labels among its own."""
    found = [sample.value for family in families.values() for sample in family.samples
             if sample.name == name and labels.items() <= sample.labels.items()]
    assert len(found) == 1, (name, labels, found)
    return float(found[0])


def below(family: Metric) -> dict[float, float]:
    return {float(sample.labels["le"]): sample.value for sample in family.samples if sample.name.endswith("_bucket")}


def of(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.record(np.asarray(values, np.int64))
    return histogram


@settings(deadline=None)
@given(st.lists(st.integers(0, HIGHEST + 5) | st.integers(0, 10**9), max_size=50))
def test_the_count_below_each_bound_is_exact(values: list[int]) -> None:
    families = parsed(expose(Snapshot({}, {}, {"ttft": of(values), "itl": of(values)})))
    for name in ("loadgen_ttft_seconds", "loadgen_itl_seconds"):
        for bound, count in below(families[name]).items():
            edge = bound if bound == float("inf") else round(bound * S)
            assert count == sum(one <= edge for one in values)
        assert value(families, f"{name}_count") == len(values)
        assert value(families, f"{name}_sum") == pytest.approx(sum(values) / S)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_bounds_are_twenty_a_decade_and_close_to_round_numbers(family: metrics.Metric) -> None:
    bounds = sorted(below(parsed(expose(Snapshot({}, {}, {})))[f"loadgen_{family.name}_seconds"]))[:-1]
    assert len(bounds) == 121
    assert all(1.1 < high / low < 1.15 for low, high in pairwise(bounds))
    assert bounds[20] == pytest.approx(10 * bounds[0], rel=1e-3)
    assert bounds[0] == pytest.approx(1e-5 if family.name in ("itl", "tpot", "lag") else 1e-3, rel=1e-3)


@pytest.mark.parametrize("name", samples.ALL)
def test_every_report_is_a_valid_exposition(name: str) -> None:
    families = parsed("".join(prometheus.render([result_of(samples.ALL[name])])))
    assert {f"loadgen_{family.name}_seconds" for family in FAMILIES} <= set(families)
    assert all(family.documentation and family.type != "unknown" for family in families.values())


@given(st.text(max_size=40))
@settings(deadline=None)
def test_a_foreign_text_is_a_label_and_nothing_else(evil: str) -> None:
    text = expose(Snapshot({"model": evil}, {"failures": {evil: 3}}, {}))
    expected = evil.encode("utf-8", "replace").decode()
    families = parsed(text)
    assert families["loadgen_target_info"].samples[0].labels == {"model": expected}
    assert len(text.split("\n")) == len(expose(Snapshot({}, {"failures": {"x": 3}}, {})).split("\n"))


def test_a_finished_run_has_the_numbers_of_its_summary_and_no_live_ones(tmp_path: Path) -> None:
    rows = [*run_of(50.0, 5 * S), row(900, 4 * S, tokens=2, failure="http_5xx"),
            row(901, 4 * S, tokens=0, failure="censored"), row(902, 4 * S, input_tokens=-1)]
    result = written(tmp_path / "run", rows)
    families = parsed("".join(prometheus.render([result])))
    for family in FAMILIES:
        metric = result.report.metrics[family.name]
        assert metric.mean is not None
        assert value(families, f"loadgen_{family.name}_seconds_count") == metric.count
        assert value(families, f"loadgen_{family.name}_seconds_sum") == pytest.approx(metric.mean * metric.count / S)
    requests = result.report.requests
    total = "loadgen_requests_total"
    assert value(families, total, phase="measured", outcome="succeeded") == requests["succeeded"]
    assert value(families, total, phase="warmup", outcome="succeeded") == requests["warmup"]["offered"]
    assert value(families, total, phase="measured", outcome="failed", failure="http_5xx") == 1
    assert value(families, total, phase="measured", outcome="censored", failure="censored") == 1
    for phase, number in zip(PHASES, (0, 1, 2), strict=True):
        tokens = sum(sum(one.token_count) for one in rows if one.phase == number)
        assert value(families, "loadgen_output_tokens_total", phase=phase) == tokens
        prompts = sum(max(one.input_tokens, 0) for one in rows if one.phase == number and one.token_at)
        assert value(families, "loadgen_input_tokens_total", phase=phase) == prompts
    assert not set(families) & {name.removesuffix("_total") for name, _, _ in LIVE.values()}


def test_a_run_that_goes_on_says_where_it_is() -> None:
    rows = run_of(50.0, 5 * S)
    recorder = recorded(rows, window_of(rows, 5 * S))
    families = parsed(expose(snapshot(recorder, record_of(), PROGRESS)))
    assert [value(families, name) for name, _, _ in LIVE.values()] == [160, 10, 50, 50.5, 3, 1]
    assert value(families, "loadgen_phase", phase="measured") == 1
    assert value(families, "loadgen_phase", phase="draining") == 0
    assert families["loadgen_offered_requests"].type == "counter"


def test_the_first_failures_of_a_class_are_an_increase() -> None:
    """To rate() a series has no increase at its birth, so that each class has to be there before it is seen."""
    recorder, record = recorded([], window_of([], 5 * S)), record_of()
    before = parsed(expose(snapshot(recorder, record, PROGRESS)))
    recorder.fold(Batch.of([row(n, phase=n % 3, tokens=0, failure=kind) for n, kind in enumerate(
        failure for failure in (*FAILURES, CENSORED) for _ in PHASES)]))
    after = parsed(expose(snapshot(recorder, record, PROGRESS)))
    for phase in PHASES:
        for kind in (*FAILURES, CENSORED):
            labels = {"phase": phase, "outcome": "censored" if kind == CENSORED else "failed", "failure": kind}
            assert [value(families, "loadgen_requests_total", **labels) for families in (before, after)] == [0, 1]


def test_an_answer_in_one_piece_has_no_token_times() -> None:
    rows = run_of(50.0, 5 * S)
    record = record_of(stream=False)
    families = parsed(expose(snapshot(recorded(rows, window_of(rows, 5 * S)), record, PROGRESS)))
    assert value(families, "loadgen_ttft_seconds_count") == 0
    assert value(families, "loadgen_e2e_seconds_count") > 0


class Silent:
    """A View of nobody, which remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def start(self, title: str) -> None:
        self.told.append(title)

    def update(self, progress: Progress) -> None:
        self.told.append(progress)

    def warn(self, text: str) -> None:
        self.told.append(text)

    def stop(self) -> None:
        self.told.append(None)


def test_the_page_says_nothing_before_the_run_begins_and_hides_nothing_from_the_user() -> None:
    view, rows = Silent(), run_of(50.0, 5 * S)
    page = MetricsServer(view)
    page.start("title")
    assert page.answer()[0] == 503
    page.begin(Recorder(window_of(rows, 5 * S)), record_of())
    assert page.answer()[0] == 503
    page.update(PROGRESS)
    page.warn("careful")
    page.stop()
    assert page.answer()[0] == 200
    assert view.told == ["title", PROGRESS, "careful", None]


# Served by a run.

@pytest.fixture(scope="module")
def mock() -> Iterator[MockProcess]:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms"]) as server:
        yield server


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def scrape(port: int) -> str | None:
    """Return the page, or None while there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"] == CONTENT_TYPE
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        assert error.code == 503
        error.close()
        return None
    except OSError:
        return None


def scraped(process: subprocess.Popen[bytes], port: int) -> Iterator[dict[str, Metric]]:
    """Scrape whenever a page is there, some twenty times a second, until the process has ended."""
    for _ in range(20 * LIMIT):
        page = scrape(port)
        if page is not None:
            yield parsed(page)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            return
    process.kill()
    raise AssertionError("the run hangs")


def test_a_run_is_scraped_while_it_goes_on_and_agrees_with_its_summary(mock: MockProcess, tmp_path: Path) -> None:
    port = free_port()
    flags = ("--rate", "100", "--requests", "200", "--warmup", "300ms", "--metrics-port", str(port))
    with subprocess.Popen(command(mock.url, tmp_path / "run", *flags), stdout=subprocess.DEVNULL) as process:
        pages = list(scraped(process, port))
    assert process.returncode in (0, 3)
    names = [f"loadgen_{family.name}_seconds_count" for family in FAMILIES]
    for name in (*names, "loadgen_offered_requests_total", "loadgen_elapsed_seconds"):
        series = [value(page, name) for page in pages]
        assert series == sorted(series), name
        assert series[0] < series[-1], name
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    last = pages[-1]
    for family in FAMILIES:
        assert value(last, f"loadgen_{family.name}_seconds_count") <= summary["metrics"][family.name]["count"]
    assert value(last, "loadgen_requests_total", phase="warmup", outcome="succeeded") == 30
    assert value(last, "loadgen_target_info", backend="openai", url=mock.url) == 1
    assert value(last, "loadgen_planned_rate") == 100
    assert any(value(page, "loadgen_in_flight_requests") > 0 for page in pages)
    phases = [sample.labels["phase"] for page in pages for sample in page["loadgen_phase"].samples if sample.value]
    assert phases == sorted(phases, key=("warmup", "measured", "cooldown", "draining").index)
    assert "measured" in phases


def test_a_port_in_use_is_said_before_anything_is_sent(mock: MockProcess, tmp_path: Path) -> None:
    before = mock.truth()["totals"]["requests"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(command(mock.url, tmp_path / "run", "--requests", "5", "--metrics-port", port),
                              capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 2
    assert f"can't serve metrics on 127.0.0.1:{port} (Address already in use): write another --metrics-port" in (
        done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    assert mock.truth()["totals"]["requests"] == before


def test_an_address_that_is_not_ours_is_refused(mock: MockProcess, tmp_path: Path) -> None:
    done = subprocess.run(command(mock.url, tmp_path / "run", "--requests", "5", "--metrics-port", str(free_port()),
                                  "--metrics-host", "192.0.2.1"),
                          capture_output=True, text=True, check=False, timeout=LIMIT)
    assert done.returncode == 2
    assert "can't serve metrics on 192.0.2.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_millisecond_is_where_it_should_be() -> None:
    families = parsed(expose(Snapshot({}, {}, {"ttft": of([MS])})))
    counts = below(families["loadgen_ttft_seconds"])
    assert [count for bound, count in counts.items() if bound < 0.001] == []
    assert counts[0.001000447] == 1
