"""Real servers for the tests: installed into .real, or taken from where LOADGEN_REAL_VLLM and LOADGEN_REAL_HF say."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from real.servers import CONTEXT, SLOTS, ServerProcess

HERE = Path(__file__).parent
REAL = HERE.parent.parent / ".real"

Start = Callable[[str], AbstractContextManager[ServerProcess]]
"""Starts a server; the name is that of its log."""


def environment(server: str, variable: str) -> Path:
    """Return the environment of a server, installed if the variable names none."""
    given = os.environ.get(variable)
    if given:
        return Path(given)
    subprocess.run(["bash", str(HERE / "install.sh"), server, str(REAL / server)], check=True)
    return REAL / server / "env"


@pytest.fixture(scope="session")
def transformers_env() -> Path:
    return environment("transformers", "LOADGEN_REAL_HF")


@pytest.fixture(scope="session")
def vllm_env() -> Path:
    return environment("vllm", "LOADGEN_REAL_VLLM")


def made(env: Path, kind: str, to: Path) -> Path:
    """Make a tiny model of a kind, with the libraries of an environment; returns where it is."""
    subprocess.run([str(env / "bin" / "python"), str(HERE / "tiny_models.py"), kind, str(to)], check=True,
                   env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True)
    return to


@pytest.fixture(scope="session")
def model(transformers_env: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny model and its tokenizer."""
    return made(transformers_env, "llama", tmp_path_factory.mktemp("model") / "tiny-llama")


@pytest.fixture(scope="session")
def vision_model(vllm_env: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a tiny vision-language model and its processor."""
    return made(vllm_env, "qwen2vl", tmp_path_factory.mktemp("vision") / "tiny-qwen2vl")


@pytest.fixture(scope="session")
def start_vllm(vllm_env: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts vLLM with SLOTS sequences at a time and a context of CONTEXT tokens."""

    def start(name: str) -> ServerProcess:
        command = [str(vllm_env / "bin" / "vllm"), "serve", str(model), "--served-model-name", "tiny",
                   "--max-model-len", str(CONTEXT), "--max-num-seqs", str(SLOTS), "--dtype", "bfloat16",
                   "--enforce-eager"]
        env = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_KVCACHE_SPACE": "1",
               "VLLM_HOST_IP": "127.0.0.1"}
        return ServerProcess(command, tmp_path_factory.mktemp(name) / "server.log", env)

    return start


@pytest.fixture(scope="session")
def vllm(start_vllm: Start) -> Iterator[ServerProcess]:
    with start_vllm("vllm") as server:
        yield server


@pytest.fixture(scope="session")
def transformers(transformers_env: Path, model: Path, tmp_path_factory: pytest.TempPathFactory
                 ) -> Iterator[ServerProcess]:
    command = [str(transformers_env / "bin" / "transformers"), "serve", str(model), "--device", "cpu"]
    with ServerProcess(command, tmp_path_factory.mktemp("transformers") / "server.log",
                       {"HF_HUB_OFFLINE": "1"}) as server:
        yield server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of a server's log with the failure of a test that used it."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name, value in item.funcargs.items():
            if isinstance(value, ServerProcess):
                report.sections.append((f"log of {name}", value.tail))
    return report
