"""The answer in a sentence or two: what the numbers of a run mean to who asked for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from loadgen.outcomes.report import MetricSummary, Report
from loadgen.reports import summary_items
from loadgen.reports.format import clean, count, duration, quantity
from loadgen.reports.text.table import is_unstable
from loadgen.reports.verdict_text import decisions, failing
from loadgen.types import CENSORED

_SHARES: Final = {"p99": "99 %", "p95": "95 %", "p90": "90 %", "p50": "half"}
_MOST: Final = 3


def answer(report: Report) -> str:
    """Answer in a few sentences: may the numbers be believed, what was served and how fast, and are the SLOs met."""
    return " ".join(_sentences(report))


def _sentences(report: Report) -> Iterator[str]:
    reasons = failing(report)
    if reasons:
        names = [reason.name for reason in reasons]
        more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
        yield f"Not to be believed, because of {', '.join(names[:_MOST])}{more}."
    if report.verdict.interrupted:
        yield "The run was interrupted; this is what it saw until then."
    yield _served(report)
    if report.requests.get("succeeded"):
        if is_unstable(report):
            yield "The server did not keep up, so latency only says how long the run was."
        else:
            yield from _speed(report)
    yield from _objectives(report)


def _served(report: Report) -> str:
    seen = report.requests
    if not seen.get("offered"):
        return "No request was offered."
    rest = _rest(report)
    if not seen.get("succeeded"):
        return f"Not one of {count(seen['offered'])} requests succeeded: {rest}." if rest else "No request succeeded."
    load = _load(summary_items.of(report.plan, "load"), report.rates, str(report.schedule.get("shape", "")))
    if seen["succeeded"] == seen["offered"]:
        return f"{load} all {count(seen['offered'])} requests succeeded."
    return f"{load} {count(seen['succeeded'])} of {count(seen['offered'])} requests succeeded" + (
        f"; {rest}." if rest else ".")


def _rest(report: Report) -> str:
    """Say what became of the requests that did not succeed."""
    kinds = [failure.kind for failure in summary_items.failures(report) if failure.kind != CENSORED]
    failed, unfinished = report.requests.get("failed"), report.requests.get("censored")
    parts = [f"{count(failed)} failed, most often with {clean(kinds[0])}" if failed and kinds else "",
             f"{count(unfinished)} had not ended when the run did" if unfinished else ""]
    return ", and ".join(filter(None, parts))


def _load(load: Mapping[str, Any], rates: Mapping[str, float], shape: str) -> str:
    if load.get("concurrency"):
        return f"With {count(load['concurrency'])} requests running at any time,"
    if shape:
        return f"Of the {clean(shape)},"
    rate = load.get("rate") or rates.get("offered")
    return f"At {quantity(rate, 'per_second').replace('/s', '')} requests a second," if rate else "Of the load,"


def _speed(report: Report) -> Iterator[str]:
    """Say how fast, as users feel it: from due in an open loop, from sent in a closed one."""
    open_loop = report.is_open_loop
    for name, words in (("ttft", "had their first token"), ("e2e", "were answered whole")):
        metric = report.metrics.get(f"{name}_scheduled") if open_loop else None
        metric = metric or report.metrics.get(name)
        if metric:
            yield _within(metric, words)
            break
    itl = report.metrics.get("itl")
    if itl and "p50" in itl.percentiles:
        yield f"Then a token came every {duration(itl.percentiles['p50'])} (median)."


def _within(metric: MetricSummary, words: str) -> str:
    """Say within which time half of the requests were served, and the highest share that the sample carries."""
    known = [name for name in _SHARES if name in metric.percentiles and name not in metric.bounds]
    if not known:
        return f"The slowest of them took {duration(metric.max)}."
    tail = known[0]
    half = f"Half of them {words} within {duration(metric.percentiles['p50'])}" if "p50" in known else ""
    if tail == "p50":
        return f"{half}."
    return f"{half}, {_SHARES[tail]} within {duration(metric.percentiles[tail])}."


def _objectives(report: Report) -> Iterator[str]:
    gates = report.verdict.gates
    if not gates or not report.verdict.valid:
        return
    missed = [objective for gate, (objective, _) in zip(gates, decisions(report), strict=True) if gate.ok is False]
    undecided = sum(gate.ok is None for gate in gates)
    if missed:
        yield f"Missed: {', '.join(missed[:_MOST])}."
    elif undecided:
        yield f"{undecided} of {len(gates)} SLOs could not be decided."
    else:
        yield "Every SLO is met." if len(gates) > 1 else "The SLO is met."
