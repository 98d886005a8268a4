"""Messages, links and pacing between desk and sender."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from time import monotonic_ns

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.engine import messages, pacer
from loadgen.engine.messages import CallBatch, Done, Finished, Fragment, Item, Pulse, Ready, Sent, Start
from loadgen.engine.process_stats import StallWatch, cpu_time, max_rss
from loadgen.protocols.link import Link, MessageFrames, encode
from loadgen.types import Failure, Health, Timeline

TO_DESK = [Ready(None), Ready(Failure("connect", "refused")), Sent([(1, 2, 3), (4, 5, -1)]),
           Fragment(7, bytearray(b"part")), Done(Timeline(3, due=9, payload=b"x" * 5000, failure=Failure("timeout"))),
           Pulse(Health(1, 0, 2, 3)), Finished()]
HEAVY = ("torch", "transformers", "pyarrow", "plotly", "rich", "aiohttp", "numpy", "tokenizers", "grpc", "hdrh")


@given(st.lists(st.integers(1, 700), max_size=60))
def test_messages_survive_any_division_of_the_stream(sizes: list[int]) -> None:
    stream = b"".join(map(encode, TO_DESK))
    frames = MessageFrames(messages.ToDesk)
    found, at = [], 0
    for size in [*sizes, len(stream)]:
        found += frames.feed(stream[at:at + size])
        at += size
    assert found == TO_DESK


def test_calls_survive_too() -> None:
    calls = CallBatch([Item(1, 2, 0, b"\x00\xff" * 10), Item(2, 3, 1, b"")])
    assert MessageFrames(messages.ToSender).feed(encode(calls) + encode(Start(5))) == [calls, Start(5)]


def test_a_link_never_blocks_and_loses_nothing() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        got: list[object] = []
        lost = asyncio.Event()
        sender = Link(loop, left, messages.ToSender, lambda message: None, lambda: None)
        big = [Fragment(number, bytearray(b"x" * 300_000)) for number in range(20)]
        for message in big:
            sender.send(message)
        assert sender.backlog > 1_000_000  # nobody has read yet
        receiver = Link(loop, right, messages.ToDesk, got.append, lost.set)
        for _ in range(1000):
            if len(got) == len(big):
                break
            await asyncio.sleep(0.005)
        assert got == big
        assert sender.backlog == 0
        sender.close()
        await asyncio.wait_for(lost.wait(), 5)
        receiver.close()
        sender.send(Finished())  # to nobody: no error
    asyncio.run(main())


@pytest.mark.parametrize("kind", [pacer.LoopPacer, pytest.param(pacer.TimerFdPacer, marks=pytest.mark.skipif(
    sys.platform != "linux", reason="timerfd is Linux's"))])
def test_a_pacer_is_never_early_and_can_be_armed_again(kind: type[pacer.LoopPacer]) -> None:
    async def main() -> None:
        woken: asyncio.Queue[int] = asyncio.Queue()
        made = kind(asyncio.get_running_loop(), lambda: woken.put_nowait(monotonic_ns()))
        for wait in (0, 1_000_000, 7_000_000):
            at = monotonic_ns() + wait
            made.arm(at)
            assert await asyncio.wait_for(woken.get(), 5) >= at
        made.close()
    asyncio.run(main())


def test_a_stall_of_the_loop_is_seen() -> None:
    async def main() -> None:
        watch = StallWatch(asyncio.get_running_loop())
        until = monotonic_ns() + 60_000_000
        while monotonic_ns() < until:
            pass
        await asyncio.sleep(0.02)
        assert watch.take() >= 40_000_000
        watch.close()
    asyncio.run(main())


def test_what_a_process_says_of_itself() -> None:
    assert cpu_time() > 0
    assert 1 << 20 < max_rss() < 1 << 40


def test_a_sender_imports_nothing_heavy() -> None:
    code = "import sys, loadgen.engine.sender; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {name.partition(".")[0] for name in out.split()} & set(HEAVY)
