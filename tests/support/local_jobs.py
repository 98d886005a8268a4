"""Jobs of a local model for tests: a backend that answers them, and what became of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from loadgen.backends.local.answers import Local
from loadgen.backends.local.interface import LocalBackend
from loadgen.protocols.local.jobs import Jobs, LocalJob, answer_of
from loadgen.types import Failure, Request, Timeline, TokenEvents


class Ended:
    """Collects the ends of jobs."""

    def __init__(self) -> None:
        self.all: list[tuple[LocalJob, str, Failure | None]] = []

    def __call__(self, job: LocalJob, reason: str, failure: Failure | None) -> None:
        self.all.append((job, reason, failure))


def served(backend: LocalBackend, inputs: Sequence[Any], limit: int = 4,
           options: dict[str, Any] | None = None) -> list[tuple[LocalJob, str, Failure | None]]:
    """Let a backend answer jobs that all wait when it begins, and return how they ended, in their order."""
    jobs, ended = Jobs(), Ended()
    made = [LocalJob(number, one, limit, options or {}, ended) for number, one in enumerate(inputs)]
    for job in made:
        jobs.put(job)
    over = threading.Thread(target=lambda: (wait_for(lambda: len(ended.all) == len(made)), jobs.close()))
    over.start()
    backend.serve(jobs)
    over.join()
    return sorted(ended.all, key=lambda end: end[0].number)


def wait_for(condition: Callable[[], bool]) -> None:
    event = threading.Event()
    while not condition():
        event.wait(0.002)


def decoded(end: tuple[LocalJob, str, Failure | None], **changes: Any) -> TokenEvents:
    """Send an end the way it goes, through bytes, and read it as the desk does."""
    sent = answer_of(*end)
    timeline = Timeline(0, due=0, sent=1, stamps=sent.stamps, reads=sent.reads, offsets=sent.offsets,
                        payload=sent.payload, failure=sent.failure, complete=sent.failure is None)
    local = Local(LocalBackend)
    for name, value in changes.items():
        setattr(local, name, value)
    return local.decode(timeline, Request(0, prompt="a b c", max_output_tokens=4))
