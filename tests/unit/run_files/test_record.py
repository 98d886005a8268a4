"""The RunRecord and plan.json: the same keys as ever, older files stay readable, and what no run wrote is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.outcomes.run_record import Resolved, RunRecord
from loadgen.plan import Criteria, Duration, Load, OutputOptions, Plan, Target
from loadgen.run_files.record import from_json, to_json
from loadgen.types import ABSENT, SECOND, UsageError, Window

OLD = json.loads((Path(__file__).parents[2] / "support" / "stored_plan.json").read_text())
"""plan.json of the first loadgen: without the tables and settings that came later, and with one that is gone."""
PATH = Path("runs/one/plan.json")
RECORD = RunRecord(
    Plan(Target("vllm", ("http://a:1",), "m", api_key="key-to-be-hidden"), load=Load(rate=3.0, requests=30),
         judgement=Criteria(("ttft.p99<1s",), precision=0.1), out=OutputOptions("here")),
    Resolved(Window(2 * SECOND, 10 * SECOND, 30), {"law": "poisson", "sha256": "1f"}, {"loadgen": "0.1.0"},
             "model", "forced"))


def test_what_was_written_is_read_again_but_for_secrets() -> None:
    again = from_json(json.loads(json.dumps(to_json(RECORD))), PATH)
    assert again == replace(RECORD, plan=replace(RECORD.plan, target=replace(RECORD.plan.target, api_key="***")))


def test_plan_json_has_the_tables_of_a_plan_and_one_of_what_was_resolved() -> None:
    data = to_json(RECORD)
    assert list(data) == ["schema", "target", "model", "load", "workload", "timeouts", "tls", "judgement", "out",
                          "resolved"]
    assert data["resolved"] == {
        "window": {"start": 2_000_000_000, "length": 10_000_000_000, "count": 30},
        "schedule": {"law": "poisson", "sha256": "1f"}, "stamps": "model", "length": "forced",
        "provenance": {"loadgen": "0.1.0"}}
    plain = to_json(replace(RECORD, resolved=replace(RECORD.resolved, stamps="")))
    assert list(plain["resolved"]) == ["window", "schedule", "length", "provenance"]


def test_a_plan_of_an_older_loadgen_is_read_with_defaults_for_what_it_does_not_say() -> None:
    record = from_json(OLD, PATH)
    assert record.resolved.window == Window(3 * SECOND, ABSENT, 200)
    assert (record.resolved.stamps, record.resolved.length) == ("", "")
    assert record.opens_each
    load = record.plan.load
    assert (load.concurrency, load.requests, load.drain) == (8, 200, Duration(30 * SECOND))
    assert record.plan.judgement == Criteria(("e2e.p90<2s",), 0.05, lax=True)
    assert (record.plan.out, record.plan.load.retry) == (OutputOptions("runs/old"), 0)


@pytest.mark.parametrize("lost", ["target.stream", "load.connections", "judgement.slo", "resolved.schedule",
                                  "resolved.provenance", "resolved.window.start", "resolved.window.length",
                                  "resolved.window.count"])
def test_a_plan_that_lacks_what_every_run_writes_is_named(lost: str) -> None:
    data: dict[str, Any] = json.loads(json.dumps(OLD))
    *tables, key = lost.split(".")
    table = data
    for name in tables:
        table = table[name]
    del table[key]
    with pytest.raises(UsageError, match=rf"^runs/one/plan.json is incomplete, it lacks {lost}: it was "):
        from_json(data, PATH)


@pytest.mark.parametrize(("table", "key", "value"), [
    ("load", "rate", "fast"), ("judgement", "slo", 3), ("resolved", "provenance", 7),
    ("resolved", "window", {"start": "x", "length": 1, "count": 1})])
def test_a_value_of_another_kind_is_named(table: str, key: str, value: object) -> None:
    with pytest.raises(UsageError, match=r"^runs/one/plan.json is incomplete: "):
        from_json({**OLD, table: {**OLD[table], key: value}}, PATH)
