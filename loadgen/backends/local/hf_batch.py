"""Static batches of transformers: one `generate` for several requests, each with the instants of its own tokens."""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns
from typing import Any, Protocol

import torch

from loadgen.backends.errors import reason
from loadgen.backends.local.generating import alike, taken_up
from loadgen.backends.local.hf_options import asked_of
from loadgen.protocols.local.jobs import Jobs, LocalJob


class BatchModel(Protocol):
    """What this module knows of a backend.

    A prompt is whatever `prepare` makes and `tensors_of` takes, which returns the jobs that fit, and their tensors.
    """

    model: Any
    batch_size: int
    generation_kwargs: dict[str, Any]

    def prepare(self, job: LocalJob) -> Any: ...
    def tensors_of(self, group: Sequence[tuple[LocalJob, Any]]) -> tuple[list[LocalJob], Any]: ...


class Rows:
    """The rows of a batch while it is generated: a streamer that stamps, and a criterion that stops, each row.

    A row ends at one of `stops`, at its own limit, or when nobody waits for it any more. Source of both protocols:
    transformers, generation/streamers.py and stopping_criteria.py.
    """

    def __init__(self, jobs: Sequence[LocalJob], stops: frozenset[int], prompt: int, device: Any) -> None:
        self._jobs = jobs
        self._stops = stops
        self._prompt = prompt  # tokens of the padded prompts
        self._living = list(enumerate(jobs))
        self._seen_prompt = False
        self._none = torch.zeros(len(jobs), dtype=torch.bool, device=device)
        self._first_end = min(job.limit for job in jobs)

    def put(self, value: Any) -> None:
        """Stamp the step that is there now: `value`, int64[rows], is on the CPU, so nothing is queued any more."""
        if not self._seen_prompt:
            self._seen_prompt = True
            return
        at = time_ns()
        ids = value.tolist()
        ended = False
        for row, job in self._living:
            token = ids[row]
            job.stamps.append(at)
            job.ids.append(token)
            ended = ended or token in self._stops or len(job.ids) >= job.limit
        if ended:
            self._living = [(row, job) for row, job in self._living
                            if len(job.ids) < job.limit and job.ids[-1] not in self._stops]

    def end(self) -> None:
        """The last step was there."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """Return which rows are to end after the token that was just chosen, bool[rows]."""
        made = input_ids.shape[1] - self._prompt
        if made < self._first_end and not any(job.dropped for job in self._jobs):
            return self._none
        return torch.tensor([job.dropped or made >= job.limit for job in self._jobs], device=self._none.device)


def serve_static(backend: BatchModel, jobs: Jobs) -> None:
    """Answer jobs in batches of what waits, up to `batch_size`, until the queue is closed."""
    while found := jobs.take(max(1, backend.batch_size)):
        answer_batch(backend, found)


def answer_batch(backend: BatchModel, jobs: Sequence[LocalJob]) -> None:
    """Answer some jobs together, as far as they ask the same of `generate`."""
    for group in alike(jobs, limits=False):
        prepared = _prepared(backend, taken_up(group))
        if prepared:
            _answer(backend, prepared)


def _prepared(backend: BatchModel, jobs: Sequence[LocalJob]) -> list[tuple[LocalJob, Any]]:
    """Prepare each job; returns those that can be answered."""
    found = []
    for job in jobs:
        try:
            prompt = backend.prepare(job)
        except Exception as error:
            job.fail("backend", reason(error), type(error).__name__)
            continue
        if prompt is not None:
            found.append((job, prompt))
    return found


def _answer(backend: BatchModel, group: Sequence[tuple[LocalJob, Any]]) -> None:
    """Answer some prepared jobs with one `generate`; one by one where their prompts can't be put together."""
    try:
        jobs, tensors = backend.tensors_of(group)
    except Exception as error:
        if len(group) == 1:
            group[0][0].fail("backend", reason(error), type(error).__name__)
        else:  # an image that a processor refuses, say
            for one in group:
                _answer(backend, [one])
        return
    try:
        if jobs:
            _generate(backend, jobs, tensors)
    except Exception as error:  # out of memory, say: these requests fail, and the next may fit
        for job, _ in group:
            job.fail("backend", reason(error), type(error).__name__)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _generate(backend: BatchModel, jobs: Sequence[LocalJob], tensors: Any) -> None:
    asked = asked_of(backend.model.generation_config, backend.generation_kwargs, jobs[0].options)
    limit, prompt = max(job.limit for job in jobs), tensors["input_ids"].shape[1]
    length = {"min_new_tokens": limit} if asked.forced else {}
    rows = Rows(jobs, asked.stops, prompt, backend.model.device)
    with torch.inference_mode():
        output = backend.model.generate(**tensors, **{**asked.options, **length}, max_new_tokens=limit, streamer=rows,
                                        stopping_criteria=[rows])
    made = output[:, prompt:].tolist()
    for job, ids in zip(jobs, made, strict=True):
        job.usage = _length(ids[:job.limit], asked.stops)
        job.end("stop" if job.ids and job.ids[-1] in asked.stops else "length")


def _length(ids: Sequence[int], stops: frozenset[int]) -> int:
    """Return how many ids there are up to the first that ends an answer, itself included."""
    return next((place + 1 for place, token in enumerate(ids) if token in stops), len(ids))
