"""Meeting a Triton server before the clock starts: is the model there, what are its tensors, what goes into them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from loadgen.backends.triton.backend import LEAST, LENGTHS, SAMPLING, Triton
from loadgen.backends.triton.inputs import RANDOM, ZERO, made_up, parse_shapes, read_file
from loadgen.backends.triton.tensors import TensorModel, model_of
from loadgen.config.plan_check import nearest
from loadgen.plan import Plan
from loadgen.preflight import http
from loadgen.preflight.triton_api import GrpcPlane, HttpPlane, Plane, TritonRefusedError
from loadgen.preflight.triton_statistics import TritonCounters, metrics_url, whole_url
from loadgen.protocols.grpc.ask import ask
from loadgen.protocols.http.address import Address, resolve
from loadgen.protocols.http.limits import Limits
from loadgen.types import SECOND, Request, UsageError
from loadgen.workload import lengths

_PATIENCE: Final = 10_000_000_000  # ns for a connection
_BOUND_TO_FAIL: Final = ("grpc_invalid_argument", "grpc_unimplemented", "grpc_not_found", "grpc_unauthenticated",
                         "grpc_permission_denied", "parse")
_BAD_INPUT: Final = re.compile(r"\b(inputs?|shape|dims?|data-?type|batch|parameter|unknown model)\b", re.IGNORECASE)

Connected = tuple[tuple[Address, ...], Plan, TritonCounters]


def connect(plan: Plan, backend: Triton, warn: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic,
         sleep: Callable[[float], None] = time.sleep) -> Connected:
    """Wait for the server and its model, and tell the backend about the model.

    Returns the addresses, the plan with what was decided here (model, stream), and the watch over the server's own
    counters, which starts after a first request was tried. Raises UsageError for what would make every request fail.
    """
    addresses, planes, version = _wait_ready(plan, backend, clock, sleep)
    name = plan.target.model or _only_model(planes[0])
    for plane in planes:
        _check_model(plane, name)
    try:
        config = planes[0].config(name)
        model = model_of(planes[0].metadata(name), config)
    except TritonRefusedError as error:
        raise UsageError(f"the server does not tell about the model {name}: {error}") from None
    plan = replace(plan, target=replace(plan.target, model=name, stream=_streams(plan, backend, model, warn)))
    backend.model, backend.stream, backend.known = name, plan.target.stream, model
    backend.forces_length = not model.generates or any(field in model.inputs for field in (SAMPLING, *LEAST))
    _fill(plan, backend, model, warn)
    pages = [plan.target.metrics_url] if plan.target.metrics_url else [metrics_url(url) for url in plan.target.url]
    if plan.target.probe:
        odd = (_probe if backend.protocol == "grpc" else http.probe)(plan, backend, addresses[0])
        if odd:
            warn(odd)
    watch = TritonCounters(planes, [name, *parts_of(config)], pages, version)
    watch.start()
    return addresses, plan, watch


def _wait_ready(plan: Plan, backend: Triton, clock: Callable[[], float],
                sleep: Callable[[float], None]) -> tuple[tuple[Address, ...], list[Plane], str]:
    """Wait, up to --wait-ready, until every server and the model on it are ready."""
    until = clock() + plan.target.wait_ready / SECOND
    addresses, planes, version = [], [], ""
    for url in plan.target.url:
        while True:
            try:
                address = resolve(whole_url(url), plan.tls, min(plan.timeouts.connect or _PATIENCE, _PATIENCE) / SECOND)
                plane = _plane(backend, address)
                version = _version(plane, url, backend)
                if clock() >= until or not plan.target.model or plane.ready(plan.target.model):
                    break
            except (UsageError, TritonRefusedError):
                if clock() >= until:
                    raise
            sleep(0.25)
        addresses.append(address)
        planes.append(plane)
    return tuple(addresses), planes, version


def _plane(backend: Triton, address: Address) -> Plane:
    headers = tuple((name, value) for name, value in backend.headers.items() if name.lower() != "content-type")
    if backend.protocol == "grpc":
        return GrpcPlane(address, headers)
    return HttpPlane(address, headers, http.ask)


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
        raise UsageError(f"the server has no model {name!r}{nearest(name, loaded)}; {there}")
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
        filled = [name for name in backend.get_request_body("", 1, None) if name != "text_input"]  # type: ignore[arg-type]
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


def _probe(plan: Plan, backend: Triton, address: Address) -> str:
    """Send one small request over gRPC and read its answer, as the run will; see control.probe."""
    request = backend.inputs.request(0) if backend.inputs else Request(0, prompt="Hello.", max_output_tokens=1)
    timeline = ask(address, backend.encode(request), Limits(_PATIENCE, 0, 0, plan.timeouts.total or 6 * _PATIENCE))
    events = backend.decode(timeline, request)
    failure = events.failure
    if failure is None:
        return ""
    if failure.kind in _BOUND_TO_FAIL or (failure.kind == "in_band" and not events.ends
                                          and _BAD_INPUT.search(failure.detail)):
        raise UsageError(f"{plan.target.url[0]}: the server refused a first request ({failure.kind}): {failure.detail}")
    return f"a first request failed ({failure.kind}): {failure.detail}"
