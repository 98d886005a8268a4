"""Load shapes: the inverse of the integrated rate, and the schedules that are made with it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.arrivals.shapes import SHAPES, Constant, Exponential, Ramp, Shape, ShapeForm, length_of, parse_shape
from loadgen.config import plan_check
from loadgen.plan import Duration, Load, Plan, Target, Workload
from loadgen.run.setup import make_schedule, warmup_of
from loadgen.schedule import measured_count, plan_offsets
from loadgen.types import SECOND, UsageError

RATES = st.floats(0.01, 1000)
OVER = st.integers(SECOND // 10, 600 * SECOND)
ANY_SHAPE = st.one_of(st.builds(Ramp, RATES, RATES, OVER), st.builds(Exponential, RATES, RATES, OVER),
                      st.builds(Ramp, st.just(0.0), RATES, OVER), st.builds(Constant, RATES))
ENDS = ((1.0, 50.0), (50.0, 1.0), (10.0, 10.0), (10.0, 10.0 * (1 + 1e-12)), (10.0, 10.0 * (1 - 1e-9)))


def load(**changes: object) -> Load:
    return replace(Load(load_shape="ramp:1..50/120s", duration=Duration(180 * SECOND), seed=3), **changes)


def refusal(**changes: object) -> str:
    with pytest.raises(UsageError) as error:
        plan_check.check(Plan(Target(url=("http://127.0.0.1:1",)), load=load(**changes)))
    return str(error.value)


@given(ANY_SHAPE, st.lists(st.floats(0, 1200), min_size=1, max_size=20))
def test_the_inverse_undoes_the_integral(shape: Shape, seconds: list[float]) -> None:
    lengths = np.array(seconds) * SECOND
    points = np.array([shape.count(length) for length in lengths]) * SECOND / shape.peak
    # What is 1 ns at the peak rate is longer where the rate is lower; a ramp from 0 is only known to the root of that.
    assert np.array([shape.count(at) for at in shape.instants(points)]) * SECOND / shape.peak == pytest.approx(
        points, rel=1e-9, abs=1e-3)
    assert shape.instants(points) == pytest.approx(lengths, rel=1e-7, abs=SECOND / 1000)


@given(ANY_SHAPE, st.lists(st.floats(0, 1e12), min_size=2, max_size=50))
def test_the_inverse_keeps_the_order_of_points(shape: Shape, points: list[float]) -> None:
    assert (np.diff(shape.instants(np.sort(points))) >= -1e-3).all()


@pytest.mark.parametrize("kind", [Ramp, Exponential])
@pytest.mark.parametrize(("first", "last"), ENDS)
def test_the_count_is_the_integral_of_the_rate(kind: type[Ramp] | type[Exponential], first: float, last: float) -> None:
    shape = kind(first, last, 120 * SECOND)
    for end in (30, 120, 200):
        middles = (np.arange(200_000) + 0.5) * (end * SECOND / 200_000)
        rates = [shape.rate(at) for at in middles]
        assert shape.count(end * SECOND) == pytest.approx(np.mean(rates) * end, rel=1e-6)
    assert shape.rate(0) == first
    assert shape.rate(500 * SECOND) == pytest.approx(last)


@pytest.mark.parametrize("kind", [Ramp, Exponential])
def test_a_nearly_flat_ramp_is_a_constant_rate(kind: type[Ramp] | type[Exponential]) -> None:
    points = np.linspace(0, 300 * SECOND, 1000)
    for off in (0.0, 1e-15, 1e-12, -1e-12, 1e-8):
        shape = kind(10.0, 10.0 * (1 + off), 120 * SECOND)
        assert shape.instants(points) == pytest.approx(points, rel=2e-8)


@pytest.mark.parametrize("text", ["ramp:1..50/120s", "exp:1..50/120s", "ramp:0..20/60s", "exp:40..2/150s"])
@pytest.mark.parametrize("law", ["poisson", "constant", "gamma"])
def test_the_arrivals_up_to_an_instant_follow_the_integral(text: str, law: str) -> None:
    plan = load(load_shape=text, arrivals=law, burstiness=2.0)
    offsets, first, last = plan_offsets(plan, 0, 0)
    assert first == 0 and last == offsets.size == round(plan.shape.count(180 * SECOND))
    assert (np.diff(offsets) >= 0).all()
    for end in range(10, 181, 10):
        expected = plan.shape.count(end * SECOND)
        noise = 1.01 if law == "constant" else 4 * math.sqrt(expected + 1)
        assert abs(np.searchsorted(offsets, end * SECOND) - expected) <= noise


def test_a_poisson_ramp_is_uniform_once_its_rate_is_taken_out() -> None:
    """The time change theorem: the integral of the rate at the arrivals is a Poisson process of rate 1."""
    plan = load(requests=20_000, duration=Duration(0))
    offsets, _, last = plan_offsets(plan, 0, 0)
    changed = np.array([plan.shape.count(at) for at in offsets]) / last
    expected = (np.arange(last) + 0.5) / last
    assert np.abs(changed - expected).max() < 1.63 / math.sqrt(last)


def test_warm_up_and_cool_down_keep_the_rates_at_the_ends_of_the_window() -> None:
    offsets, first, last = plan_offsets(load(arrivals="constant"), 10 * SECOND, 4 * SECOND)
    assert np.diff(offsets[:first]).tolist() == [SECOND] * 9
    assert set(np.diff(offsets[last:]).tolist()) == {SECOND // 50}
    part, _, end = plan_offsets(load(arrivals="constant", duration=Duration(60 * SECOND)), 0, 4 * SECOND)
    assert np.diff(part[end:]).mean() == pytest.approx(SECOND / 25.5, rel=1e-2)


def test_a_ramp_from_0_has_no_warm_up() -> None:
    _, first, _ = plan_offsets(load(load_shape="ramp:0..5/10s"), 10 * SECOND, 0)
    assert first == 0


class Stopping(Ramp):
    """A rate that ends with the window."""

    def rate(self, at: float) -> float:
        return 0.0 if at >= 3 * SECOND else super().rate(at)


def test_a_shape_that_ends_at_0_has_no_cool_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "stop", ShapeForm("", lambda text: Stopping(5.0, 5.0, SECOND)))
    offsets, _, last = plan_offsets(load(load_shape="stop", duration=Duration(3 * SECOND)), 0, 10 * SECOND)
    assert (last, offsets.size) == (15, 15)


def test_the_rate_and_the_window_are_derived_from_the_shape() -> None:
    plan = load(duration=Duration(0), requests=3060)  # 25.5 x 120
    assert plan.window == pytest.approx(120 * SECOND, abs=1)
    assert warmup_of(plan) == 12 * SECOND
    schedule = make_schedule(plan)
    assert schedule.window.length == pytest.approx(120 * SECOND, abs=1)
    described = schedule.describe(plan)
    assert described["shape"] == "ramp 1 to 50 requests/s over 120 s"
    assert described["rate"] == pytest.approx(25.5)
    assert measured_count(load()) == 3060 + 50 * 60
    assert length_of(plan.shape, 3060 + 100) == pytest.approx(122 * SECOND)


@pytest.mark.parametrize(("text", "words"), [
    ("rmap:1..50/120s", ["'rmap'", "ramp:1..50/120s", "exp:1..50/120s"]), ("ramp", ["no load shape"]),
    ("ramp:1..50", ["no load shape"]), ("ramp:1..x/120s", ["no load shape"]), ("ramp:1..0/120s", ["above 0"]),
    ("ramp:1..50/120", ["120s"]), ("ramp:1..50/0s", ["takes time"]), ("exp:0..50/120s", ["0.1"]),
    ("ramp:-1..5/10s", ["below"]), ("ramp:1..1e999/10s", ["above 0"]), ("", ["ramp:1..50/120s"])])
def test_what_is_no_shape_is_refused_with_what_to_write(text: str, words: list[str]) -> None:
    said = refusal(load_shape=text)
    assert all(word in said for word in ["--load-shape", *words])


def test_a_shape_takes_the_place_of_rate_and_concurrency() -> None:
    assert "--load-shape takes the place of --rate" in refusal(rate=3.0)
    assert "--load-shape is an open loop" in refusal(concurrency=3)
    assert "--max-duration" in refusal(max_duration=Duration(900 * SECOND))
    plan_check.check(Plan(Target(url=("http://127.0.0.1:1",)), load=load()))


def test_a_load_shape_given_as_that_of_a_tensor_is_shown_its_flag() -> None:
    plan = Plan(Target(url=("http://127.0.0.1:1",)), load=Load(rate=1.0, requests=1),
                workload=Workload(shapes=("ramp:1..50/120s",)))
    with pytest.raises(UsageError, match=r"--load-shape ramp:1..50/120s"):
        plan_check.check(plan)


def test_shapes_say_what_they_are() -> None:
    assert str(parse_shape("ramp:1..50/120s")) == "ramp 1 to 50 requests/s over 120 s"
    assert str(parse_shape("exp:0.5..50/1.5m")) == "exponential ramp 0.5 to 50 requests/s over 90 s"
    assert parse_shape("exp:8..2/10s").peak == 8
