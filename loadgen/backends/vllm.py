"""The backend of vLLM: the OpenAI dialect, and the fields with which vLLM makes length and counts exact."""

from __future__ import annotations

from typing import Any

from loadgen.backends.dialect import Input
from loadgen.backends.openai import OpenAI
from loadgen.types import Output


class VLLM(OpenAI):
    """Forces the output length with ignore_eos and min_tokens, and asks for the token count with every event."""

    forces_length = True

    def get_request_body(self, input: Input, max_out_len: int | None, output: Output, **args: Any) -> dict[str, Any]:
        body = super().get_request_body(input, max_out_len, output, **args)
        forced: dict[str, Any] = {}
        if max_out_len is not None:
            forced = {"ignore_eos": True, "min_tokens": max_out_len}
        if self.stream:
            forced["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
        return body | forced | self.generation_kwargs
