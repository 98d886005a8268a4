"""The nouns that every layer shares; data only, standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SECOND: Final = 1_000_000_000
MS: Final = 1_000_000
"""ns in a second and in a millisecond."""

ABSENT: Final = -1
"""What an instant or a count holds when it was not observed. Never 0: zero is a value."""

# How a request can fail. A class names who to ask; the detail keeps the evidence.
FAILURES: Final = (
    "connect",  # no connection: refused, unreachable, DNS
    "tls",  # the handshake failed
    "timeout",  # one of the four timeouts passed; the detail says which
    "http_3xx",
    "http_4xx",
    "http_429",
    "http_5xx",
    "http_503",
    "in_band",  # an error event inside a 2xx answer
    "truncated",  # the answer ended before its dialect's proper end
    "parse",  # bytes that are not the protocol or the dialect
    "empty",  # a proper end, and not one token
    "too_long",  # the prompt does not fit the model
    "backend",  # the backend's own code raised
    "sender_lost",  # the sender process died
    "model_lost",  # the process of a local model died
    # The status codes of gRPC; one that it does not know counts as unknown.
    "grpc_cancelled",
    "grpc_unknown",
    "grpc_invalid_argument",
    "grpc_deadline_exceeded",
    "grpc_not_found",
    "grpc_already_exists",
    "grpc_permission_denied",
    "grpc_resource_exhausted",
    "grpc_failed_precondition",
    "grpc_aborted",
    "grpc_out_of_range",
    "grpc_unimplemented",
    "grpc_internal",
    "grpc_unavailable",
    "grpc_data_loss",
    "grpc_unauthenticated",
)
CENSORED: Final = "censored"
"""Failure of a request that was still running when the drain limit or a second Ctrl-C came."""


class UsageError(Exception):
    """What the user asked for can't be done: says what was wrong and what to write instead (exit 2)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request is no success. `kind` is one of FAILURES or CENSORED; `type` is the server's own word."""

    kind: str
    detail: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask. Exactly one of `prompt`, `prompt_ids` and `messages` is given."""

    index: int
    prompt: str | None = None
    prompt_ids: tuple[int, ...] | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    images: tuple[str, ...] = ()
    max_output_tokens: int | None = None
    input_tokens: int = ABSENT  # as the workload's tokenizer counted; ABSENT without one
    session: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)  # generation options of this request alone


@dataclass(frozen=True, slots=True)
class Call:
    """A Request in one server's wire form: what a protocol carries."""

    path: str  # with the query, e.g. "/v1/completions"
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "POST"


@dataclass(slots=True)
class Timeline:
    """Every instant of one request attempt, as the sender saw it. The one mutable record.

    `due` is ns since the start of the schedule. Instants are CLOCK_MONOTONIC ns, but for `stamps` and `reads`, which
    are CLOCK_REALTIME ns as the kernel gives them. Element i of `stamps`, `reads` and `offsets` belongs to the i-th
    read: when the packet reached this machine (a struct timespec, two int64), when the sender read it (int64), and how
    many bytes of `payload` there were after it (int64); native byte order. `payload` is the response body, chunk
    framing removed.
    """

    index: int
    sender: int = 0
    target: int = 0
    due: int = ABSENT
    sent: int = ABSENT  # just before the first byte was handed to the kernel
    sent_end: int = ABSENT  # after the last byte was
    connect: int = ABSENT  # ns it took to open a connection, if this request had to open one
    tls: int = ABSENT  # ns of its TLS handshake
    end: int = ABSENT  # when the sender was done with it
    status: int = ABSENT
    headers: bytes = b""  # raw "name: value\r\n" lines of the response
    stamps: bytes = b""
    reads: bytes = b""
    offsets: bytes = b""
    shared: bytes = b""  # places of reads (int64) that brought something for a later stream too: their stamp is its
    payload: bytes = b""
    unstamped: int = 0  # reads that came without a kernel stamp; their stamp is the time of the read
    complete: bool = False  # the protocol's own end was seen (last chunk, content length, trailers)
    failure: Failure | None = None  # what the protocol saw go wrong
    held: bool = False  # sent late because --max-in-flight was reached
    reconnects: int = 0  # 1 if the server had closed the reused connection and the request went out again
    attempt: int = 0


@dataclass(slots=True)
class Output:
    """What a backend makes of an answer: parse methods add to it, event by event.

    The four text fields grow; a token event is an event in which one of them, `token_ids` or `tokens` grew.
    """

    content: str = ""
    reasoning_content: str = ""
    tool_calls: str = ""  # the text of tool-call deltas, joined
    token_ids: list[int] = field(default_factory=list)
    tokens: int = 0  # for dialects that say how many tokens an event carries
    input_tokens: int = ABSENT
    usage_tokens: int = ABSENT  # output tokens as the server counts; cumulative when it comes with every event
    usage_source: str = "usage"  # or "server details"
    finish_reason: str = ""
    done: bool = False  # the dialect's own proper end was seen
    failure: Failure | None = None
    server: dict[str, int] = field(default_factory=dict)  # server-side times in ns: server_queue, server_prefill, ...
    input: Any = None  # what get_request_body sent, if it says so; while an answer is read, the prompt
    headers: Mapping[str, str] = field(default_factory=dict)  # of the response, names in lower case
    memory: dict[str, Any] = field(default_factory=dict)  # what parse methods want to remember between events

    @property
    def output_tokens(self) -> int:
        """`usage_tokens`, by the name that AISBench classes use."""
        return self.usage_tokens

    @output_tokens.setter
    def output_tokens(self, count: int) -> None:
        self.usage_tokens = count


@dataclass(slots=True)
class TokenEvents:
    """What decode makes of a Timeline. Knows byte offsets of the payload, not instants.

    `ends[i]` is the payload offset at which the i-th token event was complete, `counts[i]` how many tokens it carried,
    0 if nobody counted them.
    """

    ends: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    first_answer: int = ABSENT  # position in `ends` of the first token that is not reasoning, if reasoning is marked
    input_tokens: int = ABSENT
    input_source: str = ""  # usage | server details | token ids | tokenizer | approximate
    output_tokens: int = ABSENT
    output_source: str = ""  # usage | server details | token ids | tokenizer | events
    usage_tokens: int = ABSENT  # what the server said, to hold `output_tokens` against
    finish_reason: str = ""
    text: str = ""
    failure: Failure | None = None
    server: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class RequestRow:
    """One request attempt as it is recorded: a line of requests.parquet.

    Instants are ns since the start of the schedule; durations are ns; ABSENT where there is none.
    """

    index: int
    phase: int  # WARMUP, MEASURED or COOLDOWN, by the instant it was due
    due: int
    sent: int = ABSENT
    sent_end: int = ABSENT
    first_byte: int = ABSENT
    first_answer: int = ABSENT
    end: int = ABSENT
    connect: int = ABSENT
    tls: int = ABSENT
    token_at: list[int] = field(default_factory=list)  # instant of each token event
    token_count: list[int] = field(default_factory=list)  # tokens in each, 0 where nobody counted them
    token_lag: list[int] = field(default_factory=list)  # ns between the kernel's stamp and the sender's read
    coalesced: int = 0  # token events that shared a read with a later one (of any request): their stamp is too late
    unstamped: int = 0
    reads: int = 0
    input_tokens: int = ABSENT
    input_source: str = ""
    output_tokens: int = ABSENT
    output_source: str = ""
    usage_tokens: int = ABSENT
    asked_tokens: int = ABSENT  # max output tokens that were asked for
    finish_reason: str = ""
    failure: str = ""  # "" is a success
    failure_type: str = ""
    detail: str = ""
    status: int = ABSENT
    sender: int = 0
    target: int = 0
    attempt: int = 0
    held: bool = False
    reconnects: int = 0
    server: dict[str, int] = field(default_factory=dict)


WARMUP: Final = 0
MEASURED: Final = 1
COOLDOWN: Final = 2


@dataclass(frozen=True, slots=True)
class Window:
    """The measured window, ns since the start of the schedule.

    Open loop and closed loop by duration know `length`; closed loop by count knows only `count`.
    """

    start: int  # where the warm-up ends
    length: int = ABSENT
    count: int = ABSENT  # requests that were planned in it


@dataclass(frozen=True, slots=True)
class Health:
    """How a process of the client itself was doing, once a second and at its end. A line of health.jsonl.

    Counters are cumulative; maxima are since the last line.
    """

    at: int  # ns since the start of the schedule
    sender: int  # ABSENT for the desk
    cpu: int  # ns of user and system time
    rss: int  # bytes, the largest so far
    stall: int = 0  # ns, the longest time that the event loop was late
    reads: int = 0
    unstamped: int = 0
    in_flight: int = 0
    connections: int = 0  # open now
    opened: int = 0
    opened_late: int = 0  # opened by a request that found none ready
    dropped: int = 0  # closed by the server while idle
    backlog: int = 0  # bytes captured and not yet handed to the desk; for the desk: requests not yet decoded
    starved: int = 0  # requests that were due before the desk had handed them over


@dataclass(frozen=True, slots=True)
class ClockSample:
    """CLOCK_REALTIME - CLOCK_MONOTONIC at one instant (ns, monotonic)."""

    at: int
    offset: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What the live view shows; instants and durations in ns, rates per second over the last few seconds."""

    elapsed: int
    total: int  # planned length, ABSENT if only a count is planned
    phase: str  # connecting | warm-up | measured | cool-down | draining
    planned: int  # requests to be offered, ABSENT if unknown
    offered: int
    completed: int
    failed: int
    in_flight: int
    offered_rate: float
    completed_rate: float
    token_rate: float
    quantiles: Mapping[str, tuple[int, int]]  # "ttft" and "itl": p50, p99 so far (ABSENT without samples)
    failures: Mapping[str, int]
    lag_p99: int
    warnings: tuple[str, ...] = ()  # checks that fail so far, a few words each
