"""What the events and answers of MindIE's own dialects hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from loadgen.mock.dialects.interface import MockRequest, Times
from loadgen.mock.dialects.words import token_ids, words
from loadgen.types import MS

FINISH: Final = {"length": "length", "stop": "eos_token"}
US: Final = 1_000


@dataclass(frozen=True, slots=True)
class Perf:
    """What MindIE tells of its own times: prefill and decode in ms, the wait of each step in us."""

    times: Times
    per_event: int

    def stage(self, position: int) -> dict[str, Any]:
        """Give the times of the event at a position."""
        if position == 0:
            return {"prefill_time": self.times.prefill() / MS, "decode_time": None}
        return {"prefill_time": None, "decode_time": self.times.decode(position) / MS}

    def steps(self, tokens: int) -> int:
        return -(-tokens // self.per_event)

    def usage(self, tokens: int) -> dict[str, Any]:
        """Give what the benchmark switch adds to a usage: one element a step."""
        steps = self.steps(tokens)
        return {"batch_size": [1] * steps, "queue_wait_time": [self.times.queue() // US] + [0] * (steps - 1)}

    def top(self, tokens: int) -> dict[str, Any]:
        """Give what the benchmark switch adds to an answer in one piece."""
        decoded = [self.times.decode(position) / MS for position in range(1, self.steps(tokens))]
        return {"prefill_time": self.times.prefill() / MS, "decode_time_arr": decoded}


@dataclass(frozen=True, slots=True)
class Native:
    """One answer of /infer and /infer_token, or (`timed` False) of the TGI dialect; see frames.Shape."""

    ask: MockRequest
    timed: bool
    perf: Perf
    failed: Mapping[str, Any]

    def opening(self) -> list[dict[str, Any]]:
        return []

    def event(self, first: int, count: int, finish: str) -> dict[str, Any]:
        stage = self.perf.stage(first // self.perf.per_event) if self.timed and count else {}
        token: dict[str, Any] = {"id": token_ids(first, count), "text": words(first, count)}
        if not self.timed:
            token |= {"logprob": None, "special": None}
        elif finish:
            token["text"] = None
        if not finish:
            return {**stage, "token": token, **({} if self.timed else {"generated_text": None, "details": None})}
        details = self._details(first + count, finish) if self.ask.details else None
        return {**stage, "token": token, "generated_text": words(0, first + count), "details": details}

    def closing(self, tokens: int) -> list[dict[str, Any]]:
        return []

    def whole(self, tokens: int, finish: str) -> dict[str, Any]:
        if not finish:
            return {}
        answer: dict[str, Any] = {"generated_text": words(0, tokens)}
        if self.ask.details:
            answer["details"] = self._details(tokens, finish)
        return answer

    def error(self) -> dict[str, Any]:
        return dict(self.failed)

    def headers(self, tokens: int) -> Mapping[str, str]:
        return {}

    def _details(self, tokens: int, finish: str) -> dict[str, Any]:
        details = {} if self.timed else {"prompt_tokens": self.ask.prompt_tokens}
        return {**details, "finish_reason": FINISH[finish], "generated_tokens": tokens, "seed": None}


@dataclass(frozen=True, slots=True)
class MindIETriton:
    """One answer of the Triton dialect; see frames.Shape."""

    ask: MockRequest
    ident: str
    model: str
    full_text: bool
    perf: Perf
    failed: Mapping[str, Any]

    def opening(self) -> list[dict[str, Any]]:
        return []

    def event(self, first: int, count: int, finish: str) -> dict[str, Any]:
        text = words(0, first + count) if self.full_text else words(first, count)
        event = self._event(text)
        if not self.ask.details:
            return event
        position = first // self.perf.per_event
        waited = self.perf.times.queue() // US if position == 0 else 0
        event["details"] = {**self._details(first + count, finish), "batch_size": 1, "queue_wait_time": waited}
        return {**event, **(self.perf.stage(position) if count else {})}

    def closing(self, tokens: int) -> list[dict[str, Any]]:
        return []

    def whole(self, tokens: int, finish: str) -> dict[str, Any]:
        if not finish:
            return {}
        answer = self._event(words(0, tokens))
        if self.ask.details:
            answer["details"] = {**self._details(tokens, finish), **self.perf.usage(tokens)}
        return answer

    def error(self) -> dict[str, Any]:
        return dict(self.failed)

    def headers(self, tokens: int) -> Mapping[str, str]:
        return {}

    def _event(self, text: str) -> dict[str, Any]:
        return {"id": self.ident, "model_name": self.model, "model_version": None, "text_output": text}

    def _details(self, tokens: int, finish: str) -> dict[str, Any]:
        reason = {"finish_reason": FINISH[finish]} if finish else {}
        return {**reason, "generated_tokens": tokens, "first_token_cost": None, "decode_cost": None}


@dataclass(frozen=True, slots=True)
class Legacy:
    """One answer of the legacy vLLM dialect; see frames.Shape. It has no counts, no reason and no sign of its end."""

    ask: MockRequest
    full_text: bool
    failed: Mapping[str, Any]

    def opening(self) -> list[dict[str, Any]]:
        return []

    def event(self, first: int, count: int, finish: str) -> dict[str, Any]:
        return {"text": [words(0, first + count) if self.full_text else words(first, count)]}

    def closing(self, tokens: int) -> list[dict[str, Any]]:
        return []

    def whole(self, tokens: int, finish: str) -> dict[str, Any]:
        return {"text": [f"{self.ask.prompt} {words(0, tokens)}"]} if finish and tokens else {}

    def error(self) -> dict[str, Any]:
        return dict(self.failed)

    def headers(self, tokens: int) -> Mapping[str, str]:
        return {}
