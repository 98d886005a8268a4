"""What is a secret in a plan, and how it looks where it is written down."""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
KEY_VARIABLE: Final = "LOADGEN_API_KEY"
"""Environment variable that holds the api key, so that it need not stand in a command line or a file."""

_SECRET = re.compile(r"authorization|api[-_]?key|token|secret|password|cookie|credential", re.IGNORECASE)
_SCHEME = re.compile(r"(?:Bearer|Basic|Digest|Token) +", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Say whether a header of this name carries a secret."""
    return _SECRET.search(name) is not None


def mask_header(name: str, value: str) -> str:
    """Return the value as it may be written: "Bearer ***" for a header that carries a secret."""
    if not is_secret(name) or not value:
        return value
    scheme = _SCHEME.match(value)
    return (scheme[0] if scheme else "") + MASK
