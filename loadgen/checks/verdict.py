"""The table of checks, and the verdict and exit code that follow from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from loadgen.checks import rows, sample
from loadgen.checks.gates import Decision
from loadgen.checks.inputs import Evidence, evidence
from loadgen.exit_codes import FAILED, INTERRUPTED, INVALID, OK
from loadgen.outcomes.report import Check, Verdict
from loadgen.outcomes.run_record import RunRecord
from loadgen.recorder import Recorder

CHECKS: Final[tuple[Callable[[Evidence], Check], ...]] = (
    rows.interrupted, rows.sender_lost, rows.model_lost, rows.schedule, rows.lag, rows.receive, rows.loop_stall,
    rows.held, rows.clock, rows.errors, rows.censored, sample.steady_state, sample.little, rows.token_counts,
    rows.output_length, rows.overflow, sample.duration, sample.sample_size, sample.precision)
"""Every row, the most damning first."""

_SOUND: Final = ("sender_lost", "model_lost", "lag", "receive_lag", "coalesced", "loop_stall", "held", "clock",
                 "overflow")
"""Rows about the client, which a run that was given up must hold for the failure to be the server's."""

_LIVE: Final = (rows.sender_lost, rows.model_lost, rows.lag, rows.receive, rows.loop_stall, rows.held, rows.clock,
                rows.errors, rows.token_counts, rows.overflow)


def judge(seen: Evidence, notes: Sequence[str] = ()) -> Verdict:
    """Apply every check and every gate. A row that holds carries no remedy."""
    checks = tuple(_quiet(check(seen)) for check in CHECKS)
    valid = all(check.ok or check.warning for check in checks) and not seen.aborted
    sound = all(check.ok or check.name not in _SOUND for check in checks)
    return Verdict(valid, exit_code(seen, valid, sound), checks, tuple(one.gate for one in seen.gates), tuple(notes),
                   seen.interrupted, seen.aborted)


def exit_code(seen: Evidence, valid: bool, sound: bool = True) -> int:
    """Return 130 if interrupted, else 3 if INVALID, else 1 if an objective is not met, else 0.

    A run that was given up because it was certain to fail has failed: 1, unless the client was not `sound`. With --lax
    an objective that can't be decided is held against the sample's own number.
    """
    if seen.interrupted:
        return INTERRUPTED
    if seen.aborted and sound:
        return FAILED
    if not valid:
        return INVALID
    return OK if all(_met(one) for one in seen.gates) else FAILED


def warnings(recorder: Recorder, record: RunRecord) -> tuple[str, ...]:
    """Return the names of the checks that fail so far, for the live view: those that don't wait for the end."""
    seen = evidence(recorder, record, whole=False)
    return tuple(row.name for row in (check(seen) for check in _LIVE) if not row.ok)


def _met(one: Decision) -> bool:
    return one.likely if one.gate.ok is None else one.gate.ok


def _quiet(check: Check) -> Check:
    return Check(check.name, True, check.seen, check.limit, check.unit) if check.ok else check
