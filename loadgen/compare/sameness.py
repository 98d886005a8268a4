"""Whether two runs were offered the same load, and what else differs that a reader should know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from loadgen.compare.measured import Measured
from loadgen.report import Report

_LOAD: Final = ("rate", "arrivals", "burstiness", "concurrency", "max_in_flight", "requests", "duration", "warmup",
                "cooldown", "connections", "retry")
_TARGET: Final = ("backend", "endpoint", "stream", "body", "options")
_WORKLOAD: Final = ("input_tokens", "output_tokens", "tokenizer", "input_data", "shapes", "token_ids", "shared_prefix")
Law = Mapping[str, Any]


def law(report: Report) -> dict[str, Any]:
    """Return everything that decides what is offered but the seeds, by names that a user knows.

    Prompts count by their content (sha256), not by the name of their file.
    """
    plan = report.plan
    found = {key: _of(plan, "load").get(key) for key in _LOAD}
    found |= {key: _of(plan, "target").get(key) for key in _TARGET}
    found |= {key: _of(plan, "workload").get(key) for key in _WORKLOAD}
    described = _of(report.provenance, "workload")
    for key in ("sha256", "prompts", "form"):
        if key in described:
            found[f"prompts {key}" if key == "sha256" else key] = described[key]
    found["tokenizer"] = _of(described, "tokenizer").get("sha256", found["tokenizer"])
    return found


def seeds(report: Report) -> tuple[Any, ...]:
    """Return what tells two draws of one law apart: the schedule's digest, the seeds of arrivals and of prompts."""
    load, workload = _of(report.plan, "load"), _of(report.plan, "workload")
    seed = load.get("seed", 0)
    prompts = workload.get("seed")
    return str(report.schedule.get("sha256", "")), seed, seed if prompts is None else prompts


def unlike(base: Law, new: Law) -> list[str]:
    """Return each difference of two laws: "rate: 10 against 12"."""
    return [f"{key}: {_said(base.get(key))} against {_said(new.get(key))}"
            for key in dict.fromkeys([*base, *new]) if base.get(key) != new.get(key)]


def differences(base: Sequence[Measured], new: Sequence[Measured]) -> list[str]:
    """Return what makes the loads of two sides different loads, runs of one side included; [] if nothing does."""
    first = law(base[0].report)
    found: dict[str, None] = {}
    for run in base[1:]:
        found |= dict.fromkeys(f"{line} (both of the base)" for line in unlike(first, law(run.report)))
    for run in new:
        found |= dict.fromkeys(unlike(first, law(run.report)))
    return [*found, *_draws(base, new), *_mixed(base, "base"), *_mixed(new, "new")]


def _draws(base: Sequence[Measured], new: Sequence[Measured]) -> list[str]:
    """Say where arrivals or prompts differ in a way that more runs can't even out.

    Fine are the same draws on both sides, or a draw of its own in each of several runs; one draw a side that is not
    the other's is not: its luck would count as the server's.
    """
    sides = [[seeds(run.report) for run in side] for side in (base, new)]
    if set(sides[0]) == set(sides[1]):
        return []
    if all(len(side) > 1 and len(set(side)) == len(side) for side in sides):
        return []
    (digest, seed, _), (other_digest, other_seed, _) = sides[0][0], next(
        (one for one in sides[1] if one not in sides[0]), sides[1][0])
    same = "" if digest == other_digest else f" (schedule {digest[:6] or '-'} against {other_digest[:6] or '-'})"
    return [f"seed: {seed} against {other_seed}{same}; run both sides with the same seeds"]


def _mixed(side: Sequence[Measured], name: str) -> list[str]:
    models = {_model(run.report) for run in side}
    return [f"models within {name}: {', '.join(sorted(models))}"] if len(models) > 1 else []


def remarks(base: Sequence[Measured], new: Sequence[Measured]) -> list[str]:
    """Return what differs between the sides and may be just what is compared, or may not: a note each."""
    facts: dict[str, Callable[[Report], Any]] = {
        "model": _model,
        "version of loadgen": lambda report: report.provenance.get("loadgen", ""),
        "platform": lambda report: report.provenance.get("platform", ""),
        "number of senders": lambda report: report.provenance.get("senders", ""),
        "gRPC client": lambda report: _of(report.plan, "target").get("grpc_client", "")}
    found = []
    for name, fact in facts.items():
        before, after = (_listed(fact(run.report) for run in side) for side in (base, new))
        if before != after:
            found.append(f"the {name} differs: {before} against {after}")
    draws = [{seeds(run.report) for run in side} for side in (base, new)]
    if draws[0] != draws[1]:
        found.append("the seeds of the sides differ: arrivals and prompts are other draws of the same law")
    elif len(draws[0]) == 1 and len(base) > 1:
        found.append("all runs have one seed: how much other arrivals and prompts would change is not in the intervals")
    return found


def model_of(side: Sequence[Measured]) -> str:
    """Name the models of a side."""
    return _listed(_model(run.report) for run in side)


def url_of(side: Sequence[Measured]) -> str:
    """Name the addresses of a side."""
    return _listed(url for run in side for url in _of(run.report.plan, "target").get("url", ()))


def _model(report: Report) -> str:
    return str(report.provenance.get("model") or _of(report.plan, "target").get("model", ""))


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values))


def _said(value: Any) -> str:
    return "-" if value in (None, "", {}, []) else str(value)


def _of(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = data.get(key)
    return found if isinstance(found, Mapping) else {}
