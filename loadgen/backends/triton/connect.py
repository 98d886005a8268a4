"""Meeting a Triton server before the clock starts: is the model there, what are its tensors, what goes into them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from loadgen.backends.dialect import Input
from loadgen.backends.hooks import Backend, Connected, Server
from loadgen.backends.triton.control_plane import GrpcPlane, HttpPlane, Plane, TritonRefusedError
from loadgen.backends.triton.counters import TritonCounters, metrics_url, whole_url
from loadgen.backends.triton.inputs import RANDOM, ZERO, Inputs, made_up, parse_shapes, read_file
from loadgen.backends.triton.tensors import LEAST, LENGTHS, SAMPLING, TensorModel, model_of
from loadgen.plan import Plan
from loadgen.protocols.http.address import Address
from loadgen.suggest import did_you_mean
from loadgen.types import Output, Request, UsageError
from loadgen.workload import lengths

_PATIENCE: Final = 10_000_000_000  # ns
_BOUND_TO_FAIL: Final = ("grpc_invalid_argument", "grpc_unimplemented", "grpc_not_found", "grpc_unauthenticated",
                         "grpc_permission_denied", "parse")
_BAD_INPUT: Final = re.compile(r"\b(inputs?|shape|dims?|data-?type|batch|parameter|unknown model)\b", re.IGNORECASE)


class Triton(Backend, Protocol):
    """What this module knows of the backend."""

    model: str
    headers: dict[str, str]
    known: TensorModel | None
    inputs: Inputs | None
    shapes: Mapping[str, tuple[int, ...]]

    def get_request_body(self, input: Input, max_out_len: int | None, output: Output) -> dict[str, Any]: ...


def connect(plan: Plan, backend: Triton, server: Server) -> Connected:
    """Wait for the server and its model, and tell the backend about the model.

    The plan that is returned holds what was decided here (model, stream), and the watch the server's own counters,
    which start after a first request was tried. Raises UsageError for what would make every request fail.
    """
    addresses, planes, version = _wait_ready(plan, backend, server)
    name = plan.target.model or _only_model(planes[0])
    for plane in planes:
        _check_model(plane, name)
    try:
        config = planes[0].config(name)
        model = model_of(planes[0].metadata(name), config)
    except TritonRefusedError as error:
        raise UsageError(f"the server does not tell about the model {name}: {error}") from None
    plan = replace(plan, target=replace(plan.target, model=name, stream=_streams(plan, backend, model, server.warn)))
    backend.model, backend.stream, backend.known = name, plan.target.stream, model
    backend.forces_length = not model.generates or any(field in model.inputs for field in (SAMPLING, *LEAST))
    _fill(plan, backend, model, server.warn)
    pages = [plan.target.metrics_url] if plan.target.metrics_url else [metrics_url(url) for url in plan.target.url]
    if plan.target.probe:
        (_probe_grpc if backend.protocol == "grpc" else _probe_http)(plan, backend, addresses[0], server)
    watch = TritonCounters(planes, [name, *parts_of(config)], pages, version, server.sleep, server.fetch)
    watch.start()
    return Connected(backend, addresses, plan, watch)


def _wait_ready(plan: Plan, backend: Triton, server: Server) -> tuple[tuple[Address, ...], list[Plane], str]:
    """Wait, up to --wait-ready, until every server and the model on it are ready."""
    def meet(url: str) -> tuple[Address, Plane, str]:
        address = server.resolve(whole_url(url))
        plane = _plane(backend, address, server)
        version = _version(plane, url, backend)
        if plan.target.model:
            _check_model(plane, plan.target.model)
        return address, plane, version

    met = [server.wait_for(partial(meet, url)) for url in plan.target.url]
    return tuple(address for address, _, _ in met), [plane for _, plane, _ in met], met[-1][2]


def _plane(backend: Triton, address: Address, server: Server) -> Plane:
    headers = tuple((name, value) for name, value in backend.headers.items() if name.lower() != "content-type")
    if backend.protocol == "grpc":
        return GrpcPlane(address, headers, server.ask_grpc)
    return HttpPlane(address, headers, server.ask)


def _version(plane: Plane, url: str, backend: Triton) -> str:
    try:
        return str(plane.server().get("version", ""))
    except TritonRefusedError as error:
        other = "its HTTP port takes --endpoint generate or infer" if backend.protocol == "grpc" else (
            "its gRPC port takes --endpoint grpc")
        hint = f": is this Triton's {'gRPC' if backend.protocol == 'grpc' else 'HTTP'} port? {other}"
        ready = error.kind in ("grpc_unavailable", "http_4xx", "http_5xx")
        raise UsageError(f"{url}: {error}" + (": --wait-ready 5m waits for it" if ready else hint)) from None


def _only_model(plane: Plane) -> str:
    """Return the one model that is loaded. Raises UsageError that lists them if there are more."""
    loaded = loaded_of(plane)
    if len(loaded) != 1:
        raise UsageError(f"which model? give --model; loaded: {', '.join(loaded) or 'none'}")
    return loaded[0]


def loaded_of(plane: Plane) -> list[str]:
    """Return the names of the models that can be asked."""
    try:
        return list(dict.fromkeys(str(entry["name"]) for entry in plane.index() if entry.get("state") == "READY"))
    except TritonRefusedError:
        return []


def _check_model(plane: Plane, name: str) -> None:
    """Raise UsageError that says why a model can't be asked, and which can."""
    try:
        if plane.ready(name):
            return
        entries = [entry for entry in plane.index() if entry["name"] == name]
    except TritonRefusedError:
        entries = []
    loaded = loaded_of(plane)
    there = f"loaded: {', '.join(loaded) or 'none'}"
    if not entries:
        raise UsageError(f"the server has no model {name!r}{did_you_mean(name, loaded)}; {there}")
    reasons = "; ".join(f"version {entry.get('version') or '?'} {entry.get('state') or 'UNAVAILABLE'}"
                        f"{': ' + entry['reason'] if entry.get('reason') else ''}" for entry in entries)
    raise UsageError(f"the model {name!r} is in the server's repository but not loaded ({reasons}): load it, or wait "
                     f"for it with --wait-ready 5m; {there}")


def _streams(plan: Plan, backend: Triton, model: TensorModel, warn: Callable[[str], None]) -> bool:
    """Decide whether tokens are timed. Raises UsageError for an endpoint that the model can't be asked at."""
    if model.decoupled and backend.endpoint == "infer":
        raise UsageError(f"the model {model.name} is decoupled, it answers with any number of responses, which "
                         "--endpoint infer can't take: write --endpoint grpc"
                         + (" or generate" if model.generates else ""))
    if not model.generates and backend.endpoint == "generate":
        raise UsageError(f"the model {model.name} has no text_input and text_output for --endpoint generate: write "
                         f"--endpoint grpc{'' if model.decoupled else ' or infer'}; it has "
                         f"{', '.join(map(str, model.inputs.values()))}")
    if plan.target.stream and not model.decoupled:
        warn(f"{model.name} answers once: it is measured end to end, without TTFT and ITL")
        return False
    return plan.target.stream


def _fill(plan: Plan, backend: Triton, model: TensorModel, warn: Callable[[str], None]) -> None:
    """Decide what the tensors are filled with, and try it once."""
    given, work = plan.workload.input_data, plan.workload
    seed = plan.load.seed if work.seed is None else work.seed
    backend.shapes = parse_shapes(work.shapes, model)
    if given in (RANDOM, ZERO) and model.generates:
        raise UsageError(f"{model.name} takes prompts, which --input-tokens makes: leave out --input-data {given}")
    if given and given not in (RANDOM, ZERO):
        filled = [name for name in backend.get_request_body("", 1, Output()) if name != "text_input"]
        inputs = read_file(Path(given), model, backend.shapes, {*filled, *plan.target.body})
        asks = not any(name in step for step in inputs.steps for name in (*LENGTHS, SAMPLING))
        drawn = lengths.parse(work.output_tokens, seed, "output") if model.generates and asks else None
        backend.inputs = replace(inputs, outputs=drawn)
    elif given or not model.generates:
        if not given:
            warn(f"{model.name} takes no text: its tensors are filled with random values; --input-data FILE gives real "
                 "ones")
        backend.inputs = made_up(given or RANDOM, model, backend.shapes, seed, set(plan.target.body))
    backend.encode(backend.inputs.request(0) if backend.inputs else Request(0, prompt="try", max_output_tokens=1))


def parts_of(config: Mapping[str, Any]) -> Iterable[str]:
    """Return the models that an ensemble is made of."""
    steps: Sequence[Mapping[str, Any]] = (config.get("ensemble_scheduling") or {}).get("step", ())
    return dict.fromkeys(str(step["model_name"]) for step in steps)


def _probe_http(plan: Plan, backend: Triton, address: Address, server: Server) -> None:
    server.probe(backend, plan, address)


def _probe_grpc(plan: Plan, backend: Triton, address: Address, server: Server) -> None:
    """Send one small request over gRPC and read its answer, as the run will; see preflight's probe."""
    request = backend.inputs.request(0) if backend.inputs else Request(0, prompt="Hello.", max_output_tokens=1)
    timeline = server.ask_grpc(address, backend.encode(request), plan.timeouts.total or 6 * _PATIENCE)
    events = backend.decode(timeline, request)
    failure = events.failure
    if failure is None:
        return
    if failure.kind in _BOUND_TO_FAIL or (failure.kind == "in_band" and not events.ends
                                          and _BAD_INPUT.search(failure.detail)):
        raise UsageError(f"{plan.target.url[0]}: the server refused a first request ({failure.kind}): {failure.detail}")
    server.warn(f"a first request failed ({failure.kind}): {failure.detail}")
