"""The Comparison as data: to JSON and back, and what is refused there."""

import json

import pytest

import comparison_samples as samples
from loadgen.comparison import SCHEMA, Comparison
from loadgen.types import UsageError


@pytest.mark.parametrize("name", samples.ALL)
def test_a_comparison_comes_back_from_json_as_it_was(name: str) -> None:
    comparison = samples.ALL[name]
    assert Comparison.from_json(json.loads(json.dumps(comparison.to_json()))) == comparison


def test_a_newer_schema_and_what_is_no_comparison_are_refused() -> None:
    with pytest.raises(UsageError, match="newer loadgen"):
        Comparison.from_json({**samples.equal.to_json(), "schema": SCHEMA + 1})
    with pytest.raises(UsageError, match="no comparison"):
        Comparison.from_json({"schema": SCHEMA, "cells": 3})


def test_a_row_has_the_name_that_users_write() -> None:
    assert [one.name for one in samples.ROWS[:2]] == ["ttft.p50", "ttft.p99"]
