"""The messages of an answer: each has a prefix of 5 bytes, whether it is compressed and its length."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

_PREFIX: Final = Struct(">BI")


@dataclass(frozen=True, slots=True)
class Messages:
    """`data[i]` is a serialised message that was whole at byte `ends[i]` of the payload. `rest` bytes are left over.

    `compressed` says that a message is, which was not asked for; it and what follows are not in `data`.
    """

    data: list[bytes] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    rest: int = 0
    compressed: bool = False


def split(payload: bytes | bytearray) -> Messages:
    """Cut the payload of a Timeline into messages."""
    data: list[bytes] = []
    ends: list[int] = []
    at, size = 0, len(payload)
    while size - at >= 5:
        flag, length = _PREFIX.unpack_from(payload, at)
        if flag:
            return Messages(data, ends, size - at, True)
        end = at + 5 + length
        if end > size:
            break
        data.append(bytes(payload[at + 5:end]))
        ends.append(end)
        at = end
    return Messages(data, ends, size - at)
