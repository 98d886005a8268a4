"""The line of what the server itself counted: how long a request waited and was computed on there, on average."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from loadgen.report import Report
from loadgen.reports.format import clean, count, duration
from loadgen.reports.layout import row

STEPS: Final = {"queue": "queue", "compute_input": "input", "compute_infer": "compute", "compute_output": "output"}
"""Triton's names of the steps of an inference, and how they are called in the table."""


def server(report: Report, width: int) -> list[str]:
    """Write a line for each model that the server counted; [] if it told nothing."""
    facts = report.server
    if facts.get("error"):
        return row("server", [clean(str(facts["error"]))], width)
    models = facts.get("models")
    if not isinstance(models, Mapping):
        return []
    return [line for name, counters in models.items() for line in row("server", _items(name, counters), width)]


def _items(name: str, counters: Mapping[str, Any]) -> list[str]:
    done, failed = counters["success"]["count"], counters["fail"]["count"]
    items = [f"{clean(name)} {count(done)} inferences", *([f"failed {count(failed)}"] if failed else [])]
    for key, word in STEPS.items():
        times = counters[key]["count"]
        if times:
            items.append(f"{word} {duration(counters[key]['ns'] / times)}")
    if counters["execution_count"]:
        items.append(f"batch {counters['inference_count'] / counters['execution_count']:.1f}")
    return items
