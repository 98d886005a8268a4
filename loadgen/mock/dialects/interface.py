"""What a dialect is to the mock: it reads what is asked and builds frames; it knows no clock and no socket."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from loadgen.mock.http import JSON

BARE: Final = b"Engine callback timeout."
"""What MindIE writes when its engine does not answer, framed as nothing."""


class RequestRefusedError(Exception):
    """A request that is answered with an error of the dialect at once."""

    def __init__(self, status: int, body: bytes, content_type: str = JSON) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.content_type = content_type


@dataclass(frozen=True, slots=True)
class MockRequest:
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
    kind: str = ""  # which of several dialects that share a path
    details: bool = True  # the server's own counts at the end
    prompt: str = ""  # for answers that repeat it


class Times(Protocol):
    """The server's own times of one answer, ns."""

    def queue(self) -> int:
        """Say how long it waited for a slot."""

    def prefill(self) -> int:
        """Say how long its first token takes from there."""

    def decode(self, position: int) -> int:
        """Say how long token event `position`, from 1, takes after the one before."""


class AnswerBytes(Protocol):
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

    def comment(self) -> bytes:
        """Build what keeps a silent stream alive, b"" where the dialect has nothing for it."""

    def bare(self) -> bytes:
        """Build the text that MindIE ends an answer with when its engine does not answer, and the end after it."""

    def headers(self, tokens: int) -> Mapping[str, str]:
        """Say which headers an answer in one piece has besides the usual ones."""

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

    def read(self, path: str, body: bytes) -> MockRequest:
        """Understand a request. Raise RefusedError."""

    def answer(self, ask: MockRequest, number: int, tokens: int, times: Times) -> AnswerBytes:
        """Prepare the answer of `tokens` tokens to request `number`."""

    def overloaded(self, ask: MockRequest) -> RequestRefusedError:
        """Say how the server refuses a request when it has too many."""

    def error(self, status: int, message: str, kind: str = "") -> bytes:
        """Build the JSON body of an error."""

    def look_up(self, path: str) -> bytes | None:
        """Answer a GET that only the dialect knows (model list and the like), None if it does not."""
