"""Plans that go to a file and back, and what a user is told about a plan that can't be run."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.config import plan_file
from loadgen.plan import Criteria, Duration, Load, LocalModel, OutputOptions, Plan, Target, Timeouts, Tls, Workload
from loadgen.redact import secrets_of
from loadgen.types import UsageError

KEY = "LOADGEN_API_KEY"
GOOD = Plan(target=Target(url=("http://host:8000",)), load=Load(rate=10.0, duration=Duration(60_000_000_000)))

texts = st.text(max_size=8)
counts = st.integers(0, 2**40)
durations = st.integers(0, 10**15).map(Duration)
floats = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(st.none() | st.booleans() | counts | floats | texts,
                           lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
                           max_leaves=5)
STRATEGIES: dict[Any, Any] = {
    str: texts, bool: st.booleans(), int: counts, float: floats, int | None: st.none() | counts, Duration: durations,
    tuple[str, ...]: st.lists(texts, max_size=3).map(tuple),
    Mapping[str, str]: st.dictionaries(texts, texts, max_size=2),
    Mapping[str, Any]: st.dictionaries(texts, json_values, max_size=3),
}


def sections(kind: type) -> st.SearchStrategy[Any]:
    """Build any instance of one of the plan's dataclasses."""
    hints = get_type_hints(kind)
    found = {name: STRATEGIES[hint] for name, hint in hints.items() if hint in STRATEGIES}
    if "warmup" in found:
        found["warmup"] = durations | st.just(Duration(-1))
    return st.builds(kind, **found)


plans = st.builds(Plan, sections(Target), sections(LocalModel), sections(Load), sections(Workload),
                  sections(Timeouts), sections(Tls), sections(Criteria), sections(OutputOptions))


@given(plans)
def test_a_plan_survives_being_written_and_read(plan: Plan) -> None:
    text = json.dumps(plan_file.to_dict(plan, mask=False))
    assert plan_file.from_dict(json.loads(text)) == plan


@given(plans)
def test_overriding_with_nothing_changes_nothing(plan: Plan) -> None:
    assert plan_file.override(plan, {}) == plan


@given(st.sampled_from(["Authorization", "api-key", "X-API-Key", "x-auth-token", "Cookie"]),
       st.sampled_from(["", "Bearer "]))
def test_no_secret_is_written(name: str, scheme: str) -> None:
    plan = Plan(target=Target(api_key="hunter2", headers={name: scheme + "hunter2", "x-trace": "hello"}))
    written = plan_file.to_dict(plan)
    assert "hunter2" not in json.dumps(written)
    assert written["target"]["headers"] == {name: scheme + "***", "x-trace": "hello"}
    again = plan_file.reveal(plan_file.from_dict(written), {KEY: "hunter2"})
    assert again == plan


def test_every_secret_of_a_plan_is_known() -> None:
    headers = {"Authorization": "Bearer abc", "X-API-Key": "def", "x-trace": "hello", "Cookie": ""}
    assert secrets_of(Plan(target=Target(api_key="k", headers=headers))) == ("k", "abc", "def")
    assert secrets_of(Plan()) == ()


def test_a_masked_secret_is_refused_until_it_is_given() -> None:
    plan = replace(GOOD, target=replace(GOOD.target, api_key="k", headers={"Authorization": "Bearer k"}))
    masked = plan_file.reveal(plan_file.from_dict(plan_file.to_dict(plan)), {})
    with pytest.raises(UsageError, match=f"masked when it was written: set {KEY}, or give --api-key"):
        plan_file.check(masked)
    given_now = plan_file.override(masked, {"target.api_key": "k", "target.headers": {"Authorization": "Bearer k"}})
    assert given_now == plan
    plan_file.check(given_now)


def test_the_environment_gives_a_key_but_does_not_replace_one() -> None:
    assert plan_file.reveal(GOOD, {KEY: "secret"}).target.api_key == "secret"
    named = plan_file.override(GOOD, {"target.api_key": "mine"})
    assert plan_file.reveal(named, {KEY: "secret"}) == named


@pytest.mark.parametrize(("data", "message"), [
    ({"laod": {}}, r"unknown table \[laod\]; did you mean load\?"),
    ({"rate": 5}, r"unknown table \[rate\]; rate belongs in \[load\]"),
    ({"load": {"raet": 5}}, r"unknown key 'raet' in \[load\]; did you mean rate\?"),
    ({"load": {"url": "x"}}, r"unknown key 'url' in \[load\]; url belongs in \[target\]"),
    ({"load": {"zzzzz": 5}}, r"unknown key 'zzzzz' in \[load\]; there are rate, arrivals"),
    ({"load": {"rate": "ten"}}, r"load.rate is a number, not str 'ten'"),
    ({"load": {"rate": True}}, r"load.rate is a number, not bool True"),
    ({"load": {"requests": 5.5}}, r"load.requests is a whole number, not float 5.5"),
    ({"load": {"requests": None}}, r"load.requests is a whole number, not null"),
    ({"load": {"duration": 60}}, r'load.duration is a duration, as in "60s", not int 60'),
    ({"load": {"duration": "60"}}, r"load.duration: invalid duration '60': add a unit, e.g. 60s"),
    ({"load": 7}, r"\[load\] is a table of settings, not int 7"),
    ({"target": {"url": [1]}}, r"target.url is a list of texts, not list \[1\]"),
    ({"target": {"headers": {"a": 1}}}, r"target.headers is a table of texts"),
    ({"target": {"body": {"a": float("nan")}}}, r"target.body is a table of JSON values"),
    ({"target": {"stream": "yes"}}, r"target.stream is true or false, not str 'yes'"),
    ({"judgement": {"precision": "five"}}, r"invalid share 'five': write a percentage, as in 5%"),
])
def test_a_wrong_key_or_value_is_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_file.from_dict(data)


def test_short_forms_are_read() -> None:
    plan = plan_file.from_dict({"schema": 1, "resolved": {"x": 1}, "target": {"url": "http://a"},
                               "judgement": {"precision": "2%"}, "load": {"rate": 5, "warmup": "auto"}})
    assert (plan.target.url, plan.judgement.precision, plan.load.warmup) == (("http://a",), 0.02, -1)
    assert isinstance(plan.load.rate, float)


def test_toml_json_and_a_run_directory_give_the_same_plan(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[target]\nurl = ["http://host:8000"]\n[load]\nrate = 10\nduration = "60s"\n')
    (tmp_path / "plan.json").write_text(json.dumps(plan_file.to_dict(GOOD) | {"resolved": {"model": "m"}}))
    for path in (tmp_path / "plan.toml", tmp_path / "plan.json", tmp_path):
        assert plan_file.load(path) == GOOD


def test_the_plan_of_a_run_does_not_write_over_that_run(tmp_path: Path) -> None:
    plan = plan_file.override(GOOD, {"out.dir": "here", "out.outputs": True})
    (tmp_path / "plan.json").write_text(json.dumps({"schema": 1, **plan_file.to_dict(plan), "resolved": {}}))
    (tmp_path / "mine.json").write_text(json.dumps(plan_file.to_dict(plan)))
    assert plan_file.load(tmp_path).out == OutputOptions("", True)
    assert plan_file.load(tmp_path / "mine.json").out == OutputOptions("here", True)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.toml", b"[load\n", "is not valid TOML: .*line 1"),
    ("a.json", b"{", "is not valid JSON: .*line 1"),
    ("a.json", b"[]", r"a plan is a table of tables, not list"),
    ("a.toml", b"[load]\nraet = 1\n", r"a.toml: unknown key 'raet'"),
    ("a.toml", b"\xff\xfe", "is not UTF-8 .byte 0."),
    ("a.yaml", b"", "a plan is a .toml or a .json file"),
])
def test_a_file_that_is_no_plan_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        plan_file.load(tmp_path / name)


def test_a_missing_file_and_an_empty_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"can't read the plan .*none.toml: No such file"):
        plan_file.load(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="is not a run directory"):
        plan_file.load(tmp_path)


def test_flags_replace_values_and_add_to_tables() -> None:
    plan = plan_file.override(GOOD, {"target.body": {"a": 1, "b": None}, "target.model": "m", "judgement.slo": ("x",)})
    plan = plan_file.override(plan, {"target.body": {"a": 2}})
    assert plan.target.body == {"a": 2, "b": None}
    assert (plan.target.model, plan.target.url, plan.judgement.slo) == ("m", GOOD.target.url, ("x",))


def test_a_header_replaces_its_own_name_in_any_case() -> None:
    plan = plan_file.override(GOOD, {"target.headers": {"Authorization": "a", "x": "1"}, "target.body": {"A": 1}})
    plan = plan_file.override(plan, {"target.headers": {"authorization": "b"}, "target.body": {"a": 2}})
    assert (plan.target.headers, plan.target.body) == ({"x": "1", "authorization": "b"}, {"A": 1, "a": 2})


def test_a_flag_takes_the_place_of_its_rival() -> None:
    plan = plan_file.override(GOOD, {"load.concurrency": 4, "load.requests": 100})
    assert (plan.load.rate, plan.load.concurrency, plan.load.requests, plan.load.duration) == (0.0, 4, 100, 0)
    with pytest.raises(UsageError, match="give one of the two"):
        plan_file.check(plan_file.override(GOOD, {"load.concurrency": 4, "load.rate": 5.0}))


@pytest.mark.parametrize(("flags", "message"), [
    ({"target.url": ()}, "no server was given: write --url http://host:8000"),
    ({"target.url": ("host:8000",)}, "has no scheme: write http://host:8000"),
    ({"target.url": ("h2://host",)}, "HTTP/2 is not spoken"),
    ({"target.url": ("socks5://host",)}, "proxies are not used"),
    ({"target.url": ("ftp://host",)}, "write http:// or https://"),
    ({"target.url": ("http://",)}, "is malformed"),
    ({"target.url": ("http://host:99999",)}, "is malformed: Port out of range"),
    ({"target.url": ("http://ho st",)}, "is malformed"),
    ({"target.url": ("http://[::1",)}, "is malformed"),
    ({"target.url": ("http://u:p@host",)}, "the url of host holds a password"),
    ({"target.url": ("http://host/#top",)}, "write it without #top"),
    ({"target.headers": {"bad name": "x"}}, "invalid header name 'bad name'"),
    ({"target.headers": {"a": "x\r\nHost: y"}}, "has a line break in it"),
    ({"load.rate": 0.0}, "no load was given: write --rate 10"),
    ({"load.rate": -1.0}, "the rate -1 can't be offered"),
    ({"load.rate": float("nan")}, "the rate nan can't be offered"),
    ({"load.rate": float("inf")}, "the rate inf can't be offered"),
    ({"load.concurrency": -2}, "the concurrency -2 is negative"),
    ({"load.concurrency": 2, "load.max_in_flight": 5}, "--max-in-flight guards --rate"),
    ({"load.concurrency": 2, "load.arrivals": "constant"}, "--arrivals goes with --rate"),
    ({"load.arrivals": "poison"}, "unknown arrivals 'poison'; did you mean poisson"),
    ({"load.burstiness": 0.5}, "--burstiness shapes gamma arrivals only"),
    ({"load.arrivals": "gamma", "load.burstiness": 0.0}, "invalid burstiness 0"),
    ({"load.duration": Duration(0)}, "no length was given"),
    ({"load.duration": Duration(1), "load.requests": 5}, "both --requests and --duration"),
    ({"load.requests": -5}, "length of a run can't be negative"),
    ({"load.drain": Duration(-5)}, "--warmup and --drain can't be negative"),
    ({"load.seed": -1}, "seed is -1"),
    ({"load.connections": "fresh"}, "unknown connections 'fresh'"),
    ({"workload.shared_prefix": -1}, "the shared prefix -1 is negative"),
    ({"workload.seed": -1}, "the workload's seed -1 is negative"),
    ({"workload.prompts": "p.jsonl", "workload.input_tokens": "64"}, "--input-tokens shapes made-up prompts"),
    ({"tls.ca": "/nowhere.pem"}, "need an https:// url"),
    ({"target.url": ("https://h",), "tls.ca": "/nowhere.pem"}, "--ca: there is no file /nowhere.pem"),
    ({"target.url": ("https://h",), "tls.key": __file__}, "a private key needs its certificate"),
    ({"target.url": ("https://h",), "tls.ca": __file__, "tls.insecure": True}, "--insecure accepts any certificate"),
    ({"timeouts.idle": Duration(-1)}, "the timeout idle is negative"),
    ({"target.wait_ready": Duration(-1)}, "--wait-ready can't be negative"),
    ({"judgement.precision": 0.0}, "invalid precision 0"),
    ({"judgement.slo": ("ttft.p99<fast",)}, "ttft"),
    ({"out.metrics_port": 70000}, "invalid metrics port 70000"),
    ({"out.metrics_host": "0.0.0.0"}, "add --metrics-port 9400"),
])
def test_a_plan_that_can_not_be_run_says_what_to_write(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_file.check(plan_file.override(GOOD, flags))


@pytest.mark.parametrize("flags", [
    {}, {"load.requests": 10}, {"load.concurrency": 3}, {"load.arrivals": "gamma", "load.burstiness": 0.3},
    {"workload.prompts": "p.jsonl", "load.duration": Duration(0)}, {"target.url": ("https://[::1]:443/v1?x=1",)},
    {"judgement.slo": ("ttft.p99<500ms", "errors<0.1%")},
])
def test_a_plan_that_can_be_run_passes(flags: dict[str, Any]) -> None:
    plan_file.check(plan_file.override(GOOD, flags))


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        plan_file.check(Plan())
    assert len(str(caught.value).splitlines()) == 3


def test_of_rate_concurrency_and_load_shape_a_flag_replaces_what_the_file_has() -> None:
    ramp = Plan(load=Load(load_shape="ramp:1..5/10s", requests=9))
    assert "load_shape" not in plan_file.to_dict(Plan())["load"]
    assert plan_file.from_dict(plan_file.to_dict(ramp)) == ramp
    for flag, value in (("load.rate", 3.0), ("load.concurrency", 2)):
        load = plan_file.override(ramp, {flag: value}).load
        assert (load.load_shape, load.rate or load.concurrency) == (None, value)
        load = plan_file.override(Plan(load=load), {"load.load_shape": "exp:1..5/10s"}).load
        assert (load.rate, load.concurrency, load.load_shape) == (0.0, 0, "exp:1..5/10s")
