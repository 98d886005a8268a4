"""What a dialect is to the mock: it reads what is asked and builds frames; it knows no clock and no socket."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


class RefusedError(Exception):
    """A request that is answered with an error of the dialect at once."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request wants, in terms that every dialect has."""

    path: str
    stream: bool
    output_tokens: int
    prompt_tokens: int
    least_tokens: int = 0
    ignore_eos: bool = False
    tag: str = ""
    prompt_ids: tuple[int, ...] = ()
    usage: bool = False  # a usage event at the end
    continuous_usage: bool = False  # usage in every event
    token_ids: bool = False


class Answer(Protocol):
    """One answer as bytes. Stream parts are HTTP chunks already, so that a token event is one buffer."""

    def opening(self) -> bytes:
        """Build what comes before the first token, b"" if nothing does."""

    def event(self, position: int) -> bytes:
        """Build token event `position` (from 0), which is not the last. Called for every event: must be cheap."""

    def ending(self, position: int, finish: str) -> bytes:
        """Build the last token event with the finish reason, and all that follows it; -1: no token at all."""

    def trailing_off(self, position: int) -> bytes:
        """Build the last token event of an answer that ends without any sign of its end."""

    def torn(self) -> bytes:
        """Build what still goes out before an answer breaks off in the middle."""

    def garbage(self) -> bytes:
        """Build an event that is no JSON."""

    def failure(self) -> bytes:
        """Build an error event and what ends a stream after it."""

    def error(self) -> bytes:
        """Build the body that an answer in one piece has instead of that."""

    def whole(self, finish: str, tokens: int) -> bytes:
        """Build the body of an answer in one piece; finish "" leaves the reason null."""


class Dialect(Protocol):
    """One server's way of speaking. A new dialect is one module with such a class, named in options.DIALECTS."""

    paths: Collection[str]  # where generation is asked for
    per_event: int  # tokens an event

    def read(self, path: str, body: bytes) -> Ask:
        """Understand a request. Raise RefusedError."""

    def answer(self, ask: Ask, number: int, tokens: int) -> Answer:
        """Prepare the answer of `tokens` tokens to request `number`."""

    def error(self, status: int, message: str, kind: str = "") -> bytes:
        """Build the JSON body of an error."""

    def look_up(self, path: str) -> bytes | None:
        """Answer a GET that only the dialect knows (model list and the like), None if it does not."""
