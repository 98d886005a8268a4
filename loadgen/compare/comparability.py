"""Whether two runs were offered the same load, and what else differs that a reader should know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from loadgen.compare.load_identity import Law, law, of, seeds
from loadgen.compare.measured import Measured
from loadgen.outcomes.report import Report
from loadgen.units import format_duration


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
    return [*found, *_draws(base, new), *_mixed(base, "base"), *_mixed(new, "new"), *_pooled(base, new)]


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


def _mixed(side: Sequence[Measured], name: str) -> Iterator[str]:
    """Say where the runs of one side are of several models."""
    facts: dict[str, Callable[[Report], Any]] = {"models": _model, **_settings(side)}
    for what, fact in facts.items():
        values = {str(fact(run.report)) for run in side}
        if len(values) > 1:
            yield f"{what} within {name}: {', '.join(sorted(values))}"


def _pooled(base: Sequence[Measured], new: Sequence[Measured]) -> list[str]:
    """Say where a server is on both sides and a side has others too, as if all runs of an A/B comparison were one side.

    Several addresses that no other run has are fine: a server may get another with each start.
    """
    sides = [{_url(run.report) for run in side} for side in (base, new)]
    if not sides[0] & sides[1] or len(sides[0] | sides[1]) == 1:
        return []
    return [f"servers: {' and '.join(sorted(sides[0]))} against {' and '.join(sorted(sides[1]))}; name the runs of one "
            "server on each side"]


def remarks(base: Sequence[Measured], new: Sequence[Measured]) -> list[str]:
    """Return what differs between the sides and may be just what is compared, or may not: a note each."""
    facts: dict[str, Callable[[Report], Any]] = {
        "model": _model,
        "version of loadgen": lambda report: report.provenance.get("loadgen", ""),
        "platform": lambda report: report.provenance.get("platform", ""),
        "number of senders": lambda report: report.provenance.get("senders", ""),
        "gRPC client": lambda report: of(report.plan, "target").get("grpc_client", ""),
        "set of headers": lambda report: of(report.plan, "target").get("headers", {}),
        "length of the window, which could be extended,": _extended}
    found = []
    for name, fact in {**facts, **_settings([*base, *new])}.items():
        before, after = (_listed(fact(run.report) for run in side) for side in (base, new))
        if before != after:
            found.append(f"the {name} differs: {before or '-'} against {after or '-'}")
    return [*found, *_seeded(base, new)]


def _seeded(base: Sequence[Measured], new: Sequence[Measured]) -> list[str]:
    draws = [{seeds(run.report) for run in side} for side in (base, new)]
    if draws[0] != draws[1]:
        return ["the seeds of the sides differ: arrivals and prompts are other draws of the same law"]
    if len(draws[0]) == 1 and len(base) > 1:
        return ["all runs have one seed: how much other arrivals and prompts would change is not in the intervals"]
    return []


def model_of(side: Sequence[Measured]) -> str:
    """Name the models of a side."""
    return _listed(_model(run.report) for run in side)


def url_of(side: Sequence[Measured]) -> str:
    """Name the addresses of a side."""
    return _listed(url for run in side for url in of(run.report.plan, "target").get("url", ()))


def _model(report: Report) -> str:
    return str(report.provenance.get("model") or of(report.plan, "target").get("model", ""))


def _url(report: Report) -> str:
    return ", ".join(of(report.plan, "target").get("url", ()))


def _settings(runs: Iterable[Measured]) -> dict[str, Callable[[Report], Any]]:
    """Return what reads each setting of a model that was loaded for a run."""
    def reading(key: str) -> Callable[[Report], Any]:
        return lambda report: of(report.plan, "model").get(key, "")
    return {f"model's {key}": reading(key) for run in runs for key in of(run.report.plan, "model")}


def _extended(report: Report) -> str:
    """Return how long the window was where that was decided as the run went, else ""."""
    if of(report.plan, "load").get("max_duration", "0s") == "0s" or "length" not in report.window:
        return ""
    return format_duration(max(0, int(report.window["length"])))


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values))


def _said(value: Any) -> str:
    return "-" if value in (None, "", {}, []) else str(value)
