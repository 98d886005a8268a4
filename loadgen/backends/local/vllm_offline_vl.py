"""The backend of vLLM's engine for vision-language models, in a process of its own."""

from __future__ import annotations

from typing import Any, ClassVar

from loadgen.backends.local import hf_loading as loading
from loadgen.backends.local.pictures import open_images
from loadgen.backends.local.vllm_offline import VLLMOffline
from loadgen.protocols.local.jobs import LocalJob


class VLLMOfflineVL(VLLMOffline):
    """A vision-language model in vLLM's AsyncLLM: messages with any number of images.

    Opening images, and making tensors of them, is in the metric `server_preprocess`. Arguments are those of
    `vllm-offline`.
    """

    endpoints: ClassVar[tuple[str, ...]] = ("chat",)
    takes_images = True

    def _load_tokenizer(self) -> None:
        loading.need(self.path, "vllm", "PIL", extra="vllm")
        self.processor = loading.load_processor(self.path, {}, self.trust_remote_code)

    def prompt_of(self, job: LocalJob) -> dict[str, Any]:
        """Return the prompt of a job with its images. Raises ValueError for one that can't be read."""
        messages, images = open_images(job.input)
        text = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        ids = list(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])  # the template has them
        return {"prompt_token_ids": ids, **({"multi_modal_data": {"image": images}} if images else {})}
