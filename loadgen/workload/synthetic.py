"""Made-up prompts of given lengths, each different from its first token on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from loadgen.types import Request
from loadgen.workload.lengths import Lengths
from loadgen.workload.seeds import generator
from loadgen.workload.tokens import Vocabulary, digest
from loadgen.workload.words import COMMON

DISTINCT: Final = 1 << 42
"""So many prompts differ in their first few tokens: more than any run has."""


class Beginnings:
    """Different beginnings for different indices: digits of a permuted index, the fastest changing first."""

    def __init__(self, first: int, other: int, seed: int) -> None:
        self._bases = [first]
        while math.prod(self._bases) < DISTINCT and len(self._bases) < 16:
            self._bases.append(other)
        self._size = math.prod(self._bases)
        rng = generator(seed, "beginning")
        self._shift = int(rng.integers(1 << 62))
        self._factor = int(rng.integers(1 << 62)) | 1
        while math.gcd(self._factor, self._size) != 1:
            self._factor += 2 if self._size % 2 == 0 else 1

    def at(self, index: int) -> list[int]:
        """Return positions in the lists of first and of other words."""
        value = (index * self._factor + self._shift) % self._size
        digits = []
        for base in self._bases:
            value, digit = divmod(value, base)
            digits.append(digit)
        return digits


@dataclass(slots=True)
class Synthetic:
    """Prompts of random words or token ids. With a vocabulary their length is exact, without one approximate."""

    inputs: Lengths
    outputs: Lengths
    seed: int
    vocabulary: Vocabulary | None = None
    token_ids: bool = False
    shared_prefix: int = 0
    name: str = ""  # of the tokenizer
    chat: bool = True
    count: int | None = field(default=None, init=False)
    _starts: Sequence[Any] = field(init=False)
    _words: Sequence[Any] = field(init=False)
    _beginnings: Beginnings = field(init=False)
    _shared: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        known = self.vocabulary
        if known is None:
            self._starts = self._words = COMMON
        elif self.token_ids:
            self._starts = self._words = known.ids
        else:
            self._starts, self._words = known.starts, known.words
        first = self._words if self.shared_prefix else self._starts
        self._beginnings = Beginnings(len(first), len(self._words), self.seed)
        rng = generator(self.seed, "shared prefix")
        self._shared = [self._starts[i] for i in rng.integers(0, len(self._starts), min(1, self.shared_prefix))]
        self._shared += [self._words[i] for i in rng.integers(0, len(self._words), max(0, self.shared_prefix - 1))]

    @property
    def count_tokens(self) -> Callable[[str], int] | None:
        """Count the tokens of a text without what a server adds; None without a tokenizer."""
        known = self.vocabulary
        return None if known is None else lambda text: known.count(text) - known.special

    def request(self, index: int) -> Request:
        """Return the request at an index, the same each time."""
        length, asked = self.inputs.at(index), self.outputs.at(index)
        known = self.vocabulary
        special = known.special if known is not None and not self.token_ids else 0
        chosen = self._choose(index, max(1, length - special))
        if known is None:
            return Request(index, prompt=" ".join(chosen), max_output_tokens=asked)
        if self.token_ids:
            return Request(index, prompt_ids=tuple(chosen), max_output_tokens=asked, input_tokens=length)
        text, tokens = known.fit(chosen, length)
        return Request(index, prompt=text, max_output_tokens=asked, input_tokens=tokens)

    def _choose(self, index: int, length: int) -> list[Any]:
        """Choose so many words or ids: the shared ones, a beginning of its own, then random ones."""
        words = self._words
        first, *others = self._beginnings.at(index)
        chosen = [*self._shared, (words if self._shared else self._starts)[first], *[words[i] for i in others]][:length]
        missing = length - len(chosen)
        if missing:
            drawn = generator(self.seed, "prompt", index).integers(0, len(words), missing).tolist()
            chosen += [words[i] for i in drawn]
        return chosen

    def describe(self) -> dict[str, Any]:
        """Say what is asked, for the provenance of a run."""
        known = self.vocabulary
        facts: dict[str, Any] = {
            "kind": "synthetic", "input_length": "approximate" if known is None else "exact",
            "input_tokens": self.inputs.describe(), "output_tokens": self.outputs.describe(),
            "form": "token ids" if self.token_ids else "text", "shared_prefix": self.shared_prefix, "seed": self.seed}
        if known is not None:
            facts["tokenizer"] = {"name": self.name, "sha256": digest(known.tokenizer), "added_tokens": known.special}
        if self.chat:
            facts["chat_overhead"] = "unknown until the server's usage: its chat template adds tokens to each prompt"
        return facts


