"""The exit code of a sweep, from its cells and answers alone."""

from __future__ import annotations

from loadgen.capacity.model import FAILS, UNJUDGED, SearchResult, Sweep
from loadgen.checks.table import find
from loadgen.exit_codes import FAILED, INVALID, OK
from loadgen.slo import expand


def exit_code(sweep: Sweep) -> int:
    """Return 0 if the question is answered, 1 if objectives are missed, 3 if it can't be said.

    A search is answered if some load passes and what bounds it is sure (goodput and a limit of the client or of
    --highest included), missed if the lowest load fails for sure. A grid is as its cells: 3 if one can't be judged,
    else 1 if one fails. Repetitions are judged together where objectives were given, and 1 if any run fails otherwise.
    """
    if sweep.answers or sweep.goal in ("max-rate", "max-concurrency", "knee", "goodput"):
        return max((_of_answer(answer) for answer in sweep.answers), default=INVALID)
    if sweep.goal == "repeat":
        return _of_repetitions(sweep)
    outcomes = {cell.outcome for cell in sweep.cells}
    if UNJUDGED in outcomes or not outcomes:
        return INVALID
    return FAILED if FAILS in outcomes else OK


def _of_answer(answer: SearchResult) -> int:
    if answer.best is not None:
        return OK if answer.sure else INVALID
    return FAILED if answer.missed else INVALID


def _of_repetitions(sweep: Sweep) -> int:
    """Judge runs together: every objective must be decided. Under --lax one that is not is left to each run alone."""
    gates = [one for one in sweep.across if one.slo]
    ailing = [cell for cell in sweep.cells
              if cell.outcome == FAILS and not any(gate.ok is False for gate in cell.gates)]
    if ailing or any(one.ok is False for one in gates):
        return FAILED
    spoilt = [cell for cell in sweep.cells if cell.outcome == UNJUDGED and _is_spoilt(cell.reason)]
    if spoilt or len(sweep.cells) < 2:
        return INVALID
    met = {one.slo for one in gates if one.ok} - {one.slo for one in gates if not one.ok}
    if all(slo.text in met for slo in expand(sweep.slo)):
        return OK
    if not sweep.plan.get("judgement", {}).get("lax"):
        return INVALID
    return FAILED if any(cell.outcome == FAILS for cell in sweep.cells) else OK


def _is_spoilt(reason: str) -> bool:
    """Say whether a run says nothing; one with too few requests to decide alone still counts among others."""
    check = find(reason.partition(":")[0])
    return check is None or not check.of_one_run
