"""Continuous batching of transformers: requests join and leave the running batch, each with instants of its own."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from time import perf_counter_ns, time_ns
from typing import Any, Protocol

import torch

from loadgen.backends.errors import reason
from loadgen.protocols.local.jobs import Job, Jobs
from loadgen.types import UsageError

_SECOND = 1_000_000_000
_POLL = 0.1  # s between looks at whether somebody still waits
_NO_STOP = -1  # the id that transformers takes for none


class Model(Protocol):
    """What this module knows of a backend."""

    model: Any
    batch_size: int
    stops: frozenset[int]
    generation_kwargs: dict[str, Any]
    engine: dict[str, Any]

    def prepare(self, job: Job) -> Any: ...


def make_manager(model: Any, generation_kwargs: Mapping[str, Any], engine: Mapping[str, Any], batch_size: int) -> Any:
    """Make transformers' manager of continuous batching. Raises UsageError where this version or model has none."""
    if not hasattr(model, "init_continuous_batching"):
        raise UsageError("this version of transformers has no continuous batching: pip install -U 'loadgen[hf]', or "
                         "--batching static")
    from transformers import ContinuousBatchingConfig

    config = copy.deepcopy(model.generation_config)
    unknown = config.update(**generation_kwargs)
    if unknown:
        raise UsageError(f"continuous batching takes no {', '.join(unknown)}: leave it out, or --batching static")
    given = {**({"max_requests_per_batch": batch_size} if batch_size > 1 else {}), **engine}
    try:
        return model.init_continuous_batching(config, ContinuousBatchingConfig(**given))
    except (TypeError, ValueError) as error:
        raise UsageError(f"continuous batching can't be set up so: {error}") from error


class Continuous:
    """Hands jobs to the manager and takes back what has ended."""

    def __init__(self, backend: Model, manager: Any) -> None:
        self._backend = backend
        self._manager = manager
        self._open: dict[str, Job] = {}

    def serve(self, jobs: Jobs) -> None:
        """Answer jobs until their queue is closed. Raises RuntimeError if the manager's thread dies."""
        with torch.inference_mode():  # which the thread of the manager takes over
            self._manager.start()
        collector = threading.Thread(target=self._collect, name="collect", daemon=True)
        collector.start()
        try:
            while found := jobs.take(64):
                for job in found:
                    self._begin(job)
                if not collector.is_alive():
                    raise RuntimeError("the thread of continuous batching ended; what it said is above")
        finally:
            self._manager.stop(hard_stop=True)
            collector.join()

    def _begin(self, job: Job) -> None:
        try:
            ids = self._backend.prepare(job)
            if ids is None:
                return
            options = dict(job.options)
            stops = [_NO_STOP] if options.pop("ignore_eos", True) else sorted(self._backend.stops)
            name = str(id(job))
            self._open[name] = job
            taken = self._manager.add_request(ids, request_id=name, max_new_tokens=job.limit, eos_token_id=stops,
                                              record_timestamps=True, **options)
            if taken is None:
                raise RuntimeError("continuous batching takes no more requests")
        except Exception as error:
            job.fail("backend", reason(error), type(error).__name__)

    def _collect(self) -> None:
        while self._manager.is_running():
            result = self._manager.get_result(timeout=_POLL)
            if result is not None:
                self._end(result)
            else:
                self._drop()
        for job in list(self._open.values()):
            job.fail("backend", "the thread of continuous batching ended; what it said is in model.log")

    def _drop(self) -> None:
        for name, job in list(self._open.items()):
            if job.dropped:
                del self._open[name]
                self._manager.cancel_request(name)

    def _end(self, result: Any) -> None:
        job = self._open.pop(result.request_id, None)
        if job is None or not result.is_finished():
            return
        if result.error:
            job.fail("backend", str(result.error), "ContinuousBatching")
            return
        wall = time_ns() - perf_counter_ns()  # from the clock of the manager to that of stamps
        job.stamps.extend(round(at * _SECOND) + wall for at in result.timestamps)
        job.ids += result.generated_tokens
        job.usage = len(result.generated_tokens)
        job.server["server_queue"] = max(0, round((result.lifespan[0] - result.created_time) * _SECOND))
        job.end("stop" if job.ids and len(job.ids) < job.limit else "length")
