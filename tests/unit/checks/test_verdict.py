"""Every row of the verdict, each at its limit and beyond it, and the exit codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.checks import Evidence, evidence, judge, warnings
from loadgen.checks.gates import Decision
from loadgen.checks.steady import Drift, Steady
from loadgen.checks.table import known
from loadgen.outcomes.report import CheckResult, SloResult
from loadgen.slo import parse
from loadgen.types import WARMUP
from support.made_runs import MS, S, record_of, recorded, row, run_of, window_of

GOOD = Evidence(
    rate=10, senders=2, planned=1000, offered=1000, tried=1000, succeeded=1000, lag_p99=MS, median_wait=200 * MS,
    median_itl=20 * MS, receive_lag_p99=MS, length=60 * S, mean_time=2e9, usage_given=1000, asked=1000, got=1000,
    steady=Steady(Drift(0.0, 0.02), Drift(0.0, 2.0), Drift(0.0, 0.1), Drift(0.0, 0.05), 20.0, 2 * S))


def the(name: str, **changes: object) -> CheckResult:
    (check,) = (one for one in judge(replace(GOOD, **changes)).checks if one.name == name)
    return check


def test_a_good_run_is_valid() -> None:
    verdict = judge(GOOD, ["a note"])
    assert verdict.valid and verdict.exit_code == 0 and verdict.notes == ("a note",)
    assert all(check.ok and not check.remedy for check in verdict.checks)
    assert len({check.name for check in verdict.checks}) == len(verdict.checks)
    assert len(verdict.checks) == len(known()) - 1  # coalesced or receive_lag: one of them applies


@pytest.mark.parametrize(("name", "holds", "fails", "words"), [
    ("lag", {"lag_p99": 2 * MS}, {"lag_p99": 2 * MS + 1}, "--senders 4"),
    ("lag", {"lag_p99": MS, "median_wait": None}, {"lag_p99": MS + 1, "median_wait": 50 * MS}, "--senders 4"),
    ("lag", {"local": True}, {"lag_p99": 9 * MS, "local": True}, "fewer threads of the model"),
    ("lag", {"earliest_lag": 0}, {"earliest_lag": -1}, "before it was due"),
    ("lag", {"closed_loop": True, "lag_p99": S}, {"lag_p99": S, "starved": 3}, "3 were not ready"),
    ("schedule", {"planned": -1}, {"tried": 999}, "sender_lost"),
    ("schedule", {"tried": 1000}, {"tried": 999, "failures": {"too_long": 1}}, "--input-tokens"),
    ("coalesced", {"coalesced": 0.01}, {"coalesced": 0.011}, "--senders 4"),
    ("receive_lag", {"kernel_stamps": False, "receive_lag_p99": MS},
     {"kernel_stamps": False, "receive_lag_p99": MS + 1}, "quieter machine"),
    ("receive_lag", {"kernel_stamps": False, "receive_lag_p99": None},
     {"kernel_stamps": False, "receive_lag_p99": 6 * MS, "median_itl": 100 * MS}, "quieter machine"),
    ("loop_stall", {"stall": 50 * MS}, {"stall": 50 * MS + 1}, "kept from running"),
    ("loop_stall", {"stall": 5 * MS, "kernel_stamps": False}, {"stall": 6 * MS, "kernel_stamps": False}, "--senders"),
    ("errors", {"failed": 1}, {"failed": 2, "failures": {"http_503": 2}}, "http_503 2"),
    ("censored", {"censored": 0}, {"censored": 1}, "--drain"),
    ("sender_lost", {}, {"lost": {"sender_lost": 3}}, "out-of-memory"),
    ("model_lost", {"lost": {"model_lost": 0}}, {"lost": {"model_lost": 1}}, "model.log"),
    ("schedule", {}, {"tried": 999, "lost": {"model_lost": 1}}, "see model_lost"),
    ("interrupted", {}, {"interrupted": True}, "--duration"),
    ("held", {"held": 1}, {"held": 2}, "--max-in-flight"),
    ("held", {"held": 900, "closed_loop": True}, {"held": 900}, "--max-in-flight"),
    ("token_counts", {}, {"usage_wrong": 1}, "--backend"),
    ("output_length", {"got": 900}, {"got": 899, "finish_reasons": {"stop": 7, "": 1}}, "none 1, stop 7"),
    ("output_length", {"got": 5, "asked": 0}, {"got": 1101}, "ignore_eos"),
    ("overflow", {}, {"overflow": 1}, "--timeout"),
    ("clock", {"clock_step": MS}, {"clock_step": MS + 1}, "NTP"),
    ("clock", {"clock_drift": 0.0009}, {"clock_drift": 0.001}, "NTP"),
    ("duration", {"mean_time": 6e9}, {"mean_time": 6.1e9}, "--duration 61s"),
    ("duration", {"mean_time": None}, {"length": 0}, "--duration 20s"),
    ("little", {"steady": Steady()}, {"steady": Steady(little=Drift(-0.06, 0.05))}, "--warmup"),
    ("steady_state", {"steady": Steady()}, {"steady": Steady(balance=Drift(0.05, 0.02))}, "can't keep up"),
    ("steady_state", {"steady": Steady(latency=Drift(0.1, 0.1))}, {"steady": Steady(latency=Drift(0.2, 0.1))}, "slow"),
    ("steady_state", {}, {"steady": Steady(in_flight=Drift(9.0, 2.0)), "closed_loop": True}, "constant number"),
    ("steady_state", {}, {"steady": Steady(in_flight=Drift(-9.0, 2.0))}, "--warmup"),
])
def test_a_row_holds_at_its_limit_and_fails_beyond(
        name: str, holds: dict[str, object], fails: dict[str, object], words: str) -> None:
    assert the(name, **holds).ok
    failing = the(name, **fails)
    assert not failing.ok and not failing.warning and words in failing.remedy
    assert judge(replace(GOOD, **fails)).exit_code == (130 if fails.get("interrupted") else 3)


def decision(text: str, ok: bool | None, needed: int = 0, likely: bool = False, high: float | None = 2.0,
             interval: bool = True, half: float = 0.2, least: int = 0) -> Decision:
    slo = parse(text)
    return Decision(SloResult(slo.text, ok, 1.0, high, slo.unit, needed), slo, 100, least, half, likely,
                    (0.5, high) if interval else None)


@pytest.mark.parametrize(("gate", "row", "words"), [
    (decision("ttft.p99<1s", None, 368, high=None), "sample_size", "--requests 368 or --duration 37s"),
    (decision("ttft.p99<1s", None, 4000), "precision", "about 4,000 requests"),
    (decision("ttft.p99<1s", None, 4000, half=0.01), "precision", "about 4,000 requests"),
    (decision("errors<1%", None, 368, least=368), "sample_size", "errors<1% needs 368 requests"),
    (decision("ttft.p99<1s", None, 10**9), "precision", "another limit"),
    (decision("ttfo.p99<1s", None, high=None, interval=False), "sample_size", "no answer has a ttfo"),
])
def test_an_undecided_gate_is_invalid_and_says_what_would_decide_it(gate: Decision, row: str, words: str) -> None:
    check = the(row, gates=(gate,))
    assert not check.ok and words in check.remedy
    assert judge(replace(GOOD, gates=(gate,))).exit_code == 3


def test_a_gate_on_what_is_not_there_says_why() -> None:
    gate = decision("ttft.p99<1s", None, high=None, interval=False)
    assert "--stream" in the("sample_size", gates=(gate,), stream=False).remedy
    assert "no request succeeded" in the("sample_size", gates=(gate,), succeeded=0).remedy


@pytest.mark.parametrize(("changes", "code"), [
    ({"gates": (decision("ttft.p99<1s", True),)}, 0),
    ({"gates": (decision("ttft.p99<1s", True), decision("e2e.p99<1s", False))}, 1),
    ({"gates": (decision("ttft.p99<1s", False),), "censored": 1}, 3),
    ({"gates": (decision("ttft.p99<1s", None, likely=True),), "lax": True}, 0),
    ({"gates": (decision("ttft.p99<1s", None, likely=False),), "lax": True}, 1),
    ({"gates": (decision("ttft.p99<1s", None, high=None, likely=True),), "lax": True, "mean_time": 9e9}, 0),
    ({"lax": True, "stall": S}, 3),
    ({"interrupted": True, "gates": (decision("ttft.p99<1s", False),)}, 130),
])
def test_exit_codes_outrank_each_other(changes: dict[str, object], code: int) -> None:
    verdict = judge(replace(GOOD, **changes))
    assert verdict.exit_code == code
    assert verdict.valid == (code in (0, 1))
    assert verdict.interrupted == (code == 130)


def test_the_interval_decides_a_gate() -> None:
    rows = run_of(50, 30 * S)
    texts = {"ttft.p99<100ms": True, "ttft.p99.9<100ms": None, "lag.p99<1us": False, "lag.mean<1us": False,
             "errors<1%": True, "errors<0.1%": None, "goodput>40": True, "goodput>60": False, "e2e.mean<1s": True,
             "chunk_gap.p99<20ms": True, "output_tokens>500": True, "output_tokens>5000": False, "completed>20": True,
             "output_tokens.mean>10": True, "ttfo.p99<1s": None, "itl.p99<20ms": True}
    seen = evidence(recorded(rows, window_of(rows, 30 * S), list(texts)), record_of())
    assert {one.gate.slo: one.gate.ok for one in seen.gates} == texts
    by_text = {one.gate.slo: one.gate for one in seen.gates}
    assert by_text["ttft.p99.9<100ms"].needed == by_text["errors<0.1%"].needed == 3688


def test_a_limit_inside_the_interval_asks_for_more_requests() -> None:
    rows = run_of(50, 30 * S)
    recorder = recorded(rows, window_of(rows, 30 * S), ["ttft.p90<53300us", "itl.p90<10630us"])
    for one in evidence(recorder, record_of()).gates:
        low, high = one.interval or (0, 0)
        assert one.gate.ok is None and high and low < one.slo.limit < high
        assert one.gate.needed > recorder.measured.offered / 10


def test_the_overloaded_run_is_unstable_and_the_healthy_one_is_not() -> None:
    for slots, length, stable in ((0, 30 * S, True), (14, 30 * S, True), (10, 30 * S, False), (3, 30 * S, False),
                                  (8, 6 * S, False)):
        rows = run_of(50, length, slots=slots, tail=2 * S)
        verdict = judge(evidence(recorded(rows, window_of(rows, length)), record_of()))
        (check,) = (one for one in verdict.checks if one.name == "steady_state")
        assert check.ok == stable, (slots, check)
        assert verdict.valid == stable
        assert stable or "the server can't keep up" in check.remedy


@pytest.mark.parametrize("seed", range(8))
def test_a_healthy_smoke_run_is_valid(seed: int) -> None:
    rows = run_of(10, 15 * S, warmup=1500 * MS, ttft=200 * MS, itl=20 * MS, tokens=64, seed=seed)
    verdict = judge(evidence(recorded(rows, window_of(rows, 15 * S, 1500 * MS)), record_of(10)))
    assert verdict.valid, [check for check in verdict.checks if not check.ok]


def test_a_short_smoke_run_fails_in_one_row_and_lax_lets_it_pass() -> None:
    rows = run_of(10, 5 * S, warmup=1 * S, ttft=200 * MS, itl=20 * MS, tokens=128)
    recorder = recorded(rows, window_of(rows, 5 * S, 1 * S))
    assert [check.name for check in judge(evidence(recorder, record_of(10))).checks if not check.ok] == ["duration"]
    assert judge(evidence(recorder, record_of(10, lax=True))).exit_code == 0


def test_a_server_that_slows_down_for_a_while_breaks_littles_law_or_the_steady_state() -> None:
    rows = run_of(50, 30 * S)
    for one in rows:
        if one.due > 24 * S:
            one.end += 500 * MS
            one.token_at = [at + 500 * MS for at in one.token_at]
    verdict = judge(evidence(recorded(rows, window_of(rows, 30 * S)), record_of()))
    assert {"steady_state"} <= {check.name for check in verdict.checks if not check.ok}


def test_what_fails_so_far_is_named_while_the_run_goes_on() -> None:
    recorder = recorded([row(i, due=i * S, failure="http_5xx" if i else "") for i in range(5)], window_of([], S, 0))
    assert warnings(recorder, record_of()) == ("errors",)


@pytest.mark.parametrize("kind", ["model_lost", "sender_lost"])
def test_who_dies_in_the_warm_up_is_told(kind: str) -> None:
    recorder = recorded([row(0, phase=WARMUP, failure=kind)], window_of([], S, 0))
    assert kind in warnings(recorder, record_of())


def test_reads_without_stamps_are_judged_by_receive_lag() -> None:
    recorder = recorded([row(i, due=i * MS, unstamped=11, token_lag=[9 * MS] * 10) for i in range(5)],
                        window_of([], S, 0))
    assert warnings(recorder, record_of()) == ("receive_lag",)


def test_the_page_lists_the_rows_in_their_order() -> None:
    page = (Path(__file__).parents[3] / "docs" / "verdict.md").read_text()
    table = page.split("| row |")[1].split("\n\n")[0]
    named = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    kernel, user = ([check.name for check in judge(replace(GOOD, kernel_stamps=stamps)).checks]
                    for stamps in (True, False))
    assert [name for name in named if name != "receive_lag"] == kernel
    assert [name for name in named if name != "coalesced"] == user


def test_a_load_that_changes_as_planned_is_asked_for_no_steady_state() -> None:
    rows = run_of(50, 30 * S)
    for one in rows:
        if one.due > 20 * S:
            one.end += 500 * MS
            one.token_at = [at + 500 * MS for at in one.token_at]
    recorder, record = recorded(rows, window_of(rows, 30 * S)), record_of()
    assert "steady_state" in {check.name for check in judge(evidence(recorder, record)).checks if not check.ok}
    load = replace(record.plan.load, rate=0.0, load_shape="ramp:10..90/30s")
    seen = evidence(recorder, replace(record, plan=replace(record.plan, load=load)))
    checks = {check.name: check for check in judge(seen).checks}
    assert (checks["steady_state"].ok, checks["little"].ok) == (True, True)
    assert checks["steady_state"].seen == "the load changes as planned"
