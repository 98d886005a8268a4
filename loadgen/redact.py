"""What is a secret in a plan, and how it looks where it is written down."""

from __future__ import annotations

import re
from typing import Final

from loadgen.plan import Plan

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


def secrets_of(plan: Plan) -> tuple[str, ...]:
    """Return every secret text of a plan: the api key, and what headers carry, without the scheme before it."""
    carried = [_SCHEME.sub("", value, count=1) for name, value in plan.target.headers.items() if is_secret(name)]
    return tuple(dict.fromkeys(filter(None, [plan.target.api_key, *carried])))
