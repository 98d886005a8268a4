"""The Report: plan, numbers, checks and verdict of a run, as data that goes to JSON and back (summary.json)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

SCHEMA: Final = 1
PAGE: Final = "report.html"
"""The page of a run, a sweep or a comparison, in its directory."""
_MAPPINGS: Final = ("requests", "rates", "client", "schedule", "window", "provenance", "plan", "server")
PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One row of the verdict. `seen` and `limit` are numbers in the check's unit or short texts."""

    name: str
    ok: bool
    seen: float | str
    limit: float | str
    unit: str = ""  # ns | share | count | "" for text
    remedy: str = ""
    warning: bool = False  # fails, but --lax (or its own nature) makes it no reason for INVALID


@dataclass(frozen=True, slots=True)
class SloResult:
    """One SLO, decided on the upper bound of the interval. `ok` is None when it can't be decided."""

    slo: str
    ok: bool | None
    seen: float | None
    upper: float | None
    unit: str = "ns"
    needed: int = 0  # requests that would decide it, when ok is None


@dataclass(frozen=True, slots=True)
class Verdict:
    valid: bool
    exit_code: int
    checks: tuple[CheckResult, ...]
    gates: tuple[SloResult, ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    aborted: str = ""  # why the run was given up before its end (--abort-on-fail)


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """One metric. Values are in `unit`. A percentile that the sample can't carry is in `bounds`: true value >= it.

    `interval[p]` is the 95 % interval [low, high]; high is None where the sample gives no upper bound.
    """

    unit: str
    count: int
    min: int | None
    max: int | None
    mean: float | None
    percentiles: Mapping[str, int]
    interval: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    bounds: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"unit": self.unit, "count": self.count, "min": self.min, "max": self.max, "mean": self.mean,
                **self.percentiles, "interval": dict(self.interval), "bounds": dict(self.bounds)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MetricSummary:
        percentiles = {p: data[p] for p in PERCENTILES if p in data}
        interval = {p: (low, high) for p, (low, high) in data["interval"].items()}
        return cls(data["unit"], data["count"], data["min"], data["max"], data["mean"], percentiles, interval,
                   dict(data["bounds"]))


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a renderer needs. The mappings are those of docs/metrics.md, "summary.json"."""

    verdict: Verdict
    requests: Mapping[str, Any]
    rates: Mapping[str, float]
    metrics: Mapping[str, MetricSummary]
    client: Mapping[str, Any]
    schedule: Mapping[str, Any]
    window: Mapping[str, Any]
    provenance: Mapping[str, Any]
    plan: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)  # what the server itself counted meanwhile

    @property
    def is_open_loop(self) -> bool:
        """Whether the schedule decided when requests were sent, and not the answers."""
        load = self.plan.get("load", {})
        return bool(load.get("rate", 1) or load.get("load_shape"))

    def to_json(self) -> dict[str, Any]:
        data = {"schema": SCHEMA, "verdict": asdict(self.verdict)}
        for name in _MAPPINGS:
            data[name] = dict(getattr(self, name))
        data["metrics"] = {name: metric.to_json() for name, metric in self.metrics.items()}
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        verdict = {**data["verdict"], "checks": tuple(CheckResult(**check) for check in data["verdict"]["checks"]),
                   "gates": tuple(SloResult(**gate) for gate in data["verdict"]["gates"]),
                   "notes": tuple(data["verdict"]["notes"])}
        metrics = {name: MetricSummary.from_json(metric) for name, metric in data["metrics"].items()}
        return cls(verdict=Verdict(**verdict), metrics=metrics,
                   **{name: data.get(name, {}) for name in _MAPPINGS})
