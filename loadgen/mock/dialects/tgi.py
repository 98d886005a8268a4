"""text-generation-inference as the mock speaks it: its own dialect, and the OpenAI dialect in its manner."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from loadgen.mock.dialects import requests
from loadgen.mock.dialects.frames import SSE, SSE_DONE, FramedAnswer, refusal
from loadgen.mock.dialects.interface import AnswerBytes, MockRequest, RequestRefusedError, Times
from loadgen.mock.dialects.openai_shape import Completion, Manner
from loadgen.mock.dialects.words import token_ids, words
from loadgen.types import MS, SECOND

GENERATE: Final = ("/generate_stream", "/generate")
CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
FINISH: Final = {"length": "length", "stop": "eos_token"}
_KINDS: Final = {404: "not_found", 422: "validation", 429: "overloaded", 500: "generation", 503: "unhealthy"}
_encode = msgspec.json.encode


class TGIDialect:
    """/generate_stream, /generate, /v1/chat/completions, /v1/completions, /info and /v1/models.

    A string prompt counts as its words. Streams are answered with 200 whatever is wrong, as TGI does: with an error
    event.
    """

    def __init__(self, model: str, output_tokens: int, max_total_tokens: int) -> None:
        self.paths: Collection[str] = (*GENERATE, CHAT, COMPLETIONS)
        self.model, self.output_tokens, self.max_total_tokens = model, output_tokens, max_total_tokens
        self.per_event = 1
        self.created = int(time.time())

    def read(self, path: str, body: bytes) -> MockRequest:
        asked = requests.body_of(body, _refusal)
        native = path in GENERATE
        stream = path == GENERATE[0] if native else asked.get("stream") is True
        options = (asked.get("parameters") or {}) if native else asked
        prompt = asked.get("inputs" if native else "messages" if path == CHAT else "prompt")
        count = requests.prompt_tokens(prompt)

        def refuse(status: int, message: str) -> RequestRefusedError:
            error = _error(status, message) if native else _openai_error(status, message)
            return refusal(MockRequest(path, stream, 0, count), status, error)

        if not count:
            raise refuse(422, "Input validation error: `inputs` cannot be empty")
        field = "max_new_tokens" if native else "max_tokens"
        wanted = requests.length_of(options, field, self.output_tokens, refuse)
        if wanted + count > self.max_total_tokens:
            raise refuse(422, f"Input validation error: `inputs` tokens + `{field}` must be <= "
                              f"{self.max_total_tokens}. Given: {count} `inputs` tokens and {wanted} `{field}`")
        if native and options.get("temperature") is not None and options["temperature"] <= 0:
            raise refuse(422, "Input validation error: `temperature` must be strictly positive")
        if len(options.get("stop") or ()) > 4:
            raise refuse(422, "Input validation error: `stop` supports up to 4 stop sequences")
        usage = (asked.get("stream_options") or {}).get("include_usage") is True
        return MockRequest(path, stream, wanted, count, usage=usage, details=options.get("details") is True)

    def answer(self, ask: MockRequest, number: int, tokens: int, times: Times) -> AnswerBytes:
        timing = Headers(ask, times)
        if ask.path in GENERATE:
            return FramedAnswer(TgiGeneration(ask, tokens, timing), SSE, 1, tokens)
        manner = Manner(unfinished=None if ask.path == CHAT else "", usage_at_end=ask.path == COMPLETIONS,
                        headers=timing.write)  # fmt: skip
        failed = _openai_error(500, "injected: Request failed during generation")
        shape = Completion(ask, "", self.model, self.created, ask.path == CHAT, manner, failed)
        return FramedAnswer(shape, SSE_DONE, 1, tokens)

    def overloaded(self, ask: MockRequest) -> RequestRefusedError:
        native = ask.path in GENERATE
        error = _error(429, "Model is overloaded") if native else _openai_error(429, "Model is overloaded")
        return refusal(ask, 429, error)

    def error(self, status: int, message: str, kind: str = "") -> bytes:
        return _encode(_error(status, message))

    def look_up(self, path: str) -> bytes | None:
        if path == "/info":
            most = self.max_total_tokens
            return _encode({"model_id": self.model, "model_sha": None, "model_pipeline_tag": "text-generation",
                            "max_concurrent_requests": 128, "max_best_of": 2, "max_stop_sequences": 4,
                            "max_input_tokens": most - 1, "max_total_tokens": most, "validation_workers": 2,
                            "max_client_batch_size": 4, "router": "text-generation-router", "version": "3.3.4",
                            "sha": None, "docker_label": None})  # fmt: skip
        if path == "/v1/models":
            model = {"id": self.model, "object": "model", "created": self.created, "owned_by": self.model}
            return _encode({"object": "list", "data": [model]})
        return None


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers with which TGI tells what an answer in one piece took, in whole ms."""

    ask: MockRequest
    times: Times

    def write(self, tokens: int) -> dict[str, str]:
        queue, prefill = self.times.queue(), self.times.prefill()
        inference = prefill + sum(self.times.decode(position) for position in range(1, tokens))
        told = {"compute-time": (queue + inference) / SECOND, "total-time": (queue + inference) // MS,
                "validation-time": 0, "queue-time": queue // MS, "inference-time": inference // MS,
                "time-per-token": inference // max(1, tokens) // MS, "prompt-tokens": self.ask.prompt_tokens,
                "generated-tokens": tokens}  # fmt: skip
        return {"x-compute-type": "mock", **{f"x-{name}": str(value) for name, value in told.items()}}


@dataclass(frozen=True, slots=True)
class TgiGeneration:
    """One answer of TGI's own dialect; see frames.Shape. The last token of one that stopped is the special EOS."""

    ask: MockRequest
    tokens: int
    timing: Headers

    def opening(self) -> list[dict[str, Any]]:
        return []

    def event(self, first: int, count: int, finish: str) -> dict[str, Any]:
        token = self._token(first, finish) if count else None
        ending = {"generated_text": words(0, first + count - (finish == "stop")) if finish else None,
                  "details": self._details(first + count, finish) if finish and self.ask.details else None}  # fmt: skip
        return {"index": first + count, "token": token, **ending}

    def closing(self, tokens: int) -> list[dict[str, Any]]:
        return []

    def whole(self, tokens: int, finish: str) -> dict[str, Any]:
        answer: dict[str, Any] = {"generated_text": words(0, tokens)}
        if self.ask.details and finish:
            listed = [self._token(i, finish if i == tokens - 1 else "") for i in range(tokens)]
            answer["details"] = {**self._details(tokens, finish), "prefill": [], "tokens": listed}
            del answer["details"]["input_length"]
        return answer if finish else {}

    def error(self) -> dict[str, Any]:
        return _error(500, "Request failed during generation: injected: the shard died")

    def headers(self, tokens: int) -> Mapping[str, str]:
        return self.timing.write(tokens)

    def _token(self, place: int, finish: str) -> dict[str, Any]:
        if finish == "stop":
            return {"id": 2, "text": "</s>", "logprob": -0.5, "special": True}
        return {"id": token_ids(place, 1)[0], "text": words(place, 1), "logprob": -0.5, "special": False}

    def _details(self, tokens: int, finish: str) -> dict[str, Any]:
        return {"finish_reason": FINISH[finish], "generated_tokens": tokens, "seed": None,
                "input_length": self.ask.prompt_tokens}  # fmt: skip


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": message, "error_type": _KINDS.get(status, "generation")}


def _openai_error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "http_status_code": status}}


def _refusal(status: int, message: str) -> RequestRefusedError:
    return RequestRefusedError(status, _encode(_error(status, message)))
