"""Recognises the dialect of an answer by its fields, to tell who gave --backend the wrong server; knows no run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from loadgen.types import Failure

NAMES: Final = {
    "openai": ("the OpenAI dialect", "--backend openai"),
    "tgi": ("TGI", "--backend tgi"),
    "mindie": ("MindIE", "--backend mindie --endpoint infer"),
    "triton": ("Triton's generate extension", "--backend triton --endpoint generate"),
    "mindie-triton": ("MindIE's Triton dialect", "--backend mindie --endpoint triton"),
    "vllm-legacy": ("vLLM's legacy /generate", "--backend mindie --endpoint vllm-legacy"),
}
"""What each dialect is called, and the flags that speak it."""

_TOLD_BY: Final = ("parse", "truncated", "empty")


def explained(failure: Failure, payload: bytes, speaks: str) -> Failure:
    """Return the failure of an answer without a token, saying which other dialect it looks like, if it does."""
    if failure.kind not in _TOLD_BY:
        return failure
    dialect = dialect_of(payload)
    if not dialect or dialect == speaks or dialect.endswith("-" + speaks):
        return failure
    name, flags = NAMES[dialect]
    return replace(failure, detail=f"this looks like {name}: {flags}; {failure.detail}")


def dialect_of(payload: bytes) -> str:
    """Return the dialect that the first JSON object of an answer, streamed or not, is of; "" if it tells none."""
    start = payload.find(b"{")
    if start < 0:
        return ""
    ends = [end for end in (payload.find(b"\n", start), payload.find(b"\0", start)) if end >= 0]
    for body in (payload[start:min(ends, default=len(payload))], payload[start:]):
        try:
            data = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        return _by_fields(data) if isinstance(data, Mapping) else ""
    return ""


def server_of(get: Callable[[str], Any]) -> str:
    """Return which of NAMES a server is by what it answers to `get`, JSON or None by path; "" if that tells nothing."""
    info, about, models = get("/info"), get("/v2"), get("/v1/models")
    if isinstance(info, Mapping) and "max_total_tokens" in info:
        return "tgi"
    if isinstance(about, Mapping) and "extensions" in about:
        return "mindie" if "MindIE" in str(about.get("name")) else "triton"
    return "openai" if isinstance(models, Mapping) and isinstance(models.get("data"), list) else ""


def _by_fields(data: Mapping[str, Any]) -> str:
    if "choices" in data:
        return "openai"
    details = data.get("details")
    if "text_output" in data or "model_version" in data:
        return "mindie-triton" if isinstance(details, Mapping) or "prefill_time" in data else "triton"
    token = data.get("token")
    if "prefill_time" in data or "decode_time" in data:
        return "mindie"
    if isinstance(token, Mapping) or "generated_text" in data:
        return "tgi"
    return "vllm-legacy" if isinstance(data.get("text"), list) else ""
