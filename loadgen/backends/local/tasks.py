"""Answers jobs in an event loop, each in a task of its own, which is cancelled when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from loadgen.backends.errors import reason
from loadgen.protocols.local.jobs import Jobs, LocalJob


class ModelLostError(Exception):
    """The model can't answer anything any more: its process has no reason to live on."""


async def serve_async(jobs: Jobs, most: int, answer: Callable[[LocalJob], Awaitable[None]]) -> None:
    """Run `answer` for each job as it comes, at most `most` at a time (0: any number), until the queue is closed.

    A failure of `answer` is that of its job, but for ModelLostError, which is raised.
    """
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        loop.call_soon_threadsafe(changed.set)

    jobs.listen(wake)
    running: set[asyncio.Task[None]] = set()
    lost: list[BaseException] = []

    def ended(task: asyncio.Task[None]) -> None:
        running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            lost.append(error)
        changed.set()

    while not jobs.closed and not lost:
        changed.clear()
        for job in jobs.take(most - len(running) if most else 1 << 30, wait=False):
            task = asyncio.ensure_future(_guarded(answer, job))
            running.add(task)
            task.add_done_callback(ended)
        await changed.wait()
    jobs.listen(lambda: None)
    for task in running:
        task.cancel()
    if lost:
        raise lost[0]


async def _guarded(answer: Callable[[LocalJob], Awaitable[None]], job: LocalJob) -> None:
    """Answer a job, until nobody waits for it any more.

    A job that is cancelled since its model is lost, or since the run is over, is left without an end: it had none.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def dropped() -> None:
        loop.call_soon_threadsafe(task.cancel)

    job.on_drop = dropped
    try:
        if job.dropped:
            job.end("dropped")
        else:
            await answer(job)
    except asyncio.CancelledError:
        if job.dropped:
            job.end("dropped")
        elif not task.cancelling():
            job.fail("backend", "generate was cancelled by what it waited for", "CancelledError")
        raise
    except ModelLostError:
        raise
    except Exception as error:
        job.fail("backend", reason(error), type(error).__name__)
    finally:
        job.on_drop = None
