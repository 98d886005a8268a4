"""The word that was probably meant, for errors about words that are not known."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return "; did you mean X?" with the closest of `known`, "" if none is close.

    `cutoff` is how alike they must be, from 0 to 1: lower it where the words are short.
    """
    near = get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]}?" if near else ""
