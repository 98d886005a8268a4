"""The Comparison as data: to JSON and back, and what is refused there."""

import json
from dataclasses import replace

import pytest

from loadgen.outcomes.comparison import SCHEMA, Comparison, GateResult, Interval
from loadgen.types import UsageError
from support import comparison_samples as samples


@pytest.mark.parametrize("name", samples.ALL)
def test_a_comparison_comes_back_from_json_as_it_was(name: str) -> None:
    comparison = samples.ALL[name]
    assert Comparison.from_json(json.loads(json.dumps(comparison.to_json()))) == comparison


def test_a_newer_schema_and_what_is_no_comparison_are_refused() -> None:
    with pytest.raises(UsageError, match="newer loadgen"):
        Comparison.from_json({**samples.equal.to_json(), "schema": SCHEMA + 1})
    with pytest.raises(UsageError, match="not a comparison"):
        Comparison.from_json({"schema": SCHEMA, "cells": 3})


def test_a_gate_says_what_its_interval_does_not_rule_out() -> None:
    slower, faster = Interval(1.0, 0.9, 1.2), Interval(1.0, 0.99, 1.01)
    gate = GateResult("", "", 0.03, "pass", "")
    assert gate.not_ruled_out is None
    assert replace(gate, ratio=slower).not_ruled_out == 1.2
    assert replace(gate, ratio=slower, better="more").not_ruled_out == 0.9
    assert replace(gate, ratio=faster).not_ruled_out is None
    assert replace(gate, ratio=Interval(1.5)).not_ruled_out is None


def test_a_row_has_the_name_that_users_write() -> None:
    assert [one.name for one in samples.ROWS[:2]] == ["ttft.p50", "ttft.p99"]
