"""What counts as the same load, what is only remarked on, and what a run gives of itself."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.compare import Measured, cells, comparability
from loadgen.compare.load import read_sides
from loadgen.config import plan_file
from loadgen.outcomes.comparison import Interval
from loadgen.outcomes.report import Report
from loadgen.plan import Plan
from support import report_samples as samples
from support.run_dirs import write_run


def run(dir: str = "a", seed: int = 7, sha256: str = "", load: dict[str, Any] | None = None,
        workload: dict[str, Any] | None = None, plan: dict[str, dict[str, Any]] | None = None,
        **provenance: Any) -> Measured:
    report = samples.with_plan(samples.valid, load={"seed": seed, **(load or {})})
    report = samples.with_plan(report, **(plan or {}))
    return Measured(dir, replace(report, schedule={"sha256": sha256 or f"{seed:06x}"},
                                 provenance={"loadgen": "0.1.0", "workload": workload or {}, **provenance}))


def test_equal_loads_have_no_difference_and_no_remark() -> None:
    assert comparability.differences([run()], [run()]) == []
    assert comparability.remarks([run()], [run()]) == []


def test_prompts_count_by_their_content_and_not_by_their_file() -> None:
    one = run(workload={"kind": "prompts", "file": "a.jsonl", "sha256": "1"})
    same = run(workload={"kind": "prompts", "file": "b.jsonl", "sha256": "1"})
    other = run(workload={"kind": "prompts", "file": "a.jsonl", "sha256": "2"})
    assert comparability.differences([one], [same]) == []
    assert comparability.differences([one], [other]) == ["prompts: sha256 1 against sha256 2"]


@pytest.mark.parametrize(("key", "described"), [
    ("prompts", lambda digest: {"sha256": digest}), ("datasets", lambda digest: {"sha256": digest}),
    ("input_data", lambda digest: {"sha256": digest}), ("images", lambda digest: {"images": {"sha256": digest}}),
    ("tokenizer", lambda digest: {"tokenizer": {"sha256": digest}}),
    ("input_tokens", lambda digest: {"input_tokens": {"distribution": "file:a", "sha256": digest}}),
    ("output_tokens", lambda digest: {"output_tokens": {"distribution": "file:a", "sha256": digest}})])
def test_a_file_counts_by_its_content_and_not_by_its_name(key: str, described: Callable[[str], dict[str, Any]]) -> None:
    def asked(name: str, digest: str) -> list[Measured]:
        return [run(plan={"workload": {key: name}}, workload=described(digest))]
    assert comparability.differences(asked("a", "1"), asked("b", "1")) == []
    assert comparability.differences(asked("a", "1"), asked("a", "2")) == [f"{key}: sha256 1 against sha256 2"]


FREE = {"target.url", "target.model", "target.api_key", "target.headers", "target.wait_ready", "target.probe",
        "target.grpc_client", "target.metrics_url", "load.senders"}
SETTINGS = [(table, key) for table, keys in plan_file.to_dict(Plan()).items() for key in keys]


@pytest.mark.parametrize(("table", "key"), SETTINGS)
def test_every_setting_counts_that_is_not_known_to_be_free(table: str, key: str) -> None:
    found = comparability.differences([run(plan={table: {key: "one"}})], [run(plan={table: {key: "other"}})])
    assert bool(found) == (table in ("target", "load", "workload", "timeouts") and f"{table}.{key}" not in FREE)


def test_a_setting_that_only_a_newer_loadgen_knows_counts(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 2)):
        path = write_run(tmp_path / name) / "plan.json"
        plan = json.loads(path.read_text())
        plan["load"]["from_the_future"] = value
        plan["weather"] = {"wind": value}
        path.write_text(json.dumps(plan))
    base, new = read_sides([str(tmp_path / "a")], [str(tmp_path / "b")])
    assert comparability.differences(base, new) == [
        "from_the_future: 1 against 2", "weather.wind: 1 against 2"]


def test_what_was_measured_before_a_setting_was_known_had_its_default(tmp_path: Path) -> None:
    sides = [write_run(tmp_path / name) for name in ("old", "new")]
    for name in ("plan.json", "summary.json"):
        data = json.loads((sides[0] / name).read_text())
        del data.get("plan", data)["workload"]["images_per_request"]
        del data.get("plan", data)["timeouts"]
        (sides[0] / name).write_text(json.dumps(data))
    assert comparability.differences(*read_sides([str(sides[0])], [str(sides[1])])) == []


def test_a_model_that_was_loaded_is_remarked_on_and_is_one_a_side() -> None:
    sides = [[run(plan={"model": {"dtype": dtype}})] for dtype in ("float32", "bfloat16")]
    assert comparability.differences(*sides) == []
    assert comparability.remarks(*sides) == ["the model's dtype differs: float32 against bfloat16"]
    mixed = [run("a", 1, plan={"model": {"dtype": "float32"}}), run("b", 2, plan={"model": {"dtype": "bfloat16"}})]
    assert comparability.differences(mixed, [run("c", 1), run("d", 2)]) == [
        "model's dtype within base: bfloat16, float32"]


def test_both_servers_on_both_sides_are_no_comparison() -> None:
    def side(*urls: str) -> list[Measured]:
        return [run(url, number, plan={"target": {"url": [url]}}) for number, url in enumerate(urls)]
    assert comparability.differences(side("old", "new"), side("old", "new")) == [
        "servers: new and old against new and old; name the runs of one server on each side"]
    assert comparability.differences(side("a", "b"), side("b", "c"))[0].startswith("servers: a and b against b and c")
    assert comparability.differences(side("old", "old"), side("new", "new")) == []
    assert comparability.differences(side("host:1", "host:2"), side("host:3", "host:4")) == []


def test_runs_of_one_draw_that_closed_at_different_looks_are_comparable() -> None:
    def closed(sha256: str, length: int) -> Measured:
        one = run(sha256=sha256, load={"max_duration": "96s"},
                  plan={"resolved": {"schedule": {"sha256": "planned"}}})
        return Measured("a", replace(one.report, window={"start": 0, "length": length}))
    sides = [[closed("early", 6_000_000_000)], [closed("late", 24_000_000_000)]]
    assert comparability.differences(*sides) == []
    assert comparability.remarks(*sides) == [
        "the length of the window, which could be extended, differs: 6s against 24s"]


def test_a_difference_within_a_side_is_one_too() -> None:
    mixed = [run(), run("b", load={"rate": 12.0})]
    assert comparability.differences(mixed, [run()]) == ["rate: 10.0 against 12.0 (both of the base)"]
    assert comparability.differences([run()], mixed) == ["rate: 10.0 against 12.0"]


@pytest.mark.parametrize(("base", "new", "alike"), [
    ((1,), (1,), True), ((1,), (2,), False), ((1, 2), (2, 1), True), ((1, 2, 3), (1, 2), True),
    ((1, 2, 3), (4, 5, 6), True), ((1, 1, 1), (1, 1), True), ((1, 1, 1), (2, 2, 2), False), ((1, 2), (3, 3), False),
    ((1, 2, 3), (4,), False)])
def test_which_seeds_can_stand_against_which(base: tuple[int, ...], new: tuple[int, ...], alike: bool) -> None:
    found = comparability.differences([run(seed=seed) for seed in base], [run(seed=seed) for seed in new])
    assert (not found) == alike
    if not alike:
        assert found[0].startswith("seed: 1 against ")


def test_another_prompt_seed_is_another_draw() -> None:
    one = run()
    report = samples.with_plan(one.report, workload={"seed": 3})
    found = comparability.differences([one], [replace(one, report=report)])
    assert found == ["seed: 7 against 7; run both sides with the same seeds"]


def test_what_may_be_just_what_is_compared_is_a_remark() -> None:
    base = [run(model="old", senders=1)]
    new = [run(model="new", senders=2, loadgen="0.2.0")]
    assert comparability.differences(base, new) == []
    assert comparability.remarks(base, new) == [
        "the model differs: old against new", "the version of loadgen differs: 0.1.0 against 0.2.0",
        "the number of senders differs: 1 against 2"]
    assert comparability.model_of(base) == "old"
    assert comparability.url_of(base) == "http://127.0.0.1:8000"


def test_several_runs_of_one_seed_are_remarked_on() -> None:
    once = [run("a"), run("b")]
    assert comparability.remarks(once, once)[0].startswith("all runs have one seed")
    seeds = comparability.remarks([run(seed=1), run(seed=2)], [run(seed=3), run(seed=4)])
    assert seeds[0].startswith("the seeds of the")


def test_cells_are_named_by_what_varies() -> None:
    def side(name: str, rates: tuple[float, ...]) -> list[Measured]:
        return [run(f"{name}-{rate}", load={"rate": rate}) for rate in rates]
    pairs, alone = cells.match(side("a", (1.0, 2.0, 2.0)), side("b", (2.0, 1.0, 4.0)))
    assert [(pair.label, len(pair.base), len(pair.new)) for pair in pairs] == [("rate 1.0", 1, 1), ("rate 2.0", 2, 1)]
    assert alone == ["rate 4.0"]
    pairs, alone = cells.match(side("a", (1.0,)), side("b", (2.0,)))
    assert ([pair.label for pair in pairs], alone) == ([""], [])
    assert cells.match(side("a", (1.0, 2.0)), side("b", (3.0,)))[0] == []


def test_a_run_gives_values_bounds_and_nothing() -> None:
    one = Measured("a", samples.valid)
    assert one.estimate("ttft", "p99") == Interval(341e6, 313_720_000, 368_280_000, 0.95)
    assert one.estimate("ttft", "p99.9") == Interval(402e6, bound=True)
    assert one.estimate("ttft", "p50") == Interval(184e6)
    assert one.estimate("ttft", "mean") == Interval(184e6)
    assert one.estimate("ttft", "p99.99") == one.estimate("ttfo", "p50") == Interval(None)
    assert one.estimate("output_tokens", "") == Interval(1276.0)
    assert one.estimate("nothing", "") == Interval(None)


def test_a_run_says_why_it_has_no_value() -> None:
    one = Measured("a", samples.valid)
    assert one.lacks("ttft", "p99.9", 0.999) == "p99.9 needs 2,995 values; a has 598"
    assert one.lacks("ttfo", "p50", 0.5) == one.lacks("ttfo", "mean", None) == "a has no ttfo"
    assert one.lacks("ttft", "p99", 0.99) == "requests of a were still running at its end: its p99 is a bound"


def test_what_is_doubted_of_a_run() -> None:
    assert Measured("a", samples.valid).doubts == ()
    assert Measured("a", samples.invalid).doubts == ("coalesced", "lag")
    assert Measured("a", samples.smoke).doubts == ("duration",)  # its sample size is no matter
    given_up = replace(samples.valid, verdict=replace(samples.valid.verdict, valid=False, aborted="18 were slower"))
    assert Measured("a", given_up).doubts == ("given up before its end",)
    assert Measured("a", replace(given_up, verdict=replace(samples.smoke.verdict, aborted="x"))).doubts == (
        "given up before its end", "duration")
    full = replace(samples.valid, verdict=replace(samples.valid.verdict, exit_code=3))
    assert Measured("a", full).doubts == ("the files are not whole",)


def test_a_run_of_an_empty_report_describes_itself() -> None:
    empty: Report = samples.empty
    described = Measured("a", empty).describe()
    assert (described.valid, described.seed, described.requests) == (False, 0, 0)
