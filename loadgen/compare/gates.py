"""Regression gates as users write them: --fail-on 'ttft.p99>3%'."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from loadgen.slo import SHARES, read_statistic
from loadgen.types import UsageError

TOLERANCE: Final = 0.03
_FORM: Final = re.compile(r"\s*(?P<name>[\w.-]+?)\s*(?:(?P<sign>[<>])\s*(?P<change>[+-]?\d+(?:\.\d+)?)\s*%\s*)?")
_EXAMPLES: Final = "'ttft.p99>3%', 'output_tokens<-3%', or ttft.p99 alone for --tolerance"


@dataclass(frozen=True, slots=True)
class RegressionGate:
    """A statistic that must not get worse by more than `tolerance`, a share of the base's value."""

    text: str
    metric: str
    statistic: str
    unit: str
    better: Literal["less", "more"]
    tolerance: float

    @property
    def name(self) -> str:
        """The row that it looks at."""
        return f"{self.metric}.{self.statistic}" if self.statistic else self.metric


def read_all(texts: Iterable[str], tolerance: float = TOLERANCE) -> tuple[RegressionGate, ...]:
    """Read several gates, of which each statistic has one. Raise UsageError as `read` does, or for a second one."""
    found: dict[str, RegressionGate] = {}
    for text in texts:
        gate = read(text, tolerance)
        if gate.name in found:
            raise UsageError(f"--fail-on {text!r}: {gate.name} is gated already, by {found[gate.name].text}: keep one")
        found[gate.name] = gate
    return tuple(found.values())


def read(text: str, tolerance: float = TOLERANCE) -> RegressionGate:
    """Read one gate; without a limit it takes `tolerance`. Raise UsageError that names the nearest right form.

    Latencies regress upwards ("ttft.p99>3%"), rates downwards ("output_tokens<-3%").
    """
    said = f"--fail-on {text!r}"
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"invalid gate {said}: write one such as {_EXAMPLES}")
    name, sign, change = match.group("name", "sign", "change")
    metric, statistic, unit = read_statistic(said, name)
    if metric in SHARES:
        raise UsageError(f"{said}: errors have no ratio, and each run is judged by them already: leave it out")
    if unit == "count" and sign is None:
        raise UsageError(f"{said} doesn't say which way is worse: write '{name}>3%' or '{name}<-3%'")
    better: Literal["less", "more"] = "less" if unit == "ns" or (unit == "count" and sign == ">") else "more"
    if sign is None:
        sign, change = (">", f"{tolerance * 100:g}") if better == "less" else ("<", f"-{tolerance * 100:g}")
    limit = _limit(said, name, sign, float(change), better)
    return RegressionGate(f"{name}{sign}{change}%", metric, statistic, unit, better, limit)


def _limit(said: str, name: str, sign: str, percent: float, better: str) -> float:
    """Return the tolerance as a share, if sign and change say together that worse is meant."""
    right = f"'{name}>3%'" if better == "less" else f"'{name}<-3%'"
    if (sign == ">") != (better == "less"):
        raise UsageError(f"{said} would fail when {name} gets better: write {right}")
    if (percent < 0) == (sign == ">") and percent != 0:
        raise UsageError(f"{said}: the change that fails is {'upwards' if sign == '>' else 'downwards'}: write {right}")
    if percent <= -100:
        raise UsageError(f"{said}: nothing falls by more than all of it: write {right}")
    return abs(percent) / 100
