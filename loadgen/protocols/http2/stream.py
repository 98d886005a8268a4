"""One stream of a connection: a request that is being sent and the answer that is coming in. Data only."""

from __future__ import annotations

from loadgen.types import Failure, Timeline


class Http2Stream:
    """`payload` grows by the DATA that come, `blocks` by the header blocks, still encoded: headers, then trailers.

    `complete` says that the server has ended the stream; `failure` is why it ended otherwise. `refused` says that
    the server told that it has not looked at the request, so that it can be sent again elsewhere.
    """

    __slots__ = ("begun", "blocks", "body", "complete", "failure", "number", "payload", "queued", "refused", "timeline",
                 "unacked", "window")

    def __init__(self, number: int, body: memoryview, window: int, timeline: Timeline) -> None:
        self.number = number
        self.timeline = timeline
        self.body = body  # what was not sent yet
        self.window = window  # how much of it the server takes now
        self.queued = False  # whether it is in line to be sent
        self.begun = False  # whether any of the answer's DATA has come
        self.unacked = 0  # bytes that came and were not given back to the server's window
        self.payload = bytearray()
        self.blocks: list[bytes] = []
        self.complete = False
        self.refused = False
        self.failure: Failure | None = None
