"""What a directory holds: a run, or the sweep or comparison that was made of several; how each is read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadgen.cli.formats import COMPARISON, RUN, SWEEP
from loadgen.types import UsageError

if TYPE_CHECKING:
    from loadgen.outcomes.comparison import Comparison

FILES: Final = {SWEEP: "sweep.json", COMPARISON: "comparison.json"}
"""The file by which the directory of a sweep or a comparison is known, and which holds it."""


def kind_of(directory: Path) -> str:
    """Return SWEEP or COMPARISON for a directory that has the file of one, else RUN, also where nothing can be seen."""
    try:
        return next((kind for kind, name in FILES.items() if (directory / name).is_file()), RUN)
    except OSError:  # who then looks for a run says it
        return RUN


def load(directory: Path, kind: str) -> Any:
    """Read the Sweep or the Comparison of a directory. Raises UsageError for a file that can't be read or used."""
    from loadgen.sweep import files

    return files.load(directory) if kind == SWEEP else _comparison(directory / FILES[COMPARISON])


def _comparison(path: Path) -> Comparison:
    from loadgen.outcomes.comparison import Comparison

    try:
        return Comparison.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is damaged ({error}): compare the runs again") from None
