"""What the desk and the process of a model say to each other, beside the requests."""

from __future__ import annotations

from typing import Any, Final

import msgspec

HOME: Final = "loadgen-"
"""How the name of the directory begins that the desk makes for a model's process, and that either removes."""


class LoadModel(msgspec.Struct, tag=True):
    """First: which model to load, as the tables `target` and `model` of a plan, and the body of a Call to try it with.
    """

    target: dict[str, Any]
    model: dict[str, Any]
    first: bytes = b""  # empty: it is not tried


class Loaded(msgspec.Struct, tag=True):
    """The model is there. `facts` are JSON values; `tried` says what was wrong with the first request, if anything."""

    facts: dict[str, Any]
    tried: str = ""


class Refused(msgspec.Struct, tag=True):
    """The model can't be loaded, and why: what a user can do about it, or (`bug`) the last line of a traceback."""

    why: str
    bug: bool = False


class Tell(msgspec.Struct, tag=True):
    """Ask for the facts as they are now."""


class Facts(msgspec.Struct, tag=True):
    facts: dict[str, Any]


ToProcess = LoadModel | Tell
ToDesk = Loaded | Refused | Facts
