"""Calls the methods of a backend whether they are plain functions or coroutines."""

from __future__ import annotations

import asyncio
import inspect
import threading
from asyncio.events import _get_running_loop, _set_running_loop
from collections.abc import Callable, Coroutine, Generator
from typing import Any


def plain(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return `method` as a function that gives its value, whatever it is declared as."""
    if not inspect.iscoroutinefunction(method):
        return method
    runner = Runner()
    return lambda *args, **kwargs: runner.finish(method(*args, **kwargs))


class Runner:
    """Runs coroutines to their end, one at a time, from code that is no coroutine.

    Most never wait: they end at their first step and cost little more than a function. One that does wait is continued
    where it stopped, on an event loop of its own in a worker thread, while the caller waits.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return what the coroutine returns; its exceptions come out as they are."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        outer = _get_running_loop()
        _set_running_loop(self._loop)
        try:
            waits_for = coroutine.send(None)
        except StopIteration as end:
            return end.value
        finally:
            _set_running_loop(outer)
        return self._in_thread(_Rest(coroutine, waits_for))

    def _in_thread(self, rest: _Rest) -> Any:
        loop, outcome = self._loop, []

        async def run() -> Any:
            return await rest

        def work() -> None:
            assert loop is not None
            try:
                outcome.append((True, loop.run_until_complete(run())))
            except Exception as error:
                outcome.append((False, error))

        thread = threading.Thread(target=work, name="backend", daemon=True)
        thread.start()
        thread.join()
        succeeded, value = outcome[0]
        if succeeded:
            return value
        raise value

    def __del__(self) -> None:
        if self._loop is not None:
            self._loop.close()


class _Rest:
    """What is left of a coroutine whose first step has been taken."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        waits_for = self._waits_for
        while True:
            thrown: BaseException | None = None
            try:
                yield waits_for
            except BaseException as error:
                thrown = error
            try:
                waits_for = self._coroutine.throw(thrown) if thrown else self._coroutine.send(None)
            except StopIteration as end:
                return end.value
