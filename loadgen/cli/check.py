"""Replays a captured answer through a backend: what its author needs to see, and what must never go wrong."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httptools

from loadgen.backends import failures, registry
from loadgen.backends.errors import one_line
from loadgen.backends.interface import ServiceBackend
from loadgen.plan import Target
from loadgen.types import ABSENT, Request, Timeline, TokenEvents, UsageError

ASKED: Final = Request(0, prompt="Hello from loadgen.", max_output_tokens=16)
MOST_CUTS: Final = 2000
"""Places at which an answer is cut short; of a longer one, as many evenly over it."""
MOST_SHOWN: Final = 40
_CHUNKED: Final = re.compile(rb"[0-9a-fA-F]+ *(;[^\r\n]*)?\r\n")


@dataclass(slots=True)
class Findings:
    """What a replay found: the token events of the whole answer, the text of each, and what is wrong."""

    events: TokenEvents
    texts: list[str] = field(default_factory=list)
    cuts: int = 0
    wrong: list[str] = field(default_factory=list)
    marks_end: bool = True


def check(name: str, capture: str, *, stream: bool = True, endpoint: str = "") -> tuple[list[str], bool]:
    """Replay the answer in a file through a backend; returns what to print, and whether all is well.

    Raises UsageError if there is no such backend or file, or if the backend can't be made.
    """
    backend = registry.make(Target(name, ("http://localhost:8000",), "MODEL", endpoint, stream))
    try:
        raw = Path(capture).read_bytes()
    except OSError as error:
        raise UsageError(f"can't read the capture {capture}: {error.strerror}") from None
    timeline = response_of(raw)
    try:
        call = backend.encode(ASKED)
        asked = f"{call.method} {call.path}  {call.body.decode('utf-8', 'replace')}"
        findings = replay(backend, timeline)
    except UsageError:
        raise
    except Exception as error:
        return [f"wrong          {one_line(error)}"], False
    return [f"request        {asked}", *_report(timeline, findings)], not findings.wrong


def response_of(raw: bytes) -> Timeline:
    """Make a timeline of a captured HTTP answer: head and body, body alone, chunked or with that framing removed.

    Raises UsageError for an empty file or a head that is none.
    """
    if not raw.strip():
        raise UsageError("the capture is empty: save an answer with `curl -si ... > bytes.raw`")
    if not raw.startswith(b"HTTP/"):
        return Timeline(0, status=200, payload=raw, complete=True)
    head, _, body = raw.partition(b"\r\n\r\n")
    status, _, headers = head.partition(b"\r\n")
    words = status.split()
    if len(words) < 2 or not words[1].isdigit():
        raise UsageError(f"the capture begins with {status[:60]!r}, which is not the head of an HTTP answer")
    timeline = Timeline(0, status=int(words[1]), headers=headers + b"\r\n", payload=body, complete=True)
    length = failures.header(timeline.headers, "content-length")
    if failures.header(timeline.headers, "transfer-encoding") == "chunked" and _CHUNKED.match(body):
        parsed = _Body()
        try:
            httptools.HttpResponseParser(parsed).feed_data(raw)
        except httptools.HttpParserError as error:
            raise UsageError(f"the capture is not an HTTP answer: {error}") from None
        timeline.payload, timeline.complete = bytes(parsed.body), parsed.complete
    elif length.isdigit():
        timeline.payload, timeline.complete = body[:int(length)], len(body) >= int(length)
    return timeline


class _Body:
    """Collects what the parser finds."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def replay(backend: ServiceBackend, timeline: Timeline) -> Findings:
    """Decode an answer whole, byte by byte, and cut short; it must say the same, and never call a part a success."""
    findings = Findings(backend.decode(timeline, ASKED), marks_end=backend.marks_end)
    events, wrong = findings.events, findings.wrong
    if events.failure is not None:
        wrong.append(f"the answer is a failure, {events.failure.kind}: {events.failure.detail}")
    if backend.decode(_byte_by_byte(timeline), ASKED) != events:
        wrong.append("byte by byte, as the second answer that the backend read, it says something else than whole: "
                     "a parse method remembers what belongs to one answer; `output` is where that goes")
    findings.texts = list(_texts(backend, timeline, events))
    last = events.ends[-1] if events.ends else len(timeline.payload)
    for cut in _cuts(timeline.payload):
        findings.cuts += 1
        if backend.decode(_part(timeline, cut, False), ASKED).failure is None:
            wrong.append(f"cut off after byte {cut}, it still counts as a success")
            break
        if backend.marks_end and cut < last and backend.decode(_part(timeline, cut, True), ASKED).failure is None:
            wrong.append(f"ended in good order after byte {cut}, with tokens to come until byte {last}, it counts as a "
                         "success: set output.finish_reason or output.done at the proper end alone")
            break
    return findings


def _part(timeline: Timeline, length: int, complete: bool) -> Timeline:
    return replace(timeline, payload=timeline.payload[:length], complete=complete)


def _byte_by_byte(timeline: Timeline) -> Timeline:
    """Return the same answer as if each byte had been read alone."""
    size = len(timeline.payload)
    stamps = array("q", [part for at in range(size) for part in (0, at)])
    return replace(timeline, offsets=array("q", range(1, size + 1)).tobytes(), stamps=stamps.tobytes(),
                   reads=array("q", range(size)).tobytes())


def _texts(backend: ServiceBackend, timeline: Timeline, events: TokenEvents) -> Iterator[str]:
    """Yield the text that each token event added."""
    before = ""
    for end in events.ends:
        text = backend.decode(_part(timeline, end, False), ASKED).text
        yield text.removeprefix(before)
        before = text


def _cuts(payload: bytes | bytearray) -> list[int]:
    size = len(payload)
    if size <= MOST_CUTS:
        return list(range(size))
    return [number * size // MOST_CUTS for number in range(MOST_CUTS)]


def _report(timeline: Timeline, findings: Findings) -> Iterator[str]:
    events = findings.events
    whole = "complete" if timeline.complete else "cut off"
    yield f"answer         HTTP {timeline.status}, {len(timeline.payload):,} bytes, {whole}"
    yield f"token events   {len(events.ends):,}"
    yield from _shown(events, findings.texts)
    yield f"output tokens  {_count(events.output_tokens, events.output_source)}" + (
        f", the server says {events.usage_tokens:,}" if events.usage_tokens != ABSENT else "")
    yield f"input tokens   {_count(events.input_tokens, events.input_source)}"
    yield f"finish reason  {events.finish_reason or 'none'}"
    for name, value in events.server.items():
        yield f"{name:<14} {value:,}"
    if events.failure is None:
        yield "end            a proper one: a success"
    if findings.wrong:
        yield from (f"wrong          {reason}" for reason in findings.wrong)
    else:
        yield "byte by byte   the same"
        yield f"cut short      at {findings.cuts:,} places: never a success"
    if not findings.marks_end:
        yield ("note           this dialect has no sign of its own end: an answer that a server ends early, in good "
               "order, counts as a success")


def _shown(events: TokenEvents, texts: list[str]) -> Iterator[str]:
    if not events.ends:
        return
    yield f"{'byte':>21} {'tokens':>7}  text"
    for number, (end, count, text) in enumerate(zip(events.ends, events.counts, texts, strict=True)):
        if number == MOST_SHOWN - 5 and len(texts) > MOST_SHOWN:
            yield f"{'...':>21}"
        if number < MOST_SHOWN - 5 or number >= len(texts) - 5:
            yield f"{end:>21,} {count:>7}  {text!r:.70}"


def _count(count: int, source: str) -> str:
    return f"{count:,} ({source})" if count != ABSENT else "unknown"
