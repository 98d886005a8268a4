"""Asks vLLM's engine for jobs, one generator each, and stamps what it yields."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic_ns, time_ns
from typing import Any, Final, Protocol

from loadgen.backends.local.hf_loading import fits
from loadgen.backends.local.tasks import ModelLostError, serve_async
from loadgen.protocols.local.jobs import Jobs, LocalJob
from loadgen.types import SECOND

_TIMES: Final = (("server_queue", "queued_ts", "scheduled_ts"), ("server_prefill", "scheduled_ts", "first_token_ts"),
                 ("server_decode", "first_token_ts", "last_token_ts"))
"""Our metrics, and the instants of vLLM's RequestStateStats that they lie between (s, one clock)."""
REFUSED: Final = {
    "max_tokens": "the length of answers is --output-tokens (max_out_len in a config file): leave it out",
    "n": "each prompt is asked once: give --requests a multiple of the prompts instead",
    "output_kind": "tokens are taken as they come: leave it out",
}
"""SamplingParams that measuring has to set, and what to write instead."""

FAILED: Final = ("abort", "error")
"""Finish reasons of requests that failed in the engine."""


class Engine(Protocol):
    """What is used of vLLM's AsyncLLM."""

    renderer: Any

    @property
    def errored(self) -> bool: ...
    def generate(self, prompt: Any, sampling_params: Any, request_id: str) -> AsyncIterator[Any]: ...


class EngineRequests:
    """Serves jobs with an engine.

    `prompt_of` makes a prompt with the key `prompt_token_ids` of a job's input; it may raise ValueError. It runs in a
    thread, one at a time, so that a long prompt or an image holds up no token of other requests. `sampling_of` makes
    the SamplingParams. `most` is how many tokens fit, prompt and answer together.
    """

    def __init__(self, engine: Engine, prompt_of: Callable[[LocalJob], Mapping[str, Any]],
                 sampling_of: Callable[[LocalJob], Any], most: int) -> None:
        self._engine = engine
        self._prompt_of = prompt_of
        self._sampling_of = sampling_of
        self._most = most
        self._thread = ThreadPoolExecutor(1, "prompts")
        self._count = 0

    async def serve(self, jobs: Jobs) -> None:
        """Answer jobs until their queue is closed. Raises ModelLostError if the engine dies."""
        await serve_async(jobs, 0, self.answer)

    async def answer(self, job: LocalJob) -> None:
        """Ask the engine for one job. Cancelling this aborts the job at once, also while the engine queues it."""
        try:
            sampling = self._sampling_of(job)  # before its images are rendered: see _forget
            prompt = await self._prompt(job)
            if prompt is not None:
                await self._follow(job, prompt, sampling)
        except Exception as error:
            if self._engine.errored:
                raise ModelLostError(f"vLLM's engine died: {error}") from error
            if not str(error) and error.__cause__ is not None:  # EngineGenerateError, which says nothing itself
                raise error.__cause__ from None
            raise

    async def _prompt(self, job: LocalJob) -> Any:
        """Return the prompt of a job as the engine takes it; None if it is too long, which the job was told then."""
        began = monotonic_ns()
        raw = await asyncio.get_running_loop().run_in_executor(self._thread, self._prompt_of, job)
        job.input_tokens = len(raw["prompt_token_ids"])
        if not fits(job, self._most):
            return None
        prompt = await self._render(raw)
        job.input_tokens = len(prompt["prompt_token_ids"])  # images have become as many tokens as they take
        job.server["server_preprocess"] = monotonic_ns() - began
        if fits(job, self._most):
            return prompt
        self._forget(prompt)
        return None

    async def _render(self, raw: Mapping[str, Any]) -> Any:
        """Let vLLM make of a prompt what its engine takes; if that is cancelled, forget it when it is made."""
        rendering = asyncio.ensure_future(self._engine.renderer.render_cmpl_async([raw]))
        try:
            (prompt,) = await asyncio.shield(rendering)
        except asyncio.CancelledError:
            rendering.add_done_callback(self._forget_made)
            raise
        return prompt

    def _forget_made(self, rendering: asyncio.Future[Any]) -> None:
        if not rendering.cancelled() and rendering.exception() is None:
            self._forget(*rendering.result())

    def _forget(self, prompt: Mapping[str, Any]) -> None:
        """Let the renderer forget images that the engine will not get from this prompt.

        It takes those that it has rendered for known to the engine, and would send no data with the next such request.
        """
        cache = self._engine.renderer.mm_processor_cache
        if cache is not None:
            for hashes in prompt.get("mm_hashes", {}).values():
                for one in hashes:
                    cache.invalidate(one)

    async def _follow(self, job: LocalJob, prompt: Any, sampling: Any) -> None:
        self._count += 1
        made = None
        async for output in self._engine.generate(prompt, sampling, str(self._count)):
            at = time_ns()
            made = output.outputs[0]
            ids = list(made.token_ids)
            if len(ids) == 1:
                job.token(ids[0], at)
            elif ids:
                job.tokens(ids, at)
            stats = output.metrics
        if made is None:
            raise RuntimeError("vLLM's engine yielded nothing")
        take_stats(job, stats)
        if made.finish_reason in FAILED:
            job.fail("backend", f"vLLM ended the request with {made.finish_reason!r}: model.log may say why")
        else:
            job.end(made.finish_reason or "")


def sampling_options(given: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """Return the arguments of SamplingParams for an answer of `limit` tokens; of as many, unless `ignore_eos` is false.

    Raises ValueError for those that measuring forbids.
    """
    for name, reason in REFUSED.items():
        if given.get(name) is not None and (name, given[name]) != ("n", 1):
            raise ValueError(f"{name}: {reason}")
    options = {name: value for name, value in given.items() if value is not None}
    if options.get("ignore_eos", True):
        options |= {"ignore_eos": True, "min_tokens": limit}
    return {**options, "max_tokens": limit}


def take_stats(job: LocalJob, stats: Any) -> None:
    """Take over the engine's own times and its count of tokens, where it gives them."""
    if stats is None:
        return
    job.usage = stats.num_generation_tokens
    for name, begin, end in _TIMES:
        first, last = getattr(stats, begin, 0), getattr(stats, end, 0)
        if first and last:
            job.server[name] = max(0, round((last - first) * SECOND))
