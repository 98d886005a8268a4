"""The process of a model: loads it, answers senders, and tells the desk about it. Ends when the desk does."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from time import monotonic_ns
from typing import Any, NoReturn

import msgspec

from loadgen.backends import registry
from loadgen.backends.errors import one_line
from loadgen.backends.local.interface import LocalBackend, streams_by_form
from loadgen.config import plan_file
from loadgen.engine.process_stats import cpu_time, max_rss
from loadgen.exit_codes import FAILED, USAGE
from loadgen.local.control import HOME, Facts, Loaded, LoadModel, Refused, Tell, ToDesk, ToProcess
from loadgen.protocols.link import MessageFrames, encode
from loadgen.protocols.local.jobs import Jobs, LocalJob, answer_of, job_of
from loadgen.protocols.local.service import ModelService, written
from loadgen.types import Failure, UsageError

_READ_SIZE = 1 << 16
_FAREWELL = 3.0  # s that a model has to end by itself when the desk has gone
_NICE = 5  # a model that takes every processor must not keep the sender from being on time


class Host:
    """Loads one model and serves it. `control` is the socket to the desk, `listening` the one for senders."""

    def __init__(self, control: socket.socket, listening: socket.socket) -> None:
        self._control = control
        self._listening = listening
        self._frames = MessageFrames(ToProcess)
        self._jobs = Jobs()
        self._backend: LocalBackend | None = None
        self._loaded_in = 0

    def run(self) -> int:
        """Load, then serve until the desk closes its end; returns the exit code.

        The desk is told of whatever ends it before: from the way it ends, nobody could tell why.
        """
        try:
            return self._run()
        except BaseException as error:
            return self._refuse(error)

    def _run(self) -> int:
        order = self._next()
        if not isinstance(order, LoadModel):
            return 0
        started = monotonic_ns()
        threading.Thread(target=self._leave_with_desk, name="loading", daemon=True).start()
        plan = plan_file.from_dict({"target": order.target, "model": order.model})
        self._backend = registry.load_local(plan.target, plan.model)
        self._loaded_in = monotonic_ns() - started
        ModelService(self._listening, self._jobs).start()
        threading.Thread(target=self._attend, args=(order.first,), name="desk", daemon=True).start()
        self._backend.serve(self._jobs)
        if not self._jobs.closed:
            raise RuntimeError("serve returned, and there may be more to answer")
        return 0

    def _attend(self, first: bytes) -> None:
        """Answer the desk; it must hear of whatever goes wrong here, since it waits."""
        try:
            self._answer_desk(first)
        except BaseException as error:
            self.leave(self._refuse(error))

    def _refuse(self, error: BaseException) -> int:
        """Tell the desk why this ends, and return the exit code."""
        if isinstance(error, UsageError):
            self._say(Refused(str(error)))
            return USAGE
        traceback.print_exception(error)
        self._say(Refused(f"{type(error).__name__}: {error}", bug=True))
        return FAILED

    def _leave_with_desk(self) -> None:
        """End with the desk also while the model loads, or tries its first request: each may take for ever."""
        try:
            there = self._control.recv(1, socket.MSG_PEEK)
        except OSError:
            there = b""
        if not there and self._backend is None:
            self.leave(0)
        if not there:
            self._part()

    def _part(self) -> None:
        """Let the model end by itself, for a while: the desk has gone."""
        self._jobs.close()
        timer = threading.Timer(_FAREWELL, self.leave, (0,))
        timer.daemon = True
        timer.start()

    def leave(self, code: int) -> NoReturn:
        """End now: threads of an engine that never end must not keep the process, nor its processes outlive it.

        What the desk still wants of the directory, it has open.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        home = Path(self._listening.getsockname()).parent
        if home.name.startswith(HOME):  # nothing else may ever be removed
            shutil.rmtree(home, ignore_errors=True)
        if os.getpgrp() == os.getpid():  # as ModelProcess starts it
            os.killpg(0, signal.SIGKILL)
        os._exit(code)

    def _answer_desk(self, first: bytes) -> None:
        """Try the model, say that it is loaded, then tell facts when asked, and end with the desk."""
        assert self._backend is not None
        tried, streams = self._try(first) if first else ("", None)
        if streams is None:
            streams = streams_by_form(type(self._backend))
        gc.collect()
        gc.freeze()  # what is loaded stays: a collection that looks through all of it holds up tokens
        self._say(Loaded({**self._facts(), "streams": streams}, tried))
        while self._next() is not None:
            self._say(Facts(self._facts_now()))
        self._part()

    def _try(self, first: bytes) -> tuple[str, bool | None]:
        """Ask the first request, which also warms the model.

        Returns what was wrong with the answer, and whether its tokens were told one by one, None if it had none.
        """
        over = threading.Event()
        seen: list[tuple[LocalJob, Failure | None]] = []

        def ended(job: LocalJob, reason: str, failure: Failure | None) -> None:
            seen.append((job, written(answer_of, job, reason, failure).failure))
            over.set()

        self._jobs.put(job_of(0, first, ended))
        over.wait()
        job, failure = seen[0]
        if failure is not None:
            kind = "" if failure.type in ("", UsageError.__name__) else f"{failure.type}: "
            return kind + failure.detail, None
        return "", bool(job.ids or job.pieces) if job.stamps else None

    def _facts(self) -> dict[str, Any]:
        """Return what there is to tell, as JSON values. Raises UsageError if the backend's own can't be had."""
        assert self._backend is not None
        try:
            own = msgspec.to_builtins(dict(self._backend.facts()), str_keys=True, enc_hook=_builtin)
        except Exception as error:
            raise UsageError(f"the model is loaded, and its facts() failed: {one_line(error)}") from error
        return {"load_time": self._loaded_in, "max_rss": max_rss(), "cpu": cpu_time(), **own}

    def _facts_now(self) -> dict[str, Any]:
        """Return the facts again; nothing where that fails, since there are those of the beginning."""
        try:
            return self._facts()
        except UsageError:
            traceback.print_exc()
            return {}

    def _next(self) -> LoadModel | Tell | None:
        """Wait for what the desk says next; None when it has gone."""
        while True:
            try:
                data = self._control.recv(_READ_SIZE)
            except OSError:
                return None
            if not data:
                return None
            for message in self._frames.feed(data):
                order: LoadModel | Tell = message
                return order

    def _say(self, message: ToDesk) -> None:
        try:
            self._control.sendall(encode(message))
        except OSError:
            pass  # the desk has gone; reading says so too


def _builtin(value: Any) -> Any:
    """Return a fact that is no JSON value as one: an array or a number of a library as lists and numbers, else text."""
    listed = getattr(value, "tolist", None)
    return listed() if callable(listed) else str(value)


def main() -> None:
    """Serve the desk and the senders at the two sockets whose descriptors are the arguments."""
    os.nice(_NICE)
    control, listening = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    host = Host(control, listening)
    host.leave(host.run())


if __name__ == "__main__":
    main()
