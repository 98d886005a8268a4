"""The side of the model: takes requests from senders' sockets into its queue, and sends back what has ended."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic_ns
from typing import Any

from loadgen.protocols.link import MessageFrames, encode
from loadgen.protocols.local.jobs import Jobs, LocalJob, answer_of, answer_so_far, job_of
from loadgen.protocols.local.messages import Drop, LocalAnswer, LocalRequest, ToModel
from loadgen.types import Failure

_READ_SIZE = 1 << 18


class ModelService:
    """Serve senders at a listening socket, with a thread that reads and one that writes for each of them.

    The model's own thread does neither: it takes from `jobs`, and ends a job without waiting for anybody.
    """

    def __init__(self, listening: socket.socket, jobs: Jobs) -> None:
        self._listening = listening
        self._jobs = jobs

    def start(self) -> None:
        """Begin to accept, in a thread of its own."""
        threading.Thread(target=self._accept, name="accept", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return  # closed
            _Peer(sock, self._jobs).start()


class _Peer:
    """One sender."""

    def __init__(self, sock: socket.socket, jobs: Jobs) -> None:
        self._socket = sock
        self._jobs = jobs
        self._open: dict[int, LocalJob] = {}
        self._out: queue.SimpleQueue[Callable[[], LocalAnswer]] = queue.SimpleQueue()

    def start(self) -> None:
        threading.Thread(target=self._read, name="requests", daemon=True).start()
        threading.Thread(target=self._write, name="answers", daemon=True).start()

    def _read(self) -> None:
        frames = MessageFrames(ToModel)
        while True:
            try:
                data = self._socket.recv(_READ_SIZE)
            except OSError:
                data = b""
            if not data:
                break
            for message in frames.feed(data):
                self._take(message)
        for job in list(self._open.values()):  # its sender has gone
            job.drop()

    def _take(self, message: LocalRequest | Drop) -> None:
        if isinstance(message, Drop):
            job = self._open.get(message.number)
            if job is not None:
                job.drop()
                self._out.put(partial(written, answer_so_far, job))
            return
        job = job_of(message.number, message.data, self._ended)
        self._open[message.number] = job
        self._jobs.put(job)

    def _ended(self, job: LocalJob, reason: str, failure: Failure | None) -> None:
        self._open.pop(job.number, None)
        if not job.dropped:
            self._out.put(partial(written, answer_of, job, reason, failure))

    def _write(self) -> None:
        while True:
            answer = self._out.get()()
            try:
                self._socket.sendall(encode(answer))
            except OSError:
                return


def written(make: Callable[..., LocalAnswer], job: LocalJob, *end: Any) -> LocalAnswer:
    """Return `make(job, *end)`. An answer that JSON can't hold, as half a character, is a failure."""
    try:
        return make(job, *end)
    except Exception as error:
        words = f"the answer can't be written down: {error}"
        return LocalAnswer(job.number, monotonic_ns(), failure=Failure("backend", words, type(error).__name__))
