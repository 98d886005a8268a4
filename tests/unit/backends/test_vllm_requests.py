"""Jobs that are asked of an engine with vLLM's interface: what is noted, refused, aborted, and when the engine is dead.

tests/real/test_vllm_offline.py does the same with vLLM.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from loadgen.backends.local.tasks import ModelLostError
from loadgen.backends.local.vllm_requests import EngineRequests, sampling_options
from loadgen.protocols.local.jobs import Jobs, LocalJob
from loadgen.types import ABSENT, Failure

MOST = 100
"""Tokens that fit the model."""


@dataclass
class Stats:
    """As vLLM's RequestStateStats."""

    num_generation_tokens: int = 0
    queued_ts: float = 10.0
    scheduled_ts: float = 10.25
    first_token_ts: float = 10.5
    last_token_ts: float = 12.5


@dataclass
class Made:
    token_ids: Sequence[int]
    finish_reason: str | None = None


@dataclass
class Output:
    outputs: list[Made]
    metrics: Stats | None


class EngineGenerateError(Exception):
    """What vLLM raises from an error that it did not expect; it says nothing itself."""


@dataclass
class FakeEngine:
    """Answers a prompt whose first id is k with `answers[k]`: lists of ids, an exception, or None, which never ends.

    Id 7 of a prompt stands for an image, and is rendered as `image` tokens. An answer ends as `ends` says.
    """

    answers: Mapping[int, Sequence[Any]]
    image: int = 3
    stats: bool = True
    ends: str = "length"
    rendering: Callable[[], None] | None = None  # called while a prompt is rendered
    errored: bool = False
    asked: list[int] = field(default_factory=list)
    aborted: list[int] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    waiting: Callable[[], None] = lambda: None

    @property
    def renderer(self) -> FakeEngine:
        return self

    @property
    def mm_processor_cache(self) -> FakeEngine:
        return self

    def invalidate(self, hash: str) -> None:
        self.forgotten.append(hash)

    async def render_cmpl_async(self, prompts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        if self.rendering is not None:
            self.rendering()
            await asyncio.sleep(0)
        return [self._rendered(prompt["prompt_token_ids"]) for prompt in prompts]

    def _rendered(self, ids: Sequence[int]) -> dict[str, Any]:
        whole = [one for id in ids for one in [id] * (self.image if id == 7 else 1)]
        images = {"mm_hashes": {"image": ["hash of 7"]}} if 7 in ids else {}
        return {"type": "multimodal" if images else "token", "prompt_token_ids": whole, **images}

    async def generate(self, prompt: Any, sampling_params: Any, request_id: str) -> AsyncIterator[Output]:
        kind = prompt["prompt_token_ids"][0]
        self.asked.append(kind)
        stats = Stats() if self.stats else None
        try:
            for step in self.answers[kind]:
                await asyncio.sleep(0)
                if isinstance(step, Exception):
                    raise step
                if step is None:
                    self.waiting()
                    await asyncio.Event().wait()
                if stats is not None:
                    stats.num_generation_tokens += len(step)
                yield Output([Made(step, self.ends if step is self.answers[kind][-1] else None)], stats)
        except asyncio.CancelledError:
            self.aborted.append(kind)
            raise


@dataclass
class Ended:
    job: LocalJob
    reason: str
    failure: Failure | None


def prompt_of(job: LocalJob) -> dict[str, Any]:
    if not job.input:
        raise ValueError("image 2 of the request (cat.png) can't be read")
    return {"prompt_token_ids": job.input}


def serve(engine: FakeEngine, *inputs: list[int], limit: int = 4, drop: Callable[[list[LocalJob]], None] | None = None,
          rendering: bool = False, sampling_of: Callable[[LocalJob], Any] = lambda job: job.limit) -> list[Ended]:
    """Serve jobs with an engine until all have ended; returns them in the order of their inputs.

    `drop` is called with all of them when the engine waits for ever, or, if `rendering`, while it renders a prompt;
    without an engine that does either, before it is asked.
    """
    queue, ended = Jobs(), {}

    def note(job: LocalJob, reason: str, failure: Failure | None) -> None:
        ended[job.number] = Ended(job, reason, failure)
        if len(ended) == len(inputs):
            queue.close()

    jobs = [LocalJob(number, input, limit, {}, note) for number, input in enumerate(inputs)]
    if drop is not None and rendering:
        engine.rendering = lambda: drop(jobs)
    elif drop is not None:
        engine.waiting = lambda: drop(jobs)
    for job in jobs:
        queue.put(job)
    asyncio.run(EngineRequests(engine, prompt_of, sampling_of, MOST).serve(queue))
    return [ended[number] for number in range(len(inputs))]


def test_each_token_has_a_stamp_of_its_own() -> None:
    (one,) = serve(FakeEngine({1: [[5], [6], [8]]}), [1, 2])
    assert one.job.ids == [5, 6, 8]
    assert len(one.job.stamps) == 3 and list(one.job.stamps) == sorted(one.job.stamps)
    assert not one.job.counts and one.failure is None and one.reason == "length"


def test_the_engines_times_and_counts_are_kept() -> None:
    (one,) = serve(FakeEngine({1: [[5], [6]]}), [1, 2])
    assert one.job.usage == 2 and one.job.input_tokens == 2
    times = {name: one.job.server[name] for name in ("server_queue", "server_prefill", "server_decode")}
    assert times == {"server_queue": 250_000_000, "server_prefill": 250_000_000, "server_decode": 2_000_000_000}
    assert one.job.server["server_preprocess"] >= 0


def test_an_engine_that_keeps_no_statistics_is_measured_too() -> None:
    (one,) = serve(FakeEngine({1: [[5], [6]]}, stats=False), [1])
    assert one.job.usage == ABSENT and one.job.ids == [5, 6] and "server_prefill" not in one.job.server


@pytest.mark.parametrize("steps, counts", [([[5], [6, 8]], [1, 2]), ([[5, 6], [8]], [2, 1])])
def test_tokens_that_come_together_are_one_event(steps: list[list[int]], counts: list[int]) -> None:
    (one,) = serve(FakeEngine({1: steps}), [1])
    assert one.job.ids == [5, 6, 8] and one.job.counts.tolist() == counts and len(one.job.stamps) == 2


def test_an_end_without_a_token_is_none() -> None:
    (one,) = serve(FakeEngine({1: [[5], []]}), [1])
    assert one.job.ids == [5] and len(one.job.stamps) == 1 and one.reason == "length"


def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers_and_never_asked() -> None:
    engine = FakeEngine({1: [[5]], 2: [[6]]})
    long, other = serve(engine, [1] * 97, [2], limit=4)
    assert long.failure is not None and long.failure.kind == "too_long"
    assert "97" in long.failure.detail and "100" in long.failure.detail
    assert engine.asked == [2] and other.failure is None


def test_a_prompt_that_is_too_long_with_its_images_is_refused_with_the_numbers() -> None:
    engine = FakeEngine({1: [[5]]}, image=96)
    (one,) = serve(engine, [1, 7], limit=4)
    assert one.failure is not None and one.failure.kind == "too_long" and "97 tokens" in one.failure.detail
    assert engine.asked == [] and engine.forgotten == ["hash of 7"]


def test_a_prompt_that_just_fits_is_asked() -> None:
    engine = FakeEngine({1: [[5]]}, image=95)
    (one,) = serve(engine, [1, 7], limit=4)
    assert one.failure is None and one.job.input_tokens == 96 and engine.forgotten == []


def test_images_of_a_job_that_was_dropped_while_they_were_rendered_are_forgotten() -> None:
    """vLLM would send their hashes alone with the next such request, to an engine that never had them."""
    engine = FakeEngine({1: [[5]], 2: [[5]]})
    gone, other = serve(engine, [1, 7], [2], drop=lambda jobs: jobs[0].drop(), rendering=True)
    assert engine.asked == [2] and engine.forgotten == ["hash of 7"]
    assert gone.reason == "dropped" and other.reason == "length"


def test_an_option_that_the_engine_does_not_take_is_told_before_images_are_rendered() -> None:
    """The engine would never get images that were rendered for nothing, and the next request with them would fail."""
    def refuse(job: LocalJob) -> Any:
        raise ValueError("top_k must be an integer")

    engine = FakeEngine({1: [[5]]}, rendering=lambda: rendered.append(True))
    rendered: list[bool] = []
    (one,) = serve(engine, [1, 7], sampling_of=refuse)
    assert one.failure is not None and "top_k" in one.failure.detail and not rendered


@pytest.mark.parametrize("reason", ["error", "abort"])
def test_an_answer_that_the_engine_gave_up_is_a_failure(reason: str) -> None:
    (one,) = serve(FakeEngine({1: [[5], []]}, ends=reason), [1])
    assert one.failure is not None and one.failure.kind == "backend" and reason in one.failure.detail


def test_a_prompt_that_cannot_be_made_fails_alone() -> None:
    bad, good = serve(FakeEngine({1: [[5]]}), [], [1])
    assert bad.failure is not None and bad.failure.kind == "backend" and "cat.png" in bad.failure.detail
    assert bad.failure.type == "ValueError" and good.failure is None


def test_a_refusal_of_the_engine_fails_alone() -> None:
    bad, good = serve(FakeEngine({1: [ValueError("no such adapter")], 2: [[5]]}), [1], [2])
    assert bad.failure is not None and "no such adapter" in bad.failure.detail and good.failure is None


def test_an_error_that_says_nothing_is_told_by_its_cause() -> None:
    error = EngineGenerateError()
    error.__cause__ = RuntimeError("mat1 and mat2 differ")
    (one,) = serve(FakeEngine({1: [[5], error]}), [1])
    assert one.failure is not None and one.failure.type == "RuntimeError" and "mat1" in one.failure.detail


def test_a_dropped_job_is_aborted_while_the_engine_queues_it() -> None:
    engine = FakeEngine({1: [None], 2: [[5], [6]]})
    gone, other = serve(engine, [1], [2], drop=lambda jobs: jobs[0].drop())
    assert engine.aborted == [1] and gone.reason == "dropped" and gone.job.ids == []
    assert other.job.ids == [5, 6] and other.reason == "length"


def test_a_job_that_is_dropped_between_the_queue_and_the_engine_is_never_asked() -> None:
    class Late(Jobs):
        def take(self, most: int, wait: bool = True) -> list[LocalJob]:
            found = super().take(most, wait)
            for job in found:
                job.drop()
            return found

    def note(job: LocalJob, reason: str, failure: Failure | None) -> None:
        ended.append(reason)
        jobs.close()

    jobs, fresh = Late(), FakeEngine({1: [[5]]})
    ended: list[str] = []
    jobs.put(LocalJob(0, [1], 4, {}, note))
    asyncio.run(EngineRequests(fresh, prompt_of, lambda job: job.limit, MOST).serve(jobs))
    assert fresh.asked == [] and ended == ["dropped"]


def test_a_dead_engine_ends_serving_and_leaves_no_job_unanswered_for() -> None:
    class Dying(FakeEngine):
        async def generate(self, prompt: Any, sampling_params: Any, request_id: str) -> AsyncIterator[Output]:
            yield Output([Made([5])], None)
            self.errored = True
            raise RuntimeError("EngineCore encountered an issue")

    with pytest.raises(ModelLostError, match="EngineCore encountered"):
        serve(Dying({}), [1], [2])


def test_a_job_whose_prompt_is_still_rendered_when_the_engine_dies_has_no_end_of_its_own() -> None:
    """Its sender then sees the model go, and says model_lost; an end without a token would be an empty answer."""
    class Dying(FakeEngine):
        async def render_cmpl_async(self, prompts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
            if prompts[0]["prompt_token_ids"] == [2]:
                rendering.set()
                await asyncio.Event().wait()
            return await super().render_cmpl_async(prompts)

        async def generate(self, prompt: Any, sampling_params: Any, request_id: str) -> AsyncIterator[Output]:
            yield Output([Made([5])], None)
            await rendering.wait()
            self.errored = True
            raise RuntimeError("EngineCore encountered an issue")

    queue, rendering = Jobs(), asyncio.Event()
    ended: list[int] = []
    for number in (1, 2):
        queue.put(LocalJob(number, [number], 4, {}, lambda job, reason, failure: ended.append(job.number)))
    with pytest.raises(ModelLostError, match="EngineCore encountered"):
        asyncio.run(EngineRequests(Dying({}), prompt_of, lambda job: job.limit, MOST).serve(queue))
    assert ended == []


def test_answers_are_as_long_as_asked_unless_they_may_end_by_themselves() -> None:
    forced = {"temperature": 0, "ignore_eos": True, "min_tokens": 8, "max_tokens": 8}
    assert sampling_options({"temperature": 0, "seed": None}, 8) == forced
    assert sampling_options({"ignore_eos": False}, 8) == {"ignore_eos": False, "max_tokens": 8}
    assert sampling_options({"n": 1}, 8)["n"] == 1


@pytest.mark.parametrize("name, value", [("max_tokens", 1), ("n", 2), ("output_kind", 0)])
def test_options_that_measuring_sets_itself_are_refused_by_name(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name}: "):
        sampling_options({name: value}, 8)
