"""Formats of other tools: read back as those tools read them, and held against the requests by brute force."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.recorder.batch import Batch
from loadgen.reports.export import aiperf, genai_perf, hgrm, hlog, vllm_bench, vllm_detailed
from loadgen.reports.export.moments import deviation
from loadgen.reports.export.peaks import peaks
from loadgen.run_files import merge
from loadgen.stats.histogram import HIGHEST, Histogram
from loadgen.summary.run_data import RequestColumns, RunData
from loadgen.types import RequestRow
from support import report_samples as samples
from support.made_runs import MS, S, row, run_of
from support.report_samples import result_of
from support.stored_runs import as_rows
from support.written_runs import EPOCH, written

GOOD = [one for one in run_of(50.0, 5 * S) if one.phase == 1]


def rows() -> list[RequestRow]:
    """Two failures and an answer in chunks of several tokens among the usual ones."""
    made = run_of(50.0, 5 * S)
    chunked = row(900, 4 * S, tokens=3, token_count=[2, 4, 2], output_tokens=8, usage_tokens=8)
    failed = row(901, 4 * S + 1, tokens=1, failure="http_5xx", failure_type="overloaded", detail="busy", status=503)
    return [*made, chunked, failed, row(902, 4 * S + 2, tokens=0, failure="censored")]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunData]:
    yield written(tmp_path_factory.mktemp("runs") / "run", rows(), slo=("ttft.p90<500ms",))


def successes(result: RunData, name: str) -> np.ndarray[Any, Any]:
    parts = []
    for requests in result.requests():
        good = (requests.batch.phase == 1) & np.asarray([not failure for failure in requests.batch.failure])
        values = requests.metrics[name][good]
        parts.append(values[values >= 0])
    return np.concatenate(parts)


# HdrHistogram.

def of(values: list[int]) -> Histogram:
    histogram = Histogram()
    histogram.record(np.asarray(values, np.int64))
    return histogram


def lines_of(text: str) -> list[list[float]]:
    """Read a distribution as plotFiles.html does: four numbers a line that is no comment."""
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return [[float(cell) for cell in line] for line in lines if len(line) == 4 and line[0] != "Value"]


@settings(deadline=None)
@given(st.lists(st.integers(0, HIGHEST) | st.integers(0, 3000), min_size=1, max_size=60))
def test_each_line_of_a_distribution_is_the_percentile_by_brute_force(values: list[int]) -> None:
    values.sort()
    for value, level, count, inverse in lines_of(hgrm.distribution(of(values), 1.0)):
        exact = values[max(1, math.ceil(level * len(values) - 1e-9)) - 1]
        assert exact <= value + 0.001
        assert value <= exact * 1.001 + 1
        assert count == sum(one <= value + 0.001 for one in values)
        assert inverse == pytest.approx(1 / (1 - level), abs=0.006)


@settings(deadline=None)
@given(st.lists(st.integers(0, HIGHEST), min_size=1, max_size=40))
def test_a_distribution_begins_at_0_and_ends_at_the_exact_maximum(values: list[int]) -> None:
    text = hgrm.distribution(of(values), 1.0).splitlines()
    assert text[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert text[2].split()[1] == "0.000000000000"
    last = text[-4].split()
    assert last == [f"{max(values):.3f}", "1.000000000000", str(len(values))]
    levels = [level for _, level, _, _ in lines_of("\n".join(text))]
    assert levels == sorted(set(levels))


def test_a_distribution_is_that_of_the_package_but_for_its_defects() -> None:
    """Its steps don't halve, its ranks round, its StdDeviation stays in ns; where neither shows, lines are the same."""
    values = [MS * n for n in range(1, 101)]
    peer, theirs = HdrHistogram(1, HIGHEST, 3), io.BytesIO()
    for value in values:
        peer.record_value(value)
    peer.output_percentile_distribution(theirs, 1e6)
    ours = hgrm.distribution(of(values), 1e6).splitlines()
    packages = theirs.getvalue().decode().splitlines()
    assert ours[:4] == packages[:4]
    assert ours[4].split()[1] == "0.200000000000" != packages[4].split()[1]
    assert ours[-4].split() == ["100.000", "1.000000000000", "100"]
    assert ours[-1] == packages[-1]
    assert ours[-3] == f"#[Mean    = {50.5:12.3f}, StdDeviation   = {np.std(range(1, 101)):12.3f}]"
    assert ours[-2] == f"#[Max     = {100:12.3f}, Total count    = {100:12d}]"


def test_what_is_beyond_the_buckets_is_the_maximum() -> None:
    text = hgrm.distribution(of([5, 2 * HIGHEST]), 1.0)
    assert f"{2 * HIGHEST:.3f} 1.000000000000          2" in text
    assert lines_of(text)[-1][0] == 2 * HIGHEST


@settings(deadline=None)
@given(st.lists(st.integers(0, HIGHEST), min_size=1, max_size=60))
def test_the_deviation_is_that_of_the_values(values: list[int]) -> None:
    assert deviation(of(values)) == pytest.approx(np.std(values), rel=0.01, abs=0.001 * max(values) + 1)


def test_each_metric_has_a_file_in_ms_or_as_counts(result: RunData) -> None:
    files = hgrm.render([result])
    assert set(files) == {f"{name}.hgrm" for name in result.histograms}
    assert float(files["ttft.hgrm"].splitlines()[-4].split()[0]) == pytest.approx(successes(result, "ttft").max() / MS,
                                                                                  abs=0.001)
    assert files["input_tokens.hgrm"].splitlines()[-4].split()[0] == "100.000"


def test_logs_are_joined_on_one_clock_and_read_by_the_usual_reader(tmp_path: Path) -> None:
    first, second = written(tmp_path / "first"), written(tmp_path / "se cond", GOOD)
    log = tmp_path / "second.hlog"
    path = tmp_path / "se cond" / "ttft.hlog"
    later = path.read_text().replace("1700000000.000", "1700000060.250")
    path.write_text(later)
    log.write_text("".join(hlog.render([second, first])))
    reader = HistogramLogReader(str(log), HdrHistogram(1, HIGHEST, 3))
    found = [reader.get_next_interval_histogram() for _ in range(4)]
    assert reader.get_next_interval_histogram() is None
    reader.close()
    assert [one.get_tag() for one in found] == ["first.ttft"] * 2 + ["se_cond.ttft"] * 2
    assert [one.get_start_time_stamp() - EPOCH // MS for one in found] == pytest.approx([0, 1000, 60250, 61250])
    assert sum(one.get_total_count() for one in found[2:]) == len(GOOD)
    assert "".join(hlog.render([result_of(samples.valid)])) == ""


# vLLM.

def test_the_keys_and_values_are_those_of_vllm(result: RunData) -> None:
    data = json.loads("".join(vllm_bench.render([result])))
    assert {"date", "endpoint_type", "backend", "label", "model_id", "tokenizer_id", "num_prompts", "request_rate",
            "burstiness", "max_concurrency", "duration", "completed", "failed", "total_input_tokens",
            "total_output_tokens", "request_throughput", "request_goodput", "output_throughput",
            "total_token_throughput", "max_output_tokens_per_s", "max_concurrent_requests", "rtfx"} <= set(data)
    for theirs, ours in {"ttft": "ttft", "tpot": "tpot", "e2el": "e2e"}.items():
        values = successes(result, ours) / MS
        assert data[f"mean_{theirs}_ms"] == pytest.approx(values.mean())
        assert data[f"median_{theirs}_ms"] == pytest.approx(np.percentile(values, 50, method="inverted_cdf"), rel=1e-3)
        assert data[f"p99_{theirs}_ms"] == pytest.approx(np.percentile(values, 99, method="inverted_cdf"), rel=1e-3)
        assert data[f"std_{theirs}_ms"] == pytest.approx(values.std(), rel=0.01)
    assert data["completed"] == successes(result, "ttft").size
    assert data["failed"] == 2
    assert data["total_output_tokens"] == successes(result, "output_tokens").sum()
    assert (data["request_rate"], data["model_id"], data["duration"]) == (50.0, "Qwen2.5-7B", 5.0)


def test_itl_of_vllm_is_the_gap_between_chunks(tmp_path: Path) -> None:
    chunked = [row(n, 2 * S + n * 10 * MS, tokens=3, token_count=[1, 4, 4], output_tokens=9) for n in range(50)]
    data = json.loads("".join(vllm_bench.render([written(tmp_path / "run", chunked)])))
    assert data["mean_itl_ms"] == pytest.approx(10.0)
    assert data["mean_tpot_ms"] == pytest.approx(2.5)


def test_a_percentile_that_is_only_a_bound_is_said_beside_their_keys(result: RunData) -> None:
    data = json.loads("".join(vllm_bench.render([result])))
    assert data["loadgen"]["valid"] is result.report.verdict.valid is False
    assert data["loadgen"]["at_least_ms"]["ttft"]["p99"] == result.report.metrics["ttft"].bounds["p99"] / MS
    assert "itl" not in data["loadgen"]["at_least_ms"] or "p50" not in data["loadgen"]["at_least_ms"]["itl"]


@pytest.mark.parametrize("module", [genai_perf, aiperf])
def test_a_bound_is_in_the_unit_of_what_it_bounds(module: Any, result: RunData) -> None:
    data = json.loads("".join(module.render([result])))
    ours, found = result.report.metrics, data["loadgen"]
    assert found["at_least_ms"]["request_latency"]["p99"] == ours["e2e"].bounds["p99"] / MS
    lengths = {"output_sequence_length": "output_tokens", "input_sequence_length": "input_tokens"}
    assert found["at_least_tokens"] == {theirs: ours[name].bounds for theirs, name in lengths.items()}
    assert all(found["at_least_tokens"].values())
    assert not set(found["at_least_tokens"]) & set(found["at_least_ms"])


def test_what_was_not_measured_is_null(tmp_path: Path) -> None:
    data = json.loads("".join(vllm_bench.render([written(tmp_path / "run", stream=False)])))
    assert data["mean_ttft_ms"] is data["p99_itl_ms"] is None
    assert data["mean_e2el_ms"] > 0


def test_several_runs_are_a_line_each(result: RunData) -> None:
    lines = "".join(vllm_bench.render([result, result])).splitlines()
    assert json.loads(lines[0]) == json.loads(lines[1])
    assert len(lines) == 2


def test_the_lists_are_one_for_each_request_in_one_order(result: RunData) -> None:
    data = json.loads("".join(vllm_detailed.render([result])))
    assert {len(data[key]) for key in ("itls", *vllm_detailed.LISTS)} == {data["num_prompts"]}
    assert {key: data[key] for key in ("completed", "p99_ttft_ms")} == {
        key: vllm_bench.summary(result)[key] for key in ("completed", "p99_ttft_ms")}
    good = [place for place, error in enumerate(data["errors"]) if not error]
    assert len(good) == data["completed"]
    for place in good:
        assert data["ttfts"][place] + sum(data["itls"][place]) == pytest.approx(data["latencies"][place])
    assert np.mean([data["ttfts"][place] for place in good]) == pytest.approx(data["mean_ttft_ms"] / 1000)
    pooled = [gap for gaps in data["itls"] for gap in gaps]
    assert np.mean(pooled) == pytest.approx(data["mean_itl_ms"] / 1000)
    failed = data["errors"].index("http_5xx: overloaded: busy")
    assert (data["output_lens"][failed], data["itls"][failed], data["ttfts"][failed]) == (0, [], 0.0)
    assert data["start_times"] == [(one.due if one.sent < 0 else one.sent) / S for one in rows() if one.phase == 1]
    assert data["start_times"] != sorted(data["start_times"])


def test_the_gaps_of_a_request_are_those_of_the_statistics(tmp_path: Path) -> None:
    """A read without the kernel's stamp can lie behind the stamp of the next one: no gap is below 0."""
    backwards = row(0, 2 * S, tokens=4)
    backwards.token_at = [backwards.sent + 50 * MS + offset * MS for offset in (0, -5, 5, 15)]
    made = [backwards, row(1, 2 * S, tokens=1), row(2, 2 * S, tokens=3, failure="http_5xx"), row(3, 2 * S, tokens=2)]
    data = json.loads("".join(vllm_detailed.render([written(tmp_path / "run", made)])))
    assert data["itls"] == [[0.0, 0.005, 0.01], [], [], [0.01]]
    assert np.mean([gap for gaps in data["itls"] for gap in gaps]) == pytest.approx(data["mean_itl_ms"] / 1000)
    assert data["ttfts"][0] + sum(data["itls"][0]) == pytest.approx(data["latencies"][0])


def in_parts(*parts: list[RequestRow]) -> RunData:
    """A run whose rows are read a part at a time."""
    return replace(result_of(samples.valid), requests=lambda: (RequestColumns.of(Batch.of(part)) for part in parts))


def test_the_peaks_are_those_of_a_count_by_hand() -> None:
    late = [row(2, 2 * S, tokens=5, token_count=[3] * 5), row(3, 0, tokens=50, failure="http_5xx")]
    early = [row(0, 10 * MS, tokens=2), row(1, 20 * MS, tokens=2), row(4, 0, tokens=50, phase=0)]
    assert peaks(in_parts(late, early)) == (5, 2)
    assert peaks(result_of(samples.valid)) == (0, 0)


def vllm_peaks(rows: list[RequestRow]) -> tuple[int, int]:
    """Count as vLLM's client does: each chunk and each request for itself, in seconds since the first was sent."""
    start = min(one.sent for one in rows)
    chunks = Counter((at - start) // S for one in rows for at in one.token_at)
    active = Counter(second for one in rows
                     for second in range((one.sent - start) // S, (one.token_at[-1] - start) // S + 1))
    return max(chunks.values()), max(active.values())


def test_the_peaks_are_those_of_vllm_where_requests_are_short_and_where_they_are_long() -> None:
    short = [row(n, S + n * 10 * MS, 20 * MS, 10 * MS, tokens=4) for n in range(300)]
    long = [row(n, S + n * 100 * MS, 400 * MS, 700 * MS, tokens=4) for n in range(30)]
    for made in (short, long):
        assert peaks(in_parts(made[20:], made[:20])) == vllm_peaks(made)
    assert peaks(in_parts(short))[1] >= 100  # though never more than five at once


@pytest.mark.parametrize(("load", "burstiness"), [
    ({"arrivals": "poisson"}, 1.0), ({"arrivals": "gamma", "burstiness": 0.5}, 0.5), ({"arrivals": "constant"}, "inf"),
    ({"arrivals": "constant", "burstiness": 1.0}, "inf")])
def test_arrivals_are_told_as_the_burstiness_that_means_them(load: dict[str, Any], burstiness: float | str) -> None:
    report = replace(samples.valid, plan={"load": {"rate": 10.0, **load}})
    assert vllm_bench.summary(result_of(report))["burstiness"] == burstiness


# genai-perf and aiperf.

@pytest.mark.parametrize("module", [genai_perf, aiperf])
def test_the_statistics_are_those_of_the_requests(module: Any, result: RunData) -> None:
    data = json.loads("".join(module.render([result])))
    for theirs, ours in genai_perf.METRICS.items():
        values = successes(result, ours) / (1 if "tokens" in ours else MS)
        assert data[theirs]["unit"] == ("tokens" if "tokens" in ours else "ms")
        assert data[theirs]["avg"] == pytest.approx(values.mean())
        for p in (1, 25, 75, 99):
            exact = np.percentile(values, p, method="inverted_cdf")
            assert data[theirs][f"p{p}"] == pytest.approx(exact, rel=1e-3)
        assert (data[theirs]["min"], data[theirs]["max"]) == pytest.approx((values.min(), values.max()))
        assert data[theirs]["std"] == pytest.approx(values.std(), rel=0.01, abs=0.1)
    assert data["request_throughput"] == {"unit": "requests/sec", "avg": result.report.rates["completed"]}
    assert data["output_token_throughput"] == {"unit": "tokens/sec", "avg": result.report.rates["output_tokens"]}
    assert data["request_count"]["avg"] == successes(result, "e2e").size


def test_what_only_one_of_the_two_has(result: RunData) -> None:
    older = json.loads("".join(genai_perf.render([result])))
    newer = json.loads("".join(aiperf.render([result])))
    per_request = successes(result, "output_tokens") * 1e9 / successes(result, "e2e")
    assert older["output_token_throughput_per_request"]["avg"] == pytest.approx(per_request.mean())
    assert older["request_goodput"]["avg"] == newer["goodput"]["avg"] == result.report.rates["goodput"]
    assert newer["output_token_throughput_per_user"]["avg"] == pytest.approx((1e9 / successes(result, "tpot")).mean())
    assert newer["inter_chunk_latency"]["avg"] == pytest.approx(result.histograms["chunk_gap"].mean / MS)
    assert newer["error_request_count"]["avg"] == 2
    assert {"error_details": {"code": None, "type": "http_5xx", "message": "overloaded: busy"}, "count": 1} in (
        newer["error_summary"])
    assert (newer["was_cancelled"], newer["benchmark_duration"]) == (False, {"unit": "sec", "avg": 5.0})
    assert newer["start_time"].startswith("2026-11-23T07:40:13")


@pytest.mark.parametrize("name", samples.ALL)
@pytest.mark.parametrize("module", [vllm_bench, vllm_detailed, genai_perf, aiperf])
def test_a_report_without_requests_is_no_error(module: Any, name: str) -> None:
    assert json.loads("".join(module.render([result_of(samples.ALL[name])])))


# Parquet.

def test_merged_rows_are_those_of_the_runs_with_a_name_and_metrics(tmp_path: Path) -> None:
    results = [written(tmp_path / "a", rows()), written(tmp_path / "b", GOOD)]
    with open(tmp_path / "all.parquet", "wb") as file:
        merge.write(results, file)
    table = pq.read_table(tmp_path / "all.parquet")
    assert table.column("run").to_pylist() == ["a"] * len(rows()) + ["b"] * len(GOOD)
    found = table.to_pylist()
    plain = [one for made in (rows(), GOOD) for one in as_rows([Batch.of(made)])]
    for line, one in zip(found, plain, strict=True):
        assert (line["index"], line["token_at"], line["failure"]) == (one.index, one.token_at, one.failure)
    assert found[-1]["ttft"] == plain[-1].token_at[0] - plain[-1].sent
    assert table.column("tpot").null_count == 2
    assert table.column("ttfo").null_count == table.num_rows
