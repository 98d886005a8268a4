"""The sender process: waits until a call is due, sends it, captures what comes back. Imports nothing heavy."""

from __future__ import annotations

import gc
import signal
import socket
import sys
from asyncio import AbstractEventLoop
from time import monotonic_ns

from loadgen.engine import messages, pacer, transports
from loadgen.engine.dispatch import Dispatch, Policy
from loadgen.engine.messages import CallBatch, Cancel, Done, Finished, Fragment, Pulse, Ready, Sent, Setup, Start, Stop
from loadgen.engine.process_stats import StallWatch, cpu_time, max_rss, raise_file_limit
from loadgen.protocols.link import Link
from loadgen.types import Health, Timeline

_REPORT_SENT_EVERY = 0.1
_PULSE_EVERY = 1.0


class Sender:
    """One sender: connects link, dispatch and connections, and follows the desk's messages."""

    def __init__(self, loop: AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._link = Link(loop, sock, messages.ToSender, self._obey, loop.stop)
        self._start = 0
        self._finished = False
        self._orders = {Setup: self._set_up, CallBatch: self._take, Start: self._begin, Stop: self._stop,
                        Cancel: self._cancel}

    def _obey(self, message: messages.ToSender) -> None:
        self._orders[type(message)](message)  # type: ignore[operator]

    def _set_up(self, setup: Setup) -> None:
        raise_file_limit()
        self._setup = setup
        self._pool = transports.make(setup, self._loop, self._done, self._fragment)
        policy = Policy(setup.sender, setup.limit, setup.closed)
        self._dispatch = Dispatch(policy, self._pool.launch, monotonic_ns)
        self._pool.prepare(setup.connections, lambda failure: self._link.send(Ready(failure)))

    def _take(self, calls: CallBatch) -> None:
        if calls.items[0].attempt:
            self._dispatch.add_again(calls.items[0])
        else:
            self._dispatch.add(calls.items)

    def _begin(self, start: Start) -> None:
        gc.collect()
        gc.freeze()
        gc.disable()
        self._start = start.at
        self._stalls = StallWatch(self._loop)
        self._dispatch.begin(start.at, pacer.make(self._loop, self._dispatch.wake))
        self._loop.call_later(_REPORT_SENT_EVERY, self._report_sent)
        self._loop.call_later(_PULSE_EVERY, self._pulse)

    def _stop(self, _: Stop) -> None:
        self._dispatch.stop()
        self._check_finished()

    def _cancel(self, cancel: Cancel) -> None:
        self._dispatch.stop()
        self._pool.cancel(cancel.failure)
        self._check_finished()

    def _done(self, timeline: Timeline) -> None:
        dispatch = self._dispatch
        if dispatch.sent:
            self._send_sent()
        self._link.send(Done(timeline))
        dispatch.release(timeline)
        if dispatch.stopped:
            self._check_finished()

    def _fragment(self, index: int, payload: bytearray) -> None:
        self._link.send(Fragment(index, payload))

    def _check_finished(self) -> None:
        if self._dispatch.stopped and not self._dispatch.in_flight and not self._finished:
            self._finished = True
            self._send_sent()
            self._send_health()
            self._pool.close()
            self._link.send(Finished())

    def _report_sent(self) -> None:
        self._send_sent()
        self._loop.call_later(_REPORT_SENT_EVERY, self._report_sent)

    def _send_sent(self) -> None:
        if self._dispatch.sent:
            self._link.send(Sent(self._dispatch.sent))
            self._dispatch.sent = []

    def _pulse(self) -> None:
        if not self._finished:
            self._send_health()
            self._loop.call_later(_PULSE_EVERY, self._pulse)

    def _send_health(self) -> None:
        counts, dispatch = self._pool.counts, self._dispatch
        self._link.send(Pulse(Health(
            at=monotonic_ns() - self._start, sender=self._setup.sender, cpu=cpu_time(), rss=max_rss(),
            stall=self._stalls.take(), reads=counts.reads, unstamped=counts.unstamped, in_flight=dispatch.in_flight,
            connections=counts.open, opened=counts.opened, opened_late=counts.opened_late, dropped=counts.dropped,
            backlog=self._link.backlog, starved=dispatch.starved)))


def main() -> None:
    """Serve the desk at the other end of the socket whose descriptor is the first argument, until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the desk decides what to do
    loop = _event_loop()
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        Sender(loop, sock)
        loop.run_forever()


def _event_loop() -> AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        import asyncio
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()
