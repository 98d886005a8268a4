"""The backend of any server that speaks the OpenAI dialect, and of the fields that only some of them know none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from loadgen.backends import dialect
from loadgen.backends.dialect import Input, max_model_len, model_from, model_note
from loadgen.backends.failures import probe_hint
from loadgen.backends.interface import ServiceBackend
from loadgen.types import Output, UsageError

__all__ = ["OpenAI", "max_model_len", "model_from", "model_note", "probe_hint"]


class OpenAI(ServiceBackend):
    """Chat and text completions as OpenAI defines them: works with strict servers.

    Sends model, messages or prompt, max_tokens, stream, and stream_options to get the token counts; any of them can be
    turned off with a null in `body`.
    """

    endpoints: ClassVar[tuple[str, ...]] = ("chat", "completions")
    about_path = "/v1/models"
    dialects: ClassVar[Mapping[str, tuple[str, str]]] = {"openai": ("the OpenAI dialect", "--backend openai")}

    @classmethod
    def recognises(cls, answer: Mapping[str, Any], path: str = "") -> str:
        """Know an answer by its choices, a server by its list of models."""
        if path:
            return "openai" if path == "/v1/models" and isinstance(answer.get("data"), list) else ""
        return "openai" if "choices" in answer else ""

    def _get_url(self) -> str:
        return dialect.join(self.base_url, "v1/chat/completions" if self.endpoint == "chat" else "v1/completions")

    def get_request_body(self, input: Input, max_out_len: int | None, output: Output, **args: Any) -> dict[str, Any]:
        if self.endpoint == "chat":
            return super().get_request_body(input, max_out_len, output, **args)
        if isinstance(input, list) and input and isinstance(input[0], dict):
            raise UsageError("the completions endpoint takes no messages or images: add --endpoint chat")
        body = super().get_request_body("", max_out_len, output, **args)
        del body["messages"]
        return {"prompt": input, **body}
