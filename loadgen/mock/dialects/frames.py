"""Answers of any dialect that frames JSON objects: a Shape says what they hold, a Framing how they are framed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from loadgen.mock.dialects.interface import BARE, MockRequest, RequestRefusedError
from loadgen.mock.http import JSON, LAST_CHUNK, chunk

_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Framing:
    """What stands before and after each object of a stream, after the last one, and what keeps it alive."""

    before: bytes = b"data: "
    after: bytes = b"\n\n"
    done: bytes = b""
    comment: bytes = b":\n\n"

    def frame(self, data: object) -> bytes:
        """Frame an object, as an HTTP chunk."""
        return chunk(self.before + _encode(data) + self.after)


SSE: Final = Framing()
SSE_DONE: Final = Framing(done=b"data: [DONE]\n\n")


class Shape(Protocol):
    """What the objects of one answer hold. `finish` is "length", "stop" or "" for none."""

    def opening(self) -> list[dict[str, Any]]:
        """Give what comes before the first token."""

    def event(self, first: int, count: int, finish: str) -> dict[str, Any]:
        """Give the event of tokens `first` to `first + count - 1`."""

    def closing(self, tokens: int) -> list[dict[str, Any]]:
        """Give what comes after the last token."""

    def whole(self, tokens: int, finish: str) -> Any:
        """Give the answer in one piece."""

    def error(self) -> dict[str, Any]:
        """Give an error event."""

    def headers(self, tokens: int) -> Mapping[str, str]:
        """Give the headers of an answer in one piece."""


class FramedAnswer:
    """One answer; see dialect.Answer."""

    __slots__ = ("_framing", "_per_event", "_shape", "_tokens")

    def __init__(self, shape: Shape, framing: Framing, per_event: int, tokens: int) -> None:
        self._shape, self._framing, self._per_event, self._tokens = shape, framing, per_event, tokens

    def opening(self) -> bytes:
        return b"".join(map(self._framing.frame, self._shape.opening()))

    def event(self, position: int) -> bytes:
        return self._framing.frame(self._event(position, ""))

    def _event(self, position: int, finish: str) -> dict[str, Any]:
        first = position * self._per_event
        return self._shape.event(first, min(self._per_event, self._tokens - first), finish)

    def ending(self, position: int, finish: str) -> bytes:
        last = self._shape.event(0, 0, finish) if position < 0 else self._event(position, finish)
        parts = [last, *self._shape.closing(self._tokens if position >= 0 else 0)]
        return b"".join(map(self._framing.frame, parts)) + self._end()

    def _end(self) -> bytes:
        done = self._framing.done
        return (chunk(done) if done else b"") + LAST_CHUNK

    def trailing_off(self, position: int) -> bytes:
        """A dialect without any sign of its end stops in the middle of its last frame."""
        data = self._framing.before + _encode(self._event(position, ""))
        return chunk(data + self._framing.after.strip(b"\0")) + LAST_CHUNK

    def torn(self) -> bytes:
        return b""

    def comment(self) -> bytes:
        return chunk(self._framing.comment) if self._framing.comment else b""

    def bare(self) -> bytes:
        return chunk(BARE) + LAST_CHUNK

    def garbage(self) -> bytes:
        return chunk(self._framing.before + b'{"token": [{{{' + self._framing.after)

    def failure(self) -> bytes:
        return self._framing.frame(self._shape.error()) + self._end()

    def error(self) -> bytes:
        return _encode(self._shape.error())

    def whole(self, finish: str, tokens: int) -> bytes:
        return _encode(self._shape.whole(tokens, finish))

    def headers(self, tokens: int) -> Mapping[str, str]:
        return self._shape.headers(tokens)


def refusal(ask: MockRequest, status: int, error: Mapping[str, Any]) -> RequestRefusedError:
    """Refuse with an error: as an event under 200 where a stream was asked for, else with the status."""
    if ask.stream:
        return RequestRefusedError(200, SSE.before + _encode(error) + SSE.after, "text/event-stream")
    return RequestRefusedError(status, _encode(error), JSON)
