"""A Call as the bytes of an HTTP/1.1 request."""

from __future__ import annotations

from loadgen.types import Call, UsageError


def encode(call: Call, authority: str, prefix: str = "") -> bytes:
    """Serialise a Call. Raises UsageError for header names or values that would break the request."""
    lines = [f"{call.method} {prefix}{call.path} HTTP/1.1", f"Host: {authority}"]
    for name, value in call.headers:
        if not name or any(c in name for c in " \r\n\t:") or any(c in value for c in "\r\n\0"):
            raise UsageError(f"header {name!r}: a name is one word and a value one line")
        lines.append(f"{name}: {value}")
    given = {name.lower() for name, _ in call.headers}
    if "content-type" not in given and call.body:
        lines.append("Content-Type: application/json")
    if "accept-encoding" not in given:
        lines.append("Accept-Encoding: identity")
    lines.append(f"Content-Length: {len(call.body)}\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1", "replace") + call.body
