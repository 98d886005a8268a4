"""Calls the `generate` of a local backend, whatever form it has, and notes what it says in the jobs that it is for."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from time import time_ns
from typing import Any, Protocol

from loadgen.backends.errors import reason
from loadgen.backends.local.tasks import serve_async
from loadgen.protocols.local.jobs import Jobs, LocalJob


class GeneratingModel(Protocol):
    """What this module knows of a local backend."""

    batch_size: int
    takes_lists: bool

    def adapt(self, input: Any) -> Any: ...
    def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any: ...


def serve(backend: GeneratingModel, jobs: Jobs) -> None:
    """Answer jobs with `backend.generate` until their queue is closed."""
    method = backend.generate
    if inspect.isasyncgenfunction(method) or inspect.iscoroutinefunction(method):
        asyncio.run(serve_async(jobs, backend.batch_size, lambda job: _answer_async(backend, job)))
        return
    while batch := jobs.take(max(1, backend.batch_size)):
        for group in alike(batch):
            answer(backend, taken_up(group))


def alike(batch: Sequence[LocalJob], *, limits: bool = True) -> Iterable[list[LocalJob]]:
    """Part a batch into those that one call of `generate` can be asked for: equal `limits`, equal options."""
    groups: dict[tuple[int, str], list[LocalJob]] = {}
    for job in batch:
        groups.setdefault((job.limit if limits else 0, json.dumps(job.options, sort_keys=True)), []).append(job)
    return groups.values()


def taken_up(group: Iterable[LocalJob]) -> list[LocalJob]:
    """Return the jobs of a group that somebody still waits for: what they waited for other groups was in the queue."""
    wanted = []
    for job in group:
        if job.dropped:
            job.end("dropped")
        else:
            job.begin()
            wanted.append(job)
    return wanted


def answer(backend: GeneratingModel, group: Sequence[LocalJob]) -> None:
    """Answer alike jobs with one call."""
    if not group:
        return
    many = backend.takes_lists or backend.batch_size > 1
    inputs = [backend.adapt(job.input) for job in group]
    kwargs = dict(group[0].options)
    if "streamer" in inspect.signature(backend.generate).parameters:
        kwargs["streamer"] = Streamer(group, stops_of(getattr(backend, "eos_token_id", None)))
    try:
        said = backend.generate(inputs if many else inputs[0], group[0].limit, **kwargs)
        if inspect.isgenerator(said) or isinstance(said, Iterator):
            _follow(said, group, many)
        else:
            _take_whole(said, group)
    except Exception as error:
        for job in group:
            job.fail("backend", reason(error), type(error).__name__)


def stops_of(ids: Any) -> frozenset[int]:
    """Return token ids that end an answer as a set: of one id, of several, of None."""
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)


def _take_whole(said: Any, group: Sequence[LocalJob]) -> None:
    """Note what was returned: a text for each job, unless its tokens were streamed already."""
    if not isinstance(said, str | list | tuple | None):
        raise TypeError(f"generate returned {type(said).__name__}: return a text (of a batch, a list), or yield")
    texts = [said] if isinstance(said, str) or said is None else list(said)
    if len(texts) != len(group) and not all(job.stamps for job in group):
        raise TypeError(f"generate returned {len(texts)} answers to {len(group)} inputs")
    for place, job in enumerate(group):
        if not job.stamps and texts[place] is not None:
            job.whole(_checked(texts[place]))
        job.end(reason_of(job))


def reason_of(job: LocalJob) -> str:
    """Say why an answer ended, as far as its token ids tell: "" where there are none."""
    if not job.ids:
        return ""
    return "stop" if len(job.ids) < job.limit else "length"


def _checked(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"generate returned {type(text).__name__} as an answer: return a text, or yield pieces")
    return text


def _follow(said: Iterator[Any], group: Sequence[LocalJob], many: bool) -> None:
    """Note what a generator yields, until its end or until nobody waits for it any more."""
    try:
        for item in said:
            parts = settled(item)
            at = time_ns()
            for job, part in zip(group, parts if many else [parts], strict=True):
                note(job, part, at)
            if all(job.dropped for job in group):
                break
    finally:
        close = getattr(said, "close", None)
        if close is not None:
            close()
    for job in group:
        job.end(reason_of(job))


def settled(item: Any) -> Any:
    """Return what was yielded as values of Python's own. An array on a device is waited for: only then is it there."""
    if isinstance(item, str):
        return item
    if hasattr(item, "tolist"):
        return item.tolist()
    return [settled(one) for one in item] if isinstance(item, Iterable) else item


def note(job: LocalJob, part: Any, at: int) -> None:
    """Note one part of an answer: a token id, a list of them, a piece of text; None and "" are nothing.

    Raises TypeError for texts and ids in one answer, whose tokens nobody could count.
    """
    if part is None or part == "" or part == []:
        return
    if job.ids if isinstance(part, str) else job.pieces:
        raise TypeError("generate gave texts and token ids in one answer: give either")
    if isinstance(part, str):
        job.piece(part)
    elif isinstance(part, int):
        job.token(part, at)
    else:
        job.tokens(part, at)


class Streamer:
    """What a `generate` that streams as transformers does is given: `put` is called with each token as it is made.

    `put` takes a text, a token id, or an array with one id for each row. An array of two dimensions that comes first is
    the prompt; a later one has several tokens of one row, as assisted decoding makes them. A row ends after one of
    `stops`; what comes for it then is padding. Source of the protocol: transformers, generation/streamers.py.
    """

    def __init__(self, group: Sequence[LocalJob], stops: frozenset[int] = frozenset()) -> None:
        self._group = group
        self._stops = stops
        self._ended = [False] * len(group)
        self._began = False

    def put(self, value: Any) -> None:
        """Note a step: of every row that has not ended, one token."""
        first, self._began = not self._began, True
        deep = getattr(value, "ndim", 1) > 1
        if deep and first:
            if len(self._group) == 1:
                self._group[0].input_tokens = int(value.shape[-1])
            return
        made = settled(value)
        at = time_ns()
        if len(self._group) == 1:
            ids = made[0] if deep else made
            note(self._group[0], ids[0] if isinstance(ids, list) and len(ids) == 1 else ids, at)
        elif deep:
            raise TypeError("a streamer of several rows takes one token of each at a time")
        else:
            self._put_rows(made, at)

    def _put_rows(self, made: Any, at: int) -> None:
        for row, part in enumerate([made] if isinstance(made, int | str) else made):
            if not self._ended[row]:
                note(self._group[row], part, at)
                self._ended[row] = part in self._stops

    def end(self) -> None:
        """Nothing more comes."""


async def _answer_async(backend: GeneratingModel, job: LocalJob) -> None:
    asked = backend.adapt(job.input)
    said = backend.generate([asked] if backend.takes_lists else asked, job.limit, **job.options)
    if not isinstance(said, AsyncIterator):
        _take_whole(await said, [job])
        return
    try:
        async for item in said:
            part = settled(item)
            note(job, part, time_ns())
            if job.dropped:
                break
    finally:
        if isinstance(said, AsyncGenerator):
            await said.aclose()
    job.end(reason_of(job))
