"""What a check is: a row of the verdict's table, with everything that the rest of the program needs to know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from loadgen.checks.inputs import Evidence
from loadgen.outcomes.report import CheckResult

CLIENT: Final = "client"
SERVER: Final = "server"
SETUP: Final = "setup"
SHORT: Final = "short"

Question = Literal["client", "numbers", "server"]
Cause = Literal["client", "server", "setup", "short"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a check sees. `seen` and `limit` are numbers in `unit` or short texts; `remedy` replaces that of the row."""

    ok: bool
    seen: float | str
    limit: float | str
    unit: str = ""  # ns | share | count | "" for text
    remedy: str = ""
    warning: bool = False  # fails, but --lax makes it no reason for INVALID


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the verdict. `judge` is a pure function of the Evidence; None where the check does not apply.

    `question` is what it answers: did the client do its part, are the numbers known, did the server hold up? `cause` is
    whose doing it is that it fails, for a search: the client was too slow, the server, the set-up, or the run was too
    short. `live` checks are judged while the run goes on, too.
    """

    name: str
    question: Question
    judge: Callable[[Evidence], Judged | None]
    live: bool = False
    remedy: str = ""
    cause: Cause = "setup"
    blames_client: bool = False  # where it fails, a run that was given up may not blame the server
    of_one_run: bool = False  # asks whether one run alone decides an objective: no reason to doubt one of several

    def result(self, seen: Evidence) -> CheckResult | None:
        """Return the row of this run; one that holds carries no remedy. None if the check does not apply."""
        found = self.judge(seen)
        if found is None:
            return None
        if found.ok:
            return CheckResult(self.name, True, found.seen, found.limit, found.unit)
        return CheckResult(self.name, False, found.seen, found.limit, found.unit, found.remedy or self.remedy,
                           found.warning)
