"""Decides which events of an answer are token events, and how many tokens each carried; knows no dialect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from loadgen.types import ABSENT, Output, Request, TokenEvents

NO_CHANGE: Final = -1


# What an Output held after an event that changed something in it: position of the event, whether text grew, token ids,
# tokens, usage. A plain tuple, because one is made for every token.
Change = tuple[int, bool, int, int, int]
IDS: Final = 2
TOKENS: Final = 3
USAGE: Final = 4


@dataclass(slots=True)
class Trace:
    """How an Output grew, event by event. Positions are those of the events; NO_CHANGE is none of them."""

    ends: list[int]
    changes: list[Change] = field(default_factory=list)
    finish: int = NO_CHANGE  # the event that brought the finish reason
    answer: int = NO_CHANGE  # the first event with text that is not reasoning


def count(trace: Trace, output: Output, request: Request, tokenizer: Callable[[str], int] | None = None) -> TokenEvents:
    """Count the tokens of a stream from the best source that it has.

    In this order: usage with every event, token ids, the server's details with every event, final usage, tokenizer,
    events. Source of the order: docs/backends.md.
    """
    events = TokenEvents(text=(output.reasoning_content or "") + (output.content or "") + (output.tool_calls or ""))
    events.usage_tokens = output.usage_tokens
    events.finish_reason = output.finish_reason
    events.server = output.server
    _input(events, output, request)
    positions = _by_event(trace, output, events) or _by_text(trace, output, events, tokenizer)
    ends = trace.ends
    events.ends = [ends[position] for position in positions]
    if output.reasoning_content and trace.answer != NO_CHANGE:
        events.first_answer = next((i for i, position in enumerate(positions) if position >= trace.answer), ABSENT)
    return events


def in_one_piece(events: TokenEvents) -> TokenEvents:
    """Let the one event of an answer carry all of its tokens, or say that nothing is known of their number."""
    if events.output_source == "events":
        events.output_tokens, events.output_source = ABSENT, ""
        events.counts = [0] * len(events.ends)
    elif len(events.ends) == 1 and events.output_tokens > 0:
        events.counts = [events.output_tokens]
    return events


def _by_event(trace: Trace, output: Output, events: TokenEvents) -> list[int]:
    """Count from what came with every event; fills counts, and returns the positions of the token events.

    Returns nothing if the first event with content brought no count: then whatever came later is a final count.
    """
    last = trace.finish if trace.finish != NO_CHANGE else len(trace.ends)
    first = next((change for change in trace.changes if change[1] or change[IDS] or change[TOKENS]), None)
    if first is None:
        usages = [change for change in trace.changes if change[USAGE] > 0 and change[0] <= last]
        if len(usages) < 2:
            return []
        first = usages[0]  # tokens without text, one event after another
    sources = {USAGE: output.usage_source, IDS: "token ids", TOKENS: "server details"}
    column = next((column for column in sources if first[column] > 0), None)
    if column is None:
        return []
    positions, counts, before = [], [], 0
    for change in trace.changes:
        position, after = change[0], change[column]
        if after > before and position <= last:
            positions.append(position)
            counts.append(after - before)
            before = after
    events.counts = counts
    events.output_tokens = before
    events.output_source = sources[column]
    return positions


def _by_text(trace: Trace, output: Output, events: TokenEvents, tokenizer: Callable[[str], int] | None) -> list[int]:
    """Take each event with new text as one token, and the total from the final usage where there is one."""
    positions = [change[0] for change in trace.changes if change[1]]
    if output.usage_tokens > 0:
        positions = _reconcile(positions, trace, output.usage_tokens)
        events.output_tokens, events.output_source = output.usage_tokens, output.usage_source
    elif tokenizer is not None:
        events.output_tokens, events.output_source = tokenizer(events.text), "tokenizer"
    else:
        events.output_tokens, events.output_source = len(positions), "events"
    events.counts = [1] * len(positions)
    return positions


def _reconcile(positions: list[int], trace: Trace, usage: int) -> list[int]:
    """Add the events without text that must have been tokens (special tokens, half a character), if that is certain.

    It is when the usage misses exactly as many as there were between the first token and the finish reason, or
    exactly one, which was then the event with the finish reason; so are all of an answer without any text.
    """
    missing = usage - len(positions)
    if missing <= 0 or trace.finish == NO_CHANGE:
        return positions
    known = set(positions)
    start = positions[0] if positions else trace.finish
    blank = [position for position in range(start, trace.finish + 1) if position not in known]
    if missing == len(blank):
        return sorted(positions + blank)
    if trace.finish not in known and (missing == 1 or not positions):
        return [*positions, trace.finish]
    return positions


def _input(events: TokenEvents, output: Output, request: Request) -> None:
    """Fill in how many tokens the prompt had, and who says so."""
    if output.input_tokens != ABSENT:
        events.input_tokens = output.input_tokens
        events.input_source = output.usage_source if output.usage_tokens != ABSENT else "token ids"
    elif request.prompt_ids is not None:
        events.input_tokens, events.input_source = len(request.prompt_ids), "token ids"
    elif request.input_tokens != ABSENT:
        events.input_tokens, events.input_source = request.input_tokens, "tokenizer"
    elif request.prompt is not None:
        events.input_tokens, events.input_source = len(request.prompt.split()), "approximate"


