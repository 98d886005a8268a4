"""The process of a model whose engine has processes of its own: why that could not start, and what is left of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from loadgen.backends import registry
from loadgen.local.control import LoadModel
from loadgen.local.meeting import connect
from loadgen.local.process import ModelProcess
from loadgen.plan import LocalModel, OutputOptions, Plan, Target, Workload
from loadgen.types import UsageError
from support.runs import LIMIT, gone

ENGINE = '''
import gc, numpy, os, subprocess, sys, time
from loadgen import LocalBackend
from loadgen.types import UsageError


class Breaks(LocalBackend):
    """Its engine is a process, which prints why it can't start into the log; what loadgen is told says nothing."""

    def __init__(self, path="", **kwargs):
        code = "raise OSError('the weights are half a file')"
        subprocess.run([sys.executable, "-c", code])
        raise UsageError("the engine did not start, see above")

    def generate(self, input, max_out_len, **kwargs):
        yield "x"


class Says(Breaks):
    def __init__(self, path="", **kwargs):
        print("OSError: no such weights", flush=True)
        raise UsageError("OSError: no such weights")


class Leaves(Breaks):
    """Its engine outlives whoever started it, unless it is killed."""

    def __init__(self, path="", **kwargs):
        self.engine = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

    def facts(self):
        return {"engine": self.engine.pid}


class Tells(Breaks):
    """Has facts that are no JSON values, and later none."""

    told = 0

    def __init__(self, path="", **kwargs): ...

    def facts(self):
        self.told += 1
        assert self.told == 1, "no facts any more"
        return {"device": complex(1, 2), "share": numpy.float32(0.5), "sizes": {0: numpy.arange(3)},
                "frozen": gc.get_freeze_count()}


class TellsNothing(Tells):
    told = 1


class Asked(Tells):
    def generate(self, input, max_out_len, **kwargs):
        kinds = input if isinstance(input, str) else [part["type"] for part in input[0]["content"]]
        raise ValueError(f"asked for {kinds} {max_out_len} {kwargs}")


class Forks(Breaks):
    """Its engine is a fork, and so has all of its sockets; then it dies."""

    def __init__(self, path="", **kwargs):
        if os.fork() == 0:
            time.sleep(600)
        os.abort()
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "engine.py"
    path.write_text(ENGINE)
    return path


def refused(file: Path, name: str) -> str:
    process = ModelProcess()
    late = threading.Timer(LIMIT, process.interrupt)
    late.start()
    try:
        with pytest.raises(UsageError) as caught:
            process.load(LoadModel({"backend": f"{file}:{name}"}, {}))
        assert late.is_alive(), "it was waited for"
        return str(caught.value)
    finally:
        late.cancel()
        process.end()


def test_why_an_engine_did_not_start_is_looked_up_in_what_it_printed(file: Path) -> None:
    assert refused(file, "Breaks") == "the engine did not start, see above\n  OSError: the weights are half a file"


def test_what_was_said_already_is_not_said_twice(file: Path) -> None:
    assert refused(file, "Says") == "OSError: no such weights"


def test_facts_of_any_kind_become_json_and_those_that_fail_later_are_none(file: Path) -> None:
    process = ModelProcess()
    try:
        told = process.load(LoadModel({"backend": f"{file}:Tells"}, {})).facts
        assert (told["device"], told["share"], told["sizes"]) == ("(1+2j)", 0.5, {"0": [0, 1, 2]})
        assert told["frozen"] > 0
        assert process.facts() == {} and process.alive
    finally:
        process.end()


def test_facts_that_fail_are_said_before_the_run(file: Path) -> None:
    assert "its facts() failed" in (said := refused(file, "TellsNothing"))
    assert "engine.py:" in said and "no facts any more" in said


def test_a_process_that_dies_while_it_loads_is_seen_though_its_engine_has_its_sockets(file: Path) -> None:
    said = refused(file, "Forks")
    assert "it ended while it loaded (killed by SIGABRT)" in said


def test_a_model_whose_tokenizer_can_not_be_read_does_not_stay(
        file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    homes = tmp_path / "homes"
    homes.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(homes))
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    plan = Plan(Target(f"{file}:Tells", probe=False), model=LocalModel(path=f"~/{tmp_path.name}"),
                out=OutputOptions(outputs=True))
    with pytest.raises(UsageError, match="tokenizer"):
        asyncio.run(connect(plan, registry.make_local(plan.target), lambda note: None))
    assert not list(homes.iterdir())


@pytest.mark.parametrize("images, kinds", [("", "Hello from loadgen."),
                                           ("synthetic:64x48", "['image_url', 'image_url', 'text']")])
def test_the_first_request_is_like_those_of_the_run(file: Path, images: str, kinds: str) -> None:
    plan = Plan(Target(f"{file}:Asked", body={"top_k": 3, "min_p": None}),
                workload=Workload(images=images, images_per_request=2))
    with pytest.raises(UsageError) as caught:
        asyncio.run(connect(plan, registry.make_local(plan.target), lambda note: None))
    assert f"a first request failed: ValueError: {file}:" in str(caught.value)
    assert f"asked for {kinds} 4 {{'top_k': 3}}" in str(caught.value)


DESK = '''
import os, signal, sys
from loadgen.local.control import LoadModel
from loadgen.local.process import ModelProcess

loaded = ModelProcess().load(LoadModel({"backend": sys.argv[1]}, {}))
print(loaded.facts["engine"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
'''


def test_an_engine_does_not_outlive_a_desk_that_was_killed(file: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DESK, f"{file}:Leaves"], stdout=subprocess.PIPE, check=False)
    assert done.returncode == -9
    assert gone(int(done.stdout))
