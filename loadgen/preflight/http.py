"""What is asked of a server before the clock starts: is it there, what does it serve, does it take our requests."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from loadgen.backends.dialect import model_note
from loadgen.backends.failures import probe_hint
from loadgen.backends.hooks import HttpAnswer
from loadgen.backends.interface import ServiceBackend
from loadgen.plan import Plan
from loadgen.preflight import fit
from loadgen.protocols.http.address import Address, resolve, tls_context
from loadgen.protocols.http.dial import tls_reason
from loadgen.protocols.http.limits import Limits
from loadgen.types import SECOND, Call, Timeline, UsageError

_PATIENCE = 10.0  # s for one question of the control plane
_PAGE = 3.0  # s for a page of metrics
_FATAL = ("http_3xx", "http_4xx", "parse", "grpc_invalid_argument", "grpc_not_found", "grpc_permission_denied",
          "grpc_unimplemented", "grpc_unauthenticated")  # what a probe meets that every request would meet

_KEY_HINT = "the server wants another API key: give --api-key, or better LOADGEN_API_KEY in the environment"


def ask(address: Address, call: Call, timeout: float) -> HttpAnswer:
    """Send one call over a connection of its own. Raises OSError or http.client.HTTPException if there is no answer."""
    sock = socket.create_connection(address.sockaddr[:2], timeout=timeout)
    if address.server_name:
        sock = tls_context(address.tls).wrap_socket(sock, server_hostname=address.server_name)
    host, _, port = address.authority.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
    connection.sock = sock
    try:
        headers = {"Accept-Encoding": "identity", "Connection": "close", **dict(call.headers)}
        if call.body:
            headers.setdefault("Content-Type", "application/json")
        connection.request(call.method, address.prefix + call.path, call.body or None, headers)
        response = connection.getresponse()
        return HttpAnswer(response.status, tuple(response.getheaders()), response.read())
    finally:
        connection.close()


def wait_ready(plan: Plan, backend: ServiceBackend, *, clock: Callable[[], float] = time.monotonic,
               sleep: Callable[[float], None] = time.sleep) -> tuple[Address, ...]:
    """Resolve every url and wait, up to --wait-ready, until each says that it is ready.

    Raises UsageError with the last reason if one isn't there by then.
    """
    until = clock() + plan.target.wait_ready / SECOND
    found = []
    for url in plan.target.url:
        while True:
            try:
                found.append(_ready(url, plan, backend))
                break
            except UsageError:
                if clock() >= until:
                    raise
                sleep(0.25)
    return tuple(found)


def _ready(url: str, plan: Plan, backend: ServiceBackend) -> Address:
    limit = min(_PATIENCE, plan.timeouts.connect / SECOND or _PATIENCE)
    if backend.protocol == "http" and url.lower().startswith("grpc"):
        raise UsageError(f"{url}: {plan.target.backend} {backend.endpoint} is asked over HTTP: write http{url[4:]}")
    address = resolve(url, plan.tls, limit)
    if backend.protocol == "grpc":
        return address  # its senders wait for the server's HTTP/2 settings before the start
    try:
        answer = ask(address, Call(backend.health_path, b"", headers_of(plan), "GET"), _PATIENCE)
    except (ssl.SSLError, ssl.CertificateError) as error:
        raise UsageError(f"{url}: TLS failed: {tls_reason(error)}") from None
    except (OSError, http.client.HTTPException) as error:
        raise UsageError(f"{url}: connected, but no HTTP answer ({error or type(error).__name__}): "
                         "is this an HTTP server?") from None
    if answer.status == 503:
        raise UsageError(f"{url}: the server is there but not ready (503 from {backend.health_path}): "
                         "--wait-ready 5m waits for it")
    return address


def headers_of(plan: Plan) -> tuple[tuple[str, str], ...]:
    """Return what goes with each request of a plan: the key, and the headers that were given."""
    key = plan.target.api_key
    return ((("Authorization", f"Bearer {key}"),) if key else ()) + tuple(plan.target.headers.items())


def discover_model(plan: Plan, backend: ServiceBackend, address: Address) -> tuple[str, str]:
    """Ask the server what it serves; returns the model to take, and a note if there were several.

    Raises UsageError, saying to give --model, if the server doesn't tell.
    """
    url = plan.target.url[0]
    try:
        answer = ask(address, Call(backend.models_path, b"", headers_of(plan), "GET"), _PATIENCE)
    except (OSError, http.client.HTTPException) as error:
        raise UsageError(f"{url}: no answer from {backend.models_path} ({error}): give --model") from None
    if answer.status in (401, 403):
        raise UsageError(f"{url}: {backend.models_path} answers {answer.status}: {_KEY_HINT}")
    listing: dict[str, Any] = {}
    try:
        listing = msgspec.json.decode(answer.body, type=dict[str, Any]) if answer.status == 200 else {}
        model = backend.model_from(listing)
    except (msgspec.MsgspecError, UsageError):
        model = ""
    if not model:
        raise UsageError(f"{url}: {backend.models_path} names no model (status {answer.status}): give --model")
    return model, model_note(listing)


def look(plan: Plan, address: Address, path: str) -> Any:
    """Return the JSON that the server answers to a GET, None if it answers anything else."""
    try:
        answer = ask(address, Call(path, b"", headers_of(plan), "GET"), _PATIENCE)
        return msgspec.json.decode(answer.body) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, msgspec.DecodeError, UnicodeDecodeError):
        return None


def fetch(url: str) -> str:
    """Get a page of any server, by no proxy; "" if there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_PAGE) as reply:
            page: bytes = reply.read()
            return page.decode("utf-8", "replace")
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return ""


def probe(plan: Plan, backend: ServiceBackend, address: Address) -> str:
    """Send one small request as the run will send them, and read its answer as the run will.

    Returns what was odd about it, "" if nothing was. Raises UsageError with the server's own words if the server
    refuses what every request would ask.
    """
    request = fit.first_request(backend)
    call = backend.encode(request)
    try:
        timeline = _try(plan, backend, call, address)
    except (OSError, http.client.HTTPException) as error:
        return f"the first try got no answer: {error or type(error).__name__}"
    failure = backend.decode(timeline, request).failure
    if failure is None:
        return ""
    said = f"{failure.type}: {failure.detail}" if failure.type else failure.detail
    if failure.kind in _FATAL:
        refused = timeline.status in (401, 403) or failure.kind == "grpc_unauthenticated"
        hint = _KEY_HINT if refused else probe_hint(timeline.status, timeline.payload)
        if timeline.status in (404, 405) and backend.protocol == "http":
            hint = fit.wrong_server(backend, partial(look, plan, address)) or hint
        raise UsageError(f"{plan.target.url[0]}{call.path}: the server refused a first request: {said}"
                         + (f"\n  {hint}" if hint else ""))
    return f"a first request failed ({failure.kind}): {said}"


def _try(plan: Plan, backend: ServiceBackend, call: Call, address: Address) -> Timeline:
    """Send one call as the run will; raises OSError or http.client.HTTPException if HTTP gets no answer."""
    patience = plan.timeouts.total or 60_000_000_000
    if backend.protocol == "grpc":
        from loadgen.protocols.grpc.ask import ask as ask_grpc  # brings hpack and HTTP/2

        return ask_grpc(address, call, Limits(plan.timeouts.connect, total=patience))
    answer = ask(address, call, patience / SECOND)
    headers = "".join(f"{name.lower()}: {value}\r\n" for name, value in answer.headers).encode("latin-1", "replace")
    return Timeline(-1, status=answer.status, headers=headers, payload=answer.body, complete=True)
