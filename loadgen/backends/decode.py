"""Makes token events of a captured answer, with the parse methods of a backend; knows no dialect of its own."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from loadgen.backends import failures, token_counts
from loadgen.backends.token_counts import Trace
from loadgen.protocols.sse import SseEvents
from loadgen.types import Failure, Output, Request, Timeline, TokenEvents

DONE: Final = b"[DONE]"
HERE: Final = Path(__file__).parent

Parse = Callable[[dict[str, Any], Output], object]
Tokenizer = Callable[[str], int]


def decode_stream(timeline: Timeline, request: Request, stream: SseEvents, parse: Parse,
                  tokenizer: Tokenizer | None) -> TokenEvents:
    """Decode an answer that came as `stream`, each event of which goes through `parse`."""
    output = _begin(timeline, request)
    trace = Trace(stream.ends)
    found = _read(stream, parse, output, trace)
    events = token_counts.count(trace, output, request, tokenizer)
    events.failure = _outcome(timeline, output, found, stream.rest, bool(events.ends))
    return events


def decode_text(timeline: Timeline, request: Request, parse: Parse, tokenizer: Tokenizer | None,
                streamed: bool) -> TokenEvents:
    """Decode an answer of one JSON object. Its one token event is its end: it has no instants between.

    `streamed` says that a stream was asked for, so that only an error can be read from it.
    """
    payload = bytes(timeline.payload)
    output = _begin(timeline, request)
    trace = Trace([len(payload)])
    found = _read_text(timeline, payload, parse, output, streamed)
    said = output.content or output.reasoning_content or output.tool_calls or output.token_ids or output.tokens
    # Special tokens and half a character are tokens without text, which only the server's count tells from none.
    if said or (output.finish_reason and output.usage_tokens > 0):
        trace.changes.append((0, True, len(output.token_ids), output.tokens, output.usage_tokens))
    output.done = output.done or (found is None and timeline.complete)
    events = token_counts.in_one_piece(token_counts.count(trace, output, request, tokenizer))
    events.failure = _outcome(timeline, output, found, False, bool(events.ends))
    return events


def _begin(timeline: Timeline, request: Request) -> Output:
    """Return what the answer is to be read into, with what a parse method may want to look at."""
    return Output(input=request.prompt, headers=failures.fields(timeline.headers))


def _read_text(timeline: Timeline, payload: bytes, parse: Parse, output: Output, streamed: bool) -> Failure | None:
    data: Any = None
    try:
        data = msgspec.json.decode(payload)
        failure = failures.in_band(data)
        if failure is not None:
            return failure
        if streamed:
            return Failure("parse", f"asked for a stream, got one JSON answer: {failures.text_of(payload)}")
        parse(data, output)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # What was cut short is truncated, and told as that.
        return _unreadable(payload) if timeline.complete and payload else None
    except Exception as error:
        return _raised(error, data, payload)
    return None


def _read(stream: SseEvents, parse: Parse, output: Output, trace: Trace) -> Failure | None:
    """Parse event after event up to the end or to the first that can't be, and trace how the output grew."""
    decode = msgspec.json.Decoder().decode
    names, note = stream.names, trace.changes.append
    length = ids = tokens = 0
    usage, before = output.usage_tokens, output.content
    data: Any = None
    raw = b""
    try:
        for position, raw in enumerate(stream.data):
            if raw == DONE:
                output.done = True
                return None
            if not raw:
                continue
            data = decode(raw)
            if "error" in data or data.get("object") == "error" or position in names:
                failure = _error_event(data, names.get(position, ""), raw)
                if failure is not None:
                    return failure
            parse(data, output)
            content, tools, seen, known = output.content or "", output.tool_calls, output.usage_tokens, output.token_ids
            longer = len(content) + len(output.reasoning_content) + len(tools)
            new = longer > length or bool(content and content != before)  # a whole text may be shorter than was guessed
            if new or seen != usage or len(known) > ids or output.tokens > tokens:
                ids, tokens, usage = len(known), output.tokens, seen
                note((position, new, ids, tokens, seen))
                length, before = max(longer, length), content or before
                if trace.answer < 0 and (content or tools):
                    trace.answer = position
            if trace.finish < 0 and output.finish_reason:
                trace.finish = position
            if output.failure is not None:
                return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        if raw.strip() == DONE:
            output.done = True
            return None
        return _unreadable(raw)
    except Exception as error:
        return _raised(error, data, raw)
    return None


def _error_event(data: Any, name: str, raw: bytes) -> Failure | None:
    """Return the failure that an event reports: by its content, or by being named "error"."""
    failure = failures.in_band(data)
    if failure is None and name == "error":
        kind, message = failures.server_words(data)
        return Failure("in_band", message or failures.text_of(raw), kind)
    return failure


def _unreadable(raw: bytes) -> Failure:
    return Failure("parse", f"not JSON: {failures.text_of(raw)}")


def _raised(error: Exception, data: Any, raw: bytes) -> Failure:
    """Tell an exception of a parse method: the server's fault in our own dialects, else that of the backend's code."""
    frames = traceback.extract_tb(error.__traceback__)
    own = all(HERE in Path(frame.filename).parents for frame in frames)
    if own or not isinstance(data, dict):
        return Failure("parse", f"not this dialect ({type(error).__name__}: {error}): {failures.text_of(raw)}")
    where = next(frame for frame in reversed(frames) if HERE not in Path(frame.filename).parents)
    return Failure("backend", f"{where.filename}:{where.lineno}: {type(error).__name__}: {error}", type(error).__name__)


def _outcome(timeline: Timeline, output: Output, found: Failure | None, rest: bool, tokens: bool) -> Failure | None:
    """Return why this answer is no success, the most telling reason first; None if it is one."""
    found = output.failure or found
    if found is not None and found.kind == "in_band":
        return found
    if timeline.failure is not None:
        return timeline.failure
    if found is not None:
        return found
    if not timeline.complete:
        return Failure("truncated", f"the connection ended in the middle, after {len(timeline.payload)} bytes")
    if not (output.done or output.finish_reason):
        half = ", in the middle of an event" if rest else ""
        return Failure("truncated", f"the answer ended without [DONE] or a finish reason{half}")
    if not tokens:
        said = f", though the server counts {output.usage_tokens}" if output.usage_tokens > 0 else ""
        return Failure("empty", f"a proper end without one token{said}")
    return None
