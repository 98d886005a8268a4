"""The RunRecord as plan.json, written and read here only; what an older loadgen wrote stays readable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from loadgen.config import plan_file
from loadgen.outcomes.report import SCHEMA
from loadgen.outcomes.run_record import Resolved, RunRecord
from loadgen.types import UsageError, Window

_NEEDED: Final = (("target", "stream"), ("load", "connections"), ("judgement", "slo"), ("resolved", "schedule"),
                  ("resolved", "provenance"), ("resolved", "window", "start"), ("resolved", "window", "length"),
                  ("resolved", "window", "count"))
"""What plan.json says of every run that began."""


def to_json(record: RunRecord) -> dict[str, Any]:
    """Return what plan.json holds: the tables of the plan, secrets masked, and one of what was resolved."""
    resolved = record.resolved
    said = {name: value for name in ("stamps", "length") if (value := getattr(resolved, name))}
    return {"schema": SCHEMA, **plan_file.to_dict(record.plan),
            "resolved": {"window": asdict(resolved.window), "schedule": dict(resolved.schedule), **said,
                         "provenance": dict(resolved.provenance)}}


def from_json(data: Mapping[str, Any], path: Path) -> RunRecord:
    """Make the RunRecord of what plan.json holds; a setting that is not there has its default, as in a plan file.

    Settings that this loadgen does not know are passed over: a run of another version can be reported too.
    Raises UsageError, with the `path`, for a plan that no run wrote.
    """
    for names in _NEEDED:
        found: Any = data
        for key in names:
            if not isinstance(found, Mapping) or key not in found:
                raise UsageError(f"{path} is incomplete, it lacks {'.'.join(names)}: it was written by "
                                 "hand, or the run ended before it began")
            found = found[key]
    known = {table: {key: value for key, value in data.get(table, {}).items() if key in {f.name for f in fields(kind)}}
             for table, kind in plan_file.TABLES.items()}
    try:
        return RunRecord(plan_file.from_dict(known), _resolved(data["resolved"]))
    except (UsageError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is incomplete: {error}") from None


def _resolved(data: Mapping[str, Any]) -> Resolved:
    window = Window(**{name: int(data["window"][name]) for name in ("start", "length", "count")})
    return Resolved(window, dict(data["schedule"]), dict(data["provenance"]), str(data.get("stamps", "")),
                    str(data.get("length", "")))
