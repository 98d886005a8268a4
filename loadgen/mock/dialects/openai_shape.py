"""Chat and text completions as servers other than vLLM shape them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from loadgen.mock.dialects.interface import MockRequest
from loadgen.mock.dialects.words import words

Extra = Callable[[int], Mapping[str, Any]]
"""More fields, from the number of tokens."""


def _nothing(tokens: int) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Manner:
    """In what servers differ. With `usage_at_end` the usage is in the event of the finish reason, asked for or not."""

    role_first: bool = False  # a chunk with the role and no text comes before the first token
    usage_at_end: bool = False
    unfinished: str | None = None  # the finish reason of an event that is not the last
    usage: Extra = _nothing  # more fields of the usage
    top: Extra = _nothing  # more fields of an answer in one piece
    headers: Callable[[int], Mapping[str, str]] = field(default=lambda tokens: {})


@dataclass(frozen=True, slots=True)
class Completion:
    """One chat or text completion; see frames.Shape."""

    ask: MockRequest
    ident: str
    model: str
    created: int
    chat: bool
    manner: Manner
    failed: Mapping[str, Any]  # the error event

    def opening(self) -> list[dict[str, Any]]:
        return [self._event({"delta": {"role": "assistant", "content": ""}}, None)] if self.manner.role_first else []

    def event(self, first: int, count: int, finish: str) -> dict[str, Any]:
        text = words(first, count)
        said = {"delta": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        event = self._event(said, finish or self.manner.unfinished)
        if finish and self.manner.usage_at_end:
            event["usage"] = self._usage(first + count)
        return event

    def closing(self, tokens: int) -> list[dict[str, Any]]:
        if self.manner.usage_at_end or not self.ask.usage:
            return []
        return [{**self._envelope(), "choices": [], "usage": self._usage(tokens)}]

    def whole(self, tokens: int, finish: str) -> dict[str, Any]:
        text = words(0, tokens)
        choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": finish or None}
        choice |= {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        kind = "chat.completion" if self.chat else "text_completion"
        return {**self._envelope(), "object": kind, "choices": [choice], "usage": self._usage(tokens),
                **self.manner.top(tokens)}  # fmt: skip

    def error(self) -> dict[str, Any]:
        return dict(self.failed)

    def headers(self, tokens: int) -> Mapping[str, str]:
        return self.manner.headers(tokens)

    def _event(self, said: Mapping[str, Any], finish: str | None) -> dict[str, Any]:
        return {**self._envelope(), "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": finish}]}

    def _envelope(self) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self.chat else "text_completion"
        return {"id": self.ident, "object": kind, "created": self.created, "model": self.model}

    def _usage(self, tokens: int) -> dict[str, Any]:
        prompt = self.ask.prompt_tokens
        return {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens,
                **self.manner.usage(tokens)}  # fmt: skip
