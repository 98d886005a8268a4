"""Real runs against the mock in every dialect of TGI and MindIE: counts are exact, and so is each injected fault."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from loadgen.backends.mindie import MindIE
from loadgen.backends.tgi import TGI
from loadgen.mock.process import MockProcess
from support.runs import Run, run

ENDPOINTS = [("tgi", endpoint) for endpoint in TGI.endpoints] + [("mindie", endpoint) for endpoint in MindIE.endpoints]
CLASSES = {"500": "http_5xx", "503": "http_503", "429": "http_429", "404": "http_4xx", "redirect": "http_3xx",
           "reset": "truncated", "cut": "truncated", "nodone": "truncated", "garbage": "parse", "errevent": "in_band",
           "stall": "timeout", "empty": "empty"}
OF_A_SERVER = {"tgi": {"overload": "in_band", "callback-timeout": "truncated"},
               "mindie": {"overload": "http_429", "callback-timeout": "in_band"}}
EVERY = 16
PACE = ("--ttft", "20ms", "--itl", "2ms")


def tokenizer(tmp_path: Path) -> str:
    """Write a tokenizer of 300 words."""
    made = Tokenizer(models.WordLevel({f"w{i}": i for i in range(300)}, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path / "tokenizer.json")


def flags(backend: str, endpoint: str, tmp_path: Path) -> list[str]:
    chosen = ["--backend", backend, "--endpoint", endpoint, "--model", "mock", "--rate", "200"]
    if endpoint == "infer-token":
        chosen += ["--token-ids", "--tokenizer", tokenizer(tmp_path)]
    return chosen


def tokens(result: Run) -> int:
    return sum(row["output_tokens"] for row in result.rows)


@pytest.mark.parametrize(("backend", "endpoint"), ENDPOINTS)
def test_every_fault_of_a_stream_is_counted_exactly(backend: str, endpoint: str, tmp_path: Path) -> None:
    classes = {**CLASSES, **OF_A_SERVER[backend]}
    faults = [part for kind in classes for part in ("--fault", f"{kind}:1/{EVERY}")]
    with MockProcess(["--dialect", backend, *PACE, *faults]) as mock:
        result = run(mock.url, tmp_path / "run", *flags(backend, endpoint, tmp_path), "--requests", str(2 * EVERY),
                     "--idle-timeout", "1s")
        truth = mock.truth()
    assert truth["faults"] == dict.fromkeys(classes, 2)
    expected = Counter(kind for kind in classes.values() for _ in range(2))
    assert Counter(row["failure"] for row in result.rows if row["failure"]) == expected
    good = [row for row in result.rows if not row["failure"]]
    assert [row["output_tokens"] for row in good] == [8] * (2 * EVERY - 2 * len(classes))
    assert {sum(row["token_count"]) for row in good} == {8}


@pytest.mark.parametrize(("backend", "endpoint"), ENDPOINTS)
def test_answers_in_one_piece_are_counted_exactly(backend: str, endpoint: str, tmp_path: Path) -> None:
    with MockProcess(["--dialect", backend, *PACE]) as mock:
        result = run(mock.url, tmp_path / "run", *flags(backend, endpoint, tmp_path), "--requests", "6", "--no-stream")
        truth = mock.truth()
    assert result.summary["requests"]["succeeded"] == 6
    if endpoint != "vllm-legacy":  # which has no counts: a tokenizer would give them
        assert tokens(result) == truth["totals"]["tokens"] == 48
    metrics = result.summary["metrics"]
    if backend == "tgi":
        assert metrics["server_inference"]["mean"] == 34_000_000  # whole ms of the ttft and seven gaps
    elif endpoint in ("chat", "completions"):
        assert (metrics["server_prefill"]["mean"], metrics["server_decode"]["mean"]) == (20_000_000, 14_000_000)


@pytest.mark.parametrize("endpoint", ["infer", "tgi", "triton", "chat"])
def test_several_tokens_an_event_are_counted_exactly(endpoint: str, tmp_path: Path) -> None:
    with MockProcess(["--dialect", "mindie", *PACE, "--tokens-per-event", "3", "--full-text"]) as mock:
        result = run(mock.url, tmp_path / "run", *flags("mindie", endpoint, tmp_path), "--requests", "6")
        truth = mock.truth()
    assert result.summary["requests"]["succeeded"] == 6
    assert tokens(result) == truth["totals"]["tokens"] == 48
    counts = {tuple(row["token_count"]) for row in result.rows}
    assert counts == ({(1, 1, 1)} if endpoint == "chat" else {(3, 3, 2)})  # chat has only a total
    assert {len(row["token_at"]) for row in result.rows} == {3}


def test_comments_that_keep_a_stream_alive_are_no_tokens(tmp_path: Path) -> None:
    with MockProcess(["--dialect", "tgi", "--ttft", "100ms", "--itl", "20ms", "--keep-alive", "15ms"]) as mock:
        result = run(mock.url, tmp_path / "run", "--backend", "tgi", "--model", "mock", "--requests", "4")
    assert result.summary["requests"]["succeeded"] == 4
    for row in result.rows:
        assert row["token_count"] == [1] * 8
        assert row["token_at"][0] - row["sent"] >= 100_000_000
        assert row["reads"] > 8 + 5


def test_a_dialect_that_cannot_force_the_length_says_so(tmp_path: Path) -> None:
    with MockProcess(["--dialect", "tgi", *PACE, "--eos-share", "1"]) as mock:
        result = run(mock.url, tmp_path / "run", "--backend", "tgi", "--requests", "10", "--output-tokens", "40",
                     "--probe")
    assert result.plan["resolved"]["length"] == "not forcible"
    server = result.plan["resolved"]["provenance"]["server"]
    assert (server["model_id"], server["max_total_tokens"]) == ("mock", 131072)
    (check,) = [one for one in result.summary["verdict"]["checks"] if one["name"] == "output_length"]
    assert not check["ok"]
    assert "can't force it" in check["remedy"]
    assert any("can't force the output length" in note for note in result.summary["verdict"]["notes"])


def test_lengths_that_cannot_fit_are_refused_with_the_numbers(tmp_path: Path) -> None:
    with MockProcess(["--dialect", "tgi", "--max-model-len", "100"]) as mock:
        result = run(mock.url, tmp_path / "run", "--backend", "tgi", "--requests", "10", "--output-tokens", "90",
                     "--probe")
        assert mock.truth()["totals"]["requests"] == 1  # the probe
    assert result.code == 2
    assert "prompts of 20 tokens and answers of 90 don't fit the server, which takes 100 together" in result.err


@pytest.mark.parametrize(("dialect", "backend", "words"), [
    ("openai", "tgi", "--backend openai"), ("tgi", "mindie", "--backend tgi"), ("openai", "mindie", "--backend openai"),
])
def test_the_wrong_server_is_named(dialect: str, backend: str, words: str, tmp_path: Path) -> None:
    endpoint = ("--endpoint", "infer") if backend == "mindie" else ()
    with MockProcess(["--dialect", dialect, *PACE]) as mock:
        result = run(mock.url, tmp_path / "run", "--backend", backend, *endpoint, "--model", "mock", "--requests", "2",
                     "--probe")
    assert (result.code, words in result.err) == (2, True), result.err
