"""How the time to first token depends on the length of the prompt: each point, or a map where there are too many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.recorder import Recorder

Integers = npt.NDArray[np.int64]

MOST_POINTS: Final = 2000
COLUMNS: Final = 80
ROWS: Final = 60


@dataclass(frozen=True, slots=True)
class Scatter:
    """Every request: input tokens and ttft (ns), int64[n] each."""

    input_tokens: Integers
    ttft: Integers


@dataclass(frozen=True, slots=True)
class Density:
    """How many requests had so many input tokens and such a ttft: counts int64[rows, columns].

    `input_edges` (tokens) is int64[columns + 1], `ttft_edges` (ns, equally far apart as logarithms) int64[rows + 1].
    """

    input_edges: Integers
    ttft_edges: Integers
    counts: Integers


class Cloud:
    """Gathers the points of a run; beyond MOST_POINTS it only counts them."""

    def __init__(self, recorder: Recorder) -> None:
        """Begin with nothing. The recorder knows how many there will be, and between which limits."""
        tokens, ttft = recorder.metrics["input_tokens"], recorder.metrics["ttft"]
        self._parts: list[tuple[Integers, Integers]] = []
        self._density: Density | None = None
        self._some = tokens.count > 0 and ttft.count > 0 and tokens.min < tokens.max
        if self._some and ttft.count > MOST_POINTS:
            step = -(-(tokens.max + 1 - tokens.min) // COLUMNS)
            columns = -(-(tokens.max + 1 - tokens.min) // step)
            rows = np.unique(np.geomspace(max(ttft.min, 1), ttft.max + 1, ROWS + 1).astype(np.int64))
            self._density = Density(tokens.min + step * np.arange(columns + 1), rows,
                                    np.zeros((rows.size - 1, columns), np.int64))

    def add(self, tokens: Integers, ttft: Integers) -> None:
        """Add one point a request."""
        if self._density is None:
            if self._some:
                self._parts.append((tokens, ttft))
            return
        to = self._density
        column = np.clip(np.searchsorted(to.input_edges, tokens, side="right") - 1, 0, to.counts.shape[1] - 1)
        row = np.clip(np.searchsorted(to.ttft_edges, ttft, side="right") - 1, 0, to.counts.shape[0] - 1)
        np.add.at(to.counts, (row, column), 1)

    def picture(self) -> Scatter | Density | None:
        """Return the points or the counts; None if all prompts were of one length."""
        if self._density is not None or not self._parts:
            return self._density
        tokens, ttft = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        return Scatter(tokens, ttft)
