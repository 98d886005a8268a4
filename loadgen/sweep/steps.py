"""What a campaign does: the cells of a grid in order, or the probes of a search, one combination after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from loadgen.capacity import Answer, peak, search
from loadgen.capacity.model import Value
from loadgen.capacity.trial import Probe, Seen, Trial
from loadgen.plan import Plan
from loadgen.sweep.axes import combinations
from loadgen.sweep.campaign import Campaign

KNEE: Final = 2.0
"""The knee is the largest rate whose p99 of e2e_scheduled is at most this many times that at low load.

For an M/M/1 queue, power (throughput over time in system) is largest where the time is twice that of an idle server.
Source: Kleinrock 1979, Power and deterministic rules of thumb for probabilistic problems in computer communications.
"""
BASELINE: Final = 1000
"""Attempt number of the run at low load: its prompts are not those of the probes."""


def steps(campaign: Campaign) -> None:
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


def _find(campaign: Campaign, at: dict[str, Value]) -> None:
    """Search on the load axis for one combination of the others; the answer is kept up to date as it goes."""
    spec, first = campaign.spec, len(campaign.cells)
    axis, within = spec.load_axis, spec.within
    plan: Plan | None = None
    if spec.goal == "knee":
        plan = _knee(campaign, at)
        if plan is None:
            return
    step = peak.next_step if spec.goal == "goodput" else search.next_step
    trials: list[Trial] = []
    place = len(campaign.answers)
    while isinstance(following := step(trials, within), Probe):
        seen = campaign.cell({**at, axis: following.load}, following.number, following.stretch, plan)
        trials.append(Trial(following, seen))
        numbers = tuple(cell.number for cell in campaign.cells[first:])
        campaign.answers[place:] = [replace(_answer(spec.goal, trials, campaign, at), cells=numbers)]


def _answer(goal: str, trials: Sequence[Trial], campaign: Campaign, at: dict[str, Value]) -> Answer:
    within, axis = campaign.spec.within, campaign.spec.load_axis
    if goal == "goodput":
        return peak.answer(trials, within, axis, at)
    return search.answer(trials, within, goal, axis, at)


def _knee(campaign: Campaign, at: dict[str, Value]) -> Plan | None:
    """Measure at low load, and return the plan whose objective makes the knee the edge; None if that can't be told."""
    spec = campaign.spec
    seen: Seen = campaign.cell({**at, "rate": spec.settings.start}, BASELINE)
    p99 = campaign.cells[-1].percentile("e2e_scheduled", "p99")
    if p99 is None:
        reason = f"the run at low load gives no p99 to hold others against: {seen.reason or 'too few requests'}"
        campaign.answers.append(Answer("knee", "rate", at, reason=reason, cells=(campaign.cells[-1].number,)))
        return None
    limit = f"e2e_scheduled.p99<={round(KNEE * p99 / 1000)}us"
    judgement = replace(spec.plan.judgement, slo=(*spec.plan.judgement.slo, limit))
    return replace(spec.plan, judgement=judgement)
