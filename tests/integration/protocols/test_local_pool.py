"""A sender's pool and the model's service at the two ends of a real Unix socket."""

from __future__ import annotations

import asyncio
import socket
import threading
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from loadgen.protocols.http.address import Address
from loadgen.protocols.http.limits import Limits
from loadgen.protocols.local.jobs import Jobs, LocalJob, answer_of, answer_so_far
from loadgen.protocols.local.pool import LOST, LocalPool
from loadgen.protocols.local.service import ModelService
from loadgen.types import ABSENT, Failure, Timeline

BODY = msgspec.json.encode({"input": "hi", "limit": 3, "options": {"top_k": 1}})
LIMIT = 10.0  # s after which a test counts as hanging


def bound(path: Path) -> socket.socket:
    """Return a socket that listens where a model would."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    listening.listen()
    return listening


def pool_to(path: Path, limits: Limits) -> tuple[LocalPool, asyncio.Queue[Timeline]]:
    """Return a pool that is connected to whoever listens there, and the queue of what has ended."""
    done: asyncio.Queue[Timeline] = asyncio.Queue()
    pool = LocalPool(asyncio.get_running_loop(), Address(socket.AF_UNIX, (str(path),), "model"), limits,
                done=done.put_nowait)
    ready: list[Failure | None] = []
    pool.prepare(1, ready.append)
    assert ready == [None]
    return pool, done


class Ends:
    """A pool with a model behind it that does nothing until a test takes its jobs."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.listening = bound(path)
        self.jobs = Jobs()
        ModelService(self.listening, self.jobs).start()
        self.pool, self.done = pool_to(path, limits)

    async def take(self, most: int = 1) -> list[LocalJob]:
        return await asyncio.wait_for(asyncio.to_thread(self.jobs.take, most), LIMIT)

    async def ended(self) -> Timeline:
        return await asyncio.wait_for(self.done.get(), LIMIT)


@asynccontextmanager
async def ends(tmp_path: Path, limits: Limits | None = None) -> AsyncIterator[Ends]:
    both = Ends(tmp_path / "socket", limits or Limits())
    try:
        yield both
    finally:
        both.jobs.close()
        both.pool.close()
        both.listening.close()


def test_an_answer_brings_the_instants_of_its_tokens(tmp_path: Path) -> None:
    async def main() -> None:
        async with ends(tmp_path) as both:
            both.pool.launch(Timeline(5, due=1), BODY)
            (job,) = await both.take()
            assert (job.input, job.limit, job.options) == ("hi", 3, {"top_k": 1})
            assert job.began >= job.received and job.server["server_queue"] == job.began - job.received
            job.token(7, 3_000_000_001)
            job.token(8, 3_000_000_002)
            job.end("length")
            timeline = await both.ended()
            assert (timeline.index, timeline.complete, timeline.failure) == (5, True, None)
            assert array("q", timeline.stamps).tolist() == [3, 1, 3, 2]
            assert array("q", timeline.offsets).tolist() == [1, 2]
            assert timeline.reads == array("q", [3_000_000_001, 3_000_000_002]).tobytes()
            assert 0 < timeline.sent <= timeline.sent_end <= timeline.end
            assert msgspec.json.decode(timeline.payload)["ids"] == [7, 8]
            assert both.pool.counts.reads == 2
    asyncio.run(main())


def test_a_failure_of_the_model_is_the_request_s(tmp_path: Path) -> None:
    async def main() -> None:
        async with ends(tmp_path) as both:
            both.pool.launch(Timeline(0), BODY)
            (job,) = await both.take()
            job.fail("too_long", "9 don't fit 8")
            job.end("length")  # only the first end counts
            timeline = await both.ended()
            assert (timeline.failure, timeline.complete) == (Failure("too_long", "9 don't fit 8"), False)
            assert both.done.empty()
    asyncio.run(main())


def test_an_answer_that_can_not_be_written_down_fails_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with ends(tmp_path) as both:
            for index in range(2):
                both.pool.launch(Timeline(index), BODY)
            half, whole = await both.take(2)
            half.piece("\ud83d")  # what a byte-level decoder can give
            half.end("stop")
            whole.piece("text")
            whole.end("stop")
            first, second = await both.ended(), await both.ended()
            assert first.failure is not None and "can't be written down" in first.failure.detail
            assert (first.failure.kind, second.failure) == ("backend", None)
    asyncio.run(main())


def test_ids_that_are_numbers_of_a_library_are_ids() -> None:
    job = LocalJob(0, "", 9, {}, lambda *end: None)
    job.token(np.int64(3))  # type: ignore[arg-type]
    job.tokens([np.int64(4), np.int64(5)])  # type: ignore[list-item]
    assert msgspec.json.decode(answer_of(job, "stop", None).payload)["ids"] == [3, 4, 5]


def test_what_is_cancelled_ends_at_once_and_leaves_the_queue(tmp_path: Path) -> None:
    async def main() -> None:
        async with ends(tmp_path) as both:
            for index in range(3):
                both.pool.launch(Timeline(index), BODY)
            (running,) = await both.take()
            both.pool.cancel(Failure("censored", "enough"))
            found = [await both.ended() for _ in range(3)]
            assert {timeline.failure for timeline in found} == {Failure("censored", "enough")}
            while not running.dropped:
                await asyncio.sleep(0.001)
            running.end("length")  # nobody hears it
            both.pool.launch(Timeline(9), BODY)
            (job,) = await both.take(9)  # the two that waited are gone
            job.end("length")
            assert (await both.ended()).index == 9
    asyncio.run(main())


def test_the_total_limit_ends_a_request(tmp_path: Path) -> None:
    async def main() -> None:
        async with ends(tmp_path, Limits(total=1_000_000, first_token=1)) as both:
            both.pool.launch(Timeline(0), BODY)
            timeline = await both.ended()
            assert timeline.failure is not None
            assert (timeline.failure.kind, timeline.failure.type) == ("timeout", "total")
    asyncio.run(main())


def test_what_was_given_up_keeps_the_tokens_that_it_had(tmp_path: Path) -> None:
    async def main() -> None:
        async with ends(tmp_path) as both:
            both.pool.launch(Timeline(0), BODY)
            (job,) = await both.take()
            job.token(7, 3_000_000_001)
            job.tokens([8, 9], 3_000_000_002)
            both.pool.cancel(Failure("censored", "enough"))
            both.pool.cancel(Failure("censored", "more than that"))
            timeline = await both.ended()
            assert (timeline.failure, timeline.complete) == (Failure("censored", "enough"), False)
            assert array("q", timeline.stamps).tolist() == [3, 1, 3, 2]
            said = msgspec.json.decode(timeline.payload)
            assert (said["ids"], said["counts"]) == ([7, 8, 9], [1, 2])
            job.end("length")  # nobody hears it
            both.pool.launch(Timeline(1), BODY)
            (job,) = await both.take()
            job.end("length")
            assert (await both.ended()).index == 1 and both.done.empty()
    asyncio.run(main())


def test_an_answer_so_far_has_whole_events_and_no_half_of_one() -> None:
    job = LocalJob(0, "", 9, {}, lambda *end: None)
    job.tokens([5, 6], 1)
    job.stamps.append(2)  # as far as the model's thread has come with the next
    job.counts.append(2)
    job.ids.append(7)
    answer = answer_so_far(job)
    said = msgspec.json.decode(answer.payload)
    assert (said["ids"], said["counts"], array("q", answer.reads).tolist()) == ([5, 6], [2], [1])
    job = LocalJob(0, "", 9, {}, lambda *end: None)
    job.piece("x")
    job.stamps.append(2)
    answer = answer_so_far(job)
    assert msgspec.json.decode(answer.payload)["pieces"] == ["x"] and len(answer.reads) == 8


def test_a_model_that_says_nothing_is_not_waited_for_when_it_is_given_up(tmp_path: Path) -> None:
    async def main() -> None:
        with bound(tmp_path / "socket"):
            pool, done = pool_to(tmp_path / "socket", Limits(total=1_000_000))
            pool.launch(Timeline(0), BODY)
            timeline = await asyncio.wait_for(done.get(), LIMIT)
            assert timeline.failure is not None and timeline.failure.kind == "timeout" and not timeline.stamps
            pool.close()
    asyncio.run(main())


def test_a_model_that_is_found_dead_by_a_launch_is_told_after_it(tmp_path: Path) -> None:
    async def main() -> None:
        with bound(tmp_path / "socket") as listening:
            pool, done = pool_to(tmp_path / "socket", Limits(total=10**9))
            listening.accept()[0].close()
            pool.launch(Timeline(0), BODY)
            assert done.empty()
            assert (await asyncio.wait_for(done.get(), LIMIT)).failure == LOST
    asyncio.run(main())


def test_a_model_that_dies_fails_what_it_had_and_what_comes(tmp_path: Path) -> None:
    async def main() -> None:
        with bound(tmp_path / "socket") as listening:
            pool, done = pool_to(tmp_path / "socket", Limits())
            pool.launch(Timeline(0), BODY)
            listening.accept()[0].close()
            assert (await asyncio.wait_for(done.get(), LIMIT)).failure == LOST
        timeline = Timeline(1)
        pool.launch(timeline, BODY)
        assert timeline.failure is None  # not before launch has returned
        assert (await asyncio.wait_for(done.get(), LIMIT)).failure == LOST
    asyncio.run(main())


def test_a_model_that_is_not_there_is_said_before_the_start(tmp_path: Path) -> None:
    async def main() -> None:
        pool = LocalPool(asyncio.get_running_loop(), Address(socket.AF_UNIX, (str(tmp_path / "none"),), "model"),
                         Limits(),
                    done=lambda timeline: None)
        said: list[Failure | None] = []
        pool.prepare(1, said.append)
        assert said[0] is not None and said[0].kind == "connect"
    asyncio.run(main())


def test_the_queue_gives_out_what_waits_oldest_first_and_closes() -> None:
    jobs, woken = Jobs(), threading.Event()
    jobs.listen(woken.set)
    assert jobs.take(3, wait=False) == []
    made = [LocalJob(number, "", 1, {}, lambda *end: None) for number in range(5)]
    for job in made:
        jobs.put(job)
    assert woken.is_set()
    made[1].dropped = True
    assert jobs.take(2) == [made[0], made[2]]
    assert made[1].began == ABSENT
    jobs.close()
    assert jobs.take(9) == [] and jobs.closed


def test_a_take_that_waits_ends_when_the_queue_closes() -> None:
    jobs = Jobs()
    got: list[list[LocalJob]] = []
    waiting = threading.Thread(target=lambda: got.append(jobs.take(1)))
    waiting.start()
    jobs.close()
    waiting.join(LIMIT)
    assert got == [[]]


@pytest.mark.parametrize("counts, kept", [([1, 1], []), ([1, 3, 1], [1, 3, 1])])
def test_events_of_several_tokens_keep_their_counts(counts: list[int], kept: list[int]) -> None:
    job = LocalJob(0, "", 9, {}, lambda *end: None)
    for count in counts:
        job.tokens([5] * count, 1) if count > 1 else job.token(5, 1)
    assert job.counts.tolist() == kept
    assert len(job.ids) == sum(counts)
