"""A comparison in words: the headline, the cells of its table, and what became of the gates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from loadgen.exit_codes import INTERRUPTED, INVALID
from loadgen.outcomes.comparison import Comparison, ComparisonRow, GateResult, Interval, LoadPair, Side
from loadgen.reports.format import clean, count, duration, quantity, rate
from loadgen.reports.text.table import interval

HEADER: Final = ("", "base", "", "new", "", "change", "", "p", "n", "")
LEFT: Final = (0, 2, 4, 6, 9)
"""Columns whose texts begin at their left edge."""
_SAME: Final = "~"
_UNKNOWN: Final = "?"


class Words(NamedTuple):
    """A verdict in a word or two, and what it means."""

    word: str
    meaning: str


def headline(comparison: Comparison) -> Words:
    """Say what the comparison comes to."""
    gates, code = comparison.gates, comparison.exit_code
    failed = [gate for gate in gates if gate.outcome == "regression"]
    undecided = [gate for gate in gates if gate.outcome == "unknown"]
    if code == INTERRUPTED:
        return Words("INTERRUPTED", "what was measured until then")
    if code == INVALID and comparison.warnings and not comparison.lax:
        runs = sum(len(side.runs) for cell in comparison.cells for side in (cell.base, cell.new))
        return Words("INVALID", f"{len(comparison.warnings)} of {runs} runs must not be believed (--lax: a warning)")
    if failed:
        return Words("REGRESSION", f"{len(failed)} of {len(gates)} gates failed")
    if undecided:
        missing = max(gate.missing for gate in undecided)
        more = f": {missing} more run{'s' if missing > 1 else ''} a side" if missing else ""
        return Words("CAN'T TELL", f"{len(undecided)} of {len(gates)} gates undecided{more}")
    if gates:
        return Words("PASS", f"no regression by {len(gates)} gate{'s' if len(gates) > 1 else ''}")
    return Words("COMPARED", f"{_tally(comparison)}; no --fail-on, so nothing is gated")


def _tally(comparison: Comparison) -> str:
    verdicts = [row.verdict for cell in comparison.cells for row in cell.rows]
    words = {"worse": "worse", "better": "better", "same": "the same", "unknown": "not to tell"}
    return ", ".join(f"{verdicts.count(verdict)} {word}" for verdict, word in words.items()
                     if verdict in verdicts) or "nothing"


def cells_of(row: ComparisonRow, indicative: bool, alpha: float) -> tuple[str, ...]:
    """Write a row of the table, in the columns of HEADER."""
    p = row.p if row.p_adjusted is None else row.p_adjusted
    small = row.verdict == "same" and p is not None and p <= alpha
    verdict = {"better": "better", "worse": "worse", "same": "within tolerance" if small else "",
               "unknown": "indicative" if indicative and row.ratio else ""}[row.verdict]
    known = "+".join(str(sum(value is not None for value in side)) for side in (row.base_runs, row.new_runs))
    return (row.name + ("*" if row.gated else ""), *_value(row.base, row.unit), *_value(row.new, row.unit),
            *_change(row, bool(verdict)), "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}", known, verdict)


def _change(row: ComparisonRow, told: bool) -> tuple[str, str]:
    """Write the change, "~" where none can be told from chance and "?" where nothing can be told, and its interval."""
    ratio = row.ratio
    if ratio is None:
        return _UNKNOWN, ""
    change = "from 0" if ratio.value is None else percent(ratio.value)
    return (change if told else _SAME if row.verdict == "same" else _UNKNOWN,
            _ends(ratio) if ratio.confidence and ratio.value is not None else "")


def _ends(ratio: Interval) -> str:
    return f"[{', '.join('unbounded' if end is None else percent(end) for end in (ratio.low, ratio.high))}]"


def percent(ratio: float) -> str:
    """Write a ratio as a change: 1.052 is "+5.2 %"."""
    change = (ratio - 1) * 100
    return f"{change:+,.{0 if abs(change) >= 100 else 1}f} %"


def _value(estimate: Interval, unit: str) -> tuple[str, str]:
    written = duration(estimate.value) if unit == "ns" else quantity(estimate.value, unit)
    if estimate.bound:
        return f">= {written}", ""
    if estimate.low is None or estimate.high is None:
        return written, ""
    if unit == "per_second":
        return written, f"[{rate(estimate.low)}, {rate(estimate.high)}]"
    return written, interval((estimate.low, estimate.high), unit)


def gate_words(gate: GateResult) -> list[str]:
    """Write what became of a gate, in items: the gate, the outcome, the change, and why."""
    change = ""
    if gate.ratio is not None and gate.ratio.value is not None:
        change = percent(gate.ratio.value) + (f" {_ends(gate.ratio)}" if gate.ratio.confidence else "")
    worst = gate.not_ruled_out
    if gate.outcome == "pass" and worst is not None:
        change += f", {'any' if worst == math.inf else percent(worst)} not ruled out"
    outcome = {"pass": "pass", "regression": "REGRESSION", "unknown": "CAN'T TELL"}[gate.outcome]
    missing = f"{gate.missing} more run{'s' if gate.missing > 1 else ''} a side" if gate.missing else ""
    name = f"{clean(gate.cell)}: {gate.text}" if gate.cell else gate.text
    return list(filter(None, [name, outcome, change, clean(gate.why), missing]))


def unsure(cell: LoadPair) -> Iterator[str]:
    """Say why rows of a cell can't be told, each reason once with the rows that it is of."""
    reasons: dict[str, list[str]] = {}
    for row in cell.rows:
        if row.verdict == "unknown" and row.why and not (row.gated or cell.indicative):
            reasons.setdefault(row.why, []).append(row.name)
    for why, names in reasons.items():
        yield f"{', '.join(names)}: {clean(why)}"


def side_words(side: Side) -> list[str]:
    """Write a side in items: its label, how many runs, their seeds, the model and the address."""
    seeds = sorted({run.seed for run in side.runs})
    said = f"seed{'s' if len(seeds) > 1 else ''} {_ranges(seeds)}"
    return [clean(side.label), f"{count(len(side.runs))} run{'s' if len(side.runs) != 1 else ''}", said,
            clean(side.model), clean(side.url)]


def _ranges(numbers: Sequence[int]) -> str:
    """Write sorted numbers with runs of them joined: "1-5, 8"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else f"{part[0]}" for part in parts)


def confidences(cell: LoadPair) -> str:
    """Say what the brackets of the table hold, by what the runs can give."""
    if cell.indicative:
        return "brackets: 95 % of each run's own value; of the change, the block bootstrap's 95 %"
    values = {_whole(row.base.confidence) for row in cell.rows if row.base.confidence}
    changes = {_whole(row.ratio.confidence) for row in cell.rows if row.ratio and row.ratio.confidence}
    parts = [f"the median run with {' or '.join(sorted(values))}" if values else "",
             f"the change with {' or '.join(sorted(changes))}" if changes else ""]
    said = ", ".join(filter(None, parts))
    return f"brackets hold {said}; p is two-sided (Mann-Whitney, Holm)" if said else ""


def _whole(share: float) -> str:
    return f"{share * 100:.1f} %"
