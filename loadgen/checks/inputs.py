"""The Evidence: every number that a check looks at, taken from the recorder and the plan at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from loadgen.checks.gates import Decision, decide_all
from loadgen.checks.steady import Steady, steadiness
from loadgen.outcomes.run_record import RunRecord
from loadgen.recorder import Recorder
from loadgen.types import ABSENT, SECOND

LOST: Final = ("sender_lost", "model_lost")
"""Failures whose cause ends a run in whichever phase it comes."""

MOST_UNSTAMPED: Final = 0.01
"""Share of reads without a kernel stamp above which the run counts as one with user-space stamps."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Numbers of one run; instants and durations in ns, None where nothing was recorded."""

    closed_loop: bool = False
    stream: bool = True
    rate: float = 0.0  # as planned
    changing: bool = False  # whether the rate changes over time, so that no steady state is asked for
    kernel_stamps: bool = True
    local: bool = False  # a model on this machine, in a process of its own
    senders: int = 1
    planned: int = ABSENT
    offered: int = 0
    tried: int = 0
    succeeded: int = 0
    failed: int = 0
    censored: int = 0
    held: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)  # failures of the requests of any phase, by LOST
    lag_p99: int | None = None
    earliest_lag: int = 0
    median_wait: int | None = None  # ttft, without streaming e2e
    median_itl: int | None = None
    receive_lag_p99: int | None = None
    coalesced: float = 0.0
    stall: int = 0
    starved: int = 0
    overflow: int = 0
    usage_given: int = 0
    usage_wrong: int = 0
    asked: int = 0
    got: int = 0
    finish_reasons: Mapping[str, int] = field(default_factory=dict)
    forcible: bool = True  # whether the dialect has a way to make answers as long as was asked
    mean_time: float | None = None  # e2e
    length: int = 0  # of the window, as it turned out
    clock_step: int = 0
    clock_drift: float = 0.0
    steady: Steady = field(default_factory=Steady)
    gates: tuple[Decision, ...] = ()
    precision: float = 0.05
    lax: bool = False
    interrupted: bool = False
    aborted: str = ""
    recorder: Recorder | None = None  # for what has no number here yet


def span(recorder: Recorder, interrupted: bool = False) -> tuple[int, int]:
    """Return (begin, end) of the measured window as it turned out, in ns since the start of the schedule.

    A window of known length ends with it, or where the last measured request ended if the run was interrupted before;
    one of known count ends where the last measured request ended.
    """
    begin, last = recorder.window.start, max(recorder.last_end, recorder.window.start)
    if recorder.window.length == ABSENT:
        return begin, last
    end = begin + recorder.window.length
    return begin, min(end, last) if interrupted else end


def uses_kernel_stamps(recorder: Recorder) -> bool:
    """Say whether (nearly) every read of the measured requests carried the kernel's stamp."""
    tally = recorder.measured
    return tally.unstamped <= MOST_UNSTAMPED * tally.reads if tally.reads else True


def evidence(recorder: Recorder, record: RunRecord, interrupted: bool = False, whole: bool = True,
             aborted: str = "") -> Evidence:
    """Take the evidence of a run.

    `aborted` says why it was given up; what was not offered after that is not held against it.

    Without `whole`, as often as a live view needs it, the steady state and the gates are left out.
    """
    load, judgement, stream = record.plan.load, record.plan.judgement, record.plan.target.stream
    begin, end = span(recorder, interrupted or bool(aborted))
    steady_end = end if recorder.window.length != ABSENT else max(begin, recorder.last_due)
    return Evidence(
        closed_loop=bool(load.concurrency), stream=stream, rate=load.rate,
        changing=load.load_shape is not None,
        kernel_stamps=uses_kernel_stamps(recorder), local=record.resolved.stamps == "model",
        planned=ABSENT if aborted else recorder.window.count,
        length=end - begin, steady=steadiness(recorder, begin, steady_end) if whole else Steady(),
        gates=decide_all(recorder, begin, end, stream) if whole else (),
        precision=judgement.precision, lax=judgement.lax,
        forcible=record.resolved.length != "not forcible", interrupted=interrupted, aborted=aborted, recorder=recorder,
        **_counts(recorder), **_client(recorder), **_latencies(recorder, stream))


def _counts(recorder: Recorder) -> dict[str, Any]:
    tally = recorder.measured
    same = ("offered", "tried", "succeeded", "failed", "censored", "held", "usage_given", "usage_wrong", "asked", "got")
    return {**{name: getattr(tally, name) for name in same}, "failures": dict(tally.failures),
            "lost": {kind: sum(each.failures[kind] for each in recorder.tallies.values()) for kind in LOST},
            "finish_reasons": dict(tally.finish_reasons),
            "coalesced": tally.coalesced / tally.events if tally.events else 0.0,
            "overflow": sum(histogram.overflow for histogram in recorder.metrics.values())}


def _client(recorder: Recorder) -> dict[str, Any]:
    health = recorder.health
    last = max(recorder.last_end, recorder.window.start) + SECOND
    return {"senders": max(1, len(health.senders)), "starved": health.total("starved"),
            "stall": health.stall(recorder.window.start, last), "clock_step": health.clock_step,
            "clock_drift": health.clock_drift(), "earliest_lag": recorder.earliest_lag}


def _latencies(recorder: Recorder, stream: bool) -> dict[str, Any]:
    metrics = recorder.metrics

    def quantile(name: str, q: float) -> int | None:
        return metrics[name].percentile(q) if metrics[name].count else None

    return {"lag_p99": quantile("lag", 0.99), "receive_lag_p99": quantile("receive_lag", 0.99),
            "median_wait": quantile("ttft" if stream else "e2e", 0.5), "median_itl": quantile("itl", 0.5),
            "mean_time": metrics["e2e"].mean if metrics["e2e"].count else None}
