"""loadgen against `transformers serve`: an OpenAI dialect without [DONE], and with an opinion about unknown fields."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from real.servers import ServerProcess
from support.runs import run

pytestmark = pytest.mark.real
COUNT = 6
ASKED = 8
LOAD = ("--rate", "2", "--requests", str(COUNT), "--output-tokens", str(ASKED))


@pytest.mark.parametrize("stream", ["--stream", "--no-stream"])
@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_every_request_succeeds_and_is_counted(transformers: ServerProcess, tmp_path: Path, model: Path, endpoint: str,
                                               stream: str) -> None:
    result = run(transformers.url, tmp_path / "run", *LOAD, "--model", str(model), "--endpoint", endpoint, stream,
                 "--tokenizer", str(model), "--input-tokens", "23")
    assert result.summary["requests"]["succeeded"] == COUNT, result.err
    assert "token_counts" not in result.failing
    for row in result.rows:
        assert row["output_source"] == "usage"
        assert row["output_tokens"] == ASKED or (row["finish_reason"] == "stop" and row["output_tokens"] < ASKED)
    added = {row["input_tokens"] - 23 for row in result.rows}
    assert added == {0} if endpoint == "completions" else len(added) == 1


def test_a_server_that_does_not_list_its_models_needs_a_name(transformers: ServerProcess, tmp_path: Path) -> None:
    result = run(transformers.url, tmp_path / "run", *LOAD)
    assert result.code == 2
    assert "500" in result.err
    assert "--model" in result.err


def test_a_refused_field_is_named_with_the_flag_that_turns_it_off(transformers: ServerProcess, tmp_path: Path,
                                                                  model: Path) -> None:
    flags = (*LOAD, "--backend", "vllm", "--model", str(model), "--probe")
    refused = run(transformers.url, tmp_path / "refused", *flags)
    assert refused.code == 2
    assert "ignore_eos" in refused.err
    advice = re.findall(r"--body (\w+=null)", refused.err)
    assert set(advice) == {"ignore_eos=null", "min_tokens=null"}
    heeded = run(transformers.url, tmp_path / "heeded", *flags, *(word for one in advice for word in ("--body", one)))
    assert heeded.summary["requests"]["succeeded"] == COUNT
