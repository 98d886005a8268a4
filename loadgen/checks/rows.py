"""The rows of the verdict about the requests and the client: each a pure function of the Evidence."""

from __future__ import annotations

from typing import Final

from loadgen.checks.check import Judged
from loadgen.checks.inputs import Evidence
from loadgen.recorder.health import CLOCK_DRIFT
from loadgen.types import ABSENT, MS

MOST_ERRORS: Final = 0.001
MOST_HELD: Final = 0.001
MOST_COALESCED: Final = 0.01
LENGTH_TOLERANCE: Final = 0.1
CLOSED: Final = "closed loop"


def _more_room(evidence: Evidence) -> str:
    """Say what gives the client more of the machine; a local model has one sender, and takes the processors itself."""
    if evidence.local:
        return "a quieter machine, or fewer threads of the model (OMP_NUM_THREADS)"
    return f"more senders (--senders {2 * evidence.senders}), or a quieter machine"


def lag(evidence: Evidence) -> Judged:
    """Requests were sent when they were due: lag p99 <= max(1 ms, 1 % of median ttft), and none was early."""
    if evidence.closed_loop or evidence.lag_p99 is None:
        return Judged(True, CLOSED if evidence.closed_loop else "nothing sent", "", "")
    limit = max(MS, (evidence.median_wait or 0) // 100)
    if evidence.earliest_lag < 0:
        return Judged(False, evidence.earliest_lag, 0, "ns",
                     "a request was sent before it was due: the clock moved, or this is a bug worth reporting")
    late = f"requests were sent late: a lower --rate, {_more_room(evidence)}"
    if evidence.starved:
        late += f"; {evidence.starved:,} were not ready when due: shorter --input-tokens or ready --prompts cost less"
    return Judged(evidence.lag_p99 <= limit, evidence.lag_p99, limit, "ns", late)


def schedule(evidence: Evidence) -> Judged:
    """Every request of the schedule was sent."""
    limit = evidence.planned if evidence.planned != ABSENT else max(1, evidence.offered)
    culprit = "model_lost" if evidence.lost.get("model_lost") else "sender_lost"
    remedy = f"not all that was scheduled was sent, so the server saw less load: let the run finish, or see {culprit}"
    if evidence.failures.get("too_long"):
        remedy = "prompts that don't fit the model were not sent: shorten --input-tokens or --output-tokens"
    return Judged(evidence.tried >= limit, evidence.tried, limit, "count", remedy)


def coalesced(evidence: Evidence) -> Judged | None:
    """Where the kernel stamps: tokens were stamped when they came, with at most 1 % that share a read."""
    if not evidence.kernel_stamps:
        return None
    return Judged(evidence.coalesced <= MOST_COALESCED, evidence.coalesced, MOST_COALESCED, "share",
                  f"tokens were read late: {_more_room(evidence)}; if the server itself sends several events in one "
                  "packet, its gaps can't be told apart")


def receive_lag(evidence: Evidence) -> Judged | None:
    """Where it does not: the p99 of receive_lag <= max(1 ms, 5 % of median itl)."""
    if evidence.kernel_stamps:
        return None
    limit = max(MS, (evidence.median_itl or 0) // 20)
    seen = evidence.receive_lag_p99
    if seen is None:
        return Judged(True, "no tokens", limit, "ns")
    return Judged(seen <= limit, seen, limit, "ns", f"tokens were read late: {_more_room(evidence)}")


def loop_stall(evidence: Evidence) -> Judged:
    """No sender stood still: 5 ms, or 50 ms where the kernel stamps."""
    limit = (50 if evidence.kernel_stamps else 5) * MS
    return Judged(evidence.stall <= limit, evidence.stall, limit, "ns")


def errors(evidence: Evidence) -> Judged:
    """At most 0.1 % of the requests failed."""
    share = evidence.failed / evidence.offered if evidence.offered else 0.0
    classes = ", ".join(f"{kind} {count:,}" for kind, count in sorted(evidence.failures.items()) if kind != "censored")
    return Judged(share <= MOST_ERRORS, share, MOST_ERRORS, "share",
                 f"latencies are of the successes alone, under a load that failures lighten ({classes}): "
                 "read their messages, fix the cause or lower --rate")


def censored(evidence: Evidence) -> Judged:
    """Every measured request ended before the drain limit."""
    return Judged(evidence.censored == 0, evidence.censored, 0, "count")


def sender_lost(evidence: Evidence) -> Judged:
    """No sender process died, also in no warm-up."""
    lost = evidence.lost.get("sender_lost", 0)
    return Judged(lost == 0, lost, 0, "count")


def model_lost(evidence: Evidence) -> Judged:
    """The process of a local model lived from the warm-up to the end."""
    lost = evidence.lost.get("model_lost", 0)
    return Judged(lost == 0, lost, 0, "count")


def interrupted(evidence: Evidence) -> Judged:
    """The run came to its planned end."""
    return Judged(not evidence.interrupted, "yes" if evidence.interrupted else "no", "no")


def held(evidence: Evidence) -> Judged:
    """The in-flight limit delayed at most 0.1 % of the arrivals, so that the load was open loop."""
    share = evidence.held / evidence.offered if evidence.offered and not evidence.closed_loop else 0.0
    return Judged(share <= MOST_HELD, CLOSED if evidence.closed_loop else share, MOST_HELD, "share")


def token_counts(evidence: Evidence) -> Judged:
    """Counted tokens equal the server's usage, where it gives one."""
    return Judged(evidence.usage_wrong == 0, evidence.usage_wrong, 0, "count",
                 f"of {evidence.usage_given:,} answers with a usage these have another number of tokens: "
                 "check that --backend is the server's dialect")


def output_length(evidence: Evidence) -> Judged:
    """Answers are within 10 % of the length that was asked for, together."""
    if evidence.asked <= 0:
        return Judged(True, "not asked", LENGTH_TOLERANCE, "share")
    off = evidence.got / evidence.asked - 1
    force = "force it with --body ignore_eos=true, or ask" if evidence.forcible else (
        "this dialect can't force it, so ask")
    reasons = ", ".join(f"{reason or 'none'} {count:,}" for reason, count in sorted(evidence.finish_reasons.items()))
    return Judged(abs(off) <= LENGTH_TOLERANCE, off, LENGTH_TOLERANCE, "share",
                 f"the answers are not as long as asked (finish reasons: {reasons}): {force} with --output-tokens for "
                 "what the model gives")


def overflow(evidence: Evidence) -> Judged:
    """No value was beyond an hour, where histograms end."""
    return Judged(evidence.overflow == 0, evidence.overflow, 0, "count")


def clock(evidence: Evidence) -> Judged:
    """The wall clock kept pace with the monotonic one: no step above 1 ms, drift below 0.1 %."""
    if evidence.clock_step <= MS and evidence.clock_drift >= CLOCK_DRIFT:
        return Judged(False, evidence.clock_drift, CLOCK_DRIFT, "share")
    return Judged(evidence.clock_step <= MS, evidence.clock_step, MS, "ns")
