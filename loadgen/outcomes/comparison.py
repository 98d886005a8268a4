"""The Comparison: two sides, what was measured on each, and what the difference is, as data to JSON and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from loadgen.types import UsageError

SCHEMA: Final = 1

Verdict = Literal["better", "worse", "same", "unknown"]
"""Of a row. `same`: no significant difference, or one within the tolerance. `unknown`: too few runs to tell."""
Outcome = Literal["pass", "regression", "unknown"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the interval that holds the truth with `confidence`; without one, `low` and `high` are None.

    With `bound`, the samples carry no value: the truth is at least `value`. The value is None where nothing was seen.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float = 0.0
    bound: bool = False


@dataclass(frozen=True, slots=True)
class RunRef:
    """One run of a side: its directory, its verdict, and the names of the checks that failed."""

    dir: str
    valid: bool = True
    failing: tuple[str, ...] = ()
    seed: int = 0
    requests: int = 0  # that succeeded in the window
    started: str = ""


@dataclass(frozen=True, slots=True)
class SideCurve:
    """The percentile curve of one metric over all runs of a side: (share, value) from the smallest to the largest.

    Values are in the metric's unit; shares are 0 to 1, the last one is 1.
    """

    unit: str
    count: int
    points: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a cell. `curves` is by metric; empty unless the rows of the runs were read."""

    label: str
    runs: tuple[RunRef, ...]
    curves: Mapping[str, SideCurve] = field(default_factory=dict)
    model: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One statistic of one metric on both sides; values in `unit` (ns, count or per_second).

    `base` and `new` are the median of the runs' own values, or that of the only run; `base_runs` and `new_runs` are
    those values, in the order of the side's runs, None where a run can't carry it. `ratio` is new / base, 1 for no
    difference: the Hodges-Lehmann estimate, or that of the block bootstrap if each side has one run, and then it is
    only indicative. Against a base of 0 it is infinite: value or `high` is None although there is a confidence. `p` is
    of the two-sided Mann-Whitney test; `p_adjusted` holds over all rows of its family.
    """

    metric: str
    statistic: str  # a key of report.PERCENTILES, "mean", or "" for a rate of the whole run
    unit: str
    better: Literal["less", "more"]
    base: Interval
    new: Interval
    base_runs: tuple[float | None, ...] = ()
    new_runs: tuple[float | None, ...] = ()
    ratio: Interval | None = None
    p: float | None = None
    p_adjusted: float | None = None
    verdict: Verdict = "unknown"
    gated: bool = False
    why: str = ""  # why the verdict is unknown

    @property
    def name(self) -> str:
        """The statistic as users write it: "ttft.p99", "output_tokens"."""
        return f"{self.metric}.{self.statistic}" if self.statistic else self.metric


@dataclass(frozen=True, slots=True)
class LoadPair:
    """Runs of one load on both sides. `label` tells the cells of a sweep apart; "" where there is only one."""

    label: str
    base: Side
    new: Side
    rows: tuple[ComparisonRow, ...]
    indicative: bool = False  # one run a side: intervals are of the block bootstrap, nothing is significant


@dataclass(frozen=True, slots=True)
class GateResult:
    """What became of one --fail-on in one cell; `missing` is how many more runs a side would decide it, if it knows."""

    text: str
    row: str
    tolerance: float  # share, of the base's value
    outcome: Outcome
    why: str
    cell: str = ""
    missing: int = 0
    ratio: Interval | None = None  # that of the row
    better: Literal["less", "more"] = "less"

    @property
    def not_ruled_out(self) -> float | None:
        """The worst ratio inside the interval, if that is worse than the tolerance allows; else None."""
        end = None if self.ratio is None else self.ratio.high if self.better == "less" else self.ratio.low
        if end is None:
            if self.ratio is None or not self.ratio.confidence:
                return None
            end = math.inf
        return end if (end > 1 + self.tolerance if self.better == "less" else end < 1 - self.tolerance) else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything a renderer needs of a comparison. `differences` are those of the loads, taken with --force."""

    cells: tuple[LoadPair, ...]
    gates: tuple[GateResult, ...]
    exit_code: int  # 0, 1 a regression, 3 it can't tell or a run is INVALID, 130 interrupted
    alpha: float = 0.05
    tolerance: float = 0.03
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # INVALID runs: which and why
    lax: bool = False  # they were asked to be no more than warnings
    differences: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the content of comparison.json."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return {"schema": SCHEMA, **data}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Comparison:
        """Read it back. Raise UsageError for a newer schema or what is no comparison."""
        version = data.get("schema")
        if isinstance(version, int) and version > SCHEMA:
            raise UsageError(f"the comparison was written by a newer loadgen (schema {version}, known is {SCHEMA}): "
                             "upgrade loadgen to read it")
        try:
            return msgspec.convert({key: value for key, value in data.items() if key != "schema"}, cls)
        except msgspec.ValidationError as error:
            raise UsageError(f"this is not a comparison.json of loadgen: {error}") from None
