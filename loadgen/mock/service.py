"""What is done with a whole request: answer it, refuse it, or start a stream; and what is done at a stream's end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from random import Random
from typing import BinaryIO

from loadgen.mock.connection import ClientConnection
from loadgen.mock.dialects.interface import Dialect, MockRequest, RequestRefusedError
from loadgen.mock.dialects.mindie import MindIEDialect
from loadgen.mock.dialects.openai import OpenAIDialect
from loadgen.mock.dialects.tgi import TGIDialect
from loadgen.mock.faults import STATUS, Faults
from loadgen.mock.grpc import HEAD, GrpcStream
from loadgen.mock.http import JSON, Head, response
from loadgen.mock.metrics import Metrics
from loadgen.mock.options import MockSettings
from loadgen.mock.pacing import PlannedTimes, TokenPacer
from loadgen.mock.stream import AnswerStream, KeepAlive, OnePiece, stream_head
from loadgen.mock.truth import Record, Truth

Peer = ClientConnection | GrpcStream


def make_dialect(settings: MockSettings) -> Dialect:
    """Make the dialect that the settings name."""
    if settings.dialect == "tgi":
        return TGIDialect(settings.model, settings.output_tokens, settings.max_model_len)
    if settings.dialect == "triton":
        from loadgen.mock.dialects.triton import TritonDialect  # its messages take a moment to import

        return TritonDialect(settings.model, settings.output_tokens, settings.tokens_per_event)
    if settings.dialect == "mindie":
        return MindIEDialect(settings.model, settings.output_tokens, settings.tokens_per_event, settings.max_model_len,
                      settings.full_text)  # fmt: skip
    return OpenAIDialect(settings.model, settings.output_tokens, settings.tokens_per_event, settings.max_model_len,
                  settings.reject)  # fmt: skip


class MockService:
    """All requests of one server. Knows no sockets but through Connection's write()."""

    def __init__(
        self, settings: MockSettings, file: BinaryIO | None = None, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.dialect = make_dialect(settings)
        self.pacer = TokenPacer(
            settings.ttft, settings.ttft_per_token, settings.itl, settings.itl_per_stream, settings.slots
        )
        self.faults = Faults(settings.faults, settings.seed)
        self.truth = Truth(settings.keep, file)
        if hasattr(self.dialect, "counts"):
            self.dialect.counts = lambda: self.truth.totals["ended"]
        self.metrics = Metrics(settings.model)
        self.live: dict[int, AnswerStream] = {}
        self.number = 0
        self._stops = Random(f"stops/{settings.seed}")
        self._plain_head = stream_head({})

    @property
    def paths(self) -> Collection[str]:
        return self.dialect.paths

    def handle(self, head: Head, body: bytes, connection: Peer) -> None:
        """Take one request: reply at once, or leave a stream in `connection.stream`."""
        arrival = self.clock()
        headers = _response_headers(head)
        if not head.keep_alive:
            connection.closing = True
        if head.path not in self.dialect.paths:
            connection.write(self._look_up(head, headers))
        elif head.method != "POST":
            connection.write(response(405, self.dialect.error(405, "Method Not Allowed"), headers))
        else:
            self._generate(head, body, connection, arrival, headers)

    def _generate(
        self, head: Head, body: bytes, connection: Peer, arrival: int, headers: dict[str, str]
    ) -> None:
        key = self.settings.api_key
        try:
            if key and head.headers.get("authorization") != f"Bearer {key}":
                raise RequestRefusedError(401, self.dialect.error(401, "Unauthorized"))
            ask = self.dialect.read(head.path, body)
        except RequestRefusedError as refused:
            self.truth.totals["refused"] += 1
            connection.reply(refused.status, refused.body, headers, refused.content_type)
            return
        self.number += 1
        fault = self.faults.draw(self.number)
        tag = head.headers.get("x-request-id") or ask.tag
        record = Record(self.number, arrival, ask.path, ask.stream, ask.prompt_tokens, fault, tag)
        self.truth.totals["requests"] += 1
        tokens, finish = self._length(ask)
        if fault == "overload":
            self._overload(record, ask, connection, headers)
        elif fault == "refuse" or fault in STATUS:
            self._refuse(record, connection, headers)
        else:
            self._start(record, ask, connection, headers, tokens, finish)

    def _length(self, ask: MockRequest) -> tuple[int, str]:
        """Draw how many tokens the answer has; draws alike for every request, so that the seed decides."""
        chance, where = self._stops.random(), self._stops.random()
        most = ask.output_tokens
        least = max(1, ask.least_tokens)
        if chance >= self.settings.eos_share or ask.ignore_eos or least >= most:
            return most, "length"
        return least + int(where * (most - least)), "stop"

    def _overload(self, record: Record, ask: MockRequest, connection: Peer, headers: dict[str, str]) -> None:
        """Refuse as the server does when it has too many requests."""
        refused = self.dialect.overloaded(ask)
        record.status = refused.status
        connection.reply(refused.status, refused.body, headers, refused.content_type)
        record.end = self.clock()
        self.truth.add(record, bool(self.live))

    def _refuse(self, record: Record, connection: Peer, headers: dict[str, str]) -> None:
        """Answer with a status, or not at all."""
        record.status = STATUS.get(record.fault, 0)
        if record.fault == "redirect":
            connection.reply(302, b"", {**headers, "Location": "/elsewhere" + record.path})
        elif record.status:
            error = self.dialect.error(record.status, f"injected: {record.status}")
            connection.reply(record.status, error, headers)
        else:
            connection.closing = True
        record.end = self.clock()
        self.truth.add(record, bool(self.live))

    def _start(
        self, record: Record, ask: MockRequest, connection: Peer, headers: dict[str, str],
        tokens: int,
        finish: str,
    ) -> None:  # fmt: skip
        answer = self.dialect.answer(ask, record.number, tokens, PlannedTimes(self.pacer, record))
        events = 1 if record.fault == "empty" else -(-tokens // self.dialect.per_event)
        head = b""
        if connection.grpc:
            head = HEAD
        elif ask.stream:
            head = stream_head(headers) if headers else self._plain_head
        else:
            answer = OnePiece(answer, tokens, headers)
        keep_alive = not connection.closing
        stream = AnswerStream(record, answer, connection, self.pacer, self.clock, events, tokens, finish, keep_alive)
        connection.closing = False
        connection.stream = stream
        self.live[record.number] = stream
        totals = self.truth.totals
        totals["in_flight_max"] = max(totals["in_flight_max"], len(self.live))
        stream.open(head, self.settings.slow if record.fault == "slow-headers" else 0)
        self.pacer.arrive(stream, record.arrival)
        if self.settings.keep_alive and ask.stream and stream.answer.comment():
            comments = KeepAlive(stream, self.live, self.settings.keep_alive)
            self.pacer.keep_alive(comments, record.number, record.arrival + self.settings.keep_alive)

    def finish(self, stream: AnswerStream, at: int) -> None:
        """Book a stream that ended; `at` is when its slot became free (ns)."""
        record = stream.record
        record.end = self.clock()
        record.gone = stream.gone
        written = stream.position * self.dialect.per_event if record.stream else stream.tokens * stream.position
        record.tokens = min(written, stream.tokens)
        del self.live[record.number]
        if stream.running:
            self.pacer.leave(at)
        self.truth.add(record, bool(self.live))
        self.metrics.add(record)

    def abandon(self, stream: AnswerStream) -> None:
        """Book a stream whose client has hung up."""
        stream.gone = True
        self.finish(stream, self.clock())

    def _look_up(self, head: Head, headers: dict[str, str]) -> bytes:
        waiting = len(self.live) - self.pacer.running
        if head.path in ("/health", "/v1/health", "/ping"):
            return response(200, b"", headers)
        if head.path == "/metrics":
            page = self.metrics.write(self.pacer.running, waiting, self.settings.slots)
            return response(200, page, headers, "text/plain; version=0.0.4; charset=utf-8")
        if head.path == "/truth":
            now = {"in_flight": len(self.live), "waiting": waiting}
            live = [stream.record for stream in self.live.values()]
            return response(200, self.truth.dump(self.faults.counts, live, now), headers)
        if head.path == "/truth/reset":
            self.truth.reset()
            self.faults.counts.clear()
            return response(200, b"{}", headers)
        body = self.dialect.look_up(head.path)
        if body is None:
            return response(404, self.dialect.error(404, "Not Found"), headers)
        return response(200, body, headers, JSON)


def _response_headers(head: Head) -> dict[str, str]:
    headers = {}
    if "x-request-id" in head.headers:
        headers["X-Request-Id"] = head.headers["x-request-id"]
    if not head.keep_alive:
        headers["Connection"] = "close"
    return headers
