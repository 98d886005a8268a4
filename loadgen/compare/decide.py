"""What becomes of each gate, and the exit code that follows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from loadgen.compare.gates import RegressionGate
from loadgen.exit_codes import FAILED, INTERRUPTED, INVALID, OK
from loadgen.outcomes.comparison import ComparisonRow, GateResult, LoadPair
from loadgen.stats.rank_tests import missing_runs


def decide(cells: Sequence[LoadPair], gates: Sequence[RegressionGate], alpha: float,
           strict: bool = False) -> list[GateResult]:
    """Return the outcome of every gate in every cell: a regression is significant and beyond the tolerance.

    With `strict`, a gate passes only if the interval of its change rules a regression beyond the tolerance out.
    """
    family = sum(row.gated for cell in cells for row in cell.rows)
    results = []
    for cell in cells:
        for gate in gates:
            row = next(row for row in cell.rows if row.name == gate.name)
            result = _decided(gate, cell, row, alpha, family)
            results.append(_proven(result, min(len(cell.base.runs), len(cell.new.runs))) if strict else result)
    return results


def undecided(gates: Sequence[RegressionGate], alone: Sequence[str]) -> list[GateResult]:
    """Return the outcome of every gate in cells that only one side has."""
    return [GateResult(gate.text, gate.name, gate.tolerance, "unknown", "only one side has runs of it", label)
            for label in alone for gate in gates]


def _decided(gate: RegressionGate, cell: LoadPair, row: ComparisonRow, alpha: float, family: int) -> GateResult:
    result = GateResult(gate.text, gate.name, gate.tolerance, "pass", "", cell.label, ratio=row.ratio,
                        better=gate.better)
    if row.verdict == "unknown":
        values = (*row.base_runs, *row.new_runs)
        few = None not in values and any(values)  # else something is missing that more runs don't bring
        missing = missing_runs(len(cell.base.runs), len(cell.new.runs), alpha, family) if few else 0
        return replace(result, outcome="unknown", why=row.why, missing=missing)
    if row.verdict == "worse":
        far = "beyond the tolerance" if row.ratio is not None and row.ratio.value is not None else "from 0"
        return replace(result, outcome="regression", why=f"significant, and {far}")
    if row.p_adjusted is not None and row.p_adjusted > alpha:
        return replace(result, why="no significant difference")
    return replace(result, why="better" if row.verdict == "better" else "within the tolerance")


def _proven(result: GateResult, runs: int) -> GateResult:
    """Turn a pass into "can't tell" where the interval reaches beyond the tolerance.

    How many runs are missing is a guess: an interval narrows with the root of their number. Where the change itself is
    beyond the tolerance, or an end is 0 or infinite, no number is known.
    """
    beyond = result.not_ruled_out
    if result.outcome != "pass" or beyond is None:
        return result
    missing, value = 0, result.ratio.value if result.ratio is not None else None
    if value and 0 < beyond < math.inf:
        sign = 1 if result.better == "less" else -1
        now, limit = (sign * math.log(ratio) for ratio in (value, 1 + sign * result.tolerance))
        half = sign * math.log(beyond) - now
        missing = math.ceil(runs * (half / (limit - now)) ** 2) - runs if now < limit else 0
    return replace(result, outcome="unknown", why="the interval reaches beyond the tolerance", missing=missing)


def exit_code(gates: Sequence[GateResult], doubted: bool, interrupted: bool) -> int:
    """Return 130 if interrupted, 3 if runs are INVALID, 1 for a regression, 3 if a gate can't be decided, else 0."""
    if interrupted:
        return INTERRUPTED
    if doubted:
        return INVALID
    outcomes = {gate.outcome for gate in gates}
    return FAILED if "regression" in outcomes else INVALID if "unknown" in outcomes else OK
