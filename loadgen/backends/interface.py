"""The contract of a backend: one server's dialect in four small methods, with the OpenAI dialect as their default."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from loadgen.backends import detect_dialect, dialect, failures
from loadgen.backends.decode import decode_stream, decode_text
from loadgen.backends.dialect import Input, Messages
from loadgen.backends.hooks import Backend, Connected, Server
from loadgen.backends.sync_adapter import plain
from loadgen.protocols import sse
from loadgen.types import Call, Output, Request, Timeline, TokenEvents, UsageError

if TYPE_CHECKING:
    from loadgen.plan import Plan
    from loadgen.workload import Source

__all__ = ["Backend", "ServiceBackend", "input_of", "with_options", "without_null"]


class ServiceBackend:
    """A server's dialect. Override what differs of `_get_url`, `get_request_body`, `parse_text_response` and
    `parse_stream_response`; each may be `async def`. Knows no clock and no socket.

    `url` is the server's address, with or without a path; without it, `host_ip` and `host_port` are. `headers` and
    `body` are added to what every request carries; a null in `body` removes a field. `retry` is kept for the engine,
    `path` and `trust_remote_code` for whoever loads the tokenizer.
    """

    protocol: str = "http"  # what carries its calls: http, or grpc, whose body is one serialised message
    health_path: str = "/health"  # below the path of the address, as is the next
    models_path: str = "/v1/models"  # "" for a server that lists none and needs no name
    endpoints: ClassVar[tuple[str, ...]] = ("chat",)  # the first is the default
    forces_length: bool = False  # whether answers are made as long as was asked
    takes_ignore_eos: bool = True  # whether `ignore_eos` in the body could make them so
    takes_only_ids: bool = False  # whether prompts must be token ids
    options_field: str = ""  # the field of the body that generation options go into, "" if that is the body itself
    grpc_endpoints: ClassVar[tuple[str, ...]] = ()  # those asked over gRPC, whose address may be host:port alone
    takes_input_data: bool = False  # whether its source reads --input-data and --shape
    marks_end: bool = True  # whether a stream says itself that it ended; else the end of the body is all there is
    speaks: str = "openai"  # the dialect of its answers, a name in the `dialects` of a backend
    dialects: ClassVar[Mapping[str, tuple[str, str]]] = {}  # those it recognises: what they are called, flags for them
    about_path: str = ""  # where a server tells who it is, for `recognises`

    def __init__(self, path: str = "", model: str = "", stream: bool = True, max_out_len: int = 128, retry: int = 0,
                 api_key: str = "", host_ip: str = "localhost", host_port: int = 8080, url: str = "",
                 trust_remote_code: bool = False, generation_kwargs: Mapping[str, Any] | None = None, *,
                 endpoint: str = "", headers: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None,
                 enable_ssl: bool = False, meta_template: Any = None, verbose: bool = False) -> None:
        if meta_template:
            raise UsageError("meta_template has no effect here: give prompts as messages instead, and leave it out")
        if endpoint and endpoint not in self.endpoints:
            raise UsageError(f"{type(self).__name__} has no endpoint {endpoint!r}: write {' or '.join(self.endpoints)}")
        self.path, self.model, self.stream, self.max_out_len, self.retry = path, model, stream, max_out_len, retry
        self.api_key, self.host_ip, self.host_port, self.url = api_key, host_ip, host_port, url
        self.trust_remote_code, self.enable_ssl = trust_remote_code, enable_ssl
        self.generation_kwargs = dict(generation_kwargs or {})
        self.endpoint = endpoint or self.endpoints[0]
        self.headers = {"Content-Type": "application/json"}
        if api_key:
            self.headers["Authorization"] = f"Bearer {api_key}"
        self.add_headers(headers or {})
        self.length_field = "max_tokens"
        self.body: dict[str, Any] = {}
        self.add_body(body or {})
        self.base_url = dialect.base_url_of(url, host_ip, host_port, enable_ssl)
        if self.models_path == "/v1/models" and urlsplit(self.base_url).path.endswith("/v1/"):
            self.models_path = "/models"
        self.tokenizer: Callable[[str], int] | None = None  # counts the tokens of answers whose server does not
        self.logger = logging.getLogger(f"loadgen.backends.{type(self).__name__}")
        if verbose:
            self.logger.setLevel(logging.DEBUG)
        self._request_body = plain(self.get_request_body)
        self._parse_text = plain(self.parse_text_response)
        self._parse_stream = plain(self.parse_stream_response)
        self._path = ""

    def connect(self, plan: Plan, server: Server) -> Connected:
        """Ask the server what must be known before the clock starts. Raises UsageError if a run would make no sense."""
        return server.connect(self)

    def source(self, plan: Plan) -> Source | None:
        """Return a source of requests of the backend's own, None to ask what the plan says. Follows `connect`."""
        return None

    @classmethod
    def recognises(cls, answer: Mapping[str, Any], path: str = "") -> str:
        """Return which of `dialects` an answer is of, "" for none; with `path` it is what a GET of that is answered."""
        return ""

    def _get_url(self) -> str:
        """Return the full URL that requests go to."""
        return dialect.join(self.base_url, "v1/chat/completions")

    def get_request_body(self, input: Input, max_out_len: int | None, output: Output, **args: Any) -> dict[str, Any]:
        """Return the JSON body that asks for at most `max_out_len` tokens (None: as many as the server likes).

        `input` is a text, a list of token ids, or a list of messages.
        """
        body: dict[str, Any] = {"model": self.model, "messages": dialect.as_messages(input)}
        if max_out_len is not None:
            body[self.length_field] = max_out_len
        body["stream"] = self.stream
        if self.stream:
            body["stream_options"] = {"include_usage": True}
        return body | self.generation_kwargs

    def parse_text_response(self, data: dict[str, Any], output: Output) -> None:
        """Read an answer that came whole."""
        for choice in data.get("choices") or ():
            dialect.parse_choice(choice, choice.get("message"), output)
        dialect.parse_usage(data, output)

    def parse_stream_response(self, data: dict[str, Any], output: Output) -> None:
        """Read one event of a streamed answer."""
        for choice in data.get("choices") or ():
            dialect.parse_choice(choice, choice.get("delta"), output)
        if "usage" in data:
            dialect.parse_usage(data, output)

    def add_headers(self, headers: Mapping[str, str]) -> None:
        """Add headers to every request; one of the same name, whatever its case, is replaced."""
        names = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in names}
        self.headers = kept | dict(headers)

    def add_body(self, body: Mapping[str, Any]) -> None:
        """Add fields to the body of every request; null removes one.

        `max_completion_tokens: true` is no value: it names the field that the output length goes into.
        """
        body = dict(body)
        if body.get("max_completion_tokens") is True:
            self.length_field = "max_completion_tokens"
            del body["max_completion_tokens"]
        self.body |= body

    def split_stream(self, payload: bytes) -> sse.SseEvents | None:
        """Part the body of a streamed answer into events; None if it is one JSON answer and no stream."""
        return None if payload.lstrip()[:1] in (b"{", b"[") else sse.split(payload)

    def check_body(self, body: Mapping[str, Any]) -> None:
        """Raise UsageError for a body that the server is known to refuse."""

    def facts_from(self, listing: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the server's answer to `models_path` tells: `max_total_tokens`, if it says so, and what to keep
        with a run."""
        length = dialect.max_model_len(listing, self.model)
        return {} if length is None else {"max_total_tokens": length}

    def encode(self, request: Request) -> Call:
        """Put a request into the server's wire form.

        The body is that of get_request_body, then `self.body`, then the request's own; null removes a field. Raises
        UsageError for input that the endpoint can't take.
        """
        body = self._request_body(input_of(request), request.max_output_tokens, Output())
        for extra in (self.body, request.body):
            if extra:
                body = with_options(body, extra, self.options_field)
        self.check_body(body)
        return Call(self.request_path(), msgspec.json.encode(body), tuple(self.headers.items()))

    def decode(self, timeline: Timeline, request: Request) -> TokenEvents:
        """Make token events of a captured answer; what is wrong with it is their failure, never an exception."""
        refusal = failures.refused(timeline)
        if refusal is not None:
            return TokenEvents(failure=refusal)
        streamed = self.stream or b"text/event-stream" in timeline.headers.lower()
        stream = self.split_stream(bytes(timeline.payload)) if streamed else None
        if stream is None:
            events = decode_text(timeline, request, self._parse_text, self.tokenizer, self.stream)
        else:
            events = decode_stream(timeline, request, stream, self._parse_stream, self.tokenizer)
        if events.failure is not None and not events.ends:
            events.failure = detect_dialect.explained(events.failure, bytes(timeline.payload), self.speaks,
                                                      type(self))
        return events

    def model_from(self, listing: Mapping[str, Any]) -> str:
        """Return the model to ask for from the server's answer to `models_path`; raises UsageError without one."""
        return dialect.model_from(listing)

    def full_url(self) -> str:
        """Return the URL of `_get_url`, however that is declared."""
        return str(plain(self._get_url)())

    def request_path(self) -> str:
        """Return path and query that requests go to, below the path of the server's address.

        Raises UsageError if `_get_url` leads elsewhere.
        """
        if not self._path:
            parts = urlsplit(self.full_url())
            prefix = urlsplit(self.base_url).path.rstrip("/")
            path = parts.path or "/"
            if not (path + "/").startswith(prefix + "/"):
                raise UsageError(f"{type(self).__name__}._get_url leads to {path}, not below {prefix} of the address: "
                                 "give --url without a path")
            self._path = path.removeprefix(prefix) + (f"?{parts.query}" if parts.query else "")
        return self._path


def input_of(request: Request) -> Input:
    """Return what get_request_body gets as input: images make a message of a prompt, or go into the last one.

    Raises UsageError for images with token ids.
    """
    if request.images:
        return _with_images(request)
    if request.messages is not None:
        return [dict(message) for message in request.messages]
    return request.prompt or "" if request.prompt_ids is None else list(request.prompt_ids)


def _with_images(request: Request) -> Messages:
    if request.prompt_ids is not None:
        raise UsageError("images go with texts and messages, not with token ids: leave --token-ids out")
    parts: Messages = [{"type": "image_url", "image_url": {"url": image}} for image in request.images]
    if request.messages is None:
        return [{"role": "user", "content": [*parts, {"type": "text", "text": request.prompt or ""}]}]
    *before, last = (dict(message) for message in request.messages)
    said = last.get("content")
    last["content"] = [*parts, *([{"type": "text", "text": said}] if isinstance(said, str) else said or ())]
    return [*before, last]


def with_options(body: Mapping[str, Any], extra: Mapping[str, Any], inner: str = "") -> dict[str, Any]:
    """Return the body with the fields of `extra`, those that are null removed.

    With `inner`, fields that the body doesn't have go into that field of it.
    """
    if not inner:
        return without_null({**body, **extra}, extra)
    outer = {name: value for name, value in extra.items() if name in body and name != inner}
    options = {name: value for name, value in extra.items() if name not in body}
    options |= extra.get(inner) or {}
    inside = without_null({**body.get(inner, {}), **options}, options)
    return without_null({**body, **outer, inner: inside}, outer)


def without_null(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body without the fields that are null in `extra`."""
    return {name: value for name, value in body.items() if value is not None or name not in extra}
