"""What a sweep found, in sentences: the same ones in every form of report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from loadgen.capacity import FAILS, PASSES, Across, SearchResult, Sizing, Sweep, SweepCell
from loadgen.capacity.model import Value
from loadgen.exit_codes import FAILED, OK
from loadgen.reports.format import clean, count, quantity, three_digits

_UNITS = {"rate": "requests/s", "concurrency": "requests at a time"}
_WHAT = {
    "max-rate": "the largest rate that meets every SLO",
    "max-concurrency": "the largest number of requests at a time that meets every SLO",
    "knee": "the knee: the largest rate at which p99 of e2e is at most twice that of low load",
    "goodput": "the rate with the largest goodput",
}
_FOUND = {PASSES: "pass", FAILS: "FAIL"}


def title(sweep: Sweep) -> str:
    """Name what was looked for."""
    return {"grid": "grid", "repeat": f"{len(sweep.cells)} runs"}.get(sweep.goal, f"find {sweep.goal}")


def headline(sweep: Sweep) -> tuple[str, str]:
    """Say what came out in a word or two, and what it means."""
    if sweep.stopped:
        return "STOPPED", clean(sweep.stopped)
    if sweep.goal in _WHAT:
        return ("FOUND" if any(one.best is not None for one in sweep.answers) else "NO ANSWER"), _WHAT[sweep.goal]
    if sweep.goal == "repeat":
        return _of_repetitions(sweep)
    failed = sum(cell.outcome == FAILS for cell in sweep.cells)
    unjudged = sum(not cell.judged for cell in sweep.cells)
    parts = [f"{len(sweep.cells)} cells", f"{failed} failed" if failed else "",
             f"{unjudged} can't be judged" if unjudged else ""]
    return "DONE", ", ".join(filter(None, parts))


def _of_repetitions(sweep: Sweep) -> tuple[str, str]:
    gates = [one for one in sweep.across if one.slo]
    if sweep.exit_code == OK:
        undecided = ", ".join(clean(one.slo) for one in gates if one.ok is None)
        met = f"met by each run's own number (--lax), not decided over all: {undecided}" if undecided else (
            "every SLO met over all runs")
        return "VALID", met if sweep.slo else "no SLO was given"
    if sweep.exit_code == FAILED:
        return "SLO MISSED", "over all runs"
    return "UNDECIDED", "longer runs would tell" if any(one.missing for one in gates) else "more runs would tell"


def answer(one: SearchResult) -> str:
    """Say an answer as a sentence, or why there is none."""
    unit = _UNITS[one.axis]
    place = f"{where(one.coordinates)}: " if one.coordinates else ""
    if one.best is None:
        return f"{place}{'no load passes' if one.missed else 'no answer'}: {clean(one.reason)}"
    low, high = (None if end is None else load(end, one.axis) for end in (one.low, one.high))
    if one.goal == "goodput":
        beside = " and ".join(filter(None, (low, high)))
        found = f"{load(one.best, one.axis)} {unit}" + (f"; looked at beside it: {beside}" if beside else "")
    elif high is None:
        found = f"at least {low} {unit}" + (f", {sure(one)}" if one.confidence else "")
    else:
        found = f"between {low} and {high} {unit}, {sure(one)}"
    return f"{place}{found}" + (f" ({clean(one.reason)})" if one.reason else "")


def sure(one: SearchResult) -> str:
    """Say the confidence of an interval."""
    return quantity(one.confidence, "share") if one.confidence else "not confirmed by repetition"


def sizings(sweep: Sweep) -> Iterator[str]:
    """Say what the answers mean for a fleet, or why nothing is reckoned though that was asked for."""
    for one in sweep.sizings:
        yield from sizing(one, bool(sweep.slo))
    asked = sweep.settings.get("target_rate") or sweep.settings.get("price_per_hour")
    if asked and any(one.best is not None and not one.sure for one in sweep.answers):
        yield "no replicas are reckoned from a load that is not confirmed by repetition"


def sizing(one: Sizing, slo: bool = True) -> Iterator[str]:
    """Say what one replica carries, how many are needed, and what it costs."""
    said = f"one replica carries {three_digits(one.per_replica)} requests/s of this workload"
    said += " within the SLO" if slo else ""
    if one.coordinates:
        said = f"{where(one.coordinates)}: {said}"
    if one.target_rate and one.needed and one.replicas:
        said += (f"; for {three_digits(one.target_rate)} requests/s take {count(one.replicas)} "
                 f"({three_digits(one.needed)} + {quantity(one.headroom, 'share')} headroom)")
    yield said
    if one.cost is not None and one.price_per_hour is not None:
        yield (f"a million output tokens cost {three_digits(one.cost)} at {three_digits(one.price_per_hour)} an hour "
               f"and {count(one.output_tokens)} tokens/s")


def across(one: Across) -> str:
    """Say a statistic over repetitions: its mean with the 95 % interval."""
    mean = quantity(one.mean, one.unit)
    if one.missing:
        return f"{mean} ({one.missing} of {one.runs} runs have no value, so no interval)"
    if one.low is None or one.high is None:
        return f"{mean} (one run has no interval)"
    low, high = (quantity(max(0.0, end), one.unit) for end in (one.low, one.high))
    return f"{mean} [{low}, {high}]"


def where(coordinates: Mapping[str, Value]) -> str:
    """Say where a cell or an answer is: "input_tokens 512, rate 4"."""
    return ", ".join(f"{axis} {load(value, axis) if isinstance(value, float | int) else clean(value, 60)}"
                     for axis, value in coordinates.items())


def load(value: float, axis: str) -> str:
    """Write a rate or a count as a user would type it, but with three digits."""
    return f"{value:g}" if axis != "rate" or value == int(value) else three_digits(value)


def outcome(cell: SweepCell, gated: bool) -> str:
    """Say a cell's outcome in a word."""
    if cell.outcome == FAILS and not cell.stable:
        return "UNSTABLE"
    return _FOUND.get(cell.outcome, "?") if gated or cell.outcome != PASSES else "valid"
