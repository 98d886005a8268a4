"""Tells an exception of somebody else's code in one line."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import Final

_NOT_OWN: Final = (str(Path(__file__).parent.parent), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<")
"""Where files are that a user did not write: ours, Python's, installed packages."""


def told(error: Exception) -> str:
    """Tell an exception with the line it came from: in code of the user's own if there is any on the way."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_OWN)] or frames
    where = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
    if isinstance(error, SyntaxError):
        where = f"{error.filename}:{error.lineno}: "
    return f"{where}{type(error).__name__}: {error}"
