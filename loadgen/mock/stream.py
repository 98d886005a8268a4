"""One answer on its way: what it sends at each due instant, and how it goes wrong if it is to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from loadgen.mock.dialects.interface import BARE, AnswerBytes
from loadgen.mock.http import head_of, response

if TYPE_CHECKING:
    from loadgen.mock.pacing import TokenPacer
    from loadgen.mock.truth import Record

ENDED: Final = 0
HELD: Final = -1
"""What step() gives instead of the next due instant: the answer is over, or it stalls for ever."""


class Writable(Protocol):
    """What an answer is written to: a connection, or one stream of it."""

    def write(self, data: bytes) -> bool:
        """Hand `data` on; False if the peer is gone."""


class AnswerStream:
    """One answer being sent. The server calls step() at each due instant.

    `events` is the number of token events; an answer in one piece has one, at the instant of its last token.
    """

    __slots__ = (
        "answer", "clock", "connection", "delay", "finish", "gone", "hang_up", "held_head", "keep_alive", "last",
        "number", "pacer", "position", "record", "running", "silent", "strike", "tokens", "turning",
    )  # fmt: skip

    def __init__(
        self, record: Record, answer: AnswerBytes, connection: Writable, pacer: TokenPacer,
        clock: Callable[[], int],
        events: int, tokens: int, finish: str, keep_alive: bool,
    ) -> None:  # fmt: skip
        self.record, self.number = record, record.number
        self.answer, self.connection, self.pacer, self.clock = answer, connection, pacer, clock
        self.finish, self.keep_alive = finish, keep_alive
        self.silent = 0 if record.stream else events - 1
        self.last = events - 1 if record.stream else 0
        self.position = 0
        self.tokens = tokens
        self.strike = STRIKES.get(record.fault)
        self.turning = (self.last + 1) // 2 if self.strike else self.last
        self.delay = 0  # ns that headers are held back
        self.held_head = b""
        self.running = False  # has a slot
        self.gone = False  # the client hung up
        self.hang_up = ""  # "close" or "reset" when the fault ends the connection

    def open(self, head: bytes, delay: int) -> None:
        """Send headers and what comes before the first token now, or hold them back until the first token plus `delay`.

        They go out at once, long before the first token, so that a client that takes them for one shows itself.
        """
        head = head + self.answer.opening()
        if delay:
            self.delay, self.held_head, self.turning = delay, head, 0
        elif head:
            self.connection.write(head)

    def step(self, due: int) -> int:
        """Send what is due at `due` (ns); give back when the next event is, ENDED or HELD."""
        position = self.position
        if position == self.turning:
            return self._turn(due)
        if not self.send(self.answer.event(position), due):
            return ENDED
        self.position = position + 1
        return due + self.pacer.gap(self.number, position)

    def send(self, frame: bytes, due: int) -> bool:
        """Stamp and send one token event."""
        now = self.clock()
        record = self.record
        record.writes.append(now)
        if now - due > record.late:
            record.late = now - due
        if self.connection.write(frame):
            return True
        record.writes.pop()
        return False

    def _turn(self, due: int) -> int:
        """Do what is not just the next event: held headers, the fault, the end."""
        if self.held_head:
            self.connection.write(self.held_head)
            self.held_head, self.turning = b"", self.last
            return self.step(due)
        if self.strike:
            strike, self.strike, self.turning = self.strike, None, self.last
            return strike(self, due)
        if self.record.fault == "empty":
            self.connection.write(self.answer.ending(-1, "stop"))
            self.record.finish = "stop"
            return ENDED
        if self.record.fault == "nodone":
            self.send(self.answer.trailing_off(self.last), due)
        else:
            self.send(self.answer.ending(self.last, self.finish), due)
            self.record.finish = self.finish
        self.position = self.last + 1
        return ENDED


def _cut(stream: AnswerStream, due: int) -> int:
    stream.connection.write(stream.answer.torn())
    stream.hang_up = "close"
    return ENDED


def _reset(stream: AnswerStream, due: int) -> int:
    stream.connection.write(stream.answer.torn())
    stream.hang_up = "reset"
    return ENDED


def _stall(stream: AnswerStream, due: int) -> int:
    stream.connection.write(stream.answer.torn())
    return HELD


def _garbage(stream: AnswerStream, due: int) -> int:
    stream.connection.write(stream.answer.garbage())
    return stream.step(due) if stream.record.stream else ENDED


def _callback_timeout(stream: AnswerStream, due: int) -> int:
    stream.connection.write(stream.answer.bare())
    return ENDED


def _errevent(stream: AnswerStream, due: int) -> int:
    stream.connection.write(stream.answer.failure())
    return ENDED


STRIKES: Final[Mapping[str, Callable[[AnswerStream, int], int]]] = {
    "cut": _cut,
    "reset": _reset,
    "stall": _stall,
    "garbage": _garbage,
    "errevent": _errevent,
    "callback-timeout": _callback_timeout,
}
"""What the faults in the middle of an answer do."""


class KeepAlive:
    """Comments in a stream that is silent, one each `interval` ns, as long as it lasts; a stream to the loop."""

    __slots__ = ("_interval", "_live", "_stream")

    def __init__(self, stream: AnswerStream, live: Mapping[int, AnswerStream], interval: int) -> None:
        self._stream, self._live, self._interval = stream, live, interval

    @property
    def gone(self) -> bool:
        """Whether the stream is over."""
        return self._stream.number not in self._live

    def step(self, due: int) -> int:
        """Send a comment; give back when the next one is due."""
        self._stream.connection.write(self._stream.answer.comment())
        return due + self._interval


class OnePiece:
    """An answer in one piece, as an Answer: its only event is the whole response."""

    def __init__(self, inner: AnswerBytes, tokens: int, headers: Mapping[str, str]) -> None:
        self._inner, self._tokens, self._headers = inner, tokens, headers

    def opening(self) -> bytes:
        return b""

    def event(self, position: int) -> bytes:
        raise AssertionError("an answer in one piece has only its ending")

    def ending(self, position: int, finish: str) -> bytes:
        tokens = self._tokens if position >= 0 else 0
        return response(200, self.whole(finish, tokens), {**self._headers, **self._inner.headers(tokens)})

    def trailing_off(self, position: int) -> bytes:
        return response(200, self.whole("", self._tokens), self._headers)

    def headers(self, tokens: int) -> Mapping[str, str]:
        return self._headers

    def comment(self) -> bytes:
        return b""

    def bare(self) -> bytes:
        return response(200, BARE, self._headers)

    def torn(self) -> bytes:
        full = self.ending(0, "length")
        return full[: len(full) - len(self.whole("length", self._tokens)) // 2]

    def garbage(self) -> bytes:
        return response(200, b'{"choices": [{{{', self._headers)

    def failure(self) -> bytes:
        return response(200, self.error(), self._headers)

    def error(self) -> bytes:
        return self._inner.error()

    def whole(self, finish: str, tokens: int) -> bytes:
        return self._inner.whole(finish, tokens)


def stream_head(headers: Mapping[str, str]) -> bytes:
    """Write the head of a streamed answer."""
    return head_of(200, {"Content-Type": "text/event-stream; charset=utf-8", "Transfer-Encoding": "chunked", **headers})
