"""What became of the requests of one phase, as counts; names that servers invent are bounded in number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.recorder.batch import Batch
from loadgen.recorder.formulas import Tokens
from loadgen.recorder.names import NameCounts
from loadgen.types import ABSENT, CENSORED

NEVER_TRIED: Final = (CENSORED, "sender_lost", "backend", "too_long")
"""Failures of a request that was not sent which don't mean that sending it was tried."""


@dataclass(slots=True)
class Tally:
    """Counts of requests (attempts) and of what was seen in them; every sum is an exact integer."""

    offered: int = 0
    first_attempts: int = 0
    tried: int = 0  # first attempts that were sent, or whose connection failed
    sent: int = 0
    succeeded: int = 0
    failed: int = 0
    censored: int = 0
    held: int = 0
    reconnects: int = 0
    reads: int = 0
    unstamped: int = 0
    events: int = 0  # token events
    coalesced: int = 0  # of them, those whose stamp is that of a later one
    output_tokens: int = 0  # that arrived, also of failures
    input_tokens: int = 0  # of prompts whose first token arrived
    tokens: int = 0  # tokens by their events, of successes
    shared: int = 0  # of them, those that came with others in one event
    usage_given: int = 0  # successes whose token count the server told
    usage_wrong: int = 0  # of them, those whose count is another
    asked: int = 0  # tokens asked for by the successes of which that is known
    got: int = 0  # tokens that the same successes have
    failures: Counter[str] = field(default_factory=Counter)
    _types: dict[str, NameCounts] = field(default_factory=dict)
    _examples: dict[str, tuple[int, int, int, str]] = field(default_factory=dict)
    _finish_reasons: NameCounts = field(default_factory=NameCounts)
    _input_sources: NameCounts = field(default_factory=NameCounts)
    _output_sources: NameCounts = field(default_factory=NameCounts)

    @property
    def types(self) -> dict[str, Counter[str]]:
        """What the server calls the failures of each class."""
        return {kind: names.counts() for kind, names in self._types.items()}

    @property
    def examples(self) -> dict[str, str]:
        """The detail of the failure of each class that ended first."""
        return {kind: detail for kind, (*_, detail) in self._examples.items()}

    @property
    def finish_reasons(self) -> Counter[str]:
        """Why answers ended."""
        return self._finish_reasons.counts()

    @property
    def input_sources(self) -> Counter[str]:
        """Who counted the tokens of prompts."""
        return self._input_sources.counts()

    @property
    def output_sources(self) -> Counter[str]:
        """Who counted the tokens of answers."""
        return self._output_sources.counts()

    def merge(self, other: Tally) -> None:
        """Add the counts of other requests of the phase."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.failures.update(other.failures)
        for kind, example in other._examples.items():
            self._examples[kind] = min(self._examples.get(kind, example), example)
        for kind, names in other._types.items():
            self._types.setdefault(kind, NameCounts()).merge(names)
        self._finish_reasons.merge(other._finish_reasons)
        self._input_sources.merge(other._input_sources)
        self._output_sources.merge(other._output_sources)

    def fold(self, batch: Batch, tokens: Tokens, mask: npt.NDArray[np.bool_], good: npt.NDArray[np.bool_]) -> None:
        """Add the rows of `batch` that `mask` selects; `good` says which rows of all are successes."""
        rows = np.flatnonzero(mask)
        if not rows.size:
            return
        sent, first = batch.sent[rows] != ABSENT, batch.attempt[rows] == 0
        unsent = [batch.failure[row] not in NEVER_TRIED for row in rows[~sent]]
        self.offered += rows.size
        self.sent += int(sent.sum())
        self.first_attempts += int(first.sum())
        self.tried += int((first & sent).sum()) + int(np.asarray(unsent, np.bool_)[first[~sent]].sum())
        self.held += int(batch.held[rows].sum())
        self.reconnects += int(batch.reconnects[rows].sum())
        self.reads += int(batch.reads[rows].sum())
        self.unstamped += int(batch.unstamped[rows].sum())
        self.events += int(tokens.events[rows].sum())
        self.coalesced += int(batch.coalesced[rows].sum())
        self.output_tokens += int(tokens.total[rows].sum())
        prompts = batch.input_tokens[rows][tokens.events[rows] > 0].astype(np.int64)
        self.input_tokens += int(prompts[prompts > 0].sum())
        self._fold_failures(batch, np.flatnonzero(mask & ~good))
        self._fold_successes(batch, tokens, mask & good)

    def _fold_failures(self, batch: Batch, rows: npt.NDArray[np.int64]) -> None:
        for row in rows.tolist():
            kind = batch.failure[row]
            self.censored += kind == CENSORED
            self.failed += kind != CENSORED
            self.failures[kind] += 1
            example = (int(batch.end[row]), int(batch.index[row]), int(batch.attempt[row]), batch.detail[row])
            self._examples[kind] = min(self._examples.get(kind, example), example)
            self._types.setdefault(kind, NameCounts()).add([batch.failure_type[row]])

    def _fold_successes(self, batch: Batch, tokens: Tokens, mask: npt.NDArray[np.bool_]) -> None:
        rows = np.flatnonzero(mask)
        self.succeeded += rows.size
        got, usage, asked = batch.output_tokens[rows], batch.usage_tokens[rows], batch.asked_tokens[rows]
        self.usage_given += int((usage >= 0).sum())
        self.usage_wrong += int(((usage >= 0) & (usage != got)).sum())
        known = (asked >= 0) & (got >= 0)
        self.asked += int(asked[known].sum())
        self.got += int(got[known].sum())
        self.tokens += int(tokens.total[rows].sum())
        several = (tokens.count > 1) & mask[tokens.row]
        self.shared += int(tokens.count[several].sum())
        chosen = rows.tolist()
        self._finish_reasons.add(batch.finish_reason[row] for row in chosen)
        self._input_sources.add(batch.input_source[row] for row in chosen)
        self._output_sources.add(batch.output_source[row] for row in chosen)


_SUMS: Final = tuple(one.name for one in fields(Tally) if one.type == "int")
"""Fields that are plain sums."""
