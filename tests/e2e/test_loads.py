"""Whole runs with every kind of load, judged by the mock's own truth."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from loadgen import schedule
from loadgen.mock.process import MockProcess
from support.runs import command, loadgen, run


@pytest.fixture(scope="module")
def mock() -> Iterator[MockProcess]:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms"]) as server:
        yield server


@pytest.mark.parametrize("senders", [1, 3])
@pytest.mark.parametrize("law", ["poisson", "constant", "gamma"])
def test_what_is_delivered_is_the_schedule(mock: MockProcess, tmp_path: Path, law: str, senders: int) -> None:
    burst = ("--burstiness", "0.5") if law == "gamma" else ()
    result = run(mock.url, tmp_path / "run", "--arrivals", law, *burst, "--requests", "150", "--rate", "150",
                 "--seed", "7", "--senders", str(senders))
    rows = sorted(result.rows, key=lambda row: row["index"])
    assert [row["index"] for row in rows] == list(range(150))
    assert {row["sender"] for row in rows} == set(range(senders))
    due = np.array([row["due"] for row in rows])
    expected = schedule.offsets(law, 150.0, 150, 0.5 if law == "gamma" else 1.0, schedule.rng(7, "arrivals"))
    assert due.tolist() == expected.tolist()
    assert result.plan["resolved"]["schedule"]["sha256"] == schedule.digest(expected)
    sent = np.array([row["sent"] for row in rows])
    assert (sent >= due).all()  # never early
    assert result.summary["requests"]["succeeded"] == 150


def test_a_closed_loop_keeps_its_concurrency(mock: MockProcess, tmp_path: Path) -> None:
    result = run(mock.url, tmp_path / "run", "--concurrency", "4", "--requests", "60", "--senders", "2")
    rows = [row for row in result.rows if row["phase"] == 1]
    assert len(rows) == 60
    edges = sorted([(row["sent"], 1) for row in result.rows] + [(row["end"], -1) for row in result.rows])
    in_flight = np.cumsum([step for _, step in edges])
    assert in_flight.max() == 4
    assert result.summary["requests"]["succeeded"] == 60


def test_a_closed_loop_by_duration(mock: MockProcess, tmp_path: Path) -> None:
    result = run(mock.url, tmp_path / "run", "--concurrency", "3", "--duration", "1s", "--warmup", "300ms")
    measured = [row for row in result.rows if row["phase"] == 1]
    assert measured
    assert all(300_000_000 <= row["due"] < 1_300_000_000 for row in measured)
    assert any(row["phase"] == 0 for row in result.rows)


def test_a_guard_delays_counts_and_judges(mock: MockProcess, tmp_path: Path) -> None:
    result = run(mock.url, tmp_path / "run", "--requests", "60", "--rate", "200", "--max-in-flight", "2")
    held = sum(row["held"] for row in result.rows)
    assert held > 10
    assert len(result.rows) == 60
    assert result.summary["requests"]["succeeded"] == 60
    assert "held" in result.failing
    assert result.code == 3


def test_what_the_guard_still_holds_at_the_drain_limit_is_censored(mock: MockProcess, tmp_path: Path) -> None:
    result = run(mock.url, tmp_path / "run", "--requests", "60", "--rate", "200", "--max-in-flight", "1",
                 "--drain", "1s")
    requests = result.summary["requests"]
    assert requests["offered"] == 60
    assert requests["censored"] == 60 - requests["succeeded"] > 5


def test_warmup_and_cooldown_are_offered_and_not_measured(mock: MockProcess, tmp_path: Path) -> None:
    result = run(mock.url, tmp_path / "run", "--requests", "50", "--rate", "50", "--warmup", "500ms", "--cooldown")
    phases = [row["phase"] for row in result.rows]
    assert phases.count(0) == 25
    assert phases.count(1) == 50
    assert phases.count(2) >= 1
    assert result.summary["requests"]["offered"] == 50
    assert result.summary["metrics"]["ttft"]["count"] == 50


def test_connections_new_measures_connecting_apart(mock: MockProcess, tmp_path: Path) -> None:
    result = run(mock.url, tmp_path / "run", "--requests", "30", "--connections", "new")
    assert all(row["connect"] > 0 for row in result.rows)
    metrics = result.summary["metrics"]
    assert metrics["connect"]["count"] == 30
    lags = [row["sent"] - row["due"] - row["connect"] for row in result.rows]
    assert metrics["lag"]["max"] == max(lags)  # opening was asked for: no lag of ours
    assert metrics["lag"]["min"] == min(lags) >= 0


def test_several_urls_are_used_in_turn(mock: MockProcess, tmp_path: Path) -> None:
    with MockProcess(["--ttft", "20ms", "--itl", "2ms"]) as second:
        result = run(mock.url, tmp_path / "run", "--url", second.url, "--requests", "40")
        assert second.truth()["totals"]["ended"] == 20
    assert result.summary["requests"]["succeeded"] == 40
    assert sorted(row["target"] for row in result.rows) == [0] * 20 + [1] * 20


def test_without_streaming_only_whole_answers_are_timed(mock: MockProcess, tmp_path: Path) -> None:
    result = run(mock.url, tmp_path / "run", "--requests", "20", "--no-stream", "--output-tokens", "10")
    metrics = result.summary["metrics"]
    assert metrics["e2e"]["count"] == 20
    assert metrics["e2e"]["p50"] > 30_000_000  # ttft and 9 gaps of the mock
    assert "ttft" not in metrics and "itl" not in metrics and "tpot" not in metrics
    assert {row["output_tokens"] for row in result.rows} == {10}


def test_token_counts_and_times_agree_with_the_truth(tmp_path: Path) -> None:
    with MockProcess(["--ttft", "30ms", "--itl", "3ms", "--tokens-per-event", "2"]) as server:
        result = run(server.url, tmp_path / "run", "--backend", "vllm", "--requests", "40", "--output-tokens", "9")
        truth = server.truth(40)["requests"]
    assert {row["output_tokens"] for row in result.rows} == {9}
    assert {tuple(row["token_count"]) for row in result.rows} == {(2, 2, 2, 2, 1)}
    assert {row["output_source"] for row in result.rows} == {"usage"}
    by_sent = sorted(result.rows, key=lambda row: row["sent"])
    by_arrival = sorted(truth, key=lambda record: record["arrival"])
    for row, record in zip(by_sent, by_arrival, strict=True):
        ours = [at - row["token_at"][0] for at in row["token_at"]]
        theirs = [at - record["writes"][0] for at in record["writes"]]
        assert ours == pytest.approx(theirs, abs=20_000_000)
        assert row["token_at"][-1] - row["token_at"][0] == sum(np.diff(row["token_at"]))


def test_a_plan_file_flags_over_it_and_the_same_run_again(mock: MockProcess, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(f"""
[target]
url = ["{mock.url}"]
headers = {{ x-tenant = "t1" }}
[load]
rate = 100
requests = 30
warmup = "0s"
cooldown = false
seed = 5
[workload]
input_tokens = "20"
output_tokens = "6"
[out]
dir = "{tmp_path / 'first'}"
""")
    base = [sys.executable, "-m", "loadgen", "run", "--quiet"]
    first = loadgen([*base, str(plan), "--requests", "20"], tmp_path / "first")
    assert first.summary["requests"]["offered"] == 20
    second = loadgen([*base, str(tmp_path / "first"), "--out", str(tmp_path / "second")], tmp_path / "second")
    assert second.summary["requests"]["offered"] == 20
    assert second.plan["resolved"]["schedule"] == first.plan["resolved"]["schedule"]
    assert [r["due"] for r in sorted(second.rows, key=lambda r: r["index"])] == \
        [r["due"] for r in sorted(first.rows, key=lambda r: r["index"])]


def test_json_puts_the_summary_alone_on_standard_output(mock: MockProcess, tmp_path: Path) -> None:
    result = loadgen([*command(mock.url, tmp_path / "run", "--requests", "20"), "--json"], tmp_path / "run")
    assert json.loads(result.out) == result.summary


def test_the_api_key_is_sent_and_written_nowhere(tmp_path: Path) -> None:
    key = "sk-very-secret-0123456789"
    with MockProcess(["--ttft", "5ms", "--itl", "1ms", "--api-key", key]) as server:
        result = run(server.url, tmp_path / "run", "--requests", "20", env={"LOADGEN_API_KEY": key})
        refused = run(server.url, tmp_path / "refused", "--requests", "20", "--probe", "--api-key",
                      "wrong-key-000")
    assert result.summary["requests"]["succeeded"] == 20
    assert refused.code == 2
    assert "--api-key" in refused.err
    for path in (tmp_path / "run").iterdir():
        assert key.encode() not in path.read_bytes(), path.name
    assert key not in result.out + result.err
    again = loadgen([sys.executable, "-m", "loadgen", "run", "--quiet", str(tmp_path / "run"), "--out",
                     str(tmp_path / "again")], tmp_path / "again")
    assert again.code == 2
    assert "LOADGEN_API_KEY" in again.err


def test_prompts_from_a_file_are_each_asked_once(mock: MockProcess, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"question {n}", "max_tokens": 3 + n % 2}) + "\n"
                               for n in range(25)))
    result = run(mock.url, tmp_path / "run", "--prompts", str(prompts))
    assert result.summary["requests"]["offered"] == 25
    assert sorted(row["output_tokens"] for row in result.rows) == [3] * 13 + [4] * 12


def test_outputs_are_kept_when_asked_for(mock: MockProcess, tmp_path: Path) -> None:
    result = run(mock.url, tmp_path / "run", "--requests", "10", "--outputs")
    lines = [json.loads(line) for line in (result.dir / "outputs.jsonl").read_text().splitlines()]
    assert sorted(line["index"] for line in lines) == list(range(10))
    assert all(line["text"] for line in lines)
