"""The Report: the same from any division into batches, honest about what the sample can't carry, whole in JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.outcomes.report import Report
from loadgen.outcomes.run_record import Resolved
from loadgen.recorder import Recorder
from loadgen.recorder.batch import Batch
from loadgen.recorder.estimate import percentile, rate, share
from loadgen.recorder.sections import Sections
from loadgen.slo import expand
from loadgen.summary import build
from loadgen.types import ABSENT, CENSORED, COOLDOWN, MEASURED, WARMUP, RequestRow, Window
from support.made_runs import MS, S, record_of, recorded, report_of, row, run_of, window_of

ROWS = run_of(50, 6 * S, warmup=1 * S, tail=1 * S)
ROWS[100] = replace(ROWS[100], failure="in_band", failure_type="overloaded", detail="try later")
ROWS[60] = replace(ROWS[60], token_count=[2] * 20, output_tokens=40, usage_tokens=40)
SLO = ("ttft.p90<100ms", "errors<5%", "goodput>10", "ttfo.p99<1s")


def report_folded_at(cuts: list[int], window: Window) -> dict[str, object]:
    recorder = Recorder(window, expand(SLO))
    for low, high in zip([0, *cuts], [*cuts, len(ROWS)], strict=True):
        recorder.fold(Batch.of(ROWS[low:high]))
    return build(recorder, record_of(slo=SLO, resolved=Resolved(window, {"sha256": "x"}, {"version": "1"}))).to_json()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, len(ROWS)), max_size=6).map(sorted), st.booleans())
def test_the_report_is_the_same_however_rows_are_divided(cuts: list[int], counted: bool) -> None:
    window = replace(window_of(ROWS, 6 * S, 1 * S), length=ABSENT if counted else 6 * S)
    assert report_folded_at(cuts, window) == report_folded_at([], window)


def test_the_report_goes_to_json_and_back() -> None:
    report = report_of(ROWS, window_of(ROWS, 6 * S, 1 * S), SLO)
    text = json.dumps(report.to_json(), allow_nan=False)
    assert json.dumps(Report.from_json(json.loads(text)).to_json()) == text


def test_the_page_names_every_number_of_the_summary() -> None:
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text().split("## summary.json")[1]
    report = report_of(ROWS, window_of(ROWS, 6 * S, 1 * S), SLO).to_json()
    for part in ("requests", "rates", "client", "window", "verdict"):
        for name in report[part]:
            assert name in page, f"{part}.{name}"


def test_no_objective_brings_a_number_that_json_does_not_have() -> None:
    rows = run_of(50, 8 * S)
    rows[200].failure = "empty"
    texts = ("errors<0.1%", "errors<0.3%", "lag.p50<20us", "goodput>50", "connect.p99<1s", "output_tokens>999.9",
             "output_tokens.mean>20")
    for text in texts:
        for some in (rows, rows[:150], rows[:3]):
            report = report_of(some, Window(2 * S, 8 * S), (text,))
            json.dumps(report.to_json(), allow_nan=False)


def outcomes() -> st.SearchStrategy[list[RequestRow]]:
    kinds = st.sampled_from(["", "", "http_5xx", "truncated", CENSORED])
    phases = st.sampled_from([WARMUP, MEASURED, COOLDOWN])
    one = st.builds(lambda i, kind, phase: row(i, due=i * MS, failure=kind, phase=phase), st.integers(0, 900), kinds,
                    phases)
    return st.lists(one, max_size=30)


@given(outcomes())
def test_every_offered_request_is_a_success_a_failure_or_censored(rows: list[RequestRow]) -> None:
    requests = report_of(rows, Window(0, S)).requests
    for part in (requests, requests["warmup"], requests["cooldown"]):
        assert part["succeeded"] + part["failed"] + part["censored"] == part["offered"]
        assert sum(part["failures"].values()) == part["failed"] + part["censored"]
    assert sum(requests[part]["offered"] for part in ("warmup", "cooldown")) + requests["offered"] == len(rows)


def test_a_percentile_that_the_sample_cant_carry_is_a_bound() -> None:
    metric = report_of([row(i, due=i * MS, ttft=(i + 1) * MS) for i in range(100)], Window(0, S)).metrics["ttft"]
    assert set(metric.percentiles) == {"p50", "p90", "p95"}
    assert metric.bounds == dict.fromkeys(("p99", "p99.9", "p99.99"), 100 * MS)
    assert metric.interval["p90"][1] is not None and metric.interval["p99"][1] is None
    assert metric.interval["p50"][0] <= metric.percentiles["p50"] <= (metric.interval["p50"][1] or 0)


def test_percentiles_beyond_the_censored_share_are_bounds() -> None:
    rows = [row(i, due=i * MS, failure=CENSORED if i >= 380 else "", end=90 * S) for i in range(400)]
    report = report_of(rows, Window(0, S))
    metric = report.metrics["e2e"]
    assert "p90" in metric.percentiles and metric.percentiles["p90"] < 150 * MS
    assert metric.interval["p95"][1] is None, "the upper end is among the censored"
    assert metric.bounds["p99"] == pytest.approx(90 * S, rel=0.01)
    assert not report.verdict.valid and report.requests["censored"] == 20


def test_rates_are_over_the_window() -> None:
    rates = report_of(ROWS, window_of(ROWS, 6 * S, 1 * S), SLO).rates
    inside = [at for one in ROWS for at, k in zip(one.token_at, one.token_count, strict=True) for _ in range(k)
              if 1 * S <= at < 7 * S]
    assert rates["output_tokens"] == pytest.approx(len(inside) / 6)
    assert rates["completed"] == pytest.approx(sum(1 * S <= one.end < 7 * S and not one.failure for one in ROWS) / 6)
    assert rates["goodput"] == pytest.approx(rates["offered"] - 1 / 6)


def test_a_closed_loop_of_known_count_has_rates_over_the_time_it_took() -> None:
    rows = [row(i, due=i * 200 * MS, ttft=100 * MS, itl=10 * MS, tokens=10) for i in range(100)]
    plan = record_of(0, concurrency=1)
    report = build(recorded(rows, Window(0, count=100)), plan)
    assert report.rates["completed"] == pytest.approx(5, rel=0.02)
    assert report.rates["output_tokens"] == pytest.approx(50, rel=0.02)
    assert report.window["length"] == pytest.approx(20 * S, rel=0.01)
    assert report.verdict.valid, [check for check in report.verdict.checks if not check.ok]


def test_a_closed_loop_shorter_than_a_bin_has_rates_too() -> None:
    rows = [row(i, ttft=10 * MS, itl=1 * MS, tokens=5) for i in range(10)]
    rates = build(recorded(rows, Window(0, count=10)), record_of()).rates
    assert rates["output_tokens"] == pytest.approx(50 / 0.014, rel=0.01)


def test_without_streaming_there_are_no_token_times() -> None:
    rows = [row(i, due=i * MS, tokens=1) for i in range(50)]
    report = build(recorded(rows, Window(0, S), ["ttft.p50<1s"]), record_of(stream=False))
    assert set(report.metrics) >= {"e2e", "e2e_scheduled", "lag", "output_tokens"}
    assert not {"ttft", "ttft_scheduled", "itl", "tpot"} & set(report.metrics)
    assert report.verdict.gates[0].ok is None


def test_an_interrupted_run_is_judged_over_what_there_is() -> None:
    rows = [one for one in ROWS if one.end < 3 * S]
    report = build(recorded(rows, window_of(ROWS, 6 * S, 1 * S)), record_of(), interrupted=True)
    assert report.verdict.exit_code == 130 and report.verdict.interrupted and not report.verdict.valid
    assert report.window["length"] < 2 * S and report.rates["offered"] > 30


def test_a_run_without_a_row_still_has_a_report() -> None:
    report = build(recorded([], Window(0, 10 * S, 100)), record_of(slo=SLO), interrupted=True)
    assert report.metrics == {} and report.verdict.exit_code == 130
    assert json.dumps(report.to_json(), allow_nan=False)


def test_a_run_in_which_all_failed_says_so() -> None:
    rows = [row(i, due=i * MS, failure="connect", sent=ABSENT, tokens=0, detail="refused") for i in range(50)]
    report = build(recorded(rows, Window(0, S, 50), ["ttft.p99<1s"]), record_of())
    failing = {check.name: check for check in report.verdict.checks if not check.ok}
    assert "no request succeeded" in failing["sample_size"].remedy and "connect 50" in failing["errors"].remedy
    assert "schedule" not in failing and report.verdict.exit_code == 3
    assert report.requests["examples"] == {"connect": "refused"}


@pytest.mark.parametrize(("rows", "words"), [
    (run_of(50, 20 * S), "p99.9 needs 3,688 requests for an interval; this run has"),
    ([row(i, due=i * MS, token_count=[1, 3] * 5, output_tokens=20) for i in range(20)], "75.0% of the tokens"),
    ([row(i, due=i * MS, output_source="events") for i in range(20)], "output tokens are counted by events (20)"),
    ([row(i, due=i * MS, unstamped=11) for i in range(20)], "not the kernel's"),
    ([row(i, due=i * MS, phase=WARMUP, failure="empty") for i in range(3)], "3 requests of the warm-up failed"),
    (run_of(50, 20 * S, slots=8), "UNSTABLE"),
    (run_of(50, 20 * S, slots=8), "correlation"),
    ([row(i, due=i * 100 * MS, ttft=900 * MS if i < 60 else 50 * MS) for i in range(200)], "--warmup 6s"),
])
def test_notes_say_what_numbers_dont(rows: list[RequestRow], words: str) -> None:
    notes = report_of(rows, Window(2 * S, 18 * S)).verdict.notes if "warmup" in words else report_of(
        rows, Window(0, 20 * S)).verdict.notes
    assert any(words in note for note in notes), notes


def test_a_steady_run_earns_no_note_about_its_warm_up() -> None:
    notes = report_of(run_of(50, 20 * S), Window(2 * S, 20 * S)).verdict.notes
    assert not any("MSER" in note or "UNSTABLE" in note for note in notes)


def test_batch_means_that_differ_by_a_hair_earn_no_note() -> None:
    rows = [row(i, due=i * 100 * MS, ttft=50 * MS + i * 1000) for i in range(200)]
    assert not any("correlation" in note for note in report_of(rows, Window(0, 20 * S)).verdict.notes)


def test_the_client_is_in_the_report() -> None:
    client = report_of(ROWS, window_of(ROWS, 6 * S, 1 * S)).client
    assert (client["stamps"], client["senders"], client["max_rss"], client["loop_stall_max"]) == (
        "kernel", 1, 90_000_000, 200_000)
    assert client["cpu_s"] == pytest.approx(0.01 * client["elapsed_s"])


@pytest.mark.parametrize(("part", "whole", "low", "high"), [  # Clopper and Pearson, as tables print them
    (0, 100, 0.0, 0.0362), (1, 100, 0.0003, 0.0545), (50, 100, 0.3983, 0.6017), (100, 100, 0.9638, 1.0),
    (10, 100_000, 0.0000480, 0.000184),
])
def test_the_interval_of_a_share(part: int, whole: int, low: float, high: float) -> None:
    estimate = share(part, whole)
    assert estimate and (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5, rel=5e-3)


def test_estimates_of_nothing() -> None:
    recorder = Recorder(Window(0, S))
    assert share(0, 0) is None and percentile(recorder, "ttft", 0.5) is None and percentile(recorder, "x", 0.5) is None
    assert rate(3, 0, [], S).high is None


def test_a_wider_spread_of_time_batches_widens_the_interval() -> None:
    rows = [row(i, due=i * 10 * MS, ttft=(50 + 10 * (i // 100)) * MS + i) for i in range(1000)]
    recorder = recorded(rows, Window(0, 10 * S))
    together = percentile(recorder, "ttft", 0.5)
    recorder.sections = Sections(recorder.window, ())
    alone = percentile(recorder, "ttft", 0.5)
    assert together and alone and together.high and alone.high
    assert together.high - together.low > 2 * (alone.high - alone.low)
