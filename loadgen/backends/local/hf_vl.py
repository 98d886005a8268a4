"""The backend of a vision-language model of HuggingFace transformers, in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic_ns
from typing import Any, ClassVar

from loadgen.backends.local import hf_loading as loading
from loadgen.backends.local.hf import HuggingFace
from loadgen.backends.local.pictures import open_images
from loadgen.protocols.local.jobs import LocalJob

Prompt = tuple[str, list[Any]]
"""The text of a prompt with the marks of its images, and the images."""


class HuggingFaceVL(HuggingFace):
    """A vision-language model: messages with any number of images, in static batches.

    The time in which images are read and made into tensors is the metric `server_preprocess`; a request's own ttft
    contains it, as it does over a server. Other arguments are those of `hf`; `tokenizer_kwargs` go to the processor.
    """

    endpoints: ClassVar[tuple[str, ...]] = ("chat",)
    takes_images = True
    kind: ClassVar[str] = "AutoModelForImageTextToText"
    batchings: ClassVar[tuple[str, ...]] = ("static",)

    def _load_tokenizer(self, path: str, kwargs: Mapping[str, Any]) -> Any:
        loading.need(path, "torch", "transformers", "PIL", extra="hf-vl")
        self.processor = loading.load_processor(path, kwargs, self.trust_remote_code)
        return self.processor.tokenizer

    def prepare(self, job: LocalJob) -> Prompt:
        """Return the prompt of a job with its images opened. Raises ValueError that names an image that can't be."""
        began = monotonic_ns()
        messages, images = open_images(job.input)
        text = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        job.server["server_preprocess"] = monotonic_ns() - began
        return text, images

    def tensors_of(self, group: Sequence[tuple[LocalJob, Prompt]]) -> tuple[list[LocalJob], Any]:
        """Return the jobs whose prompts fit and the tensors of their batch; how long one is shows only in tensors."""
        began = monotonic_ns()
        tensors = self._process([prompt for _, prompt in group])
        for (job, _), length in zip(group, tensors["attention_mask"].sum(1).tolist(), strict=True):
            job.input_tokens = length
        fitting = [(job, prompt) for job, prompt in group if loading.fits(job, self.max_seq_len)]
        if len(fitting) < len(group) and fitting:
            tensors = self._process([prompt for _, prompt in fitting])
        took = monotonic_ns() - began
        for job, _ in fitting:
            job.server["server_preprocess"] += took
        return [job for job, _ in fitting], tensors

    def _process(self, prompts: Sequence[Prompt]) -> Any:
        images = [image for _, several in prompts for image in several]
        return self.processor(text=[text for text, _ in prompts], images=images or None, padding=True,
                              return_tensors="pt").to(self.model.device, self.model.dtype)
