"""The numbers under the keys of genai-perf's profile_export_genai_perf.json, for scripts made for those.

The keys and units are those of genai-perf/genai_perf/metrics/statistics.py and llm_metrics.py of
triton-inference-server/perf_analyzer. `inter_token_latency` there is one mean a request, which is our tpot.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from loadgen.outcomes.report import Report
from loadgen.reports.export.moments import deviation
from loadgen.reports.export.shortfall import shortfall
from loadgen.stats.histogram import Histogram, Integers, rank
from loadgen.summary.run_data import RunData
from loadgen.types import MEASURED, MS, SECOND

METRICS: Final = {"time_to_first_token": "ttft", "inter_token_latency": "tpot", "request_latency": "e2e",
                  "output_sequence_length": "output_tokens", "input_sequence_length": "input_tokens"}
"""Their names of metrics by request, and ours of the same meaning."""
RATES: Final = {"request_throughput": ("completed", "requests/sec"),
                "output_token_throughput": ("output_tokens", "tokens/sec")}
_PERCENTILES: Final = (1, 5, 10, 25, 50, 75, 90, 95, 99)


def render(results: Sequence[RunData]) -> Iterator[str]:
    """Write the only one of `results`."""
    (result,) = results
    report = result.report
    data = {**statistics(result, METRICS), **rates(report, RATES, "request_goodput"),
            "request_count": {"unit": "count", "avg": report.requests.get("succeeded", 0)}}
    tokens, spans = of_success(result, "output_tokens", "e2e")
    if tokens.size:
        data["output_token_throughput_per_request"] = described(tokens * SECOND / spans, "tokens/sec")
    data |= {"input_config": dict(report.plan), "loadgen": shortfall(report, METRICS)}
    yield json.dumps(data, indent=2) + "\n"


def statistics(result: RunData, metrics: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Describe the metrics that the run has; `metrics` maps their names to ours."""
    return {theirs: _described(result.histograms[ours], result.report.metrics[ours].unit)
            for theirs, ours in metrics.items() if ours in result.histograms}


def rates(report: Report, names: Mapping[str, tuple[str, str]], goodput: str) -> dict[str, dict[str, Any]]:
    """Return rates per second of the window; `goodput` is how theirs is called, left out where there is no SLO."""
    known = {**names, **({goodput: ("goodput", "requests/sec")} if report.verdict.gates else {})}
    return {theirs: {"unit": unit, "avg": report.rates[ours]} for theirs, (ours, unit) in known.items()
            if ours in report.rates}


def of_success(result: RunData, first: str, second: str) -> tuple[Integers, Integers]:
    """Return two metrics of the measured successes for which both are above 0."""
    found = [np.zeros((2, 0), np.int64)]
    for requests in result.requests():
        values = np.stack([requests.metrics[first], requests.metrics[second]])
        found.append(values[:, requests.batch.good & (requests.batch.phase == MEASURED) & (values > 0).all(axis=0)])
    one, two = np.concatenate(found, axis=1)
    return one, two


def described(values: npt.NDArray[np.float64], unit: str) -> dict[str, Any]:
    """Describe values that are no metric of ours; there is at least one."""
    ordered = np.sort(values)
    percentiles = {f"p{p}": float(ordered[rank(p / 100, ordered.size) - 1]) for p in _PERCENTILES}
    return {"unit": unit, "avg": float(values.mean()), **percentiles, "min": float(ordered[0]),
            "max": float(ordered[-1]), "std": float(values.std())}


def _described(histogram: Histogram, unit: str) -> dict[str, Any]:
    scale = MS if unit == "ns" else 1.0
    percentiles = {f"p{p}": histogram.percentile(p / 100) / scale for p in _PERCENTILES}
    return {"unit": "ms" if unit == "ns" else "tokens", "avg": histogram.mean / scale, **percentiles,
            "min": histogram.min / scale, "max": histogram.max / scale, "std": deviation(histogram) / scale}
