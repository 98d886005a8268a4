"""The numbers under the keys of aiperf's profile_export_aiperf.json, for scripts made for those.

The keys are those of JsonExportData in src/aiperf/common/models/export_models.py of ai-dynamo/aiperf, the meanings
those of src/aiperf/metrics/types. `inter_token_latency` is our tpot, `inter_chunk_latency` our chunk_gap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from loadgen.outcomes.report import Report
from loadgen.reports.export.genai_perf import METRICS, RATES, described, of_success, rates, statistics
from loadgen.reports.export.shortfall import shortfall
from loadgen.reports.summary_items import failures
from loadgen.summary.run_data import RunData
from loadgen.types import SECOND

_METRICS: Final = {**METRICS, "inter_chunk_latency": "chunk_gap"}


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Write the only one of `results`."""
    (result,) = results
    report = result.report
    data: dict[str, Any] = {"schema_version": "1.0", **statistics(result, _METRICS), **rates(report, RATES, "goodput"),
                            **_totals(result)}
    gaps, _ = of_success(result, "tpot", "e2e")
    if gaps.size:
        data["output_token_throughput_per_user"] = described(SECOND / gaps, "tokens/sec/user")
    data |= {"input_config": dict(report.plan), "was_cancelled": report.verdict.interrupted,
             "error_summary": _errors(report), **_times(report), "loadgen": shortfall(report, _METRICS)}
    yield json.dumps(data, indent=2) + "\n"


def _totals(result: RunData) -> dict[str, dict[str, Any]]:
    requests = result.report.requests
    lost = requests.get("failed", 0) + requests.get("censored", 0)
    totals = {"request_count": ("requests", requests.get("succeeded", 0)), "error_request_count": ("requests", lost),
              "benchmark_duration": ("sec", result.report.window.get("length", 0) / SECOND)}
    for theirs, ours in (("total_osl", "output_tokens"), ("total_isl", "input_tokens")):
        if ours in result.histograms:
            totals[theirs] = ("tokens", result.histograms[ours].total)
    return {name: {"unit": unit, "avg": value} for name, (unit, value) in totals.items()}


def _errors(report: Report) -> list[dict[str, Any]]:
    return [{"error_details": {"code": None, "type": failure.kind,
                               "message": ": ".join([*failure.types, failure.example])}, "count": failure.times}
            for failure in failures(report)]


def _times(report: Report) -> dict[str, str]:
    """When the window began and ended: what the other numbers are of."""
    started = report.provenance.get("started")
    if not started or "start" not in report.window:
        return {}
    begin = datetime.fromisoformat(started) + timedelta(seconds=report.window["start"] / SECOND)
    end = begin + timedelta(seconds=report.window["length"] / SECOND)
    return {"start_time": begin.isoformat(), "end_time": end.isoformat()}
