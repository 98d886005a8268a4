"""Server-sent events, parsed by the WHATWG rules from a whole body; no I/O and no JSON."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

BOM: Final = b"\xef\xbb\xbf"
LINE: Final = re.compile(rb"([^\r\n]*)(\r\n|\r|\n)")


class SseEvents(NamedTuple):
    """The events of a body. Element i of `data` and `ends` is the i-th event.

    `ends[i]` is the offset at which the event was complete: just after the first byte of the terminator of the blank
    line that dispatches it. `names` has the event name by position where it is not "message". `rest` says that bytes
    of an unfinished event or line follow the last event; by the rules they are none.
    """

    data: list[bytes]
    ends: list[int]
    names: dict[int, str]
    rest: bool


def split(payload: bytes) -> SseEvents:
    """Split a body into its events; comments, and blocks without a data line, are skipped.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """
    for newline in (b"\n", b"\r\n"):
        for prefix in (b"data: ", b"data:"):
            events = _uniform(payload, newline, prefix)
            if events is not None:
                return events
    return parse(payload)


def _uniform(payload: bytes, newline: bytes, prefix: bytes) -> SseEvents | None:
    """Split a body that is nothing but one-line data events of one form; None for any other body.

    What servers send nearly always. If there are exactly two newlines for each part, no part has one inside.
    """
    blank = newline * 2
    if not (payload.startswith(prefix) and payload.endswith(blank)):
        return None
    parts = payload[len(prefix) : -len(blank)].split(blank + prefix)
    newlines = 2 * len(parts)
    if payload.count(b"\n") != newlines or payload.count(b"\r") != newlines * (len(newline) - 1):
        return None
    if prefix == b"data:" and payload.count(b"\ndata: ") + payload.startswith(b"data: "):
        return None
    ends = []
    overhead = len(prefix) + len(blank)
    end = 1 - len(newline)
    for part in parts:
        end += len(part) + overhead
        ends.append(end)
    return SseEvents(parts, ends, {}, False)


def parse(payload: bytes) -> SseEvents:
    """Split any body, line by line: what split() does when it can't be quick."""
    events = SseEvents([], [], {}, False)
    start = len(BOM) if payload.startswith(BOM) else 0
    # Only whole lines, so that a long unfinished one is not searched again from each of its bytes.
    stop = max(payload.rfind(b"\n"), payload.rfind(b"\r")) + 1
    lines: list[bytes] = []
    name = b""
    for match in LINE.finditer(payload, start, max(start, stop)):
        line = match[1]
        if line:
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                lines.append(value)
            elif field == b"event":
                name = value
            continue
        if lines:
            if name not in (b"", b"message"):
                events.names[len(events.data)] = name.decode("utf-8", "replace")
            events.data.append(b"\n".join(lines))
            events.ends.append(match.start(2) + 1)
        lines, name = [], b""
    return events._replace(rest=bool(lines) or max(start, stop) < len(payload))
