"""The backend of vLLM's engine for vision-language models, in a process of its own."""

from __future__ import annotations

from time import monotonic_ns
from typing import Any, ClassVar

from loadgen.backends import hf_loading as loading
from loadgen.backends.pictures import open_images
from loadgen.backends.vllm_offline import VLLMOffline
from loadgen.protocols.local.jobs import Job


class VLLMOfflineVL(VLLMOffline):
    """A vision-language model in vLLM's AsyncLLM: messages with any number of images.

    The time in which images are opened is the metric `server_preprocess`; vLLM makes tensors of them itself, before it
    queues a request. Other arguments are those of `vllm-offline`.
    """

    endpoints: ClassVar[tuple[str, ...]] = ("chat",)
    takes_images = True

    def _load_tokenizer(self) -> None:
        loading.need(self.path, "vllm", "PIL", extra="vllm")
        self.processor = loading.load_processor(self.path, {}, self.trust_remote_code)

    def prompt_of(self, job: Job) -> Any:
        """Return the prompt of a job with its images; how long it is, vLLM says. Raises ValueError for a bad image."""
        began = monotonic_ns()
        messages, images = open_images(job.input)
        text = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        job.server["server_preprocess"] = monotonic_ns() - began
        return {"prompt": text, **({"multi_modal_data": {"image": images}} if images else {})}
