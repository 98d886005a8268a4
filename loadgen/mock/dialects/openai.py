"""The OpenAI dialect as vLLM speaks it: what is asked, what is refused, and the model list."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from loadgen.mock.dialects.interface import AnswerBytes, MockRequest, RequestRefusedError, Times
from loadgen.mock.dialects.openai_frames import CHAT, COMPLETIONS, OpenAIAnswer, OpenAIFrames

_ERRORS: Final = {
    400: "BadRequestError",
    401: "Unauthorized",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
}
_encode = msgspec.json.encode


class OpenAIDialect:
    """/v1/chat/completions, /v1/completions and /v1/models. Raises RefusedError with vLLM's words and statuses.

    A string prompt counts as its words, token ids as themselves. Fields in `reject` are refused with 400, as servers
    do that don't know them.
    """

    def __init__(
        self, model: str, output_tokens: int, per_event: int = 1, max_model_len: int = 131_072,
        reject: Collection[str] = (),
    ) -> None:  # fmt: skip
        self.paths: Collection[str] = (CHAT, COMPLETIONS)
        self.model = model
        self.output_tokens = output_tokens
        self.per_event = per_event
        self.max_model_len = max_model_len
        self.reject = frozenset(reject)
        self.frames = OpenAIFrames(model, per_event)

    def read(self, path: str, body: bytes) -> MockRequest:
        try:
            asked = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._refusal(400, f"JSON decode error: {error}") from None
        if not isinstance(asked, dict):
            raise self._refusal(400, "the body is not a JSON object")
        if unknown := sorted(self.reject & asked.keys()):
            raise self._refusal(400, f"Extra inputs are not permitted: {', '.join(unknown)}", unknown[0])
        if asked.get("model", self.model) != self.model:
            raise self._refusal(404, f"The model `{asked['model']}` does not exist. Valid aliases: {self.model}.")
        prompt_tokens, prompt_ids = self._prompt(path, asked)
        wanted = asked.get("max_completion_tokens") or asked.get("max_tokens", self.output_tokens)
        if not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1:
            raise self._refusal(400, f"max_tokens must be at least 1, got {wanted}.", "max_tokens")
        if wanted + prompt_tokens > self.max_model_len:
            total = f"{prompt_tokens} prompt and {wanted} output tokens"
            raise self._refusal(400, f"This model's maximum context length is {self.max_model_len}, not {total}.")
        options = asked.get("stream_options") or {}
        return MockRequest(
            path,
            stream=asked.get("stream") is True,
            output_tokens=wanted,
            prompt_tokens=prompt_tokens,
            least_tokens=asked.get("min_tokens") or 0,
            ignore_eos=asked.get("ignore_eos") is True,
            tag=str(asked.get("user") or ""),
            prompt_ids=prompt_ids,
            usage=options.get("include_usage") is True,
            continuous_usage=options.get("continuous_usage_stats") is True,
            token_ids=asked.get("return_token_ids") is True,
        )

    def _prompt(self, path: str, asked: Mapping[str, Any]) -> tuple[int, tuple[int, ...]]:
        """Count the prompt's tokens."""
        if path == CHAT:
            messages = asked.get("messages")
            if not isinstance(messages, list) or not messages:
                raise self._refusal(400, "Field required: messages", "messages")
            return sum(_words(message) for message in messages), ()
        prompt = asked.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], list | str):
            prompt = prompt[0]
        if isinstance(prompt, str):
            return prompt.count(" ") + 1, ()
        if isinstance(prompt, list) and prompt and all(type(token) is int for token in prompt):
            return len(prompt), tuple(prompt)
        raise self._refusal(400, "prompt must be one string or one list of token ids", "prompt")

    def _refusal(self, status: int, message: str, param: str | None = None) -> RequestRefusedError:
        return RequestRefusedError(status, self._error(status, message, _ERRORS[status], param))

    def error(self, status: int, message: str, kind: str = "") -> bytes:
        return self._error(status, message, kind or _ERRORS.get(status, "Error"), None)

    def _error(self, status: int, message: str, kind: str, param: str | None) -> bytes:
        return _encode({"error": {"message": message, "type": kind, "param": param, "code": status}})

    def overloaded(self, ask: MockRequest) -> RequestRefusedError:
        return self._refusal(503, "The server is overloaded, please retry later.")

    def answer(self, ask: MockRequest, number: int, tokens: int, times: Times | None = None) -> AnswerBytes:
        return OpenAIAnswer(self.frames, ask, f"{number:016x}", tokens)

    def look_up(self, path: str) -> bytes | None:
        if path != "/v1/models":
            return None
        model = {
            "id": self.model,
            "object": "model",
            "created": self.frames.created,
            "owned_by": "loadgen-mock",
            "root": self.model,
            "parent": None,
            "max_model_len": self.max_model_len,
        }
        return _encode({"object": "list", "data": [model]})


def _words(message: object) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return sum(_words({"content": part.get("text")}) for part in content if isinstance(part, dict))
    return content.count(" ") + 1 if isinstance(content, str) and content else 0
