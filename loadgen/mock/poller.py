"""Waiting for sockets: epoll where there is one, the system's own selector behind the same four methods elsewhere."""

from __future__ import annotations

import select
import selectors
from typing import Final, Protocol

IN: Final = 1  # EPOLLIN, and the same for Selector below
OUT: Final = 4  # EPOLLOUT
EDGE: Final = 1 << 31  # EPOLLET


class Poller(Protocol):
    """The part of select.epoll that the mock uses. `timeout` in seconds, negative for ever."""

    def register(self, fd: int, eventmask: int, /) -> None: ...
    def modify(self, fd: int, eventmask: int, /) -> None: ...
    def unregister(self, fd: int, /) -> None: ...
    def poll(self, timeout: float, /) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


class Selector:
    """select.epoll's methods over selectors, for systems without epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, eventmask: int, /) -> None:
        self._selector.register(fd, _flags(eventmask))

    def modify(self, fd: int, eventmask: int, /) -> None:
        self._selector.modify(fd, _flags(eventmask))

    def unregister(self, fd: int, /) -> None:
        self._selector.unregister(fd)

    def poll(self, timeout: float, /) -> list[tuple[int, int]]:
        ready = self._selector.select(None if timeout < 0 else timeout)
        return [(key.fd, IN * bool(flags & selectors.EVENT_READ) | OUT * bool(flags & selectors.EVENT_WRITE))
                for key, flags in ready]  # fmt: skip

    def close(self) -> None:
        self._selector.close()


def _flags(eventmask: int) -> int:
    return selectors.EVENT_READ * bool(eventmask & IN) | selectors.EVENT_WRITE * bool(eventmask & OUT)


def open_poller() -> Poller:
    """Open the quickest poller that this system has."""
    return select.epoll() if hasattr(select, "epoll") else Selector()
