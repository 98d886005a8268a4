"""What a campaign does: the cells of a grid in order, or the probes of a search, one combination after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from loadgen.capacity import PASSES, SearchResult, goodput_search, search
from loadgen.capacity.model import Value
from loadgen.capacity.trial import Probe, Seen, Trial
from loadgen.checks.check import SETUP, SHORT
from loadgen.plan import Plan
from loadgen.reports.format import duration
from loadgen.sweep.axes import combinations
from loadgen.sweep.runner import SweepRunner

KNEE: Final = 2.0
"""The knee is the largest rate whose p99 of e2e_scheduled is at most this many times that at low load.

For an M/M/1 queue, power (throughput over time in system) is largest where the time is twice that of an idle server.
Source: Kleinrock 1979, Power and deterministic rules of thumb for probabilistic problems in computer communications.
"""
BASELINE: Final = 1000
"""Attempt number of the first run at low load: its prompts are not those of the probes."""
BASELINES: Final = 2
"""Runs at low load that must pass: their mean is what the knee is held against."""
ATTEMPTS: Final = 4
"""Runs at low load before it is given up."""


def steps(campaign: SweepRunner) -> None:
    """Run the whole sweep."""
    spec = campaign.spec
    every = list(combinations(spec.axes))
    if not spec.searches:
        campaign.planned = len(every)
        for coordinates in every:
            campaign.cell(coordinates)
            campaign.stop_if_failed(campaign.cells[-1])
        return
    for coordinates in every or [{}]:
        _find(campaign, coordinates)


def _find(campaign: SweepRunner, at: dict[str, Value]) -> None:
    """Search on the load axis for one combination of the others; the answer is kept up to date as it goes."""
    spec, first = campaign.spec, len(campaign.cells)
    axis, within = spec.load_axis, spec.within
    low = _low_load(campaign, at) if spec.goal == "knee" else None
    if isinstance(low, SearchResult):
        campaign.answers.append(low)
        return
    plan, notes = (_knee(spec.plan, low), _held_against(low)) if low else (None, ())
    step = goodput_search.next_step if spec.goal == "goodput" else search.next_step
    trials: list[Trial] = []
    place = len(campaign.answers)
    while isinstance(following := step(trials, within), Probe):
        seen = campaign.cell({**at, axis: following.load}, following.number, following.stretch, plan)
        trials.append(Trial(following, seen))
        numbers = tuple(cell.number for cell in campaign.cells[first:])
        one = _answer(spec.goal, trials, campaign, at)
        campaign.answers[place:] = [replace(one, cells=numbers, notes=(*notes, *one.notes))]


def _answer(goal: str, trials: Sequence[Trial], campaign: SweepRunner, at: dict[str, Value]) -> SearchResult:
    within, axis = campaign.spec.within, campaign.spec.load_axis
    if goal == "goodput":
        return goodput_search.answer(trials, within, axis, at)
    return search.answer(trials, within, goal, axis, at)


def _low_load(campaign: SweepRunner, at: dict[str, Value]) -> list[int] | SearchResult:
    """Measure at low load; return the p99 of e2e_scheduled of each run that passes, or why there is no answer."""
    found: list[int] = []
    numbers: list[int] = []
    stretch = 1
    for attempt in range(ATTEMPTS):
        seen: Seen = campaign.cell({**at, "rate": campaign.spec.settings.start}, BASELINE + attempt, stretch)
        cell = campaign.cells[-1]
        numbers.append(cell.number)
        p99 = cell.percentile("e2e_scheduled", "p99")
        if seen.outcome == PASSES and p99 is not None:
            found.append(p99)
        if len(found) == BASELINES:
            return found
        if seen.cause == SETUP or len(found) + ATTEMPTS - 1 - attempt < BASELINES:
            break
        stretch = min(search.LONGEST, stretch * (seen.longer if seen.cause == SHORT else 1))
    why = seen.reason or "too few requests for a p99"
    return SearchResult("knee", "rate", at, reason=f"the runs at low load can't be held against: {why}",
                        probes=len(numbers),
                  cells=tuple(numbers))


def _knee(plan: Plan, low: Sequence[int]) -> Plan:
    """Return the plan whose objective makes the knee the edge."""
    limit = f"e2e_scheduled.p99<={round(KNEE * sum(low) / len(low) / 1000)}us"
    return replace(plan, judgement=replace(plan.judgement, slo=(*plan.judgement.slo, limit)))


def _held_against(low: Sequence[int]) -> tuple[str, ...]:
    return (f"p99 of e2e at low load was {' and '.join(map(duration, low))}: the confidence is of {KNEE:g} times their "
            "mean as the limit, not of that mean",)
