"""What decides the load of a run: its whole plan, but for what says who is measured, from where, or how it is judged.

What may differ is listed, and not what must be the same: a setting that is new counts until it is known not to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from loadgen.outcomes.report import Report

Law = Mapping[str, Any]

FREE: Final = ("schema", "resolved", "model", "tls", "judgement", "out")
"""Tables of plan.json that don't decide what is offered; `model` is a local model, which is what is measured."""
FREE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "target": ("url", "model", "api_key", "headers", "wait_ready", "probe", "grpc_client", "metrics_url"),
    "load": ("seed", "senders"), "workload": ("seed",)}
"""Keys of the other tables that don't."""
_FLAT: Final = ("target", "load", "workload")
"""Tables whose keys users know by themselves, from the flags."""
_FILES: Final = ("prompts", "datasets", "input_data")
_NESTED: Final = ("input_tokens", "output_tokens", "tokenizer", "images")


def law(report: Report) -> dict[str, Any]:
    """Return everything that decides what is offered but the seeds, by names that a user knows.

    Files count by their content (sha256) where the run says what that was, and not by their names.
    """
    found: dict[str, Any] = {}
    for name, table in report.plan.items():
        if name not in FREE and isinstance(table, Mapping):
            found |= {key if name in _FLAT else f"{name}.{key}": value for key, value in table.items()
                      if key not in FREE_KEYS.get(name, ())}
    described = of(report.provenance, "workload")
    asked = next((key for key in _FILES if found.get(key)), _FILES[0])
    contents = {asked: described, **{key: of(described, key) for key in _NESTED}}
    return found | {key: f"sha256 {part['sha256'][:16]}" for key, part in contents.items() if part.get("sha256")}


def seeds(report: Report) -> tuple[Any, ...]:
    """Return what tells two draws of one law apart: the schedule's digest, the seeds of arrivals and of prompts.

    The schedule is that which was planned: where the window could be extended, runs of one draw end it at different
    looks.
    """
    load, workload = of(report.plan, "load"), of(report.plan, "workload")
    planned = of(of(report.plan, "resolved"), "schedule") or report.schedule
    seed = load.get("seed", 0)
    prompts = workload.get("seed")
    return str(planned.get("sha256", "")), seed, seed if prompts is None else prompts


def of(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a table of nested data; an empty one where there is none."""
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}
