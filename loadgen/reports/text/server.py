"""The lines of what the server, or the process of a local model, told of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from loadgen.outcomes.report import Report
from loadgen.reports.format import clean, count, duration, megabytes
from loadgen.reports.text.layout import row

STEPS: Final = {"queue": "queue", "compute_input": "input", "compute_infer": "compute", "compute_output": "output"}
"""Triton's names of the steps of an inference, and how they are called in the table."""
COUNTED: Final = {"success", "fail", "execution_count", "inference_count", *STEPS}
"""What has to be there of a model for its line; a backend of a user's own may keep other facts."""


def server(report: Report, width: int) -> list[str]:
    """Write a line for each model that the server counted, or one for the model that was loaded; [] without any."""
    facts = report.server
    if isinstance(facts.get("model"), Mapping):
        return row("model", [clean(item) for item in _loaded(facts["model"])], width)
    if facts.get("error"):
        return row("server", [clean(str(facts["error"]))], width)
    models = facts.get("models")
    if not isinstance(models, Mapping):
        return []
    return [line for name, counters in models.items() if isinstance(counters, Mapping) and counters.keys() >= COUNTED
            for line in row("server", _items(name, counters), width)]


def _loaded(facts: Mapping[str, Any]) -> list[str]:
    """Say what was loaded, onto what, and what it took."""
    batching, size, peak = facts.get("batching"), facts.get("batch_size") or 0, facts.get("memory_peak")
    device = facts.get("device_name") or facts.get("device", "")
    items = [str(facts.get("class", "")), f"{device} {facts.get('dtype', '')}",
             f"{batching} batches" + (f" of up to {size}" if size > 1 else "") if batching else "",
             f"loaded in {duration(facts.get('load_time', 0))}", f"{megabytes(facts.get('max_rss', 0))} of memory",
             f"{megabytes(peak)} of the device's" if peak else ""]
    return [item for item in items if item.strip()]


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
