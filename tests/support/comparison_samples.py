"""Comparisons that a renderer must cope with, made by hand."""

from __future__ import annotations

from dataclasses import replace

from loadgen.outcomes.comparison import (
    Comparison,
    ComparisonRow,
    GateResult,
    Interval,
    LoadPair,
    RunRef,
    Side,
    SideCurve,
)

MS = 1_000_000


def curve(p50: float, p99: float, count: int = 600) -> SideCurve:
    """A percentile curve through two values in ms."""
    points = ((0.0, p50 / 2), (0.5, p50), (0.9, (p50 + p99) / 2), (0.99, p99), (1.0, p99 * 1.2))
    return SideCurve("ns", count, tuple((share, int(value * MS)) for share, value in points))


def side(label: str, scale: float = 1.0, runs: int = 5, **changes: object) -> Side:
    """A side of `runs` valid runs, slower than the base by `scale`."""
    made = tuple(RunRef(f"{label}/{label}-{i}", seed=i, requests=600) for i in range(1, runs + 1))
    curves = {"ttft": curve(184 * scale, 341 * scale), "itl": curve(19.8 * scale, 31.4 * scale, 75_946)}
    return replace(Side(label, made, curves, "Qwen2.5-7B", "http://127.0.0.1:8000"), **changes)  # type: ignore[arg-type]


def row(name: str, base: float, ratio: float, p: float, verdict: str, half: float = 0.03,
        **changes: object) -> ComparisonRow:
    """A row of 5 + 5 runs, base in ms."""
    metric, _, statistic = name.partition(".")

    def around(value: float) -> Interval:
        return Interval(value * MS, value * MS * (1 - half), value * MS * (1 + half), 0.9375)

    def values(value: float) -> tuple[float, ...]:
        return tuple(value * MS * (1 + half * step) for step in (-1, -0.4, 0, 0.5, 1))

    made = ComparisonRow(metric, statistic, "ns", "less", around(base), around(base * ratio), values(base),
                         values(base * ratio),
               Interval(ratio, ratio * (1 - half), ratio * (1 + half), 0.968), p, min(1.0, 6 * p),
               verdict)  # type: ignore[arg-type]
    return replace(made, **changes)  # type: ignore[arg-type]


ROWS = (row("ttft.p50", 184, 1.004, 0.69, "same"), row("ttft.p99", 341, 1.021, 0.31, "same", half=0.07),
        row("itl.mean", 19.8, 1.1, 0.0079, "worse", half=0.01), row("itl.p99", 31.4, 1.09, 0.0079, "worse"),
        row("e2e.p50", 2740, 1.09, 0.0079, "worse", half=0.01), row("e2e.p99", 3310, 0.93, 0.0079, "better"))

regression = Comparison(
    (LoadPair("", side("base"), side("new", 1.1), ROWS),),
    (GateResult("itl.p99>3%", "itl.p99", 0.03, "regression", "significant, and beyond the tolerance",
                ratio=ROWS[3].ratio),
     GateResult("ttft.p99>5%", "ttft.p99", 0.05, "pass", "no significant difference", ratio=ROWS[1].ratio)), 1,
    notes=("the model is the same on both sides",))
equal = Comparison((LoadPair("", side("base"), side("new"), ROWS[:2]),), (), 0)
few = Comparison(
    (LoadPair("", side("base", runs=3), side("new", runs=3),
          tuple(replace(one, verdict="unknown", why="3 + 3 runs: 5 + 5 are needed", p=0.1, p_adjusted=0.6,
                        ratio=replace(one.ratio, low=None, high=None, confidence=0.0) if one.ratio else None)
                for one in ROWS)),),
    (GateResult("itl.p99>3%", "itl.p99", 0.03, "unknown", "3 + 3 runs can't be significant", missing=1),), 3)
indicative = Comparison(
    (LoadPair("", side("base", runs=1), side("new", 1.1, runs=1),
          tuple(replace(one, p=None, p_adjusted=None, verdict="unknown", why="one run a side", base_runs=(1.0,),
                        new_runs=(1.1,)) for one in ROWS), indicative=True),), (), 0,
    notes=("one run a side: the intervals are indicative, they don't know how much runs differ",))
bound = Comparison(
    (LoadPair("", side("base"), side("new"), (
        ROWS[0], replace(ROWS[1], base=Interval(402.0 * MS, bound=True), new=Interval(410.0 * MS, bound=True),
                         base_runs=(None,) * 5, new_runs=(None,) * 5, ratio=None, p=None, p_adjusted=None,
                         verdict="unknown", why="a run needs 299 requests for a p99"))),), (), 0)
invalid = replace(regression, exit_code=3, warnings=("new/new-2 is INVALID: coalesced, lag",))
lax = replace(invalid, exit_code=1, lax=True)
interrupted = replace(equal, exit_code=130, notes=("interrupted after 4 runs: the comparison is of 2 whole pairs",))
passed = replace(regression, gates=regression.gates[1:], exit_code=0)
forced = replace(regression, differences=("rate: 10 against 12",))
sweep = replace(regression, cells=tuple(replace(regression.cells[0], label=label) for label in ("rate 1", "rate 2")),
                gates=tuple(replace(gate, cell=cell) for cell in ("rate 1", "rate 2") for gate in regression.gates))
empty = Comparison((), (), 0)

ALL = {name: value for name, value in globals().items() if isinstance(value, Comparison)}
