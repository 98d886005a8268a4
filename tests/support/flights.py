"""Records of requests in flight, for tests."""

from __future__ import annotations

from typing import Any

from loadgen.engine.in_flight import InFlight
from loadgen.types import Request


def flight_of(index: int, due: int = 0, **fields: Any) -> InFlight:
    """Make the record of a request that was not handed over yet."""
    return InFlight(**{"index": index, "due": due, "target": 0, "data": b"x", "request": Request(index, prompt="a"),
                       **fields})
