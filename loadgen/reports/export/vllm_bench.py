"""The numbers under the keys that `vllm bench serve --save-result` writes, for scripts made for those.

The keys are those of vllm/benchmarks/serve.py of vllm-project/vllm. Where a word means something else there, the value
is that of our metric with its meaning: `itl` there is the gap between chunks (our chunk_gap), `e2el` our e2e.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from loadgen.outcomes.report import Report
from loadgen.reports.export.moments import deviation
from loadgen.reports.export.peaks import peaks
from loadgen.reports.export.shortfall import shortfall
from loadgen.reports.summary_items import of
from loadgen.stats.histogram import Histogram
from loadgen.summary.run_data import RunData
from loadgen.types import MS, SECOND

METRICS: Final = {"ttft": "ttft", "tpot": "tpot", "itl": "chunk_gap", "e2el": "e2e"}
"""Their names of metrics, and ours of the same meaning."""
_PERCENTILES: Final = {"p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Write one run as an object, and several as one a line, as --append-result does."""
    for result in results:
        yield json.dumps(summary(result), indent=2 if len(results) == 1 else None) + "\n"


def summary(result: RunData) -> dict[str, Any]:
    """Return everything that is not by request. What was not measured is None, never 0."""
    report, histograms = result.report, result.histograms
    chunks, active = peaks(result)
    data = {
        **_setup(report), "duration": report.window.get("length", 0) / SECOND, **_counts(report, histograms),
        "max_output_tokens_per_s": float(chunks), "max_concurrent_requests": active, "rtfx": 0.0}
    for theirs, ours in METRICS.items():
        data |= _statistics(theirs, histograms.get(ours))
    return {**data, "loadgen": shortfall(report, METRICS)}


def _setup(report: Report) -> dict[str, Any]:
    target, load = of(report.plan, "target"), of(report.plan, "load")
    started = report.provenance.get("started")
    return {
        "date": datetime.fromisoformat(started).strftime("%Y%m%d-%H%M%S") if started else None,
        "endpoint_type": target.get("backend"), "backend": target.get("backend"), "label": None,
        "model_id": report.provenance.get("model") or target.get("model"),
        "tokenizer_id": of(report.plan, "workload").get("tokenizer") or None,
        "num_prompts": report.requests.get("offered"),
        "request_rate": load.get("rate") or report.schedule.get("rate") or "inf",
        "burstiness": "inf" if load.get("arrivals") == "constant" else load.get("burstiness", 1.0),
        "max_concurrency": load.get("concurrency") or load.get("max_in_flight") or None}


def _counts(report: Report, histograms: Mapping[str, Histogram]) -> dict[str, Any]:
    requests, rates = report.requests, report.rates
    totals = {name: histograms[name].total if name in histograms else 0 for name in ("input_tokens", "output_tokens")}
    return {
        "completed": requests.get("succeeded", 0), "failed": requests.get("failed", 0) + requests.get("censored", 0),
        "total_input_tokens": totals["input_tokens"], "total_output_tokens": totals["output_tokens"],
        "request_throughput": rates.get("completed"),
        "request_goodput": rates.get("goodput") if report.verdict.gates else None,
        "output_throughput": rates.get("output_tokens"),
        "total_token_throughput": rates.get("input_tokens", 0.0) + rates.get("output_tokens", 0.0)}


def _statistics(name: str, histogram: Histogram | None) -> dict[str, float | None]:
    if histogram is None:
        return {f"{label}_{name}_ms": None for label in ("mean", "median", "std", *_PERCENTILES)}
    values: dict[str, float] = {"mean": histogram.mean, "median": histogram.percentile(0.5),
                                "std": deviation(histogram)}
    values |= {label: histogram.percentile(share) for label, share in _PERCENTILES.items()}
    return {f"{label}_{name}_ms": value / MS for label, value in values.items()}
