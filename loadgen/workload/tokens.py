"""A tokenizer, its words that are always one token, and texts of exactly so many tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from loadgen.types import UsageError
from loadgen.workload.words import COMMON

CANDIDATES: Final = 4096
TRIES: Final = 12
MARKS: Final = "Ġ▁"  # how byte-level BPE and SentencePiece write the space before a word


def load(name: str) -> Any:
    """Load a tokenizer from a directory, a tokenizer.json, or a hub by name (not if HF_HUB_OFFLINE is set).

    Raises UsageError if there is none.
    """
    from tokenizers import Tokenizer

    path = Path(name)
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        if file.is_file():
            tokenizer = Tokenizer.from_file(str(file))
        elif path.exists() or name.startswith((".", "/", "~")) or name.endswith(".json"):
            raise UsageError(f"there is no tokenizer {file}: give a directory that has a tokenizer.json")
        else:
            tokenizer = Tokenizer.from_pretrained(name)
    except UsageError:
        raise
    except Exception as error:  # the library raises bare Exception, and its hub client many kinds
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"the tokenizer {name!r} can't be loaded ({reason}): give a local directory that has a "
                         "tokenizer.json, or leave --tokenizer out for approximate lengths") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def digest(tokenizer: Any) -> str:
    """Return the sha256 of the tokenizer's own form."""
    return hashlib.sha256(tokenizer.to_str().encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What prompts are made of: `starts` begin a text, `words` follow after a space, each one token if possible.

    `ids` are the ordinary token ids. `special` is how many tokens a server adds to a plain text by itself. `additive`:
    words are tokenized apart from each other, so that a text of n words has n tokens, without trying.
    """

    tokenizer: Any
    starts: tuple[str, ...]
    words: tuple[str, ...]
    ids: tuple[int, ...]
    special: int
    additive: bool

    @classmethod
    def of(cls, tokenizer: Any, *, special: bool) -> Vocabulary:
        """Find the words of a tokenizer by trying them. `special`: count what is added around a plain text."""
        vocabulary = tokenizer.get_vocab(with_added_tokens=False)
        added = set(tokenizer.get_added_tokens_decoder())
        ids = tuple(sorted(number for number in vocabulary.values() if number not in added))
        tries = _candidates(vocabulary)
        starts = tuple(word for word in tries if _length(tokenizer, word) == 1)
        words = tuple(word for word in tries if _length(tokenizer, f"{starts[0]} {word}") == 2) if starts else ()
        additive = bool(words) and _splits(tokenizer, [starts[0], *words[:64]])
        added_always = tokenizer.num_special_tokens_to_add(False) if special else 0
        return cls(tokenizer, starts or COMMON, words or COMMON, ids, added_always, additive)

    def count(self, text: str) -> int:
        """Return how many tokens a text has, with those that a server adds."""
        return _length(self.tokenizer, text) + self.special

    def fit(self, words: list[str], length: int) -> tuple[str, int]:
        """Return a text that begins with `words` and has `length` tokens, and how many it has in truth.

        They differ only if the tokenizer allows no such text near, or if `length` is less than what is always added.
        """
        wanted = max(1, length - self.special)
        text = " ".join(words)
        if self.additive and len(words) == wanted:
            return text, wanted + self.special
        for attempt in range(TRIES):
            encoding = self.tokenizer.encode(text, add_special_tokens=False)
            known = len(encoding)
            if known == wanted:
                return text, known + self.special
            if known < wanted:
                text += "".join(f" {word}" for word in (words * (wanted // len(words) + 1))[: wanted - known])
            else:
                text = text[: encoding.offsets[wanted - 1][1]] if attempt < TRIES // 2 else text[:-1]
        return text, self.count(text)


def _splits(tokenizer: Any, words: list[str]) -> bool:
    """Tell whether the tokenizer parts a text at its spaces before anything else, and each word is one token then."""
    if tokenizer.pre_tokenizer is None:
        return False
    text = " ".join(words)
    normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer is not None else text
    parts = tokenizer.pre_tokenizer.pre_tokenize_str(normal)
    return len(parts) == len(words) == _length(tokenizer, text)


def _length(tokenizer: Any, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False))


def _candidates(vocabulary: dict[str, int]) -> list[str]:
    """Return plain words of a vocabulary, at most CANDIDATES of them, spread evenly over it."""
    found: dict[str, None] = {}
    for token in sorted(vocabulary, key=vocabulary.__getitem__):
        word = token.lstrip(MARKS)
        if 2 <= len(word) <= 12 and word.isascii() and word.isalpha():
            found[word] = None
    words = list(found)
    return words[:: max(1, -(-len(words) // CANDIDATES))]
