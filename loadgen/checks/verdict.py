"""The verdict and the exit code that follow from the checks."""

from __future__ import annotations

from collections.abc import Sequence

from loadgen.checks.gates import Decision
from loadgen.checks.inputs import Evidence, evidence
from loadgen.checks.table import known
from loadgen.exit_codes import FAILED, INTERRUPTED, INVALID, OK
from loadgen.outcomes.report import Verdict
from loadgen.outcomes.run_record import RunRecord
from loadgen.recorder import Recorder


def judge(seen: Evidence, notes: Sequence[str] = ()) -> Verdict:
    """Apply every check and every gate. A row that holds carries no remedy."""
    judged = [(check, result) for check in known() if (result := check.result(seen)) is not None]
    checks = tuple(result for _, result in judged)
    valid = all(check.ok or check.warning for check in checks) and not seen.aborted
    sound = all(result.ok or not check.blames_client for check, result in judged)
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
    results = (check.result(seen) for check in known() if check.live)
    return tuple(result.name for result in results if result is not None and not result.ok)


def _met(one: Decision) -> bool:
    return one.likely if one.gate.ok is None else one.gate.ok
