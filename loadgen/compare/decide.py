"""What becomes of each gate, and the exit code that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from loadgen.compare.gates import Gate
from loadgen.comparison import Cell, GateResult, Row
from loadgen.ranks import missing_runs

PASS: Final = 0
REGRESSION: Final = 1
UNKNOWN: Final = 3
INTERRUPTED: Final = 130


def decide(cells: Sequence[Cell], gates: Sequence[Gate], alpha: float) -> list[GateResult]:
    """Return the outcome of every gate in every cell: a regression is significant and beyond the tolerance."""
    family = sum(row.gated for cell in cells for row in cell.rows)
    return [_decided(gate, cell, next(row for row in cell.rows if row.name == gate.name), alpha, family)
            for cell in cells for gate in gates]


def undecided(gates: Sequence[Gate], alone: Sequence[str]) -> list[GateResult]:
    """Return the outcome of every gate in cells that only one side has."""
    return [GateResult(gate.text, gate.name, gate.tolerance, "unknown", "only one side has runs of it", label)
            for label in alone for gate in gates]


def _decided(gate: Gate, cell: Cell, row: Row, alpha: float, family: int) -> GateResult:
    result = GateResult(gate.text, gate.name, gate.tolerance, "pass", "", cell.label, ratio=row.ratio)
    if row.verdict == "unknown":
        missing = missing_runs(len(cell.base.runs), len(cell.new.runs), alpha, family)
        return replace(result, outcome="unknown", why=row.why, missing=missing)
    if row.verdict == "worse":
        return replace(result, outcome="regression", why="significant, and beyond the tolerance")
    if row.p_adjusted is not None and row.p_adjusted > alpha:
        return replace(result, why="no significant difference")
    return replace(result, why="better" if row.verdict == "better" else "within the tolerance")


def exit_code(gates: Sequence[GateResult], doubted: bool, interrupted: bool) -> int:
    """Return 130 if interrupted, 3 if runs are INVALID, 1 for a regression, 3 if a gate can't be decided, else 0."""
    if interrupted:
        return INTERRUPTED
    if doubted:
        return UNKNOWN
    outcomes = {gate.outcome for gate in gates}
    return REGRESSION if "regression" in outcomes else UNKNOWN if "unknown" in outcomes else PASS
