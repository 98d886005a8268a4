"""A cell of a sweep before and after its run: its plan, its directory, and what its files say."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from loadgen import slo
from loadgen.capacity.model import Coordinates, SweepCell
from loadgen.capacity.trial import Seen, is_stable, judge
from loadgen.config import plan_file
from loadgen.metrics import names
from loadgen.outcomes.report import Report
from loadgen.plan import Duration, Load, Plan
from loadgen.run.sequential import extended
from loadgen.run_files import RunReader
from loadgen.stats.estimation import needed_n
from loadgen.sweep.spec import Spec
from loadgen.types import SECOND, UsageError

"""Metrics that a Cell keeps; gated ones are kept too."""

SHORTEST: Final = 30 * SECOND
"""Window of a search's probe where the user names no length, and the sample of the gates needs no longer one."""
SAMPLES: Final = 4
"""How many times the least sample that gives an interval such a window holds: the interval is then half as wide."""
LONGEST: Final = 600 * SECOND
"""It is no longer than this at first: most loads are far from the edge, and what can't be judged is run longer."""

_COUNTS: Final = ("offered", "sent", "succeeded", "failed", "censored")
_SERVERS: Final = ("backend", "url")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A cell to run: its place, its plan and its directory's name."""

    number: int
    coordinates: Coordinates
    name: str
    plan: Plan


def wanted(spec: Spec, directory: Path, number: int, coordinates: Mapping[str, float | str], attempt: int = 0,
           stretch: int = 1) -> Wanted:
    """Make the plan of a cell. `attempt` counts the runs of the same coordinates, `stretch` lengthens the window."""
    name = name_of(number, coordinates)
    plan = _placed(spec.plan, coordinates)
    load = _lengthy(spec, plan)
    if spec.settings.until_precise:
        load = extended(replace(plan, load=load)).load
    load = _stretched(load, stretch)
    seed = seed_of(spec.plan.load.seed, coordinates, attempt)
    return Wanted(number, dict(coordinates), name, replace(
        plan, load=replace(load, seed=seed), out=replace(plan.out, dir=str(directory / name))))


def name_of(number: int, coordinates: Coordinates) -> str:
    """Return the directory of a cell: its number, and where it is, in letters that every file system takes."""
    words = [f"{number:03d}"]
    for axis, value in coordinates.items():
        text = f"{value:g}" if isinstance(value, float | int) else Path(str(value).partition("://")[2] or value).name
        words.append(f"{axis}-{text}")
    return re.sub(r"[^\w.-]+", "_", "-".join(words))[:100]


def seed_of(base: int, coordinates: Coordinates, attempt: int = 0) -> int:
    """Return the seed of a cell, below 2^31, from where it is: the same on every server, another one everywhere else.

    So two servers are asked the same at the same instants, and no cell meets prompts that an earlier one has left in
    a prefix cache.
    """
    where = "/".join(f"{axis}={value}" for axis, value in sorted(coordinates.items()) if axis not in _SERVERS)
    digest = hashlib.sha256(f"{base}/{where}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _placed(plan: Plan, at: Coordinates) -> Plan:
    flags: dict[str, Any] = {}
    for axis, path in (("backend", "target.backend"), ("input_tokens", "workload.input_tokens"),
                       ("output_tokens", "workload.output_tokens")):
        if axis in at:
            flags[path] = str(at[axis])
    if "url" in at:
        flags["target.url"] = tuple(str(at["url"]).split(","))
    if "rate" in at:
        flags["load.rate"] = float(at["rate"])
    if "concurrency" in at:
        flags["load.concurrency"] = int(at["concurrency"])
    return plan_file.override(plan, flags)


def _lengthy(spec: Spec, plan: Plan) -> Load:
    """Give a probe of a search a length, where the user has given none: enough for what its objectives ask."""
    load = plan.load
    if not spec.searches or has_length(plan):
        return load
    wanted = SAMPLES * least_sample(plan)
    if load.concurrency:
        return replace(load, requests=max(wanted, 50 * load.concurrency))
    return replace(load, duration=Duration(min(LONGEST, max(SHORTEST, math.ceil(wanted / load.rate) * SECOND))))


def has_length(plan: Plan) -> bool:
    """Say whether the user has said how long a run is to be."""
    return bool(plan.load.requests or plan.load.duration or plan.workload.prompts or plan.workload.datasets)


def least_sample(plan: Plan) -> int:
    """Return the least number of requests that gives every objective an interval; that of a p99 without objectives."""
    quantiles = [one.quantile for one in slo.expand(plan.judgement.slo) if one.quantile is not None]
    return max([needed_n(q) for q in quantiles], default=needed_n(0.99))


def _stretched(load: Load, stretch: int) -> Load:
    return replace(load, requests=load.requests * stretch, duration=Duration(load.duration * stretch),
                   max_duration=Duration(load.max_duration * stretch))


def read(one: Wanted, directory: Path) -> tuple[SweepCell, Seen] | None:
    """Read the result of a cell that was run; None if there is none, or not a whole one.

    Raises UsageError if it is the result of another plan, or of a newer loadgen.
    """
    place = directory / one.name
    if not place.exists():
        return None
    try:
        reader = RunReader(place)
        summary, plan = reader.summary(), reader.plan()
        report = Report.from_json(summary) if summary else None
    except UsageError as error:
        if "newer" in str(error):
            raise
        return None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if report is None or report.verdict.interrupted:
        return None
    _check_same(one, plan, place)
    return cell_of(one, report)


def cell_of(one: Wanted, report: Report) -> tuple[SweepCell, Seen]:
    """Return what a run's report says as a Cell, and what it means for its load."""
    seen = judge(report)
    shown = names(lambda one: one.headline or one.logged)
    gated = {gate.slo.partition(".")[0] for gate in report.verdict.gates}
    metrics = {name: metric for name, metric in report.metrics.items() if name in shown or name in gated}
    return SweepCell(
        one.number, one.coordinates, one.name, seen.outcome, seen.reason, report.verdict.exit_code,
        is_stable(report), report.verdict.gates, metrics, dict(report.rates),
        {name: int(report.requests.get(name, 0)) for name in _COUNTS}, int(report.window.get("length", 0)),
        one.plan.load.seed), seen


def _check_same(one: Wanted, stored: Mapping[str, Any], place: Path) -> None:
    """Refuse the result of another plan; what a run finds out itself (the model, how many prompts) may differ."""
    asked = plan_file.to_dict(one.plan)
    for table in ("target", "load", "workload", "judgement"):
        for key, value in asked[table].items():
            there = stored.get(table, {}).get(key)
            open_ = (key == "model" and not value) or (key in ("requests", "concurrency") and table == "load"
                                                       and (not asked["load"]["requests"] or key == "concurrency"))
            if there != value and not open_:
                raise UsageError(f"{place} holds a run with another {table}.{key} ({there!r:.60}, now {value!r:.60}): "
                                 "give another --out, or move it away")
