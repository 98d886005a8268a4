"""From the runs of two sides to a Comparison: what is put together here is decided in the modules beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from loadgen.compare import blocks, cells, comparability, rows
from loadgen.compare.blocks import Blocks
from loadgen.compare.cells import Pair
from loadgen.compare.decide import decide, exit_code, undecided
from loadgen.compare.gates import TOLERANCE, RegressionGate
from loadgen.compare.measured import Measured
from loadgen.metrics import names
from loadgen.outcomes.comparison import Comparison, ComparisonRow, Interval, LoadPair, Side
from loadgen.schedule import rng
from loadgen.types import UsageError


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of two sides."""

    gates: tuple[RegressionGate, ...] = ()
    rows: tuple[str, ...] = ()  # () is the usual ones
    tolerance: float = TOLERANCE
    alpha: float = 0.05
    lax: bool = False  # INVALID runs are a warning
    strict: bool = False  # a gate passes only if its interval rules a regression out
    force: bool = False  # other loads are a warning
    curves: bool = False  # read the rows of all runs, for percentile curves
    interrupted: bool = False
    labels: tuple[str, str] = ("base", "new")


def compare(base: Sequence[Measured], new: Sequence[Measured], question: Question,
            read: Callable[[Measured], Blocks]) -> Comparison:
    """Compare two sides, each of one run or more. `read` cuts the rows of a run into blocks, where they are needed.

    Raises UsageError for sides that were not offered the same load, unless `question.force`.
    """
    pairs, alone = _matched(base, new)
    differences = [f"{pair.label}: {line}" if pair.label else line for pair in pairs
                   for line in comparability.differences(pair.base, pair.new)]
    differences += [f"only one side has runs of {label}" for label in alone]
    if differences and not question.force:
        raise UsageError("\n".join(["the sides were not offered the same load, so a difference says nothing of the "
                                    "server; --force compares them all the same:", *differences]))
    made = _judged([_cell(pair, question, read) for pair in pairs], question)
    gates = [*decide(made, question.gates, question.alpha, question.strict), *undecided(question.gates, alone)]
    doubted = [f"{run.dir} is INVALID: {', '.join(run.doubts)}" for run in (*base, *new) if run.doubts]
    return Comparison(
        tuple(made), tuple(gates), exit_code(gates, bool(doubted) and not question.lax, question.interrupted),
        question.alpha, question.tolerance, tuple(_notes(pairs, [*base, *new])), tuple(doubted),
        question.lax, tuple(differences))


def _matched(base: Sequence[Measured], new: Sequence[Measured]) -> tuple[list[Pair], list[str]]:
    pairs, alone = cells.match(base, new)
    if not pairs:
        raise UsageError("\n".join(["no load is on both sides; each of these is on one:", *alone]))
    return pairs, alone


def _cell(pair: Pair, question: Question, read: Callable[[Measured], Blocks]) -> LoadPair:
    single = len(pair.base) == len(pair.new) == 1
    closed = all(run.report.plan.get("load", {}).get("concurrency") for run in pair.base)
    cut = [[read(run) for run in side] if single or question.curves else [] for side in (pair.base, pair.new)]

    def bootstrap(metric: str, statistic: str) -> Interval | None:
        return blocks.ratio(cut[0][0], cut[1][0], metric, statistic, rng(0, f"bootstrap {metric}.{statistic}"))

    filled = [rows.fill(row, pair.base, pair.new, bootstrap if single else None)
              for row in rows.blank(question.rows, question.gates, closed)]
    drawn = names(lambda one: one.headline) if question.curves else ()
    sides = [Side(label, tuple(run.describe() for run in runs), blocks.curves(parts, drawn),
                  comparability.model_of(runs), comparability.url_of(runs))
             for label, runs, parts in zip(question.labels, (pair.base, pair.new), cut, strict=True)]
    return LoadPair(pair.label, sides[0], sides[1], tuple(row for row in filled if row.gated or _seen(row)), single)


def _seen(row: ComparisonRow) -> bool:
    return row.base.value is not None or row.new.value is not None


def _judged(made: Sequence[LoadPair], question: Question) -> list[LoadPair]:
    """Judge the gated rows of all cells as one family, and the other rows of each cell as one."""
    tolerances = {"": question.tolerance, **{gate.name: gate.tolerance for gate in question.gates}}
    gated = iter(rows.judge([row for cell in made for row in cell.rows if row.gated], question.alpha, tolerances))
    done = []
    for cell in made:
        others = iter(rows.judge([row for row in cell.rows if not row.gated], question.alpha, tolerances))
        done.append(replace(cell, rows=tuple(next(gated if row.gated else others) for row in cell.rows)))
    return done


def _notes(pairs: Sequence[Pair], runs: Sequence[Measured]) -> list[str]:
    notes = []
    if any(len(pair.base) == len(pair.new) == 1 for pair in pairs):
        notes.append("one run a side: the intervals are indicative. They know how much a run varies within itself, not "
                     "how far two runs of one server lie apart, so nothing here is significant: 4 + 4 runs can decide "
                     "one row, 5 + 5 six")
    notes += dict.fromkeys(line for pair in pairs for line in comparability.remarks(pair.base, pair.new))
    small = sum(not run.report.verdict.valid and not run.doubts for run in runs)
    if small:
        notes.append(f"{small} of {len(runs)} runs are too small to decide their own --slo, which is no matter "
                     "here: the sample is a run")
    return notes
