"""Continuous batching of transformers: requests join and leave the running batch, each with instants of its own."""

from __future__ import annotations

import bisect
import copy
import itertools
import threading
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic_ns, perf_counter_ns, time_ns
from typing import Any, Final, Protocol

import torch

from loadgen.backends.errors import reason
from loadgen.backends.local.hf_options import Asked, asked_of
from loadgen.protocols.local.jobs import Jobs, LocalJob
from loadgen.types import SECOND, UsageError

_POLL = 0.1  # s between looks at whether the manager's thread is still there
_NO_STOP = -1  # the id that transformers takes for none
_TRIES = 5
CACHE_FULL: Final = ("transformers ran out of cache and began this request again; it keeps no instants of the tokens "
                     "before: more --engine num_blocks, or a smaller --batch-size")


class ContinuousModel(Protocol):
    """What this module knows of a backend."""

    model: Any
    batch_size: int
    generation_kwargs: dict[str, Any]
    engine: dict[str, Any]

    def prepare(self, job: LocalJob) -> Any: ...


def make_manager(model: Any, generation_kwargs: Mapping[str, Any], engine: Mapping[str, Any], batch_size: int) -> Any:
    """Make transformers' manager of continuous batching, warm: its cache is there, and graphs are captured.

    Raises UsageError where this version or model has none.
    """
    if not hasattr(model, "init_continuous_batching"):
        raise UsageError("this version of transformers has no continuous batching: pip install -U 'loadgen[hf]', or "
                         "--batching static")
    from transformers import ContinuousBatchingConfig

    config = copy.deepcopy(model.generation_config)
    unknown = config.update(**{name: value for name, value in generation_kwargs.items() if name != "ignore_eos"})
    if unknown:
        raise UsageError(f"continuous batching takes no {', '.join(unknown)}: leave it out, or --batching static")
    given = {**({"max_requests_per_batch": batch_size} if batch_size > 1 else {}), **engine}
    try:
        manager = model.init_continuous_batching(config, ContinuousBatchingConfig(**given))
        with torch.inference_mode():
            manager.warmup()
    except (TypeError, ValueError) as error:
        raise UsageError(f"continuous batching can't be set up so: {error}") from error
    return manager


def room_of(manager: Any, most: int) -> int:
    """Return how many tokens of one request fit the empty cache of a warm manager, up to `most` (0: any number).

    A request of more would starve, and transformers then fails every request there is.
    """
    from transformers.generation.continuous_batching.requests import RequestState

    cache, nobody = manager.batch_processor.cache, RequestState(request_id="", initial_tokens=[])
    sizes = range(1, (most or cache.max_tokens_read) + 1)
    return bisect.bisect_left(sizes, True, key=lambda tokens: not cache.can_store_request_tokens(nobody, tokens, True))


class Continuous:
    """Hands jobs to the manager and takes back what has ended."""

    def __init__(self, backend: ContinuousModel, manager: Any) -> None:
        self._backend = backend
        self._manager = manager
        self._numbers = itertools.count()
        self._open: dict[str, LocalJob] = {}

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

    def _begin(self, job: LocalJob) -> None:
        try:
            ids = self._backend.prepare(job)
            if ids is not None:
                self._ask(job, ids)
        except Exception as error:
            job.fail("backend", reason(error), type(error).__name__)

    def _ask(self, job: LocalJob, ids: list[int]) -> None:
        asked = asked_of(self._backend.model.generation_config, self._backend.generation_kwargs, job.options)
        name = str(next(self._numbers))
        options = self._options(asked)
        self._open[name] = job
        taken = self._manager.add_request(ids, request_id=name, max_new_tokens=job.limit, record_timestamps=True,
                                          eos_token_id=sorted(asked.stops) or [_NO_STOP], **options)
        if taken is None:
            raise RuntimeError("continuous batching takes no more requests")
        job.on_drop = partial(self._drop, name)
        if job.dropped:  # before there was anybody to tell
            self._drop(name)

    def _options(self, asked: Asked) -> dict[str, Any]:
        """Return the options of a request that are not the manager's already. Raises ValueError if it takes none."""
        config = self._manager.generation_config
        own = {name: value for name, value in asked.options.items()
               if name != "eos_token_id" and (getattr(config, name, None) or False) != value}  # do_sample may be None
        if own and not self._backend.engine.get("per_request_processors"):
            raise ValueError(f"{next(iter(own))}: continuous batching samples all requests alike: write it into "
                             "--option generation_kwargs=..., or let temperature, top_k and top_p be a request's own "
                             "by --engine per_request_processors=true")
        return own

    def _drop(self, name: str) -> None:
        """Take a request out of the batch; called from the thread that reads requests."""
        job = self._open.pop(name, None)
        if job is not None:
            self._manager.cancel_request(name)
            job.end("dropped")

    def _collect(self) -> None:
        """Take back results, to the last that the manager's thread left behind when it ended."""
        result = None
        while (running := self._manager.is_running()) or result is not None:
            result = self._manager.get_result(timeout=_POLL if running else 0)
            if result is not None and result.is_finished():
                self._end(result)
        for job in list(self._open.values()):
            job.fail("backend", "the thread of continuous batching ended; what it said is in model.log")

    def _end(self, result: Any) -> None:
        job = self._open.pop(result.request_id, None)
        if job is None:
            return
        if result.error:
            job.fail("backend", str(result.error), "ContinuousBatching")
        elif len(result.timestamps) != len(result.generated_tokens):
            job.fail("backend", CACHE_FULL, "CacheFull")
        else:
            _note(job, result)


def _note(job: LocalJob, result: Any) -> None:
    """Note an answer, with the instants that the manager has of it."""
    wall = offset_to(time_ns)
    job.stamps.extend(round(at * SECOND) + wall for at in result.timestamps)
    job.ids += result.generated_tokens
    job.usage = len(result.generated_tokens)
    began = round(result.lifespan[0] * SECOND) + offset_to(monotonic_ns)
    job.server["server_queue"] = max(0, began - job.received)
    job.end("stop" if job.ids and len(job.ids) < job.limit else "length")


def offset_to(clock: Callable[[], int], own: Callable[[], int] = perf_counter_ns) -> int:
    """Return what makes instants of `clock` of those of `own`, the manager's clock (ns): the best of a few tries.

    A thread that is switched away between two readings would shift every token of an answer.
    """
    tries = []
    for _ in range(_TRIES):
        before, there, after = own(), clock(), own()
        tries.append((after - before, there - (before + after) // 2))
    return min(tries)[1]
