"""Each extension takes one file or one row: a test adds one of its own and finds it where it belongs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.backends import registry
from loadgen.config.plan_check import check
from loadgen.plan import Plan, Target, Workload
from loadgen.preflight.server import PlanServer
from loadgen.types import Request, UsageError
from support.replay import answer

BACKEND = '''
from loadgen import Connected, Request, ServiceBackend


class Rows:
    count = count_tokens = None

    def __init__(self, file):
        self.file = file

    def request(self, index):
        return Request(index, prompt=f"row {index} of {self.file}")

    def describe(self):
        return {"kind": "rows"}


class Mine(ServiceBackend):
    takes_input_data = True
    speaks = "mine"
    dialects = {"mine": ("my server", "--backend mine.py:Mine")}

    def connect(self, plan, server):
        return Connected(self, (), plan, told={"version": 3})

    def source(self, plan):
        return Rows(plan.workload.input_data)

    @classmethod
    def recognises(cls, answer, path=""):
        return "mine" if "mine" in answer else ""
'''


def test_a_backend_of_ones_own_is_one_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(BACKEND)
    plan = Plan(target=Target(f"{file}:Mine", ("http://127.0.0.1:9",)), workload=Workload(input_data="rows.csv"))
    backend = registry.make(plan.target)
    connected = backend.connect(plan, PlanServer(plan, lambda text: None))
    assert (connected.told, connected.source().request(7).prompt) == ({"version": 3}, "row 7 of rows.csv")
    said = {'{"mine": 1}': "the answer ended", '{"choices": []}': "this looks like the OpenAI dialect"}
    for event, words in said.items():
        failure = backend.decode(answer(f"data: {event}\n\n".encode()), Request(0, prompt="x")).failure
        assert failure is not None and failure.detail.startswith(words)
    check(replace(plan, load=replace(plan.load, rate=1.0, requests=5)))  # takes_input_data
    (tmp_path / "plain.py").write_text("import loadgen\n\n\nclass Plain(loadgen.ServiceBackend):\n    pass\n")
    with pytest.raises(UsageError, match="takes prompts"):
        check(replace(plan, target=replace(plan.target, backend=f"{tmp_path / 'plain.py'}:Plain")))
