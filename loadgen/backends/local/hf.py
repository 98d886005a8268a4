"""The backend of a causal language model of HuggingFace transformers, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from loadgen.backends.local import hf_loading as loading
from loadgen.backends.local import hf_options as options
from loadgen.backends.local.interface import LocalBackend
from loadgen.protocols.local.jobs import Jobs, LocalJob
from loadgen.types import UsageError


class HuggingFace(LocalBackend):
    """A causal LM of transformers: chat prompts through its template, or plain texts (endpoint `completions`).

    Static batches of up to `batch_size` requests, or transformers' continuous batching. Makes answers as long as asked
    unless the option `ignore_eos` is false: then an answer ends at its end-of-sequence token. `generation_kwargs` are
    those of `generate`; `model_kwargs` those of `from_pretrained`; `engine` those of ContinuousBatchingConfig.
    """

    endpoints: ClassVar[tuple[str, ...]] = ("chat", "completions")
    forces_length = True
    takes_ignore_eos = True
    takes_images = False
    kind: ClassVar[str] = "AutoModelForCausalLM"
    batchings: ClassVar[tuple[str, ...]] = ("static", "continuous")

    def __init__(self, path: str = "", max_seq_len: int = 0, tokenizer_only: bool = False,
                 generation_kwargs: Mapping[str, Any] | None = None, model_kwargs: Mapping[str, Any] | None = None,
                 trust_remote_code: bool = False, batch_size: int = 1, max_out_len: int = 128, *,
                 endpoint: str = "chat", batching: str = "static", device: str = "", dtype: str = "",
                 tokenizer_path: str = "", tokenizer_kwargs: Mapping[str, Any] | None = None,
                 engine: Mapping[str, Any] | None = None) -> None:
        super().__init__(path, max_seq_len, tokenizer_only, generation_kwargs, model_kwargs, trust_remote_code,
                         batch_size, max_out_len)
        self.endpoint, self.batching, self.engine = endpoint, batching, dict(engine or {})
        self.generation_kwargs = options.generation_kwargs(self.generation_kwargs)
        self._check()
        self.path = path = loading.need(path)
        self.tokenizer = self._load_tokenizer(tokenizer_path or path, tokenizer_kwargs or {})
        self.model = loading.load_model(self.kind, path, self.model_kwargs, trust_remote_code, device, dtype)
        self.max_seq_len, self.bound = max_seq_len or loading.context_of(self.model), loading.MODEL
        self._answering = self._continuous() if batching == "continuous" else self._static()

    def _static(self) -> Callable[[Jobs], None]:
        from loadgen.backends.local.hf_batch import serve_static  # brings torch

        loading.check_streamed(self.model.device)
        return partial(serve_static, self)

    def _continuous(self) -> Callable[[Jobs], None]:
        from loadgen.backends.local.hf_continuous import Continuous, make_manager, room_of

        manager = make_manager(self.model, self.generation_kwargs, self.engine, self.batch_size)
        room = room_of(manager, self.max_seq_len)
        if room != self.max_seq_len:
            self.max_seq_len, self.bound = room, loading.CACHE
        return Continuous(self, manager).serve

    def _check(self) -> None:
        """Refuse arguments that don't go together. Raises UsageError."""
        if self.batching not in self.batchings:
            raise UsageError(f"this backend has no {self.batching} batching: write {' or '.join(self.batchings)}")
        if self.engine and self.batching != "continuous":
            raise UsageError("--engine is about continuous batching here: add --batching continuous, or leave it out")
        if self.tokenizer_only:
            raise UsageError("tokenizer_only loads no model, so nothing can be measured: leave it out")

    def _load_tokenizer(self, path: str, kwargs: Mapping[str, Any]) -> Any:
        return loading.load_tokenizer(path, kwargs, self.trust_remote_code, chat=self.endpoint == "chat")

    def serve(self, jobs: Jobs) -> None:
        self._answering(jobs)

    def prepare(self, job: LocalJob) -> Any:
        """Return the prompt of a job as token ids; None if it is too long, which the job was told then."""
        ids = self.ids_of(job.input)
        job.input_tokens = len(ids)
        return ids if loading.fits(job, self.max_seq_len, self.bound) else None

    def ids_of(self, input: Any) -> list[int]:
        """Return the token ids of a prompt."""
        return loading.ids_of(self.tokenizer, input, chat=self.endpoint == "chat")

    def tensors_of(self, group: Sequence[tuple[LocalJob, Any]]) -> tuple[list[LocalJob], Any]:
        """Return the jobs of a batch and its tensors on the model's device."""
        return [job for job, _ in group], self._padded([ids for _, ids in group])

    def _padded(self, prompts: Sequence[list[int]]) -> Any:
        """Return the tensors of prompts, padded on the left."""
        return self.tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt").to(self.model.device)

    def facts(self) -> dict[str, Any]:
        return {**loading.facts_of(self.model), "batching": self.batching, "batch_size": self.batch_size,
                "max_seq_len": self.max_seq_len}
