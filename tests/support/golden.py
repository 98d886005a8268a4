"""Holds a decoder against a whole answer: read in any pieces, with trailing data, and cut at every byte."""

from __future__ import annotations

from collections.abc import Sequence

from loadgen.backends.interface import ServiceBackend
from loadgen.types import TokenEvents
from support.replay import ASKED, answer, timeline_of

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def check_stream(backend: ServiceBackend, payload: bytes, proper: int, trailing: Sequence[bytes] = ()) -> TokenEvents:
    """Decode a stream that is a success, and return what it gives.

    `proper` is how many bytes it takes to its proper end: cut before, it is never a success, however the connection
    ended. `trailing` are ends that change nothing.
    """
    events = backend.decode(timeline_of(HEAD + payload), ASKED)
    assert events.failure is None
    for step in (1, 7):
        assert backend.decode(timeline_of(HEAD + payload, step), ASKED) == events
    for more in trailing:
        assert backend.decode(timeline_of(HEAD + payload + more), ASKED) == events
    for cut in range(len(payload)):
        broken = backend.decode(answer(payload[:cut], complete=False), ASKED).failure
        assert broken is not None
        assert broken.kind == "truncated", cut
        ended = backend.decode(answer(payload[:cut]), ASKED)
        assert (ended.failure is None) == (cut >= proper), (cut, ended.failure)
        assert ended.ends == events.ends[: len(ended.ends)]
    return events


def check_whole(backend: ServiceBackend, payload: bytes, headers: bytes = b"") -> TokenEvents:
    """Decode an answer in one piece that is a success; cut anywhere, it is none."""
    events = backend.decode(answer(payload, headers=b"content-type: application/json\r\n" + headers), ASKED)
    assert events.failure is None
    assert events.ends == [len(payload)]
    for cut in range(len(payload)):
        for complete in (False, True):
            assert backend.decode(answer(payload[:cut], headers=b"", complete=complete), ASKED).failure is not None
    return events
