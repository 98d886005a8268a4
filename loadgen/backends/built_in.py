"""Where the backends that come with loadgen are, by name: one row each."""

from __future__ import annotations

from typing import Final

SERVICES: Final = {
    "openai": "loadgen.backends.openai:OpenAI",
    "triton": "loadgen.backends.triton.backend:Triton",
    "vllm": "loadgen.backends.vllm:VLLM",
    "tgi": "loadgen.backends.tgi:TGI",
    "mindie": "loadgen.backends.mindie:MindIE",
}
"""Servers. A server that answers as two of them do is taken for the later one."""

MODELS: Final = {
    "hf": "loadgen.backends.local.hf:HuggingFace",
    "hf-vl": "loadgen.backends.local.hf_vl:HuggingFaceVL",
    "vllm-offline": "loadgen.backends.local.vllm_offline:VLLMOffline",
    "vllm-offline-vl": "loadgen.backends.local.vllm_offline_vl:VLLMOfflineVL",
}
"""Models that are loaded here."""
