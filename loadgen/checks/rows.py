"""The rows of the verdict about the requests and the client: each a pure function of the Evidence."""

from __future__ import annotations

from typing import Final

from loadgen.checks.inputs import Evidence
from loadgen.outcomes.report import Check
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


def lag(evidence: Evidence) -> Check:
    """Requests were sent when they were due: lag p99 <= max(1 ms, 1 % of median ttft), and none was early."""
    if evidence.closed_loop or evidence.lag_p99 is None:
        return Check("lag", True, CLOSED if evidence.closed_loop else "nothing sent", "", "")
    limit = max(MS, (evidence.median_wait or 0) // 100)
    if evidence.earliest_lag < 0:
        return Check("lag", False, evidence.earliest_lag, 0, "ns",
                     "a request was sent before it was due: the clock moved, or this is a bug worth reporting")
    late = f"requests were sent late: a lower --rate, {_more_room(evidence)}"
    if evidence.starved:
        late += f"; {evidence.starved:,} were not ready when due: shorter --input-tokens or ready --prompts cost less"
    return Check("lag", evidence.lag_p99 <= limit, evidence.lag_p99, limit, "ns", late)


def schedule(evidence: Evidence) -> Check:
    """Every request of the schedule was sent."""
    limit = evidence.planned if evidence.planned != ABSENT else max(1, evidence.offered)
    culprit = "model_lost" if evidence.lost.get("model_lost") else "sender_lost"
    remedy = f"not all that was scheduled was sent, so the server saw less load: let the run finish, or see {culprit}"
    if evidence.failures.get("too_long"):
        remedy = "prompts that don't fit the model were not sent: shorten --input-tokens or --output-tokens"
    return Check("schedule", evidence.tried >= limit, evidence.tried, limit, "count", remedy)


def receive(evidence: Evidence) -> Check:
    """Tokens were stamped when they came: by coalesced reads with kernel stamps, by receive_lag without."""
    remedy = f"tokens were read late: {_more_room(evidence)}"
    if evidence.kernel_stamps:
        return Check("coalesced", evidence.coalesced <= MOST_COALESCED, evidence.coalesced, MOST_COALESCED, "share",
                     f"{remedy}; if the server itself sends several events in one packet, its gaps can't be told apart")
    limit = max(MS, (evidence.median_itl or 0) // 20)
    seen = evidence.receive_lag_p99
    if seen is None:
        return Check("receive_lag", True, "no tokens", limit, "ns")
    return Check("receive_lag", seen <= limit, seen, limit, "ns", remedy)


def loop_stall(evidence: Evidence) -> Check:
    """No sender stood still: 5 ms, or 50 ms where the kernel stamps."""
    limit = (50 if evidence.kernel_stamps else 5) * MS
    return Check("loop_stall", evidence.stall <= limit, evidence.stall, limit, "ns",
                 "a sender was kept from running: stop what else runs on this machine, or fewer --senders than cores")


def errors(evidence: Evidence) -> Check:
    """At most 0.1 % of the requests failed."""
    share = evidence.failed / evidence.offered if evidence.offered else 0.0
    classes = ", ".join(f"{kind} {count:,}" for kind, count in sorted(evidence.failures.items()) if kind != "censored")
    return Check("errors", share <= MOST_ERRORS, share, MOST_ERRORS, "share",
                 f"latencies are of the successes alone, under a load that failures lighten ({classes}): "
                 "read their messages, fix the cause or lower --rate")


def censored(evidence: Evidence) -> Check:
    """Every measured request ended before the drain limit."""
    return Check("censored", evidence.censored == 0, evidence.censored, 0, "count",
                 "requests were still running at the end, so the slowest are missing: a longer --drain, a lower --rate")


def sender_lost(evidence: Evidence) -> Check:
    """No sender process died, also in no warm-up."""
    lost = evidence.lost.get("sender_lost", 0)
    return Check("sender_lost", lost == 0, lost, 0, "count",
                 "a sender process died and its requests with it: look for the out-of-memory killer, and run again")


def model_lost(evidence: Evidence) -> Check:
    """The process of a local model lived from the warm-up to the end."""
    lost = evidence.lost.get("model_lost", 0)
    return Check("model_lost", lost == 0, lost, 0, "count",
                 "the process of the model ended in the middle: model.log has its last words; if it says nothing, look "
                 "for the out-of-memory killer")


def interrupted(evidence: Evidence) -> Check:
    """The run came to its planned end."""
    return Check("interrupted", not evidence.interrupted, "yes" if evidence.interrupted else "no", "no", "",
                 "the run was cut short: let it finish, or plan a shorter --duration")


def held(evidence: Evidence) -> Check:
    """The in-flight limit delayed at most 0.1 % of the arrivals, so that the load was open loop."""
    share = evidence.held / evidence.offered if evidence.offered and not evidence.closed_loop else 0.0
    return Check("held", share <= MOST_HELD, CLOSED if evidence.closed_loop else share, MOST_HELD, "share",
                 "--max-in-flight delayed arrivals, so the load was not the schedule's: raise it, or lower --rate")


def token_counts(evidence: Evidence) -> Check:
    """Counted tokens equal the server's usage, where it gives one."""
    return Check("token_counts", evidence.usage_wrong == 0, evidence.usage_wrong, 0, "count",
                 f"of {evidence.usage_given:,} answers with a usage these have another number of tokens: "
                 "check that --backend is the server's dialect")


def output_length(evidence: Evidence) -> Check:
    """Answers are within 10 % of the length that was asked for, together."""
    if evidence.asked <= 0:
        return Check("output_length", True, "not asked", LENGTH_TOLERANCE, "share")
    off = evidence.got / evidence.asked - 1
    force = "force it with --body ignore_eos=true, or ask" if evidence.forcible else (
        "this dialect can't force it, so ask")
    reasons = ", ".join(f"{reason or 'none'} {count:,}" for reason, count in sorted(evidence.finish_reasons.items()))
    return Check("output_length", abs(off) <= LENGTH_TOLERANCE, off, LENGTH_TOLERANCE, "share",
                 f"the answers are not as long as asked (finish reasons: {reasons}): {force} with --output-tokens for "
                 "what the model gives")


def overflow(evidence: Evidence) -> Check:
    """No value was beyond an hour, where histograms end."""
    return Check("overflow", evidence.overflow == 0, evidence.overflow, 0, "count",
                 "values above one hour are not in the percentiles: set --timeout below 1h")


def clock(evidence: Evidence) -> Check:
    """The wall clock kept pace with the monotonic one: no step above 1 ms, drift below 0.1 %."""
    remedy = "the wall clock was set during the run and the kernel's stamps with it: let NTP settle, and run again"
    if evidence.clock_step <= MS and evidence.clock_drift >= CLOCK_DRIFT:
        return Check("clock", False, evidence.clock_drift, CLOCK_DRIFT, "share", remedy)
    return Check("clock", evidence.clock_step <= MS, evidence.clock_step, MS, "ns", remedy)
