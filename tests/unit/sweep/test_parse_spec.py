"""Tests of what a user may ask of a sweep, and what is said where that can't be run."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.capacity import Sweep
from loadgen.plan import Criteria, Duration, Load, Plan, Target
from loadgen.sweep.cells import name_of, seed_of, wanted
from loadgen.sweep.parse_spec import spec_of
from loadgen.sweep.spec import Spec, differences, read
from loadgen.types import SECOND, UsageError

PLAN = Plan(target=Target(url=("http://host:8000",)), load=Load(duration=Duration(10 * SECOND)),
            judgement=Criteria(slo=("ttft.p99<500ms",)))
BARE = replace(PLAN, load=Load())


def ask(plan: Plan = PLAN, goal: str = "grid", settings: dict[str, Any] | None = None, **axes: str | list[str]) -> Spec:
    given = {name: [value] if isinstance(value, str) else value for name, value in axes.items()}
    return spec_of(plan, given, goal, settings)


def refusal(plan: Plan = PLAN, goal: str = "grid", settings: dict[str, Any] | None = None,
            **axes: str | list[str]) -> str:
    with pytest.raises(UsageError) as error:
        ask(plan, goal, settings, **axes)
    return str(error.value)


def test_an_axis_with_one_value_is_the_plans() -> None:
    spec = ask(rate="1,2", input_tokens="64", backend="vllm")
    assert spec.axes == {"rate": (1.0, 2.0)}
    assert (spec.plan.workload.input_tokens, spec.plan.target.backend) == ("64", "vllm")


def test_the_load_of_the_plan_is_an_axis_too() -> None:
    assert ask(replace(PLAN, load=replace(PLAN.load, rate=7.0)), input_tokens="1,2").axes["rate"] == (7.0,)


def test_several_urls_are_compared_and_several_in_one_are_used_in_turn() -> None:
    spec = ask(rate="1", url=["http://a:1,http://b:1", "http://c:1"])
    first, last = (wanted(spec, Path("x"), 1, {"url": url, "rate": 1.0}) for url in spec.axes["url"])
    assert first.plan.target.url == ("http://a:1", "http://b:1")
    assert last.plan.target.url == ("http://c:1",)


def test_a_search_begins_where_the_rate_says() -> None:
    spec = ask(goal="max-rate", rate="8")
    assert (spec.within.start, spec.within.lowest, spec.load_axis) == (8.0, 0.125, "rate")
    assert spec.plan.load.rate == 0.0 and spec.axes == {}
    assert ask(goal="max-rate").within.start == 1.0
    assert ask(goal="max-concurrency", concurrency="8").within.whole


def test_a_probe_without_a_length_holds_four_times_the_least_sample() -> None:
    spec = ask(BARE, goal="max-rate", rate="4")
    assert wanted(spec, Path("x"), 1, {"rate": 4.0}).plan.load.duration == 4 * 368 / 4 * SECOND
    assert wanted(spec, Path("x"), 1, {"rate": 100.0}).plan.load.duration == 30 * SECOND
    assert wanted(spec, Path("x"), 1, {"rate": 100.0}, 0, 4).plan.load.duration == 120 * SECOND


def test_a_probe_without_a_length_lasts_ten_minutes_at_most_and_the_search_ends_where_an_hour_holds_no_sample() -> None:
    spec = ask(BARE, goal="max-rate")
    assert wanted(spec, Path("x"), 1, {"rate": 1.0}).plan.load.duration == 600 * SECOND
    assert spec.within.lowest == 0.102  # 368 an hour
    assert ask(BARE, goal="max-rate", rate="0.05").within.lowest == 0.05
    assert ask(BARE, goal="max-rate", settings={"lowest": 0.01}).within.lowest == 0.01
    assert ask(PLAN, goal="max-rate").within.lowest == 1 / 64  # ten seconds were asked for


def test_the_window_of_a_cell_is_known_before_it_runs() -> None:
    assert wanted(ask(BARE, goal="max-rate"), Path("x"), 1, {"rate": 4.0}).plan.load.window == 368 * SECOND
    assert wanted(ask(rate="4"), Path("x"), 1, {"rate": 4.0}).plan.load.window == 10 * SECOND
    counted = replace(PLAN, load=Load(requests=100))
    assert wanted(ask(counted, rate="4"), Path("x"), 1, {"rate": 4.0}).plan.load.window == 25 * SECOND
    assert wanted(ask(counted, concurrency="4"), Path("x"), 1, {"concurrency": 4.0}).plan.load.window == 0


def test_what_would_bend_the_answer_of_a_search_is_refused() -> None:
    lax = replace(PLAN, judgement=replace(PLAN.judgement, lax=True))
    for goal in ("max-rate", "max-concurrency", "knee", "goodput"):
        assert "--lax" in refusal(lax, goal)
    early = replace(PLAN, judgement=replace(PLAN.judgement, abort_on_fail=True))
    assert "before their queue has built" in refusal(early, "goodput")
    assert ask(lax, rate="1,2").goal == "grid" and ask(early, "max-rate").goal == "max-rate"


@pytest.mark.parametrize(("goal", "axes", "settings", "words"), [
    ("max-rate", {"rate": "1,2"}, {}, "decides the rate: give one --rate"),
    ("max-rate", {"concurrency": "4"}, {}, "--find max-rate decides the rate, and --concurrency was given"),
    ("max-concurrency", {"rate": "4"}, {}, "--find max-concurrency decides the concurrency, and --rate was given"),
    ("max-rate", {}, {"repeat": 3}, "leave --repeat out"),
    ("max-rate", {}, {"lowest": 8.0}, "not between --lowest 8 and"),
    ("max-rate", {"rate": "8"}, {"highest": 4.0}, "--highest 4"),
    ("max-rate", {}, {"resolution": 0.0}, "--resolution"),
    ("max-concurrency", {}, {"lowest": 0.5}, "--lowest 0.5 is not a whole number"),
    ("max-concurrency", {}, {"highest": 10.5}, "--highest 10.5 is not a whole number"),
    ("repeat", {"rate": "1"}, {"repeat": 10**9}, "--repeat 1000000000 is a lot: write at most 1000"),
    ("grid", {"rate": "1..40/1", "input_tokens": "1..40/1"}, {}, "more than 1000 combinations"),
    ("grid", {"rate": "1..40/1"}, {"repeat": 40}, "more than 1000 combinations"),
    ("max-rat", {}, {}, "did you mean max-rate?"),
    ("grid", {}, {}, "no load was given"),
    ("grid", {"rate": "1", "concurrency": "1"}, {}, "give one of the two"),
    ("grid", {"rate": "x"}, {}, "--rate: invalid list of numbers 'x'"),
    ("grid", {"rate": "1", "url": "host:80"}, {}, "no scheme"),
    ("grid", {"rate": "1"}, {"target_rate": 300.0}, "--target-rate goes with a search"),
    ("grid", {"rate": "1"}, {"most": 80}, "--max-probes goes with a search"),
    ("grid", {"rate": "1"}, {"lowest": 1.0, "price_per_hour": 2.0}, "--price-per-hour goes with a search"),
    ("max-rate", {}, {"headroom": 0.2}, "--headroom is added to the replicas"),
    ("grid", {"rate": "1", "backend": "a,b", "url": ["http://a", "http://b", "http://c"]}, {}, "2 backends and 3 urls"),
])
def test_contradictions_are_refused(goal: str, axes: dict[str, str | list[str]], settings: dict[str, Any],
                                    words: str) -> None:
    assert words in refusal(PLAN, goal, settings, **axes)


def test_a_search_needs_objectives_that_a_larger_load_can_miss() -> None:
    bare = replace(PLAN, judgement=Criteria())
    assert "needs an objective" in refusal(bare, "max-rate")
    assert "needs an objective" in refusal(bare, "goodput")
    assert ask(bare, "knee").goal == "knee"
    rate = replace(PLAN, judgement=Criteria(slo=("goodput>9",)))
    assert "missed where the load is small" in refusal(rate, "max-rate")
    assert "goodput counts requests" in refusal(rate, "goodput")


def test_with_precision_each_run_may_go_on_for_sixteen_windows() -> None:
    settings = {"until_precise": True}
    spec = ask(goal="max-rate", settings=settings)
    assert wanted(spec, Path("x"), 1, {"rate": 4.0}).plan.load.max_duration == 160 * SECOND
    assert wanted(spec, Path("x"), 1, {"rate": 4.0}, 0, 2).plan.load.max_duration == 320 * SECOND
    grid = ask(replace(PLAN, load=Load(requests=100)), settings=settings, rate="5,50")
    assert [wanted(grid, Path("x"), 1, {"rate": rate}).plan.load.max_duration for rate in (5.0, 50.0)] == [
        320 * SECOND, 32 * SECOND]
    assert wanted(ask(rate="4"), Path("x"), 1, {"rate": 4.0}).plan.load.max_duration == 0


def test_a_grid_needs_a_length() -> None:
    assert "no length was given" in refusal(BARE, rate="1,2")


def test_seeds_differ_between_places_and_not_between_servers() -> None:
    base = seed_of(0, {"rate": 1.0})
    assert base == seed_of(0, {"rate": 1.0, "url": "http://a", "backend": "vllm"}) < 2**31
    others = {seed_of(0, {"rate": 2.0}), seed_of(0, {"rate": 1.0}, 1), seed_of(1, {"rate": 1.0}),
              seed_of(0, {"rate": 1.0, "input_tokens": "5"})}
    assert len(others | {base}) == 5


@pytest.mark.parametrize("value", ["../../etc", "http://[::1]:8000/a b", "a/b/../c.py:A", "\x00\n", "x" * 400, ".."])
def test_a_cell_is_a_directory_inside_the_sweeps_whatever_its_place_is_called(value: str) -> None:
    name = name_of(7, {"backend": value, "rate": 1.5})
    assert name.startswith("007-") and "/" not in name and "\x00" not in name and len(name) <= 100


def test_a_sweep_that_was_stored_is_asked_again() -> None:
    spec = ask(goal="max-rate", rate="8", input_tokens="1,2", settings={"resolution": 0.02, "target_rate": 300.0})
    stored = Sweep.from_json(json.loads(json.dumps(spec.outline().to_json())))
    assert differences(spec, stored) == []
    assert read(stored) == spec


@pytest.mark.parametrize(("changes", "words"), [
    ({"rate": "8,9"}, "its rate is 4,8, this one's 8,9"),
    ({"rate": "4,8", "input_tokens": "64"}, "its workload.input_tokens is '512', this one's '64'"),
    ({"rate": "4,8", "input_tokens": "1,2"}, "its input_tokens is not given, this one's 1,2"),
])
def test_a_directory_of_another_sweep_is_told_by_its_differences(changes: dict[str, str], words: str) -> None:
    assert words in differences(ask(**changes), ask(rate="4,8").outline())  # type: ignore[arg-type]


def test_what_changes_no_cell_may_differ() -> None:
    one = ask(goal="max-rate", settings={"target_rate": 1.0, "most": 5, "pause": 3})
    assert differences(one, ask(goal="max-rate").outline()) == []
    other = ask(goal="max-rate", settings={"resolution": 0.2})
    assert differences(other, ask(goal="max-rate").outline()) == ["its resolution is 0.05, this one's 0.2"]


def test_a_sweep_that_decides_the_load_refuses_a_load_shape() -> None:
    ramp = replace(PLAN, load=Load(load_shape="ramp:1..5/10s", duration=Duration(10 * SECOND)))
    for goal, axes in (("grid", {"rate": "1,2"}), ("grid", {"concurrency": "4"}), ("max-rate", {})):
        assert "--load-shape: leave it out" in refusal(ramp, goal, **axes)
    assert ask(ramp, settings={"repeat": 2}).axes == {"run": (1.0, 2.0)}
