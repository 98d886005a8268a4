"""What is asked of a Triton server before and after a run, on made-up planes and pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from loadgen.backends.hooks import HttpAnswer
from loadgen.backends.triton import connect as triton
from loadgen.backends.triton import counters
from loadgen.backends.triton.backend import Triton
from loadgen.backends.triton.control_plane import HttpPlane, TritonRefusedError
from loadgen.outcomes.report import Report, Verdict
from loadgen.preflight import http
from loadgen.protocols.http.address import Address
from loadgen.reports.text.server import server as server_lines
from loadgen.types import Call, UsageError
from support.replay import capture

STATS = msgspec.json.decode(capture("triton_model_stats.raw").rpartition(b"\r\n\r\n")[2])["model_stats"]
PAGE = capture("triton_metrics.raw").rpartition(b"\r\n\r\n")[2].decode()
ADDRESS = Address(2, ("127.0.0.1", 8000), "127.0.0.1:8000")


class FakePlane:
    """A server whose statistics are given one after the other, the last for good."""

    def __init__(self, *answers: list[Mapping[str, Any]] | TritonRefusedError, models: tuple[str, ...] = ("llm",
                                                                                                          )) -> None:
        self.answers = list(answers)
        self.models = [{"name": name, "version": "1", "state": "READY"} for name in models]

    def server(self) -> Mapping[str, Any]:
        return {"version": "2.51.0"}

    def index(self) -> list[Mapping[str, Any]]:
        return list(self.models)

    def ready(self, model: str) -> bool:
        return any(entry["name"] == model and entry["state"] == "READY" for entry in self.models)

    def metadata(self, model: str) -> Mapping[str, Any]:
        return {"name": model}

    def config(self, model: str) -> Mapping[str, Any]:
        return {}

    def statistics(self, model: str) -> list[Mapping[str, Any]]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, TritonRefusedError):
            raise answer
        return answer


def counted(requests: int) -> list[Mapping[str, Any]]:
    """Statistics as gRPC gives them: whole numbers are texts, and zeros are not there."""
    times = {"count": str(requests), "ns": str(1000 * requests)}
    return [{"name": "llm", "version": "1", "inference_count": str(2 * requests), "execution_count": str(requests),
             "inference_stats": {"success": times, "queue": times, "fail": {}}}]


def test_what_changed_is_told_once_the_counters_stand_still() -> None:
    plane = FakePlane(counted(3), counted(4), counted(4), counted(10), counted(14), counted(14))
    naps: list[float] = []
    watch = counters.TritonCounters([plane], ["llm"], [], "2.51.0", naps.append, http.fetch)
    watch.start()
    facts = watch.facts()
    assert len(naps) == 4
    assert (facts["name"], facts["version"], facts["metrics"]) == ("triton", "2.51.0", {})
    model = facts["models"]["llm"]
    assert (model["inference_count"], model["execution_count"]) == (20, 10)
    assert (model["success"], model["fail"]) == ({"count": 10, "ns": 10_000}, {"count": 0, "ns": 0})


def test_servers_and_versions_are_added_up() -> None:
    watch = counters.TritonCounters([FakePlane(STATS), FakePlane([*STATS, *STATS])], ["llm"], [], "",
                                   lambda s: None, http.fetch)
    assert watch._statistics()["llm"]["success"] == {"count": 3 * 87, "ns": 3 * 2612116637}


def test_a_server_that_is_gone_after_the_run_spoils_nothing() -> None:
    plane = FakePlane(counted(1), counted(1), TritonRefusedError("grpc_unavailable", "gone"))
    watch = counters.TritonCounters([plane], ["llm"], [], "2.51.0", lambda s: None, http.fetch)
    watch.start()
    assert watch.facts()["error"] == "no statistics after the run: gone"


def test_counters_that_never_stand_still_are_taken_as_they_are() -> None:
    plane = FakePlane(*(counted(number) for number in range(1, 60)))
    naps: list[float] = []
    watch = counters.TritonCounters([plane], ["llm"], [], "", naps.append, http.fetch)
    watch.start()
    assert len(naps) < 50


def test_the_metrics_page_by_model() -> None:
    page = counters.read_page(PAGE, ["llm"])
    assert page["nv_inference_request_success{model=llm}"] == 87
    assert page["nv_inference_request_failure{model=llm,reason=OTHER}"] == 0
    assert page["nv_inference_request_duration_us{model=llm}"] == 2612073
    assert not any("model=" in name for name in counters.read_page(PAGE, ["other"]))
    odd = 'nv_x{model="a",version="1"} 1\nnv_x{model="a",version="2"} 2\nnv_y oops\n# nv_z 1\n\nnv_gpu_utilization 0.5'
    assert counters.read_page(odd, ["a"]) == {"nv_x{model=a}": 3.0, "nv_gpu_utilization": 0.5}


@pytest.mark.parametrize(("name", "grows"), [
    ("nv_inference_count{model=llm}", True), ("nv_gpu_utilization", False), ("nv_cpu_memory_used_bytes", False),
    ("nv_energy_consumption{gpu_uuid=x}", True), ("nv_inference_pending_request_count{model=a}", False),
    ("nv_gpu_power_usage", False), ("go_threads", False),
])
def test_what_grows_is_told_from_what_is_an_instant(name: str, grows: bool) -> None:
    assert counters.is_counter(name) == grows


@pytest.mark.parametrize(("url", "page"), [
    ("host:8001", "http://host:8002/metrics"), ("grpcs://host:1/x", "http://host:8002/metrics"),
    ("http://[::1]:8000", "http://[::1]:8002/metrics"),
])
def test_where_the_metrics_page_usually_is(url: str, page: str) -> None:
    assert counters.metrics_url(url) == page


def test_a_page_that_is_not_there_is_empty() -> None:
    assert http.fetch("http://127.0.0.1:1/metrics") == ""


# Models.


def test_the_only_model_is_taken_and_several_are_listed() -> None:
    assert triton._only_model(FakePlane([])) == "llm"
    for models, words in ((("a", "b"), "give --model; loaded: a, b"), ((), "loaded: none")):
        with pytest.raises(UsageError, match=words):
            triton._only_model(FakePlane([], models=models))


def test_why_a_model_is_not_loaded_is_told() -> None:
    plane = FakePlane([])
    plane.models.append({"name": "big", "version": "3", "state": "UNAVAILABLE", "reason": "out of memory"})
    with pytest.raises(UsageError, match=r"'big' .* not loaded \(version 3 UNAVAILABLE: out of memory\).*loaded: llm"):
        triton._check_model(plane, "big")
    with pytest.raises(UsageError, match="has no model 'lm'; did you mean llm"):
        triton._check_model(plane, "lm")
    triton._check_model(plane, "llm")


def test_the_parts_of_an_ensemble() -> None:
    steps = [{"model_name": "pre"}, {"model_name": "llm"}, {"model_name": "pre"}]
    assert list(triton.parts_of({"ensemble_scheduling": {"step": steps}})) == ["pre", "llm"]
    assert list(triton.parts_of({})) == []


# The control plane over HTTP.


def plane(status: int, body: bytes) -> HttpPlane:
    def ask(address: Address, call: Call, timeout: float) -> HttpAnswer:
        return HttpAnswer(status, (), body)
    return HttpPlane(ADDRESS, (), ask)


@pytest.mark.parametrize(("status", "body", "kind", "words"), [
    (404, b"", "http_4xx", "HTTP 404 from /v2/models/m: no body"), (200, b"<html>", "parse", "answers with no JSON"),
    (200, b"[1]", "parse", r"answers with no table: \[1\]"), (503, b"busy", "http_5xx", "busy"),
])
def test_an_answer_that_is_none(status: int, body: bytes, kind: str, words: str) -> None:
    with pytest.raises(TritonRefusedError, match=words) as refused:
        plane(status, body).metadata("m")
    assert refused.value.kind == kind


def test_a_model_is_ready_or_not() -> None:
    assert plane(200, b"").ready("m")
    assert not plane(400, b"").ready("m")


def test_a_line_that_is_not_printable_is_not_repeated() -> None:
    def ask(address: Address, call: Call, timeout: float) -> HttpAnswer:
        raise ConnectionError("\x00\x16")
    with pytest.raises(TritonRefusedError, match=r"^no HTTP answer \(ConnectionError\)$"):
        HttpPlane(ADDRESS, (), ask).server()


# The report.


def report_with(server: Mapping[str, Any]) -> Report:
    return Report(Verdict(True, 0, ()), {}, {}, {}, {}, {}, {}, {}, {}, server)


def test_the_line_of_the_report() -> None:
    step = {"count": 4, "ns": 8_000_000}
    none = {"count": 0, "ns": 0}
    counters = {"success": {"count": 1200, "ns": 1}, "fail": {"count": 3, "ns": 1}, "queue": step,
                "compute_input": none, "compute_infer": step, "compute_output": none, "inference_count": 9,
                "execution_count": 3}
    (line,) = server_lines(report_with({"models": {"llm": counters}}), 120)
    assert line.split() == ["server", "llm", "1,200", "inferences", "failed", "3", "queue", "2.00", "ms", "compute",
                            "2.00", "ms", "batch", "3.0"]
    assert server_lines(report_with({}), 120) == []
    assert "gone" in server_lines(report_with({"error": "gone"}), 120)[0]
    back = Report.from_json(report_with({"models": {"llm": counters}}).to_json())
    assert back.server == {"models": {"llm": counters}}
    old = report_with({}).to_json()
    del old["server"]
    assert Report.from_json(old).server == {}


def test_the_backend_says_which_protocol_carries_it() -> None:
    assert Triton(url="host:8001").protocol == "grpc"
    assert Triton(url="http://host:8000", endpoint="generate").protocol == "http"
    with pytest.raises(UsageError, match="give --model"):
        Triton(url="http://host").model_from({})
