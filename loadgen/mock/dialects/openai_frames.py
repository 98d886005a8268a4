"""The frames of the OpenAI dialect: SSE events as HTTP chunks, the usual ones prebuilt."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

import msgspec

from loadgen.mock.dialects.interface import BARE, MockRequest
from loadgen.mock.dialects.words import LAP, token_ids, words
from loadgen.mock.http import LAST_CHUNK, chunk

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"

_PLACE: Final = "0000000000000000"  # where the request's own id goes
_DONE: Final = chunk(b"data: [DONE]\n\n")
_encode = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class OpenAIFrames:
    """What the answers of one server have in common: its model, tokens an event, and the prebuilt events by path.

    A prebuilt event is parted where the request's id goes, which always has 16 digits: the length never changes.
    """

    model: str
    per_event: int
    created: int = field(default_factory=lambda: int(time.time()))
    prebuilt: dict[str, list[tuple[bytes, bytes]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (CHAT, COMPLETIONS):
            answer = OpenAIAnswer(self, MockRequest(path, True, LAP, 1), _PLACE, LAP)
            events = [answer.build(position, None) for position in range(-(-LAP // self.per_event))]
            parts = [event.partition(_PLACE.encode()) for event in events]
            self.prebuilt[path] = [(before, after) for before, _, after in parts]


class OpenAIAnswer:
    """The frames of one answer; see dialect.Answer."""

    __slots__ = ("_ask", "_frames", "_ident", "_name", "_plain", "_shared", "_tokens")

    def __init__(self, frames: OpenAIFrames, ask: MockRequest, ident: str, tokens: int) -> None:
        self._shared, self._ask, self._tokens = frames, ask, tokens
        self._name = ident
        self._ident = ident.encode()
        self._plain = frames.per_event == 1 and not ask.continuous_usage and not ask.token_ids
        self._frames = frames.prebuilt.get(ask.path, [])

    def event(self, position: int) -> bytes:
        if self._plain:
            before, after = self._frames[position % LAP]
            return before + self._ident + after
        return self.build(position, None)

    def build(self, position: int, finish: str | None) -> bytes:
        """Build any token event, however it was asked for."""
        first = position * self._shared.per_event
        count = min(self._shared.per_event, self._tokens - first)
        choice: dict[str, object] = {"index": 0, **self._delta(words(first, count)), "logprobs": None}
        choice["finish_reason"] = finish
        if self._ask.token_ids:
            choice["token_ids"] = token_ids(first, count)
            if position == 0 and self._ask.path != CHAT:
                choice["prompt_token_ids"] = self._ask.prompt_ids
        return self._event([choice], first + count if self._ask.continuous_usage else None)

    def opening(self) -> bytes:
        if self._ask.path != CHAT:
            return b""
        delta = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        return self._event([delta], 0 if self._ask.continuous_usage else None)

    def ending(self, position: int, finish: str) -> bytes:
        if position >= 0:
            last = self.build(position, finish)
        else:
            last = self._event([{"index": 0, **self._delta(""), "logprobs": None, "finish_reason": finish}], None)
        usage = self._event([], self._tokens if position >= 0 else 0) if self._ask.usage else b""
        return last + usage + _DONE + LAST_CHUNK

    def trailing_off(self, position: int) -> bytes:
        return self.build(position, None) + LAST_CHUNK

    def torn(self) -> bytes:
        return b""

    def comment(self) -> bytes:
        return chunk(b": keep-alive\n\n")

    def headers(self, tokens: int) -> dict[str, str]:
        return {}

    def garbage(self) -> bytes:
        return chunk(b'data: {"choices": [{{{]\n\n')

    def failure(self) -> bytes:
        return chunk(b"data: %b\n\n" % self.error()) + _DONE + LAST_CHUNK

    def bare(self) -> bytes:
        return chunk(BARE) + LAST_CHUNK

    def error(self) -> bytes:
        error = {"message": "injected: the engine died", "type": "InternalServerError", "param": None, "code": 500}
        return _encode({"error": error})

    def whole(self, finish: str, tokens: int) -> bytes:
        text = words(0, tokens)
        chat = self._ask.path == CHAT
        choice: dict[str, object] = {"index": 0}
        choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        choice |= {"logprobs": None, "finish_reason": finish or None, "stop_reason": None}
        if self._ask.token_ids:
            choice["token_ids"] = token_ids(0, tokens)
        kind = "chat.completion" if chat else "text_completion"
        return _encode({**self._envelope(kind), "choices": [choice], "usage": self._usage(tokens)})

    def _delta(self, text: str) -> dict[str, object]:
        return {"delta": {"content": text}} if self._ask.path == CHAT else {"text": text}

    def _envelope(self, kind: str) -> dict[str, object]:
        prefix = "chatcmpl" if self._ask.path == CHAT else "cmpl"
        return {"id": f"{prefix}-{self._name}", "object": kind, "created": self._shared.created,
                "model": self._shared.model}  # fmt: skip

    def _usage(self, tokens: int) -> dict[str, int]:
        prompt = self._ask.prompt_tokens
        return {"prompt_tokens": prompt, "total_tokens": prompt + tokens, "completion_tokens": tokens}

    def _event(self, choices: list[dict[str, object]], used: int | None) -> bytes:
        kind = "chat.completion.chunk" if self._ask.path == CHAT else "text_completion"
        payload = {**self._envelope(kind), "choices": choices}
        if used is not None:
            payload["usage"] = self._usage(used)
        return chunk(b"data: %b\n\n" % _encode(payload))
