"""`loadgen run` with models of a user's own, each in a process of its own, up to the ways in which they die."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.runs import LIMIT, Run, gone, loadgen

MODELS = '''
import os, threading, time
from loadgen import LocalBackend


class Words(LocalBackend):
    """Makes words, slowly enough that two requests overlap."""

    def generate(self, input, max_out_len, **kwargs):
        for number in range(max_out_len):
            time.sleep(0.001)
            yield f"w{number} "

    def facts(self):
        return {"device": "abacus"}


class Text(LocalBackend):
    def generate(self, input, max_out_len, **kwargs):
        return "one two three"


class Dies(LocalBackend):
    asked = 0

    def generate(self, input, max_out_len, **kwargs):
        self.asked += 1
        if self.asked == 4:
            print("the last words", flush=True)
            os.kill(os.getpid(), 9)
        yield "x"


class NoRoom(LocalBackend):
    asked = 0

    def generate(self, input, max_out_len, **kwargs):
        self.asked += 1
        if self.asked % 2 == 0:
            raise MemoryError("can't allocate 10 GB")
        yield "x"


class LoadFails(LocalBackend):
    def __init__(self, **kwargs):
        raise ValueError("the weights are torn")

    def generate(self, input, max_out_len, **kwargs): ...


class LoadDies(LocalBackend):
    def __init__(self, **kwargs):
        print("about to go", flush=True)
        os.kill(os.getpid(), 9)

    def generate(self, input, max_out_len, **kwargs): ...


class LoadsForEver(LocalBackend):
    def __init__(self, **kwargs):
        open(os.environ["SIGN"], "w").write(str(os.getpid()))
        threading.Event().wait()

    def generate(self, input, max_out_len, **kwargs): ...


class Leaves(LocalBackend):
    def generate(self, input, max_out_len, **kwargs):
        raise SystemExit("no licence")


class HalfCharacters(LocalBackend):
    def generate(self, input, max_out_len, **kwargs):
        yield "\\ud83d"


class Stuck(LocalBackend):
    free = 1  # requests that it answers
    asked = 0

    def generate(self, input, max_out_len, **kwargs):
        self.asked += 1
        if self.asked > self.free:
            open(os.environ["SIGN"], "w").write(str(os.getpid()))
            threading.Event().wait()
        return "x"


class StuckAtOnce(Stuck):
    free = 0
'''


@pytest.fixture
def models(tmp_path: Path) -> Path:
    file = tmp_path / "models.py"
    file.write_text(MODELS)
    return file


def command(models: Path, name: str, dir: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "loadgen", "run", "--backend", f"{models}:{name}", "--out", str(dir), "--quiet",
            "--warmup", "0s", "--no-cooldown", "--no-page", "--input-tokens", "10", "--output-tokens", "6",
            *(() if "--concurrency" in flags else ("--rate", "100")), *flags]


def run(models: Path, name: str, *flags: str) -> Run:
    dir = models.parent / "run"
    return loadgen(command(models, name, dir, "--requests", "12", *flags), dir)


def wait_for_file(path: Path) -> int:
    """Wait until a model has said that it is there, and return its process id."""
    limit = time.monotonic() + LIMIT
    while time.monotonic() < limit:
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.01)
    raise AssertionError("the model never began")


def sums(row: dict[str, Any]) -> bool:
    at = row["token_at"]
    return at == sorted(at) and row["sent"] <= at[0] and len(at) == 6


def test_tokens_are_stamped_where_they_are_made(models: Path) -> None:
    result = run(models, "Words")
    summary = result.summary
    assert summary["requests"]["succeeded"] == 12, result.err
    assert all(sums(row) for row in result.rows)
    assert summary["metrics"]["itl"]["count"] == 12 * 5
    assert summary["metrics"]["server_queue"]["count"] == 12
    assert summary["client"]["stamps"] == "model"
    total = sum(row["token_at"][-1] - row["token_at"][0] for row in result.rows)
    assert round(summary["metrics"]["itl"]["mean"] * 60) == total  # sum(itl) = last - first
    assert summary["server"]["model"]["device"] == "abacus" and summary["server"]["model"]["load_time"] > 0
    assert "model stamps" in result.out and "abacus" in result.out


def test_the_wait_in_the_queue_is_in_what_the_schedule_sees(models: Path) -> None:
    """At 1,000/s a model that takes 6 ms for a request is far behind: open loop stays open, and the wait is told."""
    result = run(models, "Words", "--rate", "1000")
    rows = sorted(result.rows, key=lambda row: row["index"])
    assert rows[-1]["sent"] - rows[-1]["due"] < rows[-1]["token_at"][0] - rows[-1]["sent"]
    assert dict(rows[-1]["server"])["server_queue"] > 5 * 6_000_000
    assert all(row["token_at"][0] - row["sent"] >= dict(row["server"])["server_queue"] for row in rows)
    metrics = result.summary["metrics"]
    assert metrics["ttft_scheduled"]["max"] == max(row["token_at"][0] - row["due"] for row in rows)
    assert metrics["server_queue"]["max"] == max(dict(row["server"])["server_queue"] for row in rows)


@pytest.mark.parametrize("flags", [(), ("--no-probe",)])
def test_whole_answers_have_no_token_times(models: Path, flags: tuple[str, ...]) -> None:
    result = run(models, "Text", *flags)
    assert result.summary["requests"]["succeeded"] == 12
    assert "e2e" in result.summary["metrics"] and not {"ttft", "itl", "tpot"} & result.summary["metrics"].keys()
    assert result.summary["plan"]["target"]["stream"] is False
    assert result.summary["rates"]["completed"] > 0 and result.summary["rates"]["output_tokens"] == 0


def test_a_closed_loop(models: Path) -> None:
    result = loadgen(command(models, "Words", models.parent / "run", "--concurrency", "3", "--requests", "9"),
                     models.parent / "run")
    assert result.summary["requests"]["succeeded"] == 9, result.err


def test_a_request_that_runs_out_of_memory_fails_and_the_run_goes_on(models: Path) -> None:
    result = run(models, "NoRoom")
    counts = result.summary["requests"]
    assert (counts["succeeded"], counts["failures"]) == (6, {"backend": 6})
    assert counts["types"]["backend"] == {"MemoryError": 6}
    assert "can't allocate 10 GB" in counts["examples"]["backend"] and result.code == 3


def test_a_model_that_dies_ends_the_run_with_a_verdict_and_its_last_words(models: Path) -> None:
    result = run(models, "Dies", "--rate", "10")
    assert result.code == 3
    assert "model_lost" in result.failing
    counts = result.summary["requests"]
    assert counts["succeeded"] == 2 and set(counts["failures"]) == {"model_lost"}
    assert "the last words" in (result.dir / "model.log").read_text()
    assert "model.log" in result.out


@pytest.mark.parametrize("name, words", [
    ("LoadFails", ["can't be made", "ValueError: the weights are torn", "models.py:"]),
    ("LoadDies", ["can't be loaded", "killed by SIGKILL: out of memory?", "about to go"]),
    ("HalfCharacters", ["a first request failed", "can't be written down"]),
    ("Leaves", ["SystemExit: no licence"]),
    ("Nothing", ["there is no class 'Nothing'", "Words"]),
])
def test_a_model_that_can_not_be_loaded_says_why(models: Path, name: str, words: list[str]) -> None:
    result = run(models, name)
    assert result.code == 2
    assert all(word in result.err for word in words), result.err
    assert name == "LoadDies" or "out of memory" not in result.err
    assert not result.dir.exists()


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_model_that_is_loading_ends_with_the_desk(models: Path, tmp_path: Path, number: int, code: int) -> None:
    sign = tmp_path / "sign"
    process = subprocess.Popen(command(models, "LoadsForEver", tmp_path / "run", "--requests", "5"),
                               stderr=subprocess.PIPE, env={**os.environ, "SIGN": str(sign)})
    pid = wait_for_file(sign)
    process.send_signal(number)
    _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == code, err
    assert gone(pid)


@pytest.mark.parametrize("name, number", [("Stuck", signal.SIGKILL), ("Stuck", signal.SIGINT),
                                          ("StuckAtOnce", signal.SIGKILL)])
def test_no_model_outlives_the_desk_even_one_that_is_stuck(
        models: Path, tmp_path: Path, name: str, number: int) -> None:
    sign, homes = tmp_path / "sign", tmp_path / "homes"
    homes.mkdir()
    loud = [word for word in command(models, name, tmp_path / "run", "--requests", "5") if word != "--quiet"]
    process = subprocess.Popen(loud, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               env={**os.environ, "SIGN": str(sign), "TMPDIR": str(homes)})
    pid = wait_for_file(sign)
    process.send_signal(number)
    if number == signal.SIGINT:
        assert process.stderr is not None
        assert any(b"stopping" in line for line in process.stderr)
        process.send_signal(number)
    process.communicate(timeout=LIMIT)
    assert gone(pid) and not list(homes.iterdir())


def test_a_timeout_takes_a_request_out_of_a_busy_model(models: Path) -> None:
    result = run(models, "Words", "--output-tokens", "4000", "--timeout", "300ms", "--requests", "2")
    assert result.summary["requests"]["failures"] == {"timeout": 2}
    assert result.rows[0]["token_at"] and result.rows[0]["output_tokens"] == len(result.rows[0]["token_at"])


@pytest.mark.parametrize("flags, words", [
    (("--url", "http://host"), "not a server: leave out url"),
    (("--idle-timeout", "1s"), "leave out idle"), (("--first-token-timeout", "1s"), "leave out first-token"),
    (("--batching", "dynamic"), "--batching static or --batching continuous"),
    (("--senders", "2"), "one sender is enough"), (("--device", "cpu"), "takes no device"),
    (("--endpoint", "chat"), "leave --endpoint out"), (("--images", "none.png"), "none.png can't be read"),
    (("--images", "https://host/cat.png"), "fetches nothing"), (("--connections", "new"), "leave out connections"),
])
def test_flags_that_a_local_model_has_no_use_for(models: Path, flags: tuple[str, ...], words: str) -> None:
    result = run(models, "Words", *flags)
    assert result.code == 2 and words in result.err, result.err


def test_flags_of_a_local_model_are_refused_for_a_server() -> None:
    done = subprocess.run([sys.executable, "-m", "loadgen", "run", "--url", "http://host", "--rate", "1", "--requests",
                           "1", "--path", "model"], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 2 and "--path is about a model that is loaded here" in done.stderr


def test_a_run_of_a_local_model_can_be_run_and_reported_again(models: Path, tmp_path: Path) -> None:
    first = run(models, "Words")
    again = loadgen([sys.executable, "-m", "loadgen", "report", str(first.dir), "--json"], first.dir)
    assert '"stamps": "model"' in again.out and "abacus" in again.out
    second = loadgen([sys.executable, "-m", "loadgen", "run", str(first.dir), "--out", str(tmp_path / "second"),
                      "--quiet"], tmp_path / "second")
    assert second.summary["schedule"]["sha256"] == first.summary["schedule"]["sha256"]
    assert second.summary["requests"]["succeeded"] == 12


def test_a_config_file_with_a_local_model_takes_every_field(models: Path, tmp_path: Path) -> None:
    config = tmp_path / "my_custom_model.py"
    config.write_text('''
import time

from ais_bench.benchmark.models import BaseModel


class MyCustomModel(BaseModel):
    def __init__(self, path, max_seq_len=2048, tokenizer_only=False, meta_template=None, generation_kwargs=dict(),
                 sync_rank=False, **kwargs):
        super().__init__(path, max_seq_len, tokenizer_only, meta_template, generation_kwargs, sync_rank)
        self.flavour = kwargs.get("flavour")

    def generate(self, inputs, max_out_len, **kwargs):
        assert self.batch_size == 2
        time.sleep(0.02)  # so that more than a batch waits for the next
        return [f"{len(inputs)} at a time {self.flavour} {self.max_seq_len} {self.generation_kwargs} {max_out_len} "
                f"{self.path}" for _ in inputs]


models = [dict(attr="local", type=MyCustomModel, abbr="mine", path="weights", max_out_len=100, batch_size=2,
               max_seq_len=512, generation_kwargs=dict(temperature=0.0), run_cfg=dict(num_gpus=1))]
''')
    result = loadgen([sys.executable, "-m", "loadgen", "run", "--models", str(config), "--datasets",
                      "demo_gsm8k_gen_4_shot_cot_chat_prompt", "--out", str(tmp_path / "run"), "--quiet", "--outputs",
                      "--concurrency", "6"], tmp_path / "run")
    assert result.summary["requests"]["succeeded"] == 12, result.err
    assert "run_cfg not used" in result.err
    said = (tmp_path / "run" / "outputs.jsonl").read_text()
    assert "None 512 {'temperature': 0.0} 100 weights" in said
    assert set(re.findall(r"(\d) at a time", said)) in ({"2"}, {"1", "2"})
