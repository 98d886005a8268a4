"""The table of arrival laws. A law of your own is one more row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the table is read by `loadgen --help`, which has no time for numpy
    import numpy as np
    import numpy.typing as npt

    Gaps = Callable[[np.random.Generator, int, float], npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Law:
    """One law: the gaps between its arrivals, drawn as gaps(rng, n, burstiness), in any unit.

    `mean(burstiness)` is the mean of those gaps, which makes the unit 1. Without `gaps` arrivals are evenly spaced.
    """

    gaps: Gaps | None
    mean: Callable[[float], float] = lambda burstiness: 1.0
    has_burstiness: bool = False


def _exponential(rng: np.random.Generator, n: int, burstiness: float) -> npt.NDArray[np.float64]:
    return rng.standard_exponential(n)


def _gamma(rng: np.random.Generator, n: int, burstiness: float) -> npt.NDArray[np.float64]:
    """Gaps of shape `burstiness`, whose coefficient of variation is 1 / sqrt(burstiness)."""
    return _exponential(rng, n, burstiness) if burstiness == 1.0 else rng.standard_gamma(burstiness, n)


LAWS: Final[dict[str, Law]] = {
    "poisson": Law(_exponential),
    "constant": Law(None),
    "gamma": Law(_gamma, mean=lambda burstiness: burstiness, has_burstiness=True),
}
