"""The one table of checks: each row is a check, and everything else takes its lists from here."""

from __future__ import annotations

from loadgen.checks import rows, sample
from loadgen.checks.check import CLIENT, SERVER, SETUP, SHORT, Check

CHECKS: tuple[Check, ...] = (
    Check("interrupted", "client", rows.interrupted, cause=CLIENT,
          remedy="the run was cut short: let it finish, or plan a shorter --duration"),
    Check("sender_lost", "client", rows.sender_lost, live=True, cause=CLIENT, blames_client=True,
          remedy="a sender process died and its requests with it: look for the out-of-memory killer, and run again"),
    Check("model_lost", "client", rows.model_lost, live=True, cause=CLIENT, blames_client=True,
          remedy="the process of the model ended in the middle: model.log has its last words; if it says nothing, look "
                 "for the out-of-memory killer"),
    Check("schedule", "client", rows.schedule, cause=SETUP),
    Check("lag", "client", rows.lag, live=True, cause=CLIENT, blames_client=True),
    Check("coalesced", "client", rows.coalesced, live=True, cause=CLIENT, blames_client=True),
    Check("receive_lag", "client", rows.receive_lag, live=True, cause=CLIENT, blames_client=True),
    Check("loop_stall", "client", rows.loop_stall, live=True, cause=CLIENT, blames_client=True,
          remedy="a sender was kept from running: stop what else runs on this machine, or fewer --senders than cores"),
    Check("held", "client", rows.held, live=True, cause=CLIENT, blames_client=True,
          remedy="--max-in-flight delayed arrivals, so the load was not the schedule's: raise it, or lower --rate"),
    Check("clock", "client", rows.clock, live=True, cause=CLIENT, blames_client=True,
          remedy="the wall clock was set during the run and the kernel's stamps with it: let NTP settle, and run "
                 "again"),
    Check("errors", "server", rows.errors, live=True, cause=SERVER),
    Check("censored", "server", rows.censored, cause=SERVER,
          remedy="requests were still running at the end, so the slowest are missing: a longer --drain, a lower "
                 "--rate"),
    Check("steady_state", "server", sample.steady_state, cause=SHORT),
    Check("little", "server", sample.little, cause=SHORT,
          remedy="the number in flight doesn't fit rate x time, so the window is not stationary: a longer --warmup or "
                 "--duration"),
    Check("token_counts", "numbers", rows.token_counts, live=True, cause=SETUP),
    Check("output_length", "server", rows.output_length, cause=SETUP),
    Check("overflow", "client", rows.overflow, live=True, cause=SETUP, blames_client=True,
          remedy="values above one hour are not in the percentiles: set --timeout below 1h"),
    Check("duration", "numbers", sample.duration, cause=SHORT),
    Check("sample_size", "numbers", sample.sample_size, cause=SHORT, of_one_run=True),
    Check("precision", "numbers", sample.precision, cause=SHORT, of_one_run=True),
)
"""Every check, the most damning first. A check that is not among the results of a run did not apply to it."""


def known() -> tuple[Check, ...]:
    """Return all checks."""
    return CHECKS


def find(name: str) -> Check | None:
    """Return the check of a name, None for one that only another version of loadgen knows."""
    return next((check for check in CHECKS if check.name == name), None)
