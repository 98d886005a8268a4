"""Retries: which failed requests are sent again. Each attempt is a row of its own."""

from __future__ import annotations

from typing import Final

from loadgen.engine.in_flight import InFlight
from loadgen.types import Failure

RETRIED: Final = frozenset({"connect", "tls", "http_429", "http_5xx", "http_503", "truncated"})
"""Failures that may not happen again: no connection, or a server that was overloaded or broke off."""


def is_retried(flight: InFlight, failure: Failure | None) -> bool:
    """Say whether another attempt follows one that ended like this."""
    return failure is not None and failure.kind in RETRIED and flight.retries > 0
