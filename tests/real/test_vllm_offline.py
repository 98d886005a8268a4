"""vLLM's engine in a process of loadgen's own: its tokens and times beside ours, bad requests, what is left of it."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from real.servers import PATIENCE
from support.runs import Run

pytestmark = pytest.mark.real
TOKENS = 64
REQUESTS = 40
CONTEXT = 4096
DISTURBED = {"lag", "loop_stall", "steady_state", "little", "duration", "sample_size", "precision"}
"""Checks that fail on a busy machine, or because a run is as short as a test's."""
MS = 1_000_000
ROOT = Path(__file__).parents[2]
Command = Callable[..., list[str]]


@pytest.fixture(scope="module")
def offline(vllm_env: Path) -> Command:
    """Makes the command line of a run with a model: offline(backend, path, dir, *flags)."""

    def command(backend: str, path: Path, dir: Path, *flags: str) -> list[str]:
        return [str(vllm_env / "bin" / "python"), "-m", "loadgen", "run", "--backend", backend, "--path", str(path),
                "--out", str(dir), "--quiet", "--warmup", "0s", "--no-cooldown", "--engine", "enforce_eager=true",
                *flags]

    return command


def surroundings(dir: Path) -> dict[str, Any]:
    """Where and in what environment a run is made: in a directory by which processes_of knows what it started."""
    return {"cwd": dir.parent, "env": {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "PYTHONPATH": str(ROOT)}}


def processes_of(dir: Path) -> dict[int, str]:
    """Return the processes of a run, with their names: the desk and all that came of it."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cwd").readlink() == dir.parent:
                found[int(folder.name)] = (folder / "comm").read_text().strip()
        except OSError:  # it has ended meanwhile
            continue
    return found


def finished(command: list[str], dir: Path) -> Run:
    """Run a command to its end."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
                          **surroundings(dir))
    return Run(done.returncode, done.stdout, done.stderr, dir)


@pytest.fixture(scope="module")
def text_run(offline: Command, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which all is well."""
    dir = tmp_path_factory.mktemp("text") / "run"
    result = finished(offline("vllm-offline", model, dir, "--rate", "5", "--requests", str(REQUESTS), "--input-tokens",
                              "100", "--output-tokens", str(TOKENS), "--engine", "max_num_seqs=16"), dir)
    assert result.code in (0, 3), result.err
    return result


def test_every_token_is_counted_as_the_engine_counts_it(text_run: Run) -> None:
    assert text_run.summary["requests"]["succeeded"] == REQUESTS
    assert not text_run.failing - DISTURBED
    for row in text_run.rows:
        assert row["output_tokens"] == row["usage_tokens"] == sum(row["token_count"]) == TOKENS
        assert row["output_source"] == "token ids" and row["finish_reason"] == "length"


def test_gaps_add_up_to_the_time_from_first_to_last(text_run: Run) -> None:
    itl = text_run.summary["metrics"]["itl"]
    whole = sum(row["token_at"][-1] - row["token_at"][0] for row in text_run.rows)
    at_first = sum(row["token_count"][0] for row in text_run.rows)
    assert itl["count"] == REQUESTS * TOKENS - at_first
    assert itl["mean"] * itl["count"] == pytest.approx(whole, rel=1e-9, abs=itl["count"])


def test_our_times_contain_those_of_the_engine(text_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The engine's clock starts after the prompt is made and stops before the token has come out."""
    firsts, decodes = [], []
    for row in text_run.rows:
        times = dict(row["server"])
        first = row["token_at"][0] - row["sent"]
        firsts.append(first - times["server_preprocess"] - times["server_queue"] - times["server_prefill"])
        decodes.append(row["token_at"][-1] - row["token_at"][0] - times["server_decode"])
    firsts.sort()
    decodes.sort(key=abs)
    half = len(firsts) // 2
    with capsys.disabled():
        print(f"\nttft beyond the engine's: p50 {firsts[half] / MS:.2f} ms, max {firsts[-1] / MS:.2f} ms; decode "
              f"beyond the engine's: p50 {decodes[half] / MS:.2f} ms, max {decodes[-1] / MS:.2f} ms   "
              f"{text_run.failing}")
    assert firsts[0] >= 0, "a token was seen before the engine had made it"
    if not text_run.failing & {"lag", "loop_stall"}:
        assert firsts[half] < 10 * MS and abs(decodes[half]) < 10 * MS


def test_nobody_is_told_and_nothing_of_the_engine_is_left(text_run: Run) -> None:
    log = (text_run.dir / "model.log").read_text()
    assert "Traceback" not in log and "deprecated and will be removed" not in log
    assert not processes_of(text_run.dir)


MIXED = [
    {"prompt": "ba ko ri", "max_tokens": 4000},  # holds the only slot until its timeout: then it must be aborted
    {"prompt": "tu men", "max_tokens": 8},
    {"prompt": "sol " * 5000, "max_tokens": 8},
    {"prompt": "dex ly", "max_tokens": 40, "body": {"ignore_eos": False, "stop_token_ids": list(range(3, 1600))}},
    {"prompt": "or in", "max_tokens": 8, "body": {"temperature": -1}},
    {"prompt": "st ger", "max_tokens": 8},
]


def run_lines(command: Command, backend: str, path: Path, dir: Path, lines: list[dict[str, Any]], *flags: str) -> Run:
    """Make a run of the lines of a prompts file, one every two seconds."""
    file = dir / "prompts.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return finished(command(backend, path, dir / "run", "--prompts", str(file), "--rate", "0.5", "--arrivals",
                            "constant", "--requests", str(len(lines)), *flags), dir / "run")


@pytest.fixture(scope="module")
def mixed(offline: Command, model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of a run of MIXED with one slot, in the order of its lines."""
    result = run_lines(offline, "vllm-offline", model, tmp_path_factory.mktemp("mixed"), MIXED, "--timeout", "6s",
                       "--max-seq-len", str(CONTEXT), "--batch-size", "1")
    assert result.code == 3, result.err
    return sorted(result.rows, key=lambda row: int(row["index"]))


def test_a_request_that_nobody_waits_for_gives_its_slot_back(mixed: list[dict[str, Any]]) -> None:
    assert mixed[0]["failure"] == "timeout"
    assert mixed[1]["failure"] == mixed[5]["failure"] == ""


def test_a_prompt_that_is_too_long_is_told_with_the_numbers(mixed: list[dict[str, Any]]) -> None:
    assert mixed[2]["failure"] == "too_long" and f"{CONTEXT:,}" in mixed[2]["detail"]


def test_an_answer_may_end_by_itself(mixed: list[dict[str, Any]]) -> None:
    assert mixed[3]["finish_reason"] == "stop" and mixed[3]["output_tokens"] < 40


def test_an_option_that_vllm_refuses_fails_its_request_with_the_reason(mixed: list[dict[str, Any]]) -> None:
    assert mixed[4]["failure"] == "backend" and "temperature" in mixed[4]["detail"]


def picture(width: int, height: int) -> str:
    """Return a data: URL of a picture, which takes (width / 28) * (height / 28) tokens."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 80, 20)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


SMALL, LARGE = picture(56, 56), picture(224, 224)
PICTURES = [
    {"prompt": "ba ko ri", "images": [SMALL], "max_tokens": 16},
    {"prompt": "ba ko ri", "images": [LARGE, LARGE], "max_tokens": 16},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}
                                               for url in (SMALL, LARGE[:142])]}], "max_tokens": 16},  # half a picture
    {"prompt": "ba ko ri", "images": [LARGE], "max_tokens": 16},  # which the engine has not seen, and its renderer has
    {"prompt": "ba ko ri", "max_tokens": 16},
]


@pytest.fixture(scope="module")
def pictures(offline: Command, vision_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of a run of PICTURES, of which 128 tokens fit, in the order of its lines."""
    result = run_lines(offline, "vllm-offline-vl", vision_model, tmp_path_factory.mktemp("pictures"), PICTURES,
                       "--max-seq-len", "128")
    assert result.code == 3, result.err
    return sorted(result.rows, key=lambda row: int(row["index"]))


def test_images_are_tokens_of_the_prompt(pictures: list[dict[str, Any]]) -> None:
    small, large, none = (pictures[number] for number in (0, 3, 4))
    assert [row["failure"] for row in (small, large, none)] == ["", "", ""]
    assert large["input_tokens"] - small["input_tokens"] == 64 - 4
    assert small["input_tokens"] - none["input_tokens"] == 4 + 2  # and what stands around them
    assert all(row["output_tokens"] == row["usage_tokens"] == 16 for row in (small, large, none))
    assert all("server_preprocess" in dict(row["server"]) for row in (small, large, none))


def test_a_prompt_that_is_too_long_with_its_images_is_told_with_the_numbers(pictures: list[dict[str, Any]]) -> None:
    assert pictures[1]["failure"] == "too_long"
    expected = pictures[3]["input_tokens"] + 64 + 2
    assert f"a prompt of {expected} tokens" in pictures[1]["detail"] and "128" in pictures[1]["detail"]


def test_an_image_that_cannot_be_read_is_named(pictures: list[dict[str, Any]]) -> None:
    assert pictures[2]["failure"] == "backend" and "image 2 of the request" in pictures[2]["detail"]


@contextlib.contextmanager
def going_on(command: list[str], dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a run of a minute, and yield its desk when it has been going on for some seconds."""
    with subprocess.Popen([*command, "--rate", "5", "--duration", "60s", "--input-tokens", "20", "--output-tokens",
                           "200"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          **surroundings(dir)) as child:
        try:
            seconds = dir / "health.jsonl"  # a line or two each second
            wait_until(lambda: child.poll() is not None or (seconds.exists()
                       and len(seconds.read_text().splitlines()) > 8), 2 * PATIENCE)
            assert child.poll() is None, child.communicate()
            yield child
        finally:
            child.kill()


def wait_until(true: Callable[[], bool], patience: float) -> None:
    """Wait until something is true; raises AssertionError when it never is."""
    limit = time.monotonic() + patience
    while not true():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.1)


def test_a_dead_engine_ends_the_run_with_a_verdict(offline: Command, model: Path, tmp_path: Path) -> None:
    dir = tmp_path / "run"
    with going_on(offline("vllm-offline", model, dir), dir) as desk:
        engine = next(pid for pid, name in processes_of(dir).items() if name.startswith("VLLM::EngineCor"))
        os.kill(engine, signal.SIGKILL)
        out, err = desk.communicate(timeout=PATIENCE)
    result = Run(desk.returncode, out, err, dir)
    requests = result.summary["requests"]
    assert result.code == 3 and "model_lost" in result.failing
    assert requests["failures"]["model_lost"] >= 1
    assert requests["offered"] < 300, "offered to the end of the minute, to nobody"
    assert "EngineDeadError" in (dir / "model.log").read_text()
    assert not processes_of(dir)


@pytest.mark.parametrize("signals", [[signal.SIGKILL], [signal.SIGINT] * 3], ids=["killed", "three times Ctrl-C"])
def test_nothing_of_the_engine_outlives_its_desk(offline: Command, model: Path, tmp_path: Path,
                                                 signals: list[signal.Signals]) -> None:
    dir = tmp_path / "run"
    with going_on(offline("vllm-offline", model, dir), dir) as desk:
        assert any(name.startswith("VLLM::") for name in processes_of(dir).values())
        for number in signals:
            desk.send_signal(number)
            time.sleep(0.2)  # two at once are one
        desk.wait(PATIENCE)
        wait_until(lambda: not processes_of(dir), PATIENCE)


@pytest.mark.parametrize("flags, words", [
    (("--engine", "max_num_seq=3"), "did you mean max_num_seqs"),
    (("--engine", "max_model_len=99999"), "greater than the derived max_model_len"),
    (("--option", 'generation_kwargs={"nonsense": 1}'), "nonsense"),
])
def test_what_vllm_does_not_take_is_said_before_the_run(offline: Command, model: Path, tmp_path: Path,
                                                        flags: tuple[str, ...], words: str) -> None:
    result = finished(offline("vllm-offline", model, tmp_path / "run", "--requests", "1", "--rate", "1", *flags),
                      tmp_path / "run")
    assert result.code == 2 and words in result.err
    assert not (tmp_path / "run").exists() and not processes_of(tmp_path / "run")


def test_why_an_engine_cannot_start_is_said(offline: Command, model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (broken / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:3000])
    result = finished(offline("vllm-offline", broken, tmp_path / "run", "--requests", "1", "--rate", "1"),
                      tmp_path / "run")
    assert result.code == 2 and "SafetensorError" in result.err
    assert not processes_of(tmp_path / "run")
