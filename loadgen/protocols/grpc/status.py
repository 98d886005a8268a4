"""The status codes of gRPC, and the failure class of each."""

from __future__ import annotations

from typing import Final

from loadgen.types import Failure

NAMES: Final = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)
"""Names of the codes, each at the place of its number."""


def failure_of(status: str, message: str) -> Failure | None:
    """Make the failure of a grpc-status as it came; None for OK. What is no known code counts as UNKNOWN."""
    if status == "0":
        return None
    known = status.isdecimal() and status.isascii() and len(status) < 3 and 0 < int(status) < len(NAMES)
    name = NAMES[int(status)] if known else "UNKNOWN"
    said = message or (f"{name}, without a message" if known else f"grpc-status {status[:20]!r}")
    return Failure(f"grpc_{name.lower()}", said, name if known else status[:20])
