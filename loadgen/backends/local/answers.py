"""The desk's side of a local backend: requests as the model's process reads them, and its answers as token events."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from loadgen.backends.interface import input_of
from loadgen.backends.local.interface import LocalBackend
from loadgen.types import ABSENT, Call, Failure, Request, Timeline, TokenEvents, UsageError

if TYPE_CHECKING:
    from loadgen.plan import Plan
    from loadgen.workload import Source

DEFAULT_LIMIT: Final = 128
"""Tokens to make where a request asks for no number."""


class Local:
    """Speaks to a LocalBackend, which is in a process of its own; knows its class and never makes one.

    `detokenize` gives the text of token ids, where it is wanted and can be had; `tokenizer` counts the tokens of texts
    that came without.
    """

    protocol: str = "local"

    def __init__(self, made: type[LocalBackend], endpoint: str = "", options: Mapping[str, Any] | None = None,
                 stream: bool = True) -> None:
        self.made = made
        self.endpoint = endpoint or (made.endpoints[0] if made.endpoints else "chat")
        self.stream = stream
        self.forces_length = made.forces_length
        self.takes_ignore_eos = made.takes_ignore_eos
        self.tokenizer: Callable[[str], int] | None = None
        self.detokenize: Callable[[list[int]], str] | None = None
        self._options = {name: value for name, value in (options or {}).items() if value is not None}
        if (options or {}).get("ignore_eos") is False:
            self.forces_length = False

    def source(self, plan: Plan) -> Source | None:
        """Return None: what is asked is what the plan says."""
        return None

    def encode(self, request: Request) -> Call:
        """Put a request into the form that the model's process reads."""
        limit = DEFAULT_LIMIT if request.max_output_tokens is None else request.max_output_tokens
        options = {name: value for name, value in {**self._options, **request.body}.items() if value is not None}
        return Call("", msgspec.json.encode({"input": input_of(request), "limit": limit, "options": options}))

    def decode(self, timeline: Timeline, request: Request) -> TokenEvents:
        """Make token events of an answer; what went wrong with it is their failure."""
        events = TokenEvents(failure=timeline.failure)
        if timeline.payload:
            self._read(msgspec.json.decode(timeline.payload), timeline, events)
        self._count_input(events, request)
        if events.failure is None and not events.ends:
            events.failure = Failure("empty", "the model made not one token")
        return events

    def _read(self, said: Mapping[str, Any], timeline: Timeline, events: TokenEvents) -> None:
        events.ends = array("q", timeline.offsets).tolist()
        events.counts = said["counts"] or [1] * len(events.ends)
        events.finish_reason, events.server = said["reason"], said["server"]
        events.input_tokens, events.usage_tokens = said["input_tokens"], said["usage"]
        if not _matches(said, len(events.ends)):
            self._refuse_mixture(events)
        elif said["ids"]:
            events.output_tokens, events.output_source = len(said["ids"]), "token ids"
            events.text = self.detokenize(said["ids"]) if self.detokenize is not None else ""
        elif said["pieces"]:
            events.text = "".join(said["pieces"])
            events.output_tokens, events.output_source = len(events.ends), "events"
        elif said["text"] is not None:
            self._read_whole(said["text"], events)

    def _refuse_mixture(self, events: TokenEvents) -> None:
        """Take nothing from an answer of which it is not known what came when."""
        events.ends, events.counts = [], []
        events.failure = events.failure or Failure(
            "backend", "the answer has another number of tokens than of instants: generate must yield token ids "
            "alone, or texts alone", "Mixture")

    def _read_whole(self, text: str, events: TokenEvents) -> None:
        """Read an answer in one piece: its one event is its end, and its tokens are those that a tokenizer finds."""
        events.text = text
        if not text:
            events.ends, events.counts = [], []
        elif self.tokenizer is None:
            events.counts = [0]
        else:
            events.output_tokens, events.output_source = self.tokenizer(text), "tokenizer"
            events.counts = [events.output_tokens]

    def _count_input(self, events: TokenEvents, request: Request) -> None:
        if events.input_tokens != ABSENT:
            events.input_source = "token ids"
        elif request.prompt_ids is not None:
            events.input_tokens, events.input_source = len(request.prompt_ids), "token ids"
        elif request.input_tokens != ABSENT:
            events.input_tokens, events.input_source = request.input_tokens, "tokenizer"


def _matches(said: Mapping[str, Any], events: int) -> bool:
    """Say whether each of the `events` instants of an answer has its tokens: ids or pieces of text, not both."""
    ids, pieces, counts = said["ids"], said["pieces"], said["counts"]
    if (ids and pieces) or len(counts) not in (0, events):
        return False
    if ids:
        return len(ids) == (sum(counts) if counts else events)
    return not pieces or len(pieces) == events


def check_endpoint(made: type[LocalBackend], endpoint: str, name: str) -> None:
    """Raise UsageError for an endpoint that a local backend does not have."""
    if endpoint and endpoint not in made.endpoints:
        there = f"write {' or '.join(made.endpoints)}" if made.endpoints else "leave --endpoint out"
        raise UsageError(f"the backend {name} has no endpoint {endpoint!r}: {there}")
