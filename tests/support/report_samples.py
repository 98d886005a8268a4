"""Reports that a renderer must cope with, made by hand, each of a run that can happen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadgen.outcomes.report import CheckResult, MetricSummary, Report, SloResult, Verdict
from loadgen.recorder.batch import Batch
from loadgen.summary.run_data import RequestColumns, RunData
from loadgen.types import RequestRow

MS = 1_000_000
PLAN = {
    "target": {"backend": "vllm", "url": ["http://127.0.0.1:8000"], "endpoint": "chat", "stream": True},
    "load": {"rate": 10.0, "arrivals": "poisson", "duration": "1m", "seed": 7},
    "resolved": {"model": "Qwen2.5-7B"},
}


def metric(count: int, p50: float, p90: float, p95: float, p99: float, top: float, tail: float | None = None,
           half: float = 0.08) -> MetricSummary:
    """Summarise a metric given in ms; without `tail`, p99.9 is only known to be at least the largest value."""
    values = {name: int(value * MS) for name, value in
              {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "p99.9": tail or top}.items()}
    bounds = {} if tail else {"p99.9": int(top * MS)}
    interval = {"p99": (int(p99 * (1 - half) * MS), int(p99 * (1 + half) * MS))}
    return MetricSummary("ns", count, int(p50 * MS / 2), int(top * MS), p50 * MS, values, interval, bounds)


METRICS = {
    "ttft": metric(598, 184, 240, 262, 341, 402),
    "ttft_scheduled": metric(598, 184, 240, 262, 342, 403),
    "itl": metric(75_946, 19.8, 21.2, 22, 31.4, 140, tail=88, half=0.016),
    "tpot": metric(598, 20.1, 21, 21.4, 23, 25.9, half=0.03),
    "e2e": metric(598, 2_740, 2_980, 3_050, 3_310, 3_600, half=0.04),
    "lag": metric(600, 0.06, 0.09, 0.1, 0.12, 0.31),
    "receive_lag": metric(76_544, 0.05, 0.1, 0.2, 0.4, 1.1, tail=0.8),
}
PASSING = (CheckResult("lag", True, 120_000, 1_840_000, "ns"), CheckResult("errors", True, 0.0033, 0.005, "share"),
           CheckResult("loop_stall", True, 1_200_000, 50_000_000, "ns"))
SAMPLE = CheckResult("sample_size", False, 20, 368, "count",
                     "p99 of ttft needs 368 requests for an interval: run for 37s")
SHORT = CheckResult("duration", False, 2_000_000_000, 27_400_000_000, "ns",
              "the window is shorter than 10 answers take: --duration 28s")
GATE = SloResult("ttft.p99<500ms", True, 341e6, 377e6)

valid = Report(
    verdict=Verdict(True, 0, PASSING, (GATE,), ("p99.9 needs 3,688 requests for an interval; this run has 598",)),
    requests={"offered": 600, "sent": 600, "succeeded": 598, "failed": 2, "censored": 0, "failures": {"in_band": 2},
              "types": {"in_band": {"overloaded": 2}},
              "examples": {"in_band": "The engine is overloaded, please try again later"},
              "warmup": {"offered": 61, "failed": 0}, "cooldown": {"offered": 27, "failed": 0}},
    rates={"offered": 10.0, "sent": 10.0, "completed": 9.97, "output_tokens": 1276.0, "input_tokens": 5104.0,
           "goodput": 9.83},
    metrics=METRICS,
    client={"stamps": "kernel", "senders": 1, "cpu_s": 1.4, "elapsed_s": 70.0, "coalesced": 0.0,
            "loop_stall_max": 1_200_000},
    schedule={"sha256": "3f9a1c77d2"},
    window={"start": 6_000_000_000, "length": 60_000_000_000},
    provenance={"loadgen": "0.1.0"},
    plan=PLAN,
)


def judged(report: Report, *failing: CheckResult, exit_code: int = 3, **verdict: Any) -> Report:
    """Give a report a verdict in which these rows fail."""
    checks = (*report.verdict.checks, *failing)
    valid_still = all(check.ok or check.warning for check in checks)
    return replace(report, verdict=replace(report.verdict, valid=valid_still, exit_code=exit_code, checks=checks,
                                           **verdict))


def with_plan(report: Report, **tables: Mapping[str, Any]) -> Report:
    """Change tables of a report's plan."""
    return replace(report, plan={**report.plan, **{name: {**report.plan.get(name, {}), **changes}
                                                   for name, changes in tables.items()}})


invalid = judged(
    valid,
    CheckResult("coalesced", False, 0.041, 0.01, "share",
          "the client read tokens late: fewer streams per sender (--senders 4), or a quieter machine"),
    CheckResult("lag", False, 6_300_000, 1_800_000, "ns", "requests were sent late: --senders 4, or a quieter machine"))
smoke = judged(replace(valid, requests={"offered": 20, "sent": 20, "succeeded": 20, "failed": 0, "censored": 0,
                                        "failures": {}}), SAMPLE, SHORT,
               gates=(replace(GATE, ok=None, upper=None, needed=368),))
lax = judged(smoke, exit_code=0)
lax = replace(lax, verdict=replace(lax.verdict, valid=True, checks=(*PASSING, replace(SAMPLE, warning=True),
                                                                  replace(SHORT, warning=True))))
missed = judged(valid, exit_code=1, gates=(
    replace(GATE, slo="ttft.p99<300ms", ok=False), SloResult("errors<0.1%", None, 0.0033, None, "share", 3688),
    SloResult("goodput>9.5", True, 9.83, 9.61, "per_second")))
unstable = judged(valid, CheckResult("steady_state", False, "in flight grew from 12 to 240", "no growth", "",
                               "the server can't keep up: lower --rate, or look for the knee with a sweep"))
given_up = judged(valid, exit_code=1,
                  aborted="ttft.p99<300ms is certain to be missed: 18 of 1,000 requests were slower")
given_up = replace(given_up, verdict=replace(given_up.verdict, valid=False))
interrupted = judged(valid, exit_code=130, interrupted=True)
all_failed = judged(
    replace(valid, metrics={}, rates={"offered": 10.0, "completed": 0.0, "output_tokens": 0.0},
            requests={"offered": 600, "sent": 0, "succeeded": 0, "failed": 600, "censored": 0,
                      "failures": {"connect": 590, "timeout": 10},
                      "types": {"connect": {"ConnectionRefusedError": 590}},
                      "examples": {"connect": "connection refused by 127.0.0.1:8000", "timeout": "connect: 10 s"}}),
    CheckResult("errors", False, 1.0, 0.001, "share", "look at the failures below; is the server up? --wait-ready 5m"),
    gates=(SloResult("ttft.p99<500ms", None, None, None),))
closed = with_plan(replace(valid, metrics={k: v for k, v in METRICS.items() if k != "lag"}),
                   load={"rate": 0.0, "concurrency": 16})
no_stream = with_plan(replace(valid, metrics={k: METRICS[k] for k in ("e2e", "lag")}), target={"stream": False})
hostile = replace(valid, requests={
    **valid.requests, "failures": {"http_5xx": 2, "parse": 1},
    "types": {"http_5xx": {"\x1b[31mBoom\x07": 2}},
    "examples": {"http_5xx": "line one\r\nline two\x1b]0;title\x07 \u202eright to left\ud800 "
                             + "日本語のとても長いメッセージ" * 12, "parse": "\x00\x01\x9b31m[bold]not markup[/bold]"}})
empty = Report(Verdict(False, 3, ()), {}, {}, {}, {}, {}, {}, {})

ALL = {name: value for name, value in globals().items() if isinstance(value, Report)}


def result_of(report: Report, name: str = "run", rows: list[RequestRow] | None = None) -> RunData:
    batch = Batch.of(rows or [])
    return RunData(name, Path("runs") / name, report, {}, lambda: iter([RequestColumns.of(batch)]), dict)
