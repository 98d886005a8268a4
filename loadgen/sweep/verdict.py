"""The exit code of a sweep, from its cells and answers alone."""

from __future__ import annotations

from loadgen.capacity.model import FAILS, UNJUDGED, Sweep

VALID, MISSED, INVALID = 0, 1, 3


def exit_code(sweep: Sweep) -> int:
    """Return 0 if the question is answered, 1 if objectives are missed, 3 if it can't be said.

    A search is answered if some load passes and what bounds it is sure (goodput and a limit of the client or of
    --highest included), missed if no load does. A grid is as its cells: 3 if one can't be judged, else 1 if one fails.
    Repetitions are judged together where objectives were given, and 1 if any run fails otherwise.
    """
    if sweep.answers or sweep.goal in ("max-rate", "max-concurrency", "knee", "goodput"):
        return max((_of_answer(sweep, index) for index in range(len(sweep.answers))), default=INVALID)
    if sweep.goal == "repeat":
        return _of_repetitions(sweep)
    outcomes = {cell.outcome for cell in sweep.cells}
    if UNJUDGED in outcomes or not outcomes:
        return INVALID
    return MISSED if FAILS in outcomes else VALID


def _of_answer(sweep: Sweep, index: int) -> int:
    answer = sweep.answers[index]
    if answer.best is not None:
        return VALID if answer.confidence or answer.goal == "goodput" else INVALID
    of_search = [cell for cell in sweep.cells if cell.number in answer.cells]
    return MISSED if of_search and any(cell.outcome == FAILS for cell in of_search) else INVALID


def _of_repetitions(sweep: Sweep) -> int:
    gates = [one for one in sweep.across if one.slo]
    ailing = [cell for cell in sweep.cells
              if cell.outcome == FAILS and not any(gate.ok is False for gate in cell.gates)]
    if ailing or any(one.ok is False for one in gates):
        return MISSED
    spoilt = [cell for cell in sweep.cells if cell.outcome == UNJUDGED and _is_client(cell.reason)]
    if spoilt or any(one.ok is None for one in gates) or len(sweep.cells) < 2:
        return INVALID
    return VALID


def _is_client(reason: str) -> bool:
    """Say whether the client or the set-up spoilt a run; one that was too short alone still counts among others."""
    return reason.partition(":")[0] not in ("sample_size", "precision", "duration")
