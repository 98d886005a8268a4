"""The forms that a local backend's generate can have, and what each leaves in the jobs that it answered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import time_ns
from typing import Any

import msgspec
import pytest

from loadgen.backends import aisbench
from loadgen.backends.local.answers import Local
from loadgen.backends.local.generating import Streamer, alike, answer
from loadgen.backends.local.interface import LocalBackend, streams_by_form
from loadgen.protocols.local.jobs import Jobs, LocalJob
from loadgen.types import ABSENT, Request
from support.local_jobs import Ended, decoded, served


class Plain(LocalBackend):
    def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
        return [f"{one} said" for one in input] if isinstance(input, list) else f"{input} said"


class Pieces(LocalBackend):
    def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
        for number in range(max_out_len):
            yield f"{input}{number} "


class Ids(LocalBackend):
    def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
        yield 7
        yield [8, 9]
        yield []
        yield None
        yield 10


class Rows(LocalBackend):
    def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
        yield [number for number, _ in enumerate(input)]
        yield [None if number else 5 for number, _ in enumerate(input)]


class Puts(LocalBackend):
    eos_token_id = 2

    def generate(self, input: Any, max_out_len: int, streamer: Any = None, **kwargs: Any) -> Any:
        for token in (11, 12):
            streamer.put(token)
        streamer.end()
        return "text that tokens were streamed of"


class Coroutine(LocalBackend):
    async def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:  # type: ignore[override]
        return f"{input} said"


class Asynchronous(LocalBackend):
    async def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:  # type: ignore[override]
        for number in range(max_out_len):
            yield number


class Fails(LocalBackend):
    def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
        if input == "bad":
            raise MemoryError("no room")
        return "fine"


@pytest.mark.parametrize("made", [Plain, Coroutine])
def test_a_text_is_an_answer_end_to_end_and_no_token_is_made_up(made: type[LocalBackend]) -> None:
    (end,) = served(made(), ["hello"])
    events = decoded(end)
    assert (events.failure, events.text, events.finish_reason) == (None, "hello said", "")
    assert (events.counts, events.output_tokens, events.output_source) == ([0], ABSENT, "")
    counted = decoded(end, tokenizer=lambda text: len(text.split()))
    assert (counted.output_tokens, counted.output_source, counted.counts) == (2, "tokenizer", [2])


def test_pieces_are_token_events() -> None:
    (end,) = served(Pieces(), ["x"])
    events = decoded(end)
    assert (events.counts, events.output_tokens, events.output_source) == ([1] * 4, 4, "events")
    assert events.text == "x0 x1 x2 x3 "
    stamps = end[0].stamps
    assert list(stamps) == sorted(stamps) and len(stamps) == 4


def test_ids_are_counted_exactly_several_an_event_too() -> None:
    (end,) = served(Ids(), ["x"], limit=9)
    events = decoded(end)
    assert (events.counts, events.output_tokens, events.output_source) == ([1, 2, 1], 4, "token ids")
    assert events.finish_reason == "stop"  # four of nine
    assert decoded(end, detokenize=lambda ids: "-".join(map(str, ids))).text == "7-8-9-10"
    assert decoded(served(Ids(), ["x"], limit=4)[0]).finish_reason == "length"


def test_rows_of_a_batch_have_instants_of_their_own() -> None:
    first, second = served(Rows(batch_size=2), ["a", "b"])
    assert (first[0].ids, second[0].ids) == ([0, 5], [1])
    assert first[0].stamps[0] == second[0].stamps[0]  # the step was there for both at once


def test_a_batch_of_texts() -> None:
    ends = served(Plain(batch_size=3), ["a", "b"])
    assert [decoded(end).text for end in ends] == ["a said", "b said"]


def test_what_was_streamed_counts_and_not_the_text_that_is_returned() -> None:
    (end,) = served(Puts(), ["x"])
    assert end[0].ids == [11, 12] and end[0].text is None


def test_a_streamer_ends_a_row_at_its_stop_and_takes_the_rest_for_padding() -> None:
    np = pytest.importorskip("numpy")
    jobs = [LocalJob(number, "", 9, {}, Ended()) for number in range(2)]
    streamer = Streamer(jobs, frozenset([2]))
    streamer.put(np.zeros((2, 5), int))  # the prompts
    for step in ([3, 4], [5, 2], [6, 0], [2, 0], [0, 0]):
        streamer.put(np.array(step))
    assert (jobs[0].ids, jobs[1].ids) == ([3, 5, 6, 2], [4, 2])


class Late:
    """An id that is made on a device: it is there only once somebody has waited for it."""

    def __init__(self, clock: list[int], *ids: int) -> None:
        self._clock, self._ids = clock, ids

    def tolist(self) -> Any:
        self._clock.append(time_ns())
        return self._ids[0] if len(self._ids) == 1 else list(self._ids)


def test_an_id_on_a_device_is_stamped_when_it_is_there_and_no_earlier() -> None:
    there: list[int] = []

    class Device(LocalBackend):
        def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
            yield Late(there, 5)
            yield Late(there, 6, 7)
            yield [Late(there, 8)]

    class Rows(LocalBackend):
        def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
            yield Late(there, 3, 4)
            yield [Late(there, 5), None]

    class Async(LocalBackend):
        async def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:  # type: ignore[override]
            yield Late(there, 9)

    class Puts(LocalBackend):
        def generate(self, input: Any, max_out_len: int, streamer: Any = None, **kwargs: Any) -> Any:
            streamer.put([Late(there, 2)])

    for backend, inputs, ids in ((Device(), ["x"], [[5, 6, 7, 8]]), (Rows(batch_size=2), ["x", "y"], [[3, 5], [4]]),
                                 (Async(), ["x"], [[9]]), (Puts(), ["x"], [[2]])):
        ends = served(backend, inputs)
        assert [end[0].ids for end in ends] == ids, ends
        assert all(at >= instant for at, instant in zip(ends[0][0].stamps, there, strict=True))
        there.clear()


def test_arrays_of_numpy_are_ids_like_any_other() -> None:
    np = pytest.importorskip("numpy")

    class Array(LocalBackend):
        def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
            yield np.int64(5)
            yield np.array(6)
            yield np.array([7, 8])

    (end,) = served(Array(), ["x"])
    assert end[0].ids == [5, 6, 7, 8] and all(type(one) is int for one in end[0].ids)


def test_several_tokens_that_a_streamer_gets_at_once_are_one_event() -> None:
    np = pytest.importorskip("numpy")
    job = LocalJob(0, "", 9, {}, Ended())
    streamer = Streamer([job])
    for step in ([[1, 2, 3]], [4], [[5, 6]], [[7]]):  # the prompt, one token, and what assisted decoding makes
        streamer.put(np.array(step))
    assert (job.input_tokens, job.ids, job.counts.tolist()) == (3, [4, 5, 6, 7], [1, 2, 1])
    with pytest.raises(TypeError, match="several rows"):
        rows = Streamer([job, job])
        rows.put(np.zeros((2, 3), int))
        rows.put(np.zeros((2, 3), int))


@pytest.mark.parametrize("parts", [[[1, 2], "x"], ["x", 3]])
def test_texts_and_ids_in_one_answer_fail_it(parts: list[Any]) -> None:
    class Mixes(LocalBackend):
        def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
            yield from parts

    ((_, _, failure),) = served(Mixes(), ["x"])
    assert failure is not None and failure.type == "TypeError" and "give either" in failure.detail


def test_an_async_generator_answers_up_to_batch_size_at_a_time() -> None:
    ends = served(Asynchronous(batch_size=3), ["a"] * 5)
    assert [end[0].ids for end in ends] == [[0, 1, 2, 3]] * 5


def test_an_exception_fails_its_request_with_file_and_line_and_no_other() -> None:
    good, bad, last = served(Fails(), ["good", "bad", "good"])
    assert good[2] is None and last[2] is None
    assert bad[2] is not None
    assert (bad[2].kind, bad[2].type) == ("backend", "MemoryError")
    assert "test_generating.py:" in bad[2].detail and "no room" in bad[2].detail


def test_what_generate_returns_must_be_texts() -> None:
    class Wrong(LocalBackend):
        def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
            return 7

    class TooFew(LocalBackend):
        def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
            return ["one"]

    for backend, words in ((Wrong(), "generate returned int"), (TooFew(batch_size=2), "1 answers to 2 inputs")):
        for _, _, failure in served(backend, ["a", "b"]):
            assert failure is not None and words in failure.detail


@pytest.mark.parametrize("fill", [
    lambda job: (job.tokens([1, 2]), job.piece("x"), job.piece("y")),
    lambda job: (job.token(1), job.piece("x")),
    lambda job: (job.stamps.append(1), job.ids.extend([1, 2])),
    lambda job: (job.piece("x"), job.stamps.append(1)),
])
def test_an_answer_of_which_instants_and_tokens_do_not_match_fails(fill: Callable[[LocalJob], object]) -> None:
    job = LocalJob(0, "a", 9, {}, Ended())
    fill(job)
    events = decoded((job, "stop", None))
    assert events.failure is not None and events.failure.type == "Mixture"
    assert (events.ends, events.counts) == ([], [])


def test_an_empty_answer_is_a_failure() -> None:
    class Silent(LocalBackend):
        def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
            return ""

    (end,) = served(Silent(), ["a"])
    failure = decoded(end).failure
    assert failure is not None and failure.kind == "empty"


def test_options_and_lengths_part_a_batch_that_one_call_can_not_answer() -> None:
    jobs = [LocalJob(0, "", 4, {}, Ended()), LocalJob(1, "", 4, {"top_k": 1}, Ended()), LocalJob(2, "", 8, {}, Ended()),
            LocalJob(3, "", 4, {}, Ended())]
    assert [[job.number for job in group] for group in alike(jobs)] == [[0, 3], [1], [2]]


def test_the_form_of_generate_shows_whether_tokens_are_told_one_by_one() -> None:
    class Serves(Plain):
        def serve(self, jobs: Jobs) -> None: ...

    assert [streams_by_form(made) for made in (Plain, Coroutine, Fails)] == [False] * 3
    assert [streams_by_form(made) for made in (Pieces, Asynchronous, Puts, Serves)] == [True] * 4


def test_options_reach_generate() -> None:
    seen: list[dict[str, Any]] = []

    class Notes(LocalBackend):
        def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
            seen.append({"max_out_len": max_out_len, **kwargs})
            return "x"

    served(Notes(), ["a"], limit=3, options={"top_k": 5})
    assert seen == [{"max_out_len": 3, "top_k": 5}]


def test_a_generator_whose_requests_nobody_waits_for_is_closed() -> None:
    closed = threading.Event()

    class Endless(LocalBackend):
        def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
            try:
                while True:
                    yield 1
                    job.dropped = True
            finally:
                closed.set()

    job = LocalJob(0, "a", 4, {}, Ended())
    answer(Endless(), [job])
    assert closed.is_set() and job.ids == [1, 1]


def test_what_waited_for_another_group_of_its_batch_waited_in_the_queue() -> None:
    class Slow(LocalBackend):
        def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
            ends.append(time_ns())
            return ["x"] * len(input)

    ends: list[int] = []
    jobs, queue = [LocalJob(number, "a", 4 + number, {}, Ended()) for number in range(3)], Jobs()
    for job in jobs:
        queue.put(job)
    jobs[0]._ended = lambda job, reason, failure: jobs[1].drop()
    jobs[2]._ended = lambda job, reason, failure: queue.close()
    Slow(batch_size=3).serve(queue)
    assert jobs[0].began < jobs[2].began and len(ends) == 2  # what was dropped meanwhile was never asked
    assert jobs[2].server["server_queue"] == jobs[2].began - jobs[2].received


class AsyncEndless(LocalBackend):
    job: LocalJob

    def __init__(self) -> None:
        super().__init__()
        self.closed: list[str] = []

    async def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:  # type: ignore[override]
        try:
            yield 1
            threading.Thread(target=self.job.drop).start()
            await asyncio.wait_for(asyncio.Event().wait(), 10)  # which never is, but for a fault
        finally:
            self.closed.append("generator")


class CoroutineEndless(AsyncEndless):
    async def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
        async for _ in super().generate(input, max_out_len):
            pass


class AsyncBusy(AsyncEndless):
    async def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:
        try:
            while True:
                yield 1
                self.job.drop()
        finally:
            self.closed.append("generator")


@pytest.mark.parametrize("made, reason", [
    (AsyncEndless, "dropped"), (CoroutineEndless, "dropped"), (AsyncBusy, "stop"),
])
def test_an_async_generate_that_nobody_waits_for_is_ended(made: type[AsyncEndless], reason: str) -> None:
    backend, jobs, ended = made(), Jobs(), Ended()
    backend.job = LocalJob(0, "a", 4, {}, ended)
    last = LocalJob(1, "b", 4, {}, lambda job, reason, failure: jobs.close())
    jobs.put(backend.job)
    jobs.put(last)
    last.drop()  # has its turn only when the first gave back its place
    backend.serve(jobs)
    assert [end[1:] for end in ended.all] == [(reason, None)] and backend.closed == ["generator"]


def test_a_generate_that_is_cancelled_by_something_of_its_own_fails() -> None:
    class Cancels(LocalBackend):
        async def generate(self, input: Any, max_out_len: int, **kwargs: Any) -> Any:  # type: ignore[override]
            jobs.close()
            raise asyncio.CancelledError

    jobs, ended = Jobs(), Ended()
    jobs.put(LocalJob(0, "x", 4, {}, ended))
    Cancels().serve(jobs)
    ((_, _, failure),) = ended.all
    assert failure is not None and failure.type == "CancelledError"


def test_aisbench_s_base_model_gets_lists_in_aisbench_s_form() -> None:
    seen: list[Any] = []

    class Mine(aisbench.BaseModel):
        def generate(self, inputs: Any, max_out_len: int, **kwargs: Any) -> Any:  # type: ignore[override]
            seen.append(inputs)
            return ["x"] * len(inputs)

    served(Mine(path="p", meta_template={"round": []}), [[{"role": "user", "content": "hi"}], "plain"])
    assert seen == [[[{"role": "HUMAN", "prompt": "hi"}]], ["plain"]]


def test_a_request_becomes_what_the_process_of_the_model_reads() -> None:
    local = Local(Plain, options={"top_k": 3, "min_p": None})
    body = msgspec.json.decode(local.encode(Request(0, prompt="hi", max_output_tokens=9, body={"seed": 1})).body)
    assert body == {"input": "hi", "limit": 9, "options": {"top_k": 3, "seed": 1}}
    body = msgspec.json.decode(local.encode(Request(0, prompt="hi", images=("data:x",))).body)
    assert body["limit"] == 128
    assert body["input"][0]["content"][0] == {"type": "image_url", "image_url": {"url": "data:x"}}
    assert Local(Plain, options={"ignore_eos": False}).forces_length is False
