"""Sweeps that a renderer must cope with, made by hand, each of a sweep that can happen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from loadgen.capacity import FAILS, PASSES, UNJUDGED, SearchResult, Sizing, Sweep, SweepCell, curves
from loadgen.capacity.repetitions import across
from loadgen.outcomes.report import SloResult
from support.report_samples import MS, PLAN, metric

SLO = "ttft.p99<500ms"


def cell(number: int, rate: float, outcome: str = PASSES, ttft: float = 200, **changes: Any) -> SweepCell:
    """Return a cell at a rate, whose p99 of ttft is `ttft` ms."""
    ok = {PASSES: True, FAILS: False}.get(outcome)
    facts: dict[str, Any] = {
        "coordinates": {"rate": rate}, "dir": f"{number:03d}-rate-{rate:g}", "outcome": outcome,
        "exit_code": {PASSES: 0, FAILS: 1}.get(outcome, 3),
        "gates": (SloResult(SLO, ok, ttft * MS, ttft * 1.08 * MS),),
        "metrics": {"ttft": metric(600, ttft / 2, ttft / 1.5, ttft / 1.3, ttft, ttft * 1.2),
                    "itl": metric(70_000, 20, 22, 24, 20 + rate / 2, 140, tail=90),
                    "tpot": metric(600, 20 + rate / 4, 22 + rate / 4, 23 + rate / 4, 25 + rate / 4, 40),
                    "e2e": metric(600, 2_600, 2_800, 2_900, 3_100, 3_300)},
        "rates": {"offered": rate, "sent": rate, "completed": rate * 0.998, "output_tokens": rate * 128,
                  "input_tokens": rate * 512, "goodput": rate * (1 if ok else 0.6)},
        "requests": {"offered": 600, "sent": 600, "succeeded": 600, "failed": 0, "censored": 0},
        "length": 60_000_000_000, "seed": number}
    return SweepCell(number=number, **{**facts, **changes})


CELLS = (
    cell(1, 16, ttft=180), cell(2, 32, ttft=260),
    cell(3, 64, FAILS, 4_800, stable=False, reason="UNSTABLE: the server can't keep up"),
    cell(4, 45, FAILS, 900, reason="ttft.p99<500ms missed: 900 ms"), cell(5, 38, ttft=330), cell(6, 41, ttft=410),
    cell(7, 43, UNJUDGED, 480, reason="lag p99 6.3 ms, limit 1.8 ms: requests were sent late"),
    cell(8, 43.5, FAILS, 560, reason="ttft.p99<500ms missed: 560 ms"), cell(9, 41, ttft=415, seed=9))
ANSWER = SearchResult("max-rate", "rate", {}, 41.0, 43.5, 41.0, 0.95, "", 9, (), (6, 8, 9))

found = Sweep("max-rate", {"rate": ()}, CELLS, (SLO,), (ANSWER,),
              (Sizing(41.0, {}, 300.0, 0.1, 7.32, 9, 5_248.0, 2.5, 0.1323),), None, plan=PLAN,
              provenance={"loadgen": "0.1.0"}, curves=curves(CELLS))
grid = Sweep("grid", {"input_tokens": ("128", "512"), "rate": (1.0, 2.0, 4.0)},
             tuple(cell(1 + i, rate, ttft=100 + 40 * rate * (1 + side),
                        coordinates={"input_tokens": ("128", "512")[side], "rate": rate})
                   for i, (side, rate) in enumerate((side, rate) for side in (0, 1) for rate in (1.0, 2.0, 4.0))),
             planned=6, plan=PLAN)
stopped = Sweep("grid", {"rate": (1.0, 2.0, 4.0)}, (cell(1, 1.0),), (SLO,), planned=3, plan=PLAN, exit_code=130,
                stopped="interrupted", resume="loadgen sweep --resume sweeps/one")
missed = Sweep("max-rate", {"rate": ()}, (cell(1, 1.0, FAILS, 900, reason="ttft.p99<500ms missed: 900 ms"),), (SLO,),
               (SearchResult("max-rate", "rate", {}, None, 1.0, None, 0.95,
                       "1, the lowest load that was allowed, fails too: ttft.p99<500ms missed", 2, (), (1,)),),
               plan=PLAN, exit_code=1)
undecided = Sweep("max-rate", {"rate": ()}, CELLS[:4], (SLO,),
                  (replace(ANSWER, confidence=0.0, reason="stopped after 4 probes: more with --max-probes"),),
                  plan=PLAN, exit_code=3, settings={"target_rate": 300.0})
_short = tuple(cell(i, 4, UNJUDGED, coordinates={"rate": 4.0, "run": float(i)}, reason="sample_size: too few",
                    gates=(SloResult(SLO, None, None if i == 2 else 2e8, None, needed=368),)) for i in (1, 2, 3))
short = Sweep("repeat", {"run": (1.0, 2.0, 3.0)}, _short, (SLO,), plan=PLAN, exit_code=3, across=across(_short))
empty = Sweep("grid", {"rate": (1.0,)}, planned=1, stopped="interrupted", exit_code=130)

ALL = {name: value for name, value in globals().items() if isinstance(value, Sweep)}
