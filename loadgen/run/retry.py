"""Which failed requests are sent again, and how often: each attempt is a row of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from loadgen.engine.messages import Item
from loadgen.types import Failure, Timeline

RETRIED: Final = frozenset({"connect", "tls", "http_429", "http_5xx", "http_503", "truncated"})
"""Failures that another attempt may not meet: no connection, a server that was overloaded or broke off."""

Offer = Callable[[Item, int], bool]


class Retries:
    """Send failed calls again, each up to `limit` times, from the sender that had them."""

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._items: dict[int, Item] = {}  # what was handed over and has not ended
        self._offer: Offer = lambda item, sender: False

    def keep(self, items: Iterable[Item], offer: Offer) -> Iterable[Item]:
        """Return the same items, remembering each until it has ended.

        `offer` hands an item to a sender, by its number; False if nothing is wanted any more.
        """
        self._offer = offer
        return self._remembering(items) if self._limit else items

    def _remembering(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            self._items[item.index] = item
            yield item

    def again(self, timeline: Timeline, failure: Failure | None) -> bool:
        """Send a call again that has ended so, if that is wanted; returns whether it is."""
        item = self._items.pop(timeline.index, None)
        if item is None or failure is None or failure.kind not in RETRIED or item.attempt >= self._limit:
            return False
        item = Item(item.index, item.due, item.target, item.data, item.attempt + 1)
        if not self._offer(item, timeline.sender):
            return False
        self._items[item.index] = item
        return True
