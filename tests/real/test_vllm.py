"""loadgen against vLLM on CPU: every request succeeds, and every token is counted as the server counts it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from real.agreement import finished, scrape
from real.prometheus import Scrape
from real.servers import CONTEXT, ServerProcess
from support.runs import Run, run

pytestmark = pytest.mark.real
COUNT = 20
COUNTERS = {"input_tokens": "vllm:prompt_tokens_total", "output_tokens": "vllm:generation_tokens_total"}
LOAD = ("--backend", "vllm", "--rate", "10", "--requests", str(COUNT))


def measured(server: ServerProcess, dir: Path, *flags: str) -> tuple[Run, Scrape, Scrape]:
    """Make a run of COUNT requests, between two scrapes."""
    before = scrape(server)
    result = run(server.url, dir, *LOAD, *flags)
    assert result.summary["requests"]["succeeded"] == COUNT, result.err
    return result, before, scrape(server, finished(before) + COUNT)


def assert_counted_alike(result: Run, before: Scrape, after: Scrape) -> None:
    """Our sums of tokens are those that the server counted meanwhile, and it found nothing in its prefix cache."""
    for column, name in COUNTERS.items():
        assert sum(row[column] for row in result.rows) == after.counter(name) - before.counter(name), name
    cached = "vllm:prompt_tokens_cached_total"
    assert after.counter(cached) == before.counter(cached)
    assert {row["output_source"] for row in result.rows} == {"usage"}
    assert "token_counts" not in result.failing


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_answers_are_as_long_as_asked(vllm: ServerProcess, tmp_path: Path, endpoint: str, stream: str) -> None:
    result, before, after = measured(vllm, tmp_path / "run", "--endpoint", endpoint, stream, "--output-tokens",
                                     "uniform:2,40", "--seed", f"{len(endpoint)}{len(stream)}")
    assert [row["output_tokens"] for row in result.rows] == [row["asked_tokens"] for row in result.rows]
    assert len({row["asked_tokens"] for row in result.rows}) > 5
    assert {row["finish_reason"] for row in result.rows} == {"length"}
    assert_counted_alike(result, before, after)
    for row in result.rows:
        assert sum(row["token_count"]) == row["output_tokens"]


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_the_plain_openai_backend_counts_alike(vllm: ServerProcess, tmp_path: Path, endpoint: str) -> None:
    result, before, after = measured(vllm, tmp_path / "run", "--backend", "openai", "--endpoint", endpoint,
                                     "--output-tokens", "30", "--seed", f"{len(endpoint)}00")
    assert all(row["output_tokens"] == 30 or row["finish_reason"] == "stop" for row in result.rows)
    assert_counted_alike(result, before, after)


@pytest.mark.parametrize("form", ["--token-ids", "--no-token-ids"])
def test_prompts_have_exactly_the_length_asked(vllm: ServerProcess, tmp_path: Path, model: Path, form: str) -> None:
    result, before, after = measured(vllm, tmp_path / "run", "--endpoint", "completions", "--tokenizer", str(model),
                                     "--input-tokens", "133", form, "--seed", str(len(form)))
    assert {row["input_tokens"] for row in result.rows} == {133}
    assert_counted_alike(result, before, after)


def test_a_chat_template_adds_the_same_to_each_prompt(vllm: ServerProcess, tmp_path: Path, model: Path) -> None:
    result, before, after = measured(vllm, tmp_path / "run", "--tokenizer", str(model), "--input-tokens", "133",
                                     "--seed", "77")
    added = {row["input_tokens"] - 133 for row in result.rows}
    assert len(added) == 1
    assert added.pop() > 0
    assert_counted_alike(result, before, after)


def test_a_wrong_model_is_told_in_the_servers_words(vllm: ServerProcess, tmp_path: Path) -> None:
    result = run(vllm.url, tmp_path / "run", *LOAD, "--probe", "--model", "nope")
    assert result.code == 2
    assert "The model `nope` does not exist" in result.err
    assert not result.dir.exists()


def test_prompts_that_do_not_fit_are_counted_apart(vllm: ServerProcess, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    lines = [{"prompt": f"{number} " + "word " * (CONTEXT if number % 3 == 0 else 5), "max_tokens": 4}
             for number in range(9)]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = run(vllm.url, tmp_path / "run", "--backend", "vllm", "--rate", "10", "--prompts", str(prompts))
    assert result.summary["requests"]["failures"] == {"too_long": 3}
    assert result.summary["requests"]["succeeded"] == 6
    failed = [row for row in result.rows if row["failure"]]
    assert {row["status"] for row in failed} == {400}
    assert all(str(CONTEXT) in row["detail"] for row in failed)
    assert result.code == 3
