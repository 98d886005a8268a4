"""Tells an exception of somebody else's code in one line."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parent.parent
_NOT_OWN: Final = (str(_PACKAGE), sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<")
"""Where files are that a user did not write: ours, Python's, installed packages."""


def one_line(error: Exception) -> str:
    """Tell an exception with the line it came from: in code of the user's own if there is any on the way."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_NOT_OWN)] or frames
    where = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
    if isinstance(error, SyntaxError):
        where = f"{error.filename}:{error.lineno}: "
    return f"{where}{type(error).__name__}: {error}"


def reason(error: Exception) -> str:
    """Tell why a request can't be answered: what our own code said as it is, anything else with the line it came from.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and frames[-1].filename.startswith(str(_PACKAGE))
    return str(error) if ours and str(error) else one_line(error)
