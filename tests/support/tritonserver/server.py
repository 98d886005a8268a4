"""A real tritonserver with the models of this folder: installs it once, starts it on free ports, ends it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
HOME = HERE.parents[2] / ".real" / "triton"
PACKAGES = ("nvidia-pytriton==0.7.0", "numpy==1.26.4")  # numpy 2 crashes the stub of the Python models
STARTS_WITHIN = 60.0  # s
INSTALLS_WITHIN = 600.0


class CantRunError(Exception):
    """This machine can't run the server: says why."""


@dataclass(frozen=True)
class TritonServer:
    """A running server; addresses have no scheme, as users of Triton write them."""

    grpc: str
    http: str
    metrics: str
    pid: int


def install() -> Path:
    """Make the environment of the server, once; returns its folder. Raises CantRunError if it can't be had here."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise CantRunError(f"the tritonserver wheel is for Linux x86_64, not {sys.platform} {platform.machine()}")
    HOME.parent.mkdir(exist_ok=True)
    with open(HOME.parent / "triton.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run twice at a time
        _install()
    return HOME


def _install() -> None:
    done = HOME / ".installed"
    if done.exists() and done.read_text() == " ".join(PACKAGES) + sys.version:
        return
    shutil.rmtree(HOME, ignore_errors=True)
    venv.create(HOME, with_pip=True)
    pip = [str(HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    told = subprocess.run([*pip, *PACKAGES], capture_output=True, text=True, timeout=INSTALLS_WITHIN, check=False)
    if told.returncode:
        raise CantRunError(f"pip can't install {' '.join(PACKAGES)}: {told.stderr.strip()[-300:]}")
    _lay_out(packages())
    done.write_text(" ".join(PACKAGES) + sys.version)


def packages() -> Path:
    """Return the folder of the installed packages."""
    return HOME / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _lay_out(site: Path) -> None:
    """Put the Python backend together with the stub of this Python."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = site / "pytriton" / "tritonserver" / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        raise CantRunError(f"the tritonserver wheel has no stub for Python {version}")
    target = HOME / "backends" / "python"
    shutil.copytree(site / "pytriton" / "tritonserver" / "backends" / "python", target, dirs_exist_ok=True)
    shutil.copy2(stub, target)


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _command(ports: list[int], models: Path) -> list[str]:
    program = packages() / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    command = [str(program), f"--model-repository={models}", f"--backend-directory={HOME / 'backends'}"]
    for name, port in zip(("http", "grpc", "metrics"), ports, strict=True):
        command += [f"--{name}-address=127.0.0.1", f"--{name}-port={port}"]
    return [*command, "--model-control-mode=explicit", "--load-model=llm", "--load-model=llm_sep",
            "--load-model=classifier"]


def _environment() -> dict[str, str]:
    libraries = [str(packages() / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR") or ""]
    # The stub finds its packages through the python3 that comes first in PATH; PYTHONPATH is ignored.
    path = f"{HOME / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)), "PATH": path}


@contextlib.contextmanager
def running(models: Path = HERE / "models") -> Iterator[TritonServer]:
    """Run the server with all models but `unloaded` until the block ends. Raises CantRunError."""
    install()
    ports = free_ports(3)
    with tempfile.TemporaryFile() as log:
        yield from _run(ports, models, log)


def _run(ports: list[int], models: Path, log: IO[bytes]) -> Iterator[TritonServer]:
    process = subprocess.Popen(_command(ports, models), env=_environment(), stdout=log, stderr=log)
    try:
        _wait(process, ports[0], log)
        yield TritonServer(f"127.0.0.1:{ports[1]}", f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[2]}", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    limit = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < limit and process.poll() is None:
        with (contextlib.suppress(urllib.error.URLError, ConnectionError),
              urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5) as reply):
            if reply.status == 200:
                return
        time.sleep(0.1)
    log.seek(0)
    raise RuntimeError(f"tritonserver did not start: {log.read()[-2000:].decode('utf-8', 'replace')}")
