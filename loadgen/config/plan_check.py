"""What a Plan must hold to be run: checks of single values and of those that exclude each other, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from loadgen.arrivals.laws import LAWS
from loadgen.config import local_check
from loadgen.plan import Load, OutputOptions, Plan, Workload
from loadgen.redact import KEY_VARIABLE, MASK
from loadgen.suggest import did_you_mean
from loadgen.types import SECOND, UsageError
from loadgen.units import format_duration

CONNECTIONS: Final = ("reuse", "new")
SCHEMES: Final = ("http", "https", "grpc", "grpcs")
GRPC_CLIENTS: Final = ("own", "grpcio")

_OTHER_SCHEMES: Final = {
    "h2": "HTTP/2 is not spoken: give the http:// address",
    "h2c": "HTTP/2 is not spoken: give the http:// address",
    "ws": "WebSockets are not spoken: give the http:// address",
    "wss": "WebSockets are not spoken: give the https:// address",
    **dict.fromkeys(("socks", "socks4", "socks5", "socks5h", "proxy"),
                    "proxies are not used, their delay would be taken for the server's: give the server's own address"),
}


def check(plan: Plan) -> None:
    """Refuse a plan that can't be run as it stands.

    Raise UsageError with everything that is wrong, one sentence each, every one with what to write instead.
    """
    wrong = [sentence for rule in _RULES for sentence in rule(plan)]
    if wrong:
        raise UsageError("\n".join(wrong))


def check_url(url: str, bare: bool = False) -> str:
    """Say what is wrong with the address of a server and what to write instead; "" if nothing is.

    `bare`: it may be host:port alone, as users of gRPC write it.
    """
    url = f"grpc://{url}" if bare and "://" not in url else url
    scheme, separator, _ = url.partition("://")
    if not separator:
        return f"the url {url!r} has no scheme: write http://{url.lstrip('/')}"
    if scheme.lower() not in SCHEMES:
        better = _OTHER_SCHEMES.get(scheme.lower(), "write http:// or https://")
        return f"the url {url!r} can't be used: {better}"
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        return f"the url {url!r} is malformed: {error}; write it as http://host:8000"
    if not host or any(c.isspace() for c in url) or port == 0:
        return f"the url {url!r} is malformed: write it as http://host:8000"
    if "@" in parts.netloc:
        return f"the url of {host} holds a password: give it with --header 'Authorization: Basic ...' instead"
    if parts.fragment:
        return f"the url {url!r} has a fragment, which is never sent: write it without #{parts.fragment}"
    return ""


def _target(plan: Plan) -> Iterator[str]:
    target = plan.target
    if not target.url:
        yield from local_check.without_server(plan)
    yield from _backend(plan)
    if target.api_key == MASK:
        yield f"the api key of this plan was masked when it was written: set {KEY_VARIABLE}, or give --api-key"
    for name, value in target.headers.items():
        if not name or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name) or not name.isascii():
            yield f"invalid header name {name!r}: write --header 'Name: value'"
        if any(c in value for c in "\r\n\0"):
            yield f"the value of the header {name} has a line break in it: write it on one line"
        if MASK in value:
            yield (f"the header {name} was masked when this plan was written: set {KEY_VARIABLE}, "
                   f"or give --header '{name}: value'")
    if target.grpc_client not in GRPC_CLIENTS:
        yield f"unknown gRPC client {target.grpc_client!r}: write --grpc-client own or --grpc-client grpcio"
    if target.wait_ready < 0:
        yield "--wait-ready can't be negative: write 0s, or 5m"


def _backend(plan: Plan) -> Iterator[str]:
    """Yield what is wrong with the addresses, and with options that the class of the backend has no use for."""
    from loadgen.backends import registry  # brings msgspec, which `loadgen --help` has no time for

    try:
        made = registry.find(plan.target.backend)
    except UsageError:
        made = None  # said elsewhere
    endpoint = plan.target.endpoint or next(iter(getattr(made, "endpoints", ())), "")
    bare = endpoint in getattr(made, "grpc_endpoints", ())
    yield from filter(None, (check_url(url, bare) for url in plan.target.url))
    work = plan.workload
    if made is not None and (work.input_data or work.shapes) and not getattr(made, "takes_input_data", False):
        yield (f"--input-data and --shape fill the tensors of --backend triton: {plan.target.backend} takes prompts, "
               "leave them out")


def _policy(plan: Plan) -> Iterator[str]:
    load = plan.load
    if not isfinite(load.rate) or load.rate < 0:
        yield f"the rate {load.rate:g} can't be offered: write a positive number per second, as in --rate 10"
    elif load.concurrency < 0:
        yield f"the concurrency {load.concurrency} is negative: write how many requests to keep running, at least 1"
    elif load.rate and load.concurrency and load.load_shape is None:
        yield "--rate offers requests on a timeline and --concurrency waits for answers: give one of the two"
    elif load.load_shape is not None:
        yield from _load_shape(load)
    elif not load.rate and not load.concurrency:
        yield "no load was given: write --rate 10 (requests per second), or --concurrency 8 (closed loop)"
    if load.concurrency > 0:
        if load.max_in_flight:
            yield "--max-in-flight guards --rate; with --concurrency that number is the limit: leave it out"
        if load.arrivals != "poisson":
            yield "--arrivals goes with --rate; with --concurrency the answers decide: leave it out"


def _load_shape(load: Load) -> Iterator[str]:
    if load.rate:
        yield "--load-shape takes the place of --rate: give one of the two"
    if load.concurrency:
        yield "--load-shape is an open loop and --concurrency a closed one: give one of the two"
    if load.max_duration:
        yield "--max-duration doubles a window with a constant --rate: with --load-shape, give a longer --duration"
    try:
        _ = load.shape
    except UsageError as error:
        yield f"--load-shape: {error}"


def _arrivals(plan: Plan) -> Iterator[str]:
    load = plan.load
    if load.arrivals not in LAWS:
        yield (f"unknown arrivals {load.arrivals!r}{did_you_mean(load.arrivals, list(LAWS))}"
               f"; there are {', '.join(LAWS)}")
    bursty = [name for name, law in LAWS.items() if law.has_burstiness]
    if not isfinite(load.burstiness) or load.burstiness <= 0:
        yield f"invalid burstiness {load.burstiness:g}: write a positive number; 1 is poisson"
    elif load.burstiness != 1 and load.arrivals not in bursty:
        yield (f"--burstiness shapes {' and '.join(bursty)} arrivals only: add --arrivals {bursty[0]} "
               f"(not {load.arrivals})")


def _length(plan: Plan) -> Iterator[str]:
    load, work = plan.load, plan.workload
    if load.requests and load.duration:
        yield "both --requests and --duration were given: give one, the other follows from the rate"
    elif load.requests < 0 or load.duration < 0:
        yield "the length of a run can't be negative: write --duration 60s, or --requests 1000"
    elif not (load.requests or load.duration or work.prompts or work.datasets or work.input_data):
        yield "no length was given: write --duration 60s, or --requests 1000"
    if load.max_duration and load.load_shape is None:
        yield from _extension(plan)
    if load.warmup < -1 or load.drain < 0:
        yield "--warmup and --drain can't be negative: write 0s for none"
    for name in ("max_in_flight", "seed", "senders", "channels", "retry"):
        if getattr(load, name) < 0:
            yield f"{name} is {getattr(load, name)}: write a whole number, 0 or more (--{name.replace('_', '-')} 0)"
    if load.connections not in CONNECTIONS:
        yield f"unknown connections {load.connections!r}: write --connections reuse or --connections new"


def _extension(plan: Plan) -> Iterator[str]:
    from loadgen import slo  # brings numpy

    load = plan.load
    window = load.duration or (load.requests / load.rate * SECOND if load.rate > 0 else 0)
    if load.concurrency:
        yield "--max-duration extends the window of a --rate; with --concurrency give a longer --duration"
    elif load.max_duration < 2 * window:
        yield (f"--max-duration {format_duration(load.max_duration)} leaves no room to double the window: write at "
               f"least {format_duration(int(2 * window))}")
    try:
        gates = slo.expand(plan.judgement.slo)
    except UsageError:
        return  # said elsewhere
    if not any(one.statistic for one in gates):
        yield "--max-duration waits for the numbers of an --slo to be precise: add one, as in --slo 'ttft.p99<500ms'"


def _workload(plan: Plan) -> Iterator[str]:
    work, default = plan.workload, Workload()
    for text in work.shapes:
        if ".." in text:
            yield (f"--shape {text} is not the shape of a tensor, such as image:3,224,224: "
                   f"for a rate that changes, write --load-shape {text}")
    if work.shared_prefix < 0:
        yield f"the shared prefix {work.shared_prefix} is negative: write a number of tokens, 0 for none"
    if work.seed is not None and work.seed < 0:
        yield f"the workload's seed {work.seed} is negative: write a whole number, 0 or more"
    if work.images_per_request < 1:
        yield f"{work.images_per_request} images can't go with a request: write 1 or more, or leave --images out"
    elif work.images_per_request > 1 and not work.images:
        yield "--images-per-request says how many of --images go with a prompt: add --images DIR"
    given, *others = [flag for flag in ("--prompts", "--datasets", "--input-data")
                      if getattr(work, flag[2:].replace("-", "_"))] or [""]
    if others:
        yield f"{given} and {others[0]} both say what to ask: give one of the two"
    if given:
        for name in ("input_tokens", "shared_prefix", "token_ids"):
            if getattr(work, name) != getattr(default, name):
                yield f"--{name.replace('_', '-')} shapes made-up prompts and has no effect on {given}: leave one out"


def _tls(plan: Plan) -> Iterator[str]:
    tls = plan.tls
    used = [name for name in ("ca", "cert", "key", "insecure", "server_name") if getattr(tls, name)]
    if used and plan.target.url and not any(url.lower().startswith(("https:", "grpcs:")) for url in plan.target.url):
        yield f"the [tls] settings {', '.join(used)} need an https:// url (grpcs:// for gRPC)"
    if tls.key and not tls.cert:
        yield "a private key needs its certificate: add --cert FILE.pem"
    if tls.insecure and tls.ca:
        yield "--insecure accepts any certificate and --ca names the one to trust: give one of the two"
    for name in ("ca", "cert", "key"):
        file = getattr(tls, name)
        if file and not Path(file).is_file():
            yield f"--{name}: there is no file {file}"


def _judgement(plan: Plan) -> Iterator[str]:
    from loadgen import slo  # brings numpy, which `loadgen --help` has no time for

    if not 0 < plan.judgement.precision < 1:
        yield f"invalid precision {plan.judgement.precision:g}: write a percentage, as in --precision 5%"
    for text in plan.judgement.slo:
        try:
            slo.expand([text])
        except UsageError as error:
            yield str(error)


def _timeouts(plan: Plan) -> Iterator[str]:
    for name in ("connect", "first_token", "idle", "total", "keep_alive"):
        if getattr(plan.timeouts, name) < 0:
            yield f"the timeout {name} is negative: write 0s to wait for ever"


def _out(plan: Plan) -> Iterator[str]:
    out = plan.out
    if not 0 <= out.metrics_port <= 65535:
        yield f"invalid metrics port {out.metrics_port}: write one from 1 to 65535, as in --metrics-port 9400"
    if not out.metrics_port and out.metrics_host != OutputOptions().metrics_host:
        yield "--metrics-host says where metrics are served, and none are: add --metrics-port 9400, or leave it out"


_RULES: Final[tuple[Callable[[Plan], Iterator[str]], ...]] = (
    _target, local_check.rule, _policy, _arrivals, _length, _workload, _tls, _timeouts, _judgement, _out)
