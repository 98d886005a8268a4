"""The Plan: everything that decides a run, as frozen data. Reading and writing it is done by config/plan_file.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NewType

from loadgen.types import SECOND

if TYPE_CHECKING:
    from loadgen.arrivals.shapes import Shape

Duration = NewType("Duration", int)
"""ns; written "500ms", "60s", "5m" in files and flags."""



@dataclass(frozen=True, slots=True)
class Target:
    """The server: which dialect, where, and what goes into every request."""

    backend: str = "openai"
    url: tuple[str, ...] = ()
    model: str = ""  # "" asks the server
    endpoint: str = ""  # "" is the backend's default
    stream: bool = True
    api_key: str = ""  # masked wherever it is written
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)  # null removes a field that the backend would send
    options: Mapping[str, Any] = field(default_factory=dict)  # other arguments of the backend's constructor
    wait_ready: Duration = Duration(0)
    probe: bool = True  # try one small request before the clock starts
    grpc_client: str = "own"  # own | grpcio
    metrics_url: str = ""  # of the server's own metrics page; "" is where the backend expects it


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model that is loaded into a process of its own instead of asking a server; "" and 0 are its class's default."""

    path: str = ""  # directory of weights and tokenizer
    max_seq_len: int = 0  # most tokens of prompt and answer together
    batch_size: int = 0  # most requests that are answered together
    batching: str = ""  # static | continuous
    device: str = ""  # cpu, cuda, cuda:1
    dtype: str = ""  # bfloat16, float16, float32
    trust_remote_code: bool = False
    engine: Mapping[str, Any] = field(default_factory=dict)  # arguments of the engine below, such as vLLM's


@dataclass(frozen=True, slots=True)
class Load:
    """When to send. `rate` and `load_shape` are open loop, `concurrency` closed loop; exactly one of them is set."""

    rate: float = 0.0  # requests per second
    arrivals: str = "poisson"  # a name of arrivals.laws.LAWS
    burstiness: float = 1.0  # shape of gamma; 1 is poisson
    load_shape: str | None = None  # "ramp:1..50/120s": how the rate goes over time; None: as `rate`
    concurrency: int = 0
    max_in_flight: int = 0  # 0: no guard
    requests: int = 0  # measured requests; 0: by duration
    duration: Duration = Duration(0)  # measured window; 0: by count
    max_duration: Duration = Duration(0)  # extend the window up to this, until it is precise; 0: never
    warmup: Duration = Duration(-1)  # -1: a tenth of the window, 1 s to 30 s
    drain: Duration = Duration(60 * SECOND)
    cooldown: bool = True  # keep offering load until the last measured request has ended
    seed: int = 0
    senders: int = 0  # 0: cores - 1, at least 1
    connections: str = "reuse"  # reuse | new
    channels: int = 0  # HTTP/2 connections of a sender to each url, which requests share; 0: auto
    retry: int = 0  # attempts after the first, for a request that was refused or broken off

    @property
    def shape(self) -> Shape:
        """The rate over time, of an open loop. Raises UsageError for a load shape that can't be read."""
        from loadgen.arrivals.shapes import Constant, parse_shape  # brings numpy

        return Constant(self.rate) if self.load_shape is None else parse_shape(self.load_shape)

    @property
    def is_open(self) -> bool:
        """Whether the schedule decides when requests are sent, and not the answers."""
        return self.rate > 0 or self.load_shape is not None

    @property
    def window(self) -> int:
        """The length of the measured window as planned, in ns; 0 where only the server decides."""
        if self.duration or not self.is_open:
            return self.duration
        from loadgen.arrivals.shapes import length_of  # brings numpy

        return round(length_of(self.shape, self.requests))


@dataclass(frozen=True, slots=True)
class Workload:
    """What to ask. Lengths: "512", "uniform:100,900", "normal:512,64", "lognormal:512,0.5", "file:lengths.txt"."""

    input_tokens: str = "512"
    output_tokens: str = "128"
    prompts: str = ""  # JSONL file; replaces synthetic prompts
    datasets: str = ""  # name of one that ships, or a JSONL file, also in GSM8K's form; replaces synthetic prompts
    tokenizer: str = ""  # local directory, tokenizer.json, or name
    input_data: str = ""  # tensors of any Triton model: a file in perf_analyzer's format, random, or zero
    shapes: tuple[str, ...] = ()  # "name:3,224,224" for tensors of variable shape
    token_ids: bool = False  # send ids where the server takes them
    shared_prefix: int = 0  # tokens that all prompts have in common
    images: str = ""  # file, directory, data: or http(s) URL, or "synthetic:WxH": what goes with each prompt
    images_per_request: int = 1
    seed: int | None = None  # None: the load's


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait; 0 is for ever."""

    connect: Duration = Duration(10 * SECOND)
    first_token: Duration = Duration(0)
    idle: Duration = Duration(0)
    total: Duration = Duration(600 * SECOND)
    keep_alive: Duration = Duration(0)  # silence after which an HTTP/2 server is asked whether it is there


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS for https:// targets."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    insecure: bool = False
    server_name: str = ""


@dataclass(frozen=True, slots=True)
class Criteria:
    """What the numbers are held against."""

    slo: tuple[str, ...] = ()
    precision: float = 0.05  # largest half-width of a gated percentile's interval, relative
    lax: bool = False
    abort_on_fail: bool = False  # stop when an objective is certain to be missed, or too many requests failed


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """Where results go."""

    dir: str = ""  # "": runs/<time>-<backend>-<rate>
    outputs: bool = False  # write outputs.jsonl
    page: bool = True  # write report.html
    metrics_port: int = 0  # serve Prometheus metrics while the run goes on; 0: don't
    metrics_host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, whole."""

    target: Target = field(default_factory=Target)
    model: LocalModel = field(default_factory=LocalModel)
    load: Load = field(default_factory=Load)
    workload: Workload = field(default_factory=Workload)
    timeouts: Timeouts = field(default_factory=Timeouts)
    tls: Tls = field(default_factory=Tls)
    judgement: Criteria = field(default_factory=Criteria)
    out: OutputOptions = field(default_factory=OutputOptions)
