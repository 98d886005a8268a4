"""Looking at sockets at once or in batches."""

from __future__ import annotations

import asyncio
import select
import socket
import sys

import pytest
import uvloop

from loadgen.protocols.http import read_batching

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="epoll and timerfd are Linux's")


class Bench:
    """An intake with `count` sockets, a clock that stands still, and what was read."""

    def __init__(self, count: int) -> None:
        self.now = 0
        self.intake = read_batching.BatchedIntake(asyncio.get_running_loop(), lambda: self.now)
        self.pairs = [socket.socketpair() for _ in range(count)]
        self.read: list[int] = []
        for number, (ours, _) in enumerate(self.pairs):
            self.intake.add(ours, lambda number=number, ours=ours: self.read.append(number) or ours.recv(100))

    async def speak(self, *numbers: int) -> None:
        """Let these sockets say something, and wait until it has been read."""
        before = len(self.read)
        for number in numbers:
            self.pairs[number][1].send(b"x")
        for _ in range(2000):
            if len(self.read) - before >= len(numbers):
                return
            await asyncio.sleep(0.001)
        raise AssertionError("not read")

    def close(self) -> None:
        for ours, theirs in self.pairs:
            self.intake.remove(ours)
            ours.close()
            theirs.close()
        self.intake.close()


def test_what_comes_is_read_at_once_and_nothing_else() -> None:
    async def main() -> None:
        bench = Bench(3)
        await bench.speak(1)
        await bench.speak(0, 2)
        assert sorted(bench.read) == [0, 1, 2]
        assert not bench.intake.batching
        bench.close()
    uvloop.run(main())


def test_it_goes_over_to_batches_when_much_comes_and_back_when_little_does() -> None:
    async def main() -> None:
        bench = Bench(100)
        for _ in range(3):
            bench.now += 10_000_000
            await bench.speak(*range(100))  # 10,000 a second
        assert bench.intake.batching
        await bench.speak(5)  # still read, by the timer
        bench.now += 10_000_000
        for _ in range(3):
            await bench.speak(1)
            bench.now += 10_000_000
        assert not bench.intake.batching
        await bench.speak(*range(10))
        bench.close()
    uvloop.run(main())


def test_a_socket_that_another_callback_closes_is_not_read() -> None:
    async def main() -> None:
        bench = Bench(0)
        pairs = [socket.socketpair() for _ in range(2)]
        calls: list[int] = []

        def close_both(number: int) -> None:
            calls.append(number)
            for ours, _ in pairs:
                bench.intake.remove(ours)
                ours.close()

        for number, (ours, _) in enumerate(pairs):
            bench.intake.add(ours, lambda number=number: close_both(number))
        for _, theirs in pairs:
            theirs.send(b"x")
        for _ in range(1000):
            if calls:
                break
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        assert len(calls) == 1
        for _, theirs in pairs:
            theirs.close()
        bench.close()
    uvloop.run(main())


def test_only_kernel_stamps_may_wait() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(read_batching.make(loop, batched=False), read_batching.LoopIntake)
        made = read_batching.make(loop, batched=True)
        assert isinstance(made, read_batching.BatchedIntake) == hasattr(select, "epoll")
        made.close()
    uvloop.run(main())
