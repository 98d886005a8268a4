"""Turns captured responses into timelines, for the tests of every decoder."""

from __future__ import annotations

import json
import re
from array import array
from pathlib import Path
from typing import Any

import httptools

from loadgen.backends.interface import ServiceBackend
from loadgen.backends.openai import OpenAI
from loadgen.types import Failure, Request, Timeline, TokenEvents

CAPTURES = Path(__file__).parent / "captures"
ASKED = Request(index=0, prompt="a b c")
URL = "http://server:8000"


class _Response:
    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def timeline_of(raw: bytes, step: int | None = None, *, complete: bool | None = None) -> Timeline:
    """Make the timeline of a response, head and body, that was read `step` bytes of body at a time.

    A body with chunk framing loses it; one without (the .raw captures) is taken as it is, and is complete unless
    `complete` says otherwise. Stamps are one microsecond apart.
    """
    head, _, body = raw.partition(b"\r\n\r\n")
    status, _, headers = head.partition(b"\r\n")
    timeline = Timeline(index=0, due=0, sent=0, sent_end=0, status=int(status.split()[1]))
    timeline.headers = headers + b"\r\n"
    timeline.payload, timeline.complete = body, True
    if re.match(rb"[0-9a-f]+\r\n", body):
        response = _Response()
        httptools.HttpResponseParser(response).feed_data(raw)
        timeline.payload, timeline.complete = bytes(response.body), response.complete
    if complete is not None:
        timeline.complete = complete
    size = len(timeline.payload)
    offsets = array("q", [*range(step or size or 1, size, step or size or 1), size])
    timeline.offsets = offsets.tobytes()
    reads = [1000 * (i + 1) for i in range(len(offsets))]
    timeline.reads = array("q", reads).tobytes()
    timeline.stamps = array("q", [part for at in reads for part in divmod(at, 1_000_000_000)]).tobytes()
    timeline.end = 1000 * len(offsets)
    return timeline


def capture(name: str) -> bytes:
    """Read one captured response."""
    return (CAPTURES / name).read_bytes()


def answer(
    payload: bytes, status: int = 200, headers: bytes = b"content-type: text/event-stream\r\n", **more: Any
) -> Timeline:
    """Make the timeline of an answer with this body."""
    return Timeline(index=0, status=status, headers=headers, payload=payload, **{"complete": True, **more})


def stream(*events: Any, done: bool = True) -> bytes:
    """Make the body of a stream: each event a text or something to be written as JSON."""
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    return "".join(f"data: {line}\n\n" for line in [*lines, *(["[DONE]"] if done else [])]).encode()


def delta(finish: str | None = None, usage: int | None = None, **said: Any) -> dict[str, Any]:
    """Make an event of a chat stream."""
    event: dict[str, Any] = {"choices": [{"index": 0, "delta": said, "finish_reason": finish}]}
    if usage is not None:
        event["usage"] = {"prompt_tokens": 7, "completion_tokens": usage}
    return event


def decode(payload: bytes, backend: ServiceBackend | None = None, request: Request = ASKED, **more: Any) -> TokenEvents:
    """Decode a body with a backend, OpenAI without one."""
    return (backend or OpenAI(url=URL)).decode(answer(payload, **more), request)


def failed(payload: bytes, **more: Any) -> Failure:
    """Return the failure of an answer that must have one."""
    failure = decode(payload, **more).failure
    assert failure is not None
    return failure
