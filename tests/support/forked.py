"""The command line in a process of its own that starts fast: forked from one that has imported loadgen already."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PRELOADED = ("loadgen.cli.main", "loadgen.run.execute", "loadgen.run_files.read_back", "support.forked")


def server() -> Any:
    """Return the context whose processes are forked so; the server they come from starts with the first of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


CONTEXT = server()


def command_line(arguments: Sequence[str], folder: Path, timeout: float,
                 env: Mapping[str, str]) -> tuple[int, str, str]:
    """Run `loadgen ARGUMENTS`; returns exit code, standard output and error, which go through files in `folder`."""
    out, err = folder / "out", folder / "err"
    process = CONTEXT.Process(target=_child, args=(list(arguments), out, err, str(Path.cwd()), {**os.environ, **env}))
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"loadgen {' '.join(arguments)} takes longer than {timeout:g} s: {err.read_text()}")
    code: int = process.exitcode
    process.close()
    return code, out.read_text(), err.read_text()


def _child(arguments: list[str], out: Path, err: Path, cwd: str, env: Mapping[str, str]) -> None:
    """Be the command: file descriptors, directory, environment and signals as a shell would give them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for path, number in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    from loadgen.cli.main import main

    sys.argv = ["loadgen", *arguments]
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
