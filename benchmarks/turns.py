"""Local backends that answer loadgen's requests and run a bare loop over the same model in turn.

Turns are short and their order is A B B A, so that what else goes on on the machine meets both alike. Both have the
same number of requests, the same prompts, model, process, threads and priority. benchmarks.local_overhead reads the
times, `turns`, from the facts of the run: pairs of ns, ours and bare, each for `batches` batches.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any, ClassVar, Final

from loadgen.backends.local.hf import HuggingFace
from loadgen.backends.local.vllm_offline import VLLMOffline
from loadgen.backends.local.vllm_requests import EngineRequests
from loadgen.protocols.local.jobs import Jobs, LocalJob

_PAUSE: Final = 0.02  # s after a turn, in which what it left to other threads and processes is done


class HuggingFaceTurns(HuggingFace):
    """Batches of jobs, answered as the base does, and the same prompts by tokenizer and `generate` alone."""

    batches: ClassVar[int] = 2  # of a turn

    def serve(self, jobs: Jobs) -> None:
        from loadgen.backends.local.hf_batch import answer_batch  # brings torch

        self.turns: list[tuple[int, int]] = []
        answer_batch(self, jobs.take(1))  # the request that tries the model
        while True:
            taken: list[list[LocalJob]] = []
            times = [self._ours(jobs, answer_batch, taken), self._bare(taken), self._bare(taken),
                     self._ours(jobs, answer_batch, taken)]
            if jobs.closed:
                return
            self.turns += [(times[0], times[1]), (times[3], times[2])]

    def _ours(self, jobs: Jobs, answer: Callable[[Any, list[LocalJob]], None], taken: list[list[LocalJob]]) -> int:
        """Answer some batches, and add them to `taken`; returns how long that took."""
        began = time.monotonic_ns()
        for _ in range(self.batches):
            taken.append(jobs.take(self.batch_size))
            answer(self, taken[-1])
        return _over(began)

    def _bare(self, batches: list[list[LocalJob]]) -> int:
        """Ask the model for what these batches asked, with nothing around it; returns how long that took."""
        import torch

        began = time.monotonic_ns()
        with torch.inference_mode():
            for batch in filter(None, batches):
                ids = [_ids(self.tokenizer, job.input) for job in batch]
                tensors = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self.model.device)
                limit = batch[0].limit
                self.model.generate(**tensors, max_new_tokens=limit, min_new_tokens=limit).cpu()
        return _over(began)

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "batches": self.batches, "turns": getattr(self, "turns", [])}


class VLLMOfflineTurns(VLLMOffline):
    """Requests, `2 * batch_size` at a time, asked as the base does, and as many through `AsyncLLM.generate` alone."""

    batches: ClassVar[int] = 4  # of a turn: what has ended makes room for the next

    def serve(self, jobs: Jobs) -> None:
        import uvloop

        self.turns: list[tuple[int, int]] = []
        try:
            uvloop.run(self._take_turns(_Gate(jobs)))
        finally:
            self.engine.shutdown()

    async def _take_turns(self, gate: _Gate) -> None:
        serving = asyncio.ensure_future(
            EngineRequests(self.engine, self.prompt_of, self.sampling_of, self.max_seq_len).serve(gate))
        await gate.let_through(1)  # the request that tries the model
        size = self.batches * self.batch_size
        while not gate.closed:
            times = [await gate.let_through(size), await self._bare(gate.taken), await self._bare(gate.taken),
                     await gate.let_through(size)]
            if not gate.closed:
                self.turns += [(times[0], times[1]), (times[3], times[2])]
        await serving

    async def _bare(self, jobs: list[LocalJob]) -> int:
        """Ask the engine for what these jobs asked, with nothing around it; returns how long that took."""
        waiting = iter(jobs)
        began = time.monotonic_ns()
        await asyncio.gather(*(self._ask_all(waiting) for _ in range(2 * self.batch_size)))
        return _over(began)

    async def _ask_all(self, waiting: Any) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        for job in waiting:
            prompt = {"prompt_token_ids": _ids(self.tokenizer, job.input)}
            sampling = SamplingParams(max_tokens=job.limit, min_tokens=job.limit, ignore_eos=True,
                                      output_kind=RequestOutputKind.DELTA)
            async for _ in self.engine.generate(prompt, sampling, f"bare-{next(_numbers)}"):
                pass

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "batches": self.batches, "turns": getattr(self, "turns", [])}


_numbers = itertools.count()


class _Gate(Jobs):
    """A queue that lets through only as many jobs as it is told to."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs
        self._room = 0
        self.taken: list[LocalJob] = []

    def take(self, most: int, wait: bool = True) -> list[LocalJob]:
        found = self._jobs.take(min(most, self._room), wait=False)
        self._room -= len(found)
        self.taken += found
        return found

    def listen(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._jobs.listen(wake)

    @property
    def closed(self) -> bool:
        return self._jobs.closed

    async def let_through(self, count: int) -> int:
        """Let this many jobs through and wait until they have ended; returns how long that took, 0 on closing."""
        self.taken, self._room = [], count
        began = time.time_ns()  # the clock of stamps
        if self._wake is not None:
            self._wake()
        while self._room or any(len(job.ids) < job.limit for job in self.taken):
            await asyncio.sleep(_PAUSE)
            if self.closed:
                return 0
        return max(job.stamps[-1] for job in self.taken) - began


def _ids(tokenizer: Any, text: str) -> Any:
    messages = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)


def _over(began: int) -> int:
    """Return how long a turn took, after a pause."""
    took = time.monotonic_ns() - began
    time.sleep(_PAUSE)
    return took
