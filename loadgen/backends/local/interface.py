"""The contract of a model in a process of its own: load it in `__init__`, answer in `generate`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from loadgen.backends.local import generating
from loadgen.protocols.local.jobs import Jobs


class LocalBackend:
    """A model in a process of its own. A subclass loads it in `__init__` and answers in `generate`.

    A constructor need not take every argument; what it has no argument for can't be asked for. Heavy imports belong
    into `__init__`: the class alone is also imported where no model is loaded.
    """

    endpoints: ClassVar[tuple[str, ...]] = ()  # what --endpoint may name, the first is the default
    forces_length: bool = False  # whether answers are made as long as was asked
    takes_ignore_eos: bool = False  # whether the option `ignore_eos` could make them so
    takes_images: bool = True  # whether prompts may have any
    batch_size: int = 1  # most requests that one call of `generate` answers
    takes_lists: bool = False  # whether `generate` is given a list of inputs even where batch_size is 1

    def __init__(self, path: str = "", max_seq_len: int = 2048, tokenizer_only: bool = False,
                 generation_kwargs: Mapping[str, Any] | None = None, model_kwargs: Mapping[str, Any] | None = None,
                 trust_remote_code: bool = False, batch_size: int = 1, max_out_len: int = 128) -> None:
        if (type(self).generate, type(self).serve) == (LocalBackend.generate, LocalBackend.serve):
            raise TypeError(f"{type(self).__name__} has no generate")
        self.path, self.max_seq_len, self.tokenizer_only = path, max_seq_len, tokenizer_only
        self.generation_kwargs, self.model_kwargs = dict(generation_kwargs or {}), dict(model_kwargs or {})
        self.trust_remote_code, self.batch_size, self.max_out_len = trust_remote_code, batch_size, max_out_len

    def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
        """Answer `input` with at most `max_out_len` tokens.

        `input` is a text, a list of token ids or a list of messages; where `batch_size` is above 1, a list of those.
        Return the text (of a batch, a list of texts), which is measured end to end; or yield as tokens are made (a
        piece of text, a token id or a list of ids; of a batch, a list with one of those for each row, None for a row
        that has ended), or take an argument `streamer` and call its `put` as transformers does: then each token is
        measured. It may be `async`; then up to `batch_size` requests are answered at a time, each by a call of its own.
        """
        raise NotImplementedError(f"{type(self).__name__} has no generate")

    def adapt(self, input: Any) -> Any:
        """Return an input in the form that `generate` takes."""
        return input

    def serve(self, jobs: Jobs) -> None:
        """Answer jobs until their queue is closed. The default calls `generate`; engines that batch do it themselves.

        What it raises ends the process: a failure of one request belongs into that request's `fail`.
        """
        generating.serve(self, jobs)

    def facts(self) -> dict[str, Any]:
        """Return what to keep with a run, JSON values: device, memory in bytes, how requests are batched."""
        return {}


def streams_by_form(made: type[LocalBackend]) -> bool:
    """Say whether a backend tells of tokens as they are made, as far as the form of its methods shows."""
    method = made.generate
    return (made.serve is not LocalBackend.serve or inspect.isgeneratorfunction(method)
            or inspect.isasyncgenfunction(method) or "streamer" in inspect.signature(method).parameters)
