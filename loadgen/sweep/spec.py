"""The Spec: everything that decides a sweep, as frozen data that goes into sweep.json and comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from loadgen.capacity.model import Sweep, Value
from loadgen.capacity.search import Range
from loadgen.capacity.sizing import HEADROOM
from loadgen.config import plan_file
from loadgen.plan import Plan
from loadgen.types import UsageError

SEARCHES = ("max-rate", "max-concurrency", "knee", "goodput")


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """What decides a sweep beside its plan and axes; what is found and how it is told apart from how it looks."""

    start: float = 1.0
    lowest: float = 0.0
    highest: float = 0.0
    resolution: float = 0.05
    most: int = 40
    repeat: int = 1
    until_precise: bool = False  # runs go on until --precision is reached
    pause: int = 0  # ns between cells
    reset_cache: bool = False
    between: str = ""  # shell command before each cell
    target_rate: float | None = None
    headroom: float = HEADROOM
    price_per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """A sweep to run: what all cells have in common, where they differ, and what is looked for."""

    plan: Plan
    goal: str = "grid"
    axes: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    settings: SweepSettings = field(default_factory=SweepSettings)

    @property
    def searches(self) -> bool:
        return self.goal in SEARCHES

    @property
    def load_axis(self) -> str:
        """The axis on which a search looks: rate, or concurrency."""
        return "concurrency" if self.goal == "max-concurrency" else "rate"

    @property
    def within(self) -> Range:
        """Where a search looks."""
        one = self.settings
        return Range(one.start, one.lowest, one.highest, one.resolution, one.most, self.load_axis == "concurrency")

    def outline(self) -> Sweep:
        """Return the Sweep of which nothing has been run yet."""
        settings = {one.name: getattr(self.settings, one.name) for one in fields(SweepSettings)}
        return Sweep(self.goal, dict(self.axes), slo=self.plan.judgement.slo,
                     plan=plan_file.to_dict(self.plan), settings=settings)


def read(sweep: Sweep, flags: Mapping[str, Any] | None = None) -> Spec:
    """Return the Spec of a sweep that was stored, with a key from the flags. Raise UsageError if it can't be read."""
    known = {one.name for one in fields(SweepSettings)}
    try:
        settings = SweepSettings(**{name: value for name, value in sweep.settings.items() if name in known})
    except TypeError as error:
        raise UsageError(f"the settings of this sweep can't be read: {error}") from error
    plan = plan_file.reveal(plan_file.override(plan_file.from_dict(sweep.plan), flags or {}))
    return Spec(replace(plan, out=replace(plan.out, dir="")), sweep.goal, sweep.axes, settings)


def differences(asked: Spec, stored: Sweep) -> list[str]:
    """Say where a spec differs from the sweep that a directory holds already, one sentence each."""
    found = []
    here, there = asked.outline(), stored
    if here.goal != there.goal:
        found.append(f"it looks for {there.goal}, this for {here.goal}")
    for name in dict.fromkeys([*here.axes, *there.axes]):
        one, other = here.axes.get(name, ()), there.axes.get(name, ())
        if tuple(one) != tuple(other):
            found.append(f"its {name} is {_listed(other)}, this one's {_listed(one)}")
    for name, value in here.settings.items():
        before = there.settings.get(name, getattr(SweepSettings(), name))
        if name not in AFTERWARDS and before != value:
            found.append(f"its {name} is {before}, this one's {value}")
    for table, content in here.plan.items():
        planned = there.plan.get(table, {})
        found += [f"its {table}.{key} is {_shown(planned.get(key))}, this one's {_shown(value)}"
                  for key, value in content.items() if table != "out" and planned.get(key) != value]
    return found


AFTERWARDS = ("target_rate", "headroom", "price_per_hour", "pause", "most")
"""Settings that change no cell which was run: a sweep may go on with others."""


def _listed(values: tuple[Value, ...]) -> str:
    return ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values) or "not given"


def _shown(value: Any) -> str:
    return "not given" if value in (None, "", [], {}) else f"{value!r:.60}"
