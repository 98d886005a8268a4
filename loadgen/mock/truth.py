"""What really happened: one record a request, kept compact, given back as JSON or JSON lines."""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

import msgspec

from loadgen.types import ABSENT, SECOND

FLUSH: Final = SECOND
"""ns between two flushes of the truth file while requests are in flight."""


@dataclass(slots=True)
class Record:
    """The truth about one request; instants are CLOCK_MONOTONIC ns.

    `writes[i]` is the instant just before the i-th token event was handed to the kernel: over loopback the bytes
    reach the client inside that very call. An answer in one piece has one write.
    """

    number: int
    arrival: int  # when the request had been read to its last byte
    path: str
    stream: bool
    prompt_tokens: int
    fault: str = ""
    tag: str = ""
    queued: int = 0  # ns it waited for a slot
    status: int = 200
    tokens: int = 0  # in the events that were written
    finish: str = ""
    late: int = 0  # ns, the latest that any write was behind its schedule
    gone: bool = False  # the client hung up first
    end: int = ABSENT
    writes: array[int] = field(default_factory=lambda: array("q"))

    def as_dict(self) -> dict[str, object]:
        """Give the record's JSON form."""
        writes = self.writes.tolist()
        return {
            "id": self.number,
            "arrival": self.arrival,
            "path": self.path,
            "stream": self.stream,
            "prompt_tokens": self.prompt_tokens,
            "tokens": self.tokens,
            "fault": self.fault,
            "tag": self.tag,
            "status": self.status,
            "finish": self.finish,
            "queued": self.queued,
            "late": self.late,
            "gone": self.gone,
            "first": writes[0] if writes else ABSENT,
            "last": writes[-1] if writes else ABSENT,
            "end": self.end,
            "writes": writes,
        }


class Truth:
    """The records of ended requests (the last `keep` of them) and totals over all."""

    def __init__(self, keep: int, file: BinaryIO | None = None) -> None:
        self.records: deque[Record] = deque(maxlen=keep)
        self.totals: dict[str, int] = {}
        self._file = file
        self._flushed = 0
        self.reset()

    def reset(self) -> None:
        """Forget everything; what is in the file stays there."""
        self.records.clear()
        names = ("requests", "refused", "ended", "gone", "tokens", "events", "connections", "in_flight_max", "late_max")
        self.totals = dict.fromkeys(names, 0)

    def add(self, record: Record, busy: bool) -> None:
        """Take a request that has ended; `busy` says whether others are in flight."""
        self.records.append(record)
        totals = self.totals
        totals["ended"] += 1
        totals["gone"] += record.gone
        totals["tokens"] += record.tokens
        totals["events"] += len(record.writes)
        totals["late_max"] = max(totals["late_max"], record.late)
        if self._file is not None:
            self._file.write(msgspec.json.encode(record.as_dict()) + b"\n")
            if not busy or record.end - self._flushed > FLUSH:
                self._file.flush()
                self._flushed = record.end

    def dump(self, faults: Mapping[str, int], live: Iterable[Record], now: Mapping[str, int]) -> bytes:
        """Write everything as JSON; `live` are the requests still in flight, `now` the totals of this instant."""
        requests = [record.as_dict() for record in self.records]
        requests += [record.as_dict() for record in live]
        totals = {**self.totals, **now, "cpu": time.process_time_ns()}
        return msgspec.json.encode({"requests": requests, "faults": faults, "totals": totals})
