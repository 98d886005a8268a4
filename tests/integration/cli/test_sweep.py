"""Tests of what the flags of `loadgen sweep` ask for, also of a sweep that is there already."""

from pathlib import Path

import pytest

from loadgen.cli import ab, main, sweep
from loadgen.sweep import files
from loadgen.sweep.spec import Spec
from loadgen.types import SECOND, UsageError

SEARCH = ("--url", "http://host:8000", "--find", "max-rate", "--slo", "ttft.p99<500ms", "--duration", "10s")
GRID = ("--url", "http://host:8000", "--rate", "1,2", "--duration", "10s", "--slo", "ttft.p99<500ms")


def asked(*flags: str) -> Spec:
    return sweep.spec_of(main.parser().parse_args(["sweep", *flags]))


def resumed(dir: Path, first: tuple[str, ...], *flags: str) -> Spec:
    files.store(dir, asked(*first).outline())
    return asked("--resume", str(dir), *flags)


def test_what_is_not_given_is_as_documented() -> None:
    settings = asked(*SEARCH).settings
    assert (settings.resolution, settings.most, settings.headroom, settings.pause) == (0.05, 40, 0.1, 0)
    assert (settings.repeat, settings.between, settings.reset_cache, settings.until_precise) == (1, "", False, False)


def test_goodput_is_a_goal() -> None:
    assert asked(*SEARCH[:2], *SEARCH[4:], "--goodput").goal == "goodput"
    with pytest.raises(UsageError, match="leave one out"):
        asked(*SEARCH, "--goodput")


def test_flags_that_change_no_run_are_taken_by_a_sweep_that_goes_on(tmp_path: Path) -> None:
    first = (*SEARCH, "--pause", "9s", "--resolution", "10%")
    settings = resumed(tmp_path, first, "--max-probes", "80", "--target-rate", "300", "--headroom", "20%",
                       "--price-per-hour", "2.5").settings
    assert (settings.most, settings.target_rate, settings.headroom, settings.price_per_hour) == (80, 300, 0.2, 2.5)
    assert (settings.pause, settings.resolution) == (9 * SECOND, 0.1)
    assert resumed(tmp_path, first, "--pause", "1s").settings.pause == SECOND


@pytest.mark.parametrize(("flags", "named"), [
    (("--backend", "vllm"), "--backend"), (("--input-tokens", "77"), "--input-tokens"), (("--lowest", "1"), "--lowest"),
    (("--reset-cache",), "--reset-cache"), (("--goodput",), "--goodput"), (("--find", "knee"), "--find"),
    (("--resolution", "1%"), "--resolution"), (("--repeat", "3"), "--repeat"), (("--between", "x"), "--between"),
    (("--slo", "itl.p99<1s"), "--slo"), (("--lax",), "--lax"), (("--out", "d"), "--out"), (("plan.toml",), "PLAN"),
])
def test_all_other_flags_are_refused_by_their_names(flags: tuple[str, ...], named: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"leave the others out \({named}\)"):
        resumed(tmp_path, SEARCH, *flags)


def test_what_has_no_effect_on_the_sweep_that_is_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--target-rate goes with a search"):
        resumed(tmp_path, GRID, "--target-rate", "5")
    with pytest.raises(UsageError, match="--headroom is added"):
        resumed(tmp_path, SEARCH, "--headroom", "5%")
    assert resumed(tmp_path, (*SEARCH, "--target-rate", "5"), "--headroom", "5%").settings.headroom == 0.05


def test_a_header_with_the_key_is_given_again(tmp_path: Path) -> None:
    first = (*GRID, "--header", "Authorization: Bearer secret")
    with pytest.raises(UsageError, match="or give --header 'Authorization: value'"):
        resumed(tmp_path, first)
    spec = resumed(tmp_path, first, "--header", "Authorization: Bearer secret")
    assert spec.plan.target.headers == {"Authorization": "Bearer secret"}


def test_precision_lets_the_runs_of_a_sweep_and_of_ab_go_on() -> None:
    assert asked(*GRID, "--precision", "5%").settings.until_precise
    assert not asked(*GRID, "--precision", "5%", "--max-duration", "60s").settings.until_precise
    line = ["ab", "--base", "http://a:1", "--new", "http://b:1", "--rate", "1", "--duration", "10s", "--slo",
            "ttft.p99<500ms"]
    windows = [ab.plan_of(main.parser().parse_args([*line, *more]))[0].load.max_duration
               for more in ([], ["--precision", "5%"])]
    assert windows == [0, 160 * SECOND]
