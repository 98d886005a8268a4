"""The Sweep and its Cells: what was run, what came out and what it means, as data that goes to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from loadgen.outcomes.report import MetricSummary, SloResult
from loadgen.types import SECOND, UsageError

SCHEMA: Final = 1

PASSES: Final = "passes"
FAILS: Final = "fails"
UNJUDGED: Final = "unjudged"
"""Outcomes of a cell: every objective met in a steady state; one missed, or no steady state; nothing to be said."""

AXES: Final = ("backend", "url", "input_tokens", "output_tokens", "rate", "concurrency", "run")
"""What can differ between cells, in the order in which they are run: the last one changes first. `run` counts
repetitions."""
GOALS: Final = ("grid", "max-rate", "max-concurrency", "knee", "goodput", "repeat")

Value = float | str
Coordinates = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class SweepCell:
    """One run of a sweep. Instants and durations are ns, rates per second, as in the run's own summary.

    `coordinates` gives its place on each axis; `dir` is its run directory, relative to that of the sweep.
    """

    number: int
    coordinates: Coordinates
    dir: str
    outcome: str  # PASSES, FAILS or UNJUDGED
    reason: str = ""  # why it fails or can't be judged, for people
    exit_code: int = 0
    stable: bool = True  # had a steady state: else its percentiles say how long it ran
    gates: tuple[SloResult, ...] = ()
    metrics: Mapping[str, MetricSummary] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)  # offered, sent, succeeded, failed, censored
    length: int = 0  # of the measured window
    seed: int = 0

    @property
    def load(self) -> float:
        """The rate, or in a closed loop the concurrency."""
        return float(self.coordinates.get("rate") or self.coordinates.get("concurrency") or 0)

    @property
    def judged(self) -> bool:
        """Whether its outcome may bound anything."""
        return self.outcome != UNJUDGED

    def percentile(self, metric: str, name: str) -> int | None:
        """Return a percentile in ns, None where there is none or it is only a bound."""
        summary = self.metrics.get(metric)
        return summary.percentiles.get(name) if summary else None

    @property
    def tokens_per_user(self) -> float | None:
        """Output tokens per second that one user gets: one over the median tpot; None without token times."""
        tpot = self.percentile("tpot", "p50")
        return SECOND / tpot if tpot else None

    def to_json(self) -> dict[str, Any]:
        return {**_plain(self), "metrics": {name: metric.to_json() for name, metric in self.metrics.items()},
                "gates": [asdict(gate) for gate in self.gates]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SweepCell:
        metrics = {name: MetricSummary.from_json(metric) for name, metric in data["metrics"].items()}
        return cls(**{**data, "metrics": metrics, "gates": tuple(SloResult(**gate) for gate in data["gates"])})


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found: the largest load that meets every objective is between `low` and `high`.

    `low` is the largest load that was seen to pass and `high` the smallest that was seen to fail; one of them is None
    where there is none, and `reason` says why then. `confidence` is that of the interval, 0 where its ends were not
    repeated, or where nothing passes and a load below `high` could not be judged. `best` is the single load to name:
    `low` for a maximum, the load itself for the knee and for goodput.
    """

    goal: str
    axis: str  # rate or concurrency
    coordinates: Coordinates = field(default_factory=dict)  # on the other axes
    low: float | None = None
    high: float | None = None
    best: float | None = None
    confidence: float = 0.0
    reason: str = ""
    probes: int = 0
    notes: tuple[str, ...] = ()
    cells: tuple[int, ...] = ()  # numbers of the cells that it rests on

    @property
    def sure(self) -> bool:
        """Whether it was repeated as often as its goal asks; goodput's names a load without a confidence."""
        return self.confidence > 0 or self.goal == "goodput"

    @property
    def missed(self) -> bool:
        """Whether no load passes, for sure: down to the lowest, or to one at which the server is idle."""
        return self.best is None and self.low is None and self.high is not None and self.sure

    def to_json(self) -> dict[str, Any]:
        return _plain(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchResult:
        return cls(**{**data, "notes": tuple(data["notes"]), "cells": tuple(data["cells"])})


@dataclass(frozen=True, slots=True)
class Sizing:
    """What an answer means for a fleet: one replica carries `per_replica` requests per second.

    `needed` is target_rate / per_replica, `replicas` the whole number with headroom. `cost` is the price of a million
    output tokens, in the unit of the price per hour; None where no price or no output tokens are known.
    """

    per_replica: float
    coordinates: Coordinates = field(default_factory=dict)
    target_rate: float | None = None
    headroom: float = 0.0
    needed: float | None = None
    replicas: int | None = None
    output_tokens: float | None = None  # per second of one replica at that rate
    price_per_hour: float | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Across:
    """One statistic over repeated runs, of which each gives one value: the sample is a run.

    `name` is that of an objective's left side, as ttft.p99. `low` and `high` are the ends of the 95 % interval of its
    mean (Student's t, and not narrower than what all requests together tell of a share); None with fewer than two
    values, and where `missing` runs have none: the others are no sample then. `ok` says whether `slo` is met by all of
    the interval, False if by none of it, None in between; `slo` is "" where none speaks of it.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    mean: float | None
    low: float | None = None
    high: float | None = None
    slo: str = ""
    ok: bool | None = None
    coordinates: Coordinates = field(default_factory=dict)
    missing: int = 0

    @property
    def runs(self) -> int:
        """How many runs there are, those without a value included."""
        return len(self.values) + self.missing


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep, whole or as far as it came. `axes` hold the values that were asked for, in order.

    `resume` is the command that goes on with it, "" when nothing is left to do; `stopped` says why it is not whole.
    """

    goal: str
    axes: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    cells: tuple[SweepCell, ...] = ()
    slo: tuple[str, ...] = ()
    answers: tuple[SearchResult, ...] = ()
    sizings: tuple[Sizing, ...] = ()
    planned: int | None = None  # cells of a grid; a search does not know beforehand
    stopped: str = ""
    resume: str = ""
    exit_code: int = 0
    plan: Mapping[str, Any] = field(default_factory=dict)  # what all cells have in common, secrets masked
    provenance: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Any] = field(default_factory=dict)  # see capacity.curves
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the search, and what is done between cells
    across: tuple[Across, ...] = ()  # statistics over repetitions

    @property
    def whole(self) -> bool:
        return not self.stopped

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "kind": "sweep", **_plain(self),
                "axes": {name: list(values) for name, values in self.axes.items()},
                "cells": [cell.to_json() for cell in self.cells],
                "answers": [answer.to_json() for answer in self.answers],
                "sizings": [asdict(sizing) for sizing in self.sizings],
                "across": [_plain(one) for one in self.across]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Sweep:
        """Read what `to_json` wrote. Raise UsageError for a newer schema, or for what is no sweep."""
        version = data.get("schema")
        if data.get("kind") != "sweep" or not isinstance(version, int):
            raise UsageError("this is not a sweep.json: its kind is not sweep")
        if version > SCHEMA:
            raise UsageError(f"this sweep.json was written by a newer loadgen (schema {version}, known is {SCHEMA}): "
                             "upgrade loadgen to read it")
        try:
            return cls(**{**{one.name: data[one.name] for one in fields(cls)}, "slo": tuple(data["slo"]),
                          "axes": {name: tuple(values) for name, values in data["axes"].items()},
                          "cells": tuple(map(SweepCell.from_json, data["cells"])),
                          "answers": tuple(map(SearchResult.from_json, data["answers"])),
                          "sizings": tuple(Sizing(**sizing) for sizing in data["sizings"]),
                          "across": tuple(Across(**{**one, "values": tuple(one["values"])})
                                          for one in data["across"])})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UsageError(f"this sweep.json is damaged ({type(error).__name__}: {error}): the sweep that wrote it "
                             "makes it again") from error


def _plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as they are, tuples as lists and mappings as dicts."""
    found: dict[str, Any] = {}
    for one in fields(value):
        content = getattr(value, one.name)
        found[one.name] = list(content) if isinstance(content, tuple) else (
            dict(content) if isinstance(content, Mapping) else content)
    return found
