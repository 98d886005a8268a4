"""The backend of vLLM's engine without its server, in a process of its own."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from loadgen.backends.local import hf_loading as loading
from loadgen.backends.local.interface import LocalBackend
from loadgen.backends.local.vllm_requests import EngineRequests, sampling_options
from loadgen.protocols.local.jobs import Jobs, LocalJob
from loadgen.suggest import did_you_mean
from loadgen.types import UsageError

SETTINGS: Final = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
"""Environment variables of vLLM and its libraries, where the user set none: it tells nobody."""


class VLLMOffline(LocalBackend):
    """A model in vLLM's AsyncLLM: chat prompts through the tokenizer's template, or plain texts (`completions`).

    `engine` (and `model_kwargs`, AISBench's name for it) are arguments of AsyncEngineArgs; `batch_size` is its
    max_num_seqs, `max_seq_len` its max_model_len. `generation_kwargs` are those of SamplingParams. Makes answers as
    long as asked unless the option `ignore_eos` is false.
    """

    endpoints: ClassVar[tuple[str, ...]] = ("chat", "completions")
    forces_length = True
    takes_ignore_eos = True
    takes_images = False

    def __init__(self, path: str = "", max_seq_len: int = 0, tokenizer_only: bool = False,
                 generation_kwargs: Mapping[str, Any] | None = None, model_kwargs: Mapping[str, Any] | None = None,
                 trust_remote_code: bool = False, batch_size: int = 0, max_out_len: int = 128, *,
                 endpoint: str = "chat", dtype: str = "", engine: Mapping[str, Any] | None = None) -> None:
        super().__init__(path, max_seq_len, tokenizer_only, generation_kwargs, model_kwargs, trust_remote_code,
                         batch_size, max_out_len)
        self.path = path = loading.need(path, "vllm", extra="vllm")
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        self.endpoint = endpoint
        given = {"dtype": dtype, "max_model_len": max_seq_len, "max_num_seqs": batch_size}
        arguments = {**{name: value for name, value in given.items() if value}, **self.model_kwargs, **(engine or {}),
                     "model": path, "trust_remote_code": trust_remote_code}
        self._load_tokenizer()
        self._check_sampling()
        self.engine = _start(path, arguments)
        config = self.engine.vllm_config
        self.max_seq_len = config.model_config.max_model_len
        self._facts = {"dtype": str(config.model_config.dtype).removeprefix("torch."),
                       "max_seq_len": self.max_seq_len, "batching": "continuous",
                       "batch_size": config.scheduler_config.max_num_seqs, "device": _device(),
                       "kv_cache_blocks": config.cache_config.num_gpu_blocks,
                       "vllm": importlib.metadata.version("vllm")}

    def _load_tokenizer(self) -> None:
        self.tokenizer = loading.load_tokenizer(self.path, {}, self.trust_remote_code, chat=self.endpoint == "chat")

    def _check_sampling(self) -> None:
        try:
            self.sampling_of(LocalJob(0, "", 1, {}, lambda job, reason, failure: None))
        except Exception as error:  # vLLM has exceptions of its own for it
            raise UsageError(f"generation_kwargs, which are vLLM's SamplingParams: {loading.first_line(error)}"
                             ) from error

    def serve(self, jobs: Jobs) -> None:
        import uvloop  # as vLLM's own server does

        requests = EngineRequests(self.engine, self.prompt_of, self.sampling_of, self.max_seq_len)
        try:
            uvloop.run(requests.serve(jobs))
        finally:
            self.engine.shutdown()

    def prompt_of(self, job: LocalJob) -> dict[str, Any]:
        """Return the prompt of a job as vLLM takes it. Raises ValueError if it can't be made."""
        return {"prompt_token_ids": loading.ids_of(self.tokenizer, job.input, chat=self.endpoint == "chat")}

    def sampling_of(self, job: LocalJob) -> Any:
        """Return the SamplingParams of a job."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        options = sampling_options({**self.generation_kwargs, **job.options}, job.limit)
        return SamplingParams(**options, output_kind=RequestOutputKind.DELTA)

    def facts(self) -> dict[str, Any]:
        return dict(self._facts)


def _start(path: str, arguments: Mapping[str, Any]) -> Any:
    """Start the engine. Raises UsageError that says why it can't be."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    known = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    for name in arguments:
        if name not in known:
            hint = did_you_mean(name, known) or "; leave it out"
            raise UsageError(f"--engine {name}: vLLM {importlib.metadata.version('vllm')} has no such argument{hint}")
    try:
        engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
    except Exception as error:
        raise loading.explained(error, path, bool(arguments["trust_remote_code"]),
                                f"vLLM can't load {path} with these arguments", said=_said(error)) from error
    if not hasattr(engine, "renderer"):
        engine.shutdown()
        raise UsageError(f"vLLM {importlib.metadata.version('vllm')} is too old for this backend, whose prompts it "
                         "has to render: install vLLM 0.32 or newer")
    return engine


def _said(error: Exception) -> str:
    """Return the message of what vLLM raised: of pydantic's errors, each; of others, the first line, with its type."""
    errors = getattr(error, "errors", None)
    if callable(errors):
        return "; ".join(f"{'.'.join(map(str, one['loc']))} {one['msg']}".strip() for one in errors())
    line = loading.first_line(error)
    return f"{type(error).__name__}: {line}" if isinstance(error, TypeError | KeyError) else line


def _device() -> str:
    from vllm.platforms import current_platform

    return str(current_platform.get_device_name() if current_platform.is_cuda() else current_platform.device_type)
