"""Turns captured responses into timelines, for the tests of every decoder."""

from __future__ import annotations

from array import array
from pathlib import Path

import httptools

from loadgen.types import Timeline

CAPTURES = Path(__file__).parent / "captures"


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
    if b"chunked" in headers and body[:1] != b"d":
        response = _Response()
        httptools.HttpResponseParser(response).feed_data(raw)
        timeline.payload, timeline.complete = bytes(response.body), response.complete
    if complete is not None:
        timeline.complete = complete
    size = len(timeline.payload)
    offsets = array("q", [*range(step or size or 1, size, step or size or 1), size])
    timeline.offsets = offsets.tobytes()
    timeline.stamps = timeline.reads = array("q", [1000 * (i + 1) for i in range(len(offsets))]).tobytes()
    timeline.end = 1000 * len(offsets)
    return timeline


def capture(name: str) -> bytes:
    """Read one captured response."""
    return (CAPTURES / name).read_bytes()
