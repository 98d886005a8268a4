"""What a source of requests is, and which one a plan asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from loadgen import plan
from loadgen.types import Request, UsageError
from loadgen.workload import lengths, tokens
from loadgen.workload.datasets import make as make_dataset
from loadgen.workload.images import Images, WithImages
from loadgen.workload.jsonl import Prompts
from loadgen.workload.synthetic import Synthetic


class Source(Protocol):
    """Requests by index: `request(i)` is the same whenever and however often it is asked."""

    @property
    def count(self) -> int | None:
        """How many different requests there are; None is no end of them."""

    @property
    def count_tokens(self) -> Callable[[str], int] | None:
        """Count the tokens of a text; None without a tokenizer."""

    def request(self, index: int) -> Request:
        """Return the request at an index, 0 or more."""

    def describe(self) -> dict[str, Any]:
        """Return what is asked and how exactly, for the provenance of a run."""


def make(workload: plan.Workload, load_seed: int = 0, *, tokenizer: str = "", chat: bool = True) -> Source:
    """Make the source of a plan. `tokenizer` is used if the workload names none; `chat`: a template adds tokens.

    Lengths of plain texts count what a server adds to them (such as a beginning-of-text token); lengths of chat
    prompts are those of the content alone. Raises UsageError for what can't be made.
    """
    seed = load_seed if workload.seed is None else workload.seed
    source = _texts(workload, seed, tokenizer, chat)
    if not workload.images:
        return source
    if not chat:
        raise UsageError("--images need messages to go with: leave --endpoint out, or write --endpoint chat")
    return WithImages(source, Images(workload.images, seed), workload.images_per_request)


def _texts(workload: plan.Workload, seed: int, tokenizer: str, chat: bool) -> Source:
    """Make the source of prompts, without images."""
    name = workload.tokenizer or tokenizer
    vocabulary = tokens.Vocabulary.of(tokens.load(name), special=not chat) if name else None
    outputs = lengths.parse(workload.output_tokens, seed, "output")
    if workload.prompts:
        count = vocabulary.count if vocabulary else None
        return Prompts(Path(workload.prompts), outputs, count, name)
    if workload.datasets:
        count = vocabulary.count if vocabulary else None
        return make_dataset(workload.datasets, outputs, count, name, chat)
    if workload.token_ids and vocabulary is None:
        raise UsageError("--token-ids needs --tokenizer, to know which ids the model has")
    if workload.token_ids and chat:
        raise UsageError("--token-ids needs an endpoint that takes them: add --endpoint completions")
    inputs = lengths.parse(workload.input_tokens, seed, "input")
    return Synthetic(inputs, outputs, seed, vocabulary, workload.token_ids, workload.shared_prefix, name, chat)
