"""Lengths and prompts that come from files or from a user's text: good ones, and what is said of bad ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.plan import Workload
from loadgen.types import ABSENT, UsageError
from loadgen.workload import lengths, make
from loadgen.workload.jsonl import Prompts


def drawn(text: str, count: int = 4096, seed: int = 1) -> list[int]:
    found = lengths.parse(text, seed, "input")
    return [found.at(index) for index in range(count)]


def test_fixed_and_uniform_lengths() -> None:
    assert set(drawn("512", 10)) == {512}
    values = drawn("uniform:3,5")
    assert set(values) == {3, 4, 5}
    assert set(drawn("uniform:7,7", 10)) == {7}


def test_normal_and_lognormal_lengths_have_their_middle_and_spread() -> None:
    values = sorted(drawn("normal:500,50"))
    assert abs(sum(values) / len(values) - 500) < 4
    assert abs(values[len(values) * 84 // 100] - 550) < 8
    values = sorted(drawn("lognormal:500,0.5"))
    assert abs(values[len(values) // 2] - 500) < 25
    assert abs(lengths.parse("lognormal:500,0.5", 1, "input").mean - sum(values) / len(values)) < 25


@given(st.sampled_from(["normal:2,50", "lognormal:1,3", "uniform:1,2"]), st.integers(0, 1 << 42), st.integers(0, 99))
def test_no_length_is_below_one_and_order_does_not_matter(text: str, index: int, seed: int) -> None:
    first, second = lengths.parse(text, seed, "input"), lengths.parse(text, seed, "input")
    second.at(0), second.at(index + 5000)
    assert first.at(index) == second.at(index) >= 1


def test_lengths_of_a_file_come_in_its_order(tmp_path: Path) -> None:
    file = tmp_path / "lengths.txt"
    file.write_text("5\n\n 6 \n7\n")
    assert drawn(f"file:{file}", 5) == [5, 6, 7, 5, 6]
    assert lengths.parse(f"file:{file}", 1, "input").mean == 6
    assert lengths.parse(f"file:{file}", 1, "input").describe()["sha256"] == hashlib.sha256(
        file.read_bytes()).hexdigest()
    assert "sha256" not in lengths.parse("uniform:1,9", 1, "input").describe()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "1.5",
        "x",
        "512ms",
        "uniform:1",
        "uniform:5,4",
        "uniform:0,4",
        "uniform:1,2,3",
        "normal:a,b",
        "normal:0,1",
        "normal:5,-1",
        "normal:nan,1",
        "lognormal:5,inf",
        "gauss:1,2",
        "99999999999",
        "²",
    ],
)
def test_a_wrong_length_says_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match=r"input tokens .*write 512"):
        lengths.parse(text, 1, "input")


def test_a_wrong_lengths_file_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "lengths.txt"
    for text, words in (("5\nx\n", r"lengths.txt:2: invalid length 'x'"), ("\n", "has no lengths"), ("0", ":1: ")):
        file.write_text(text)
        with pytest.raises(UsageError, match=words):
            lengths.parse(f"file:{file}", 1, "input")
    with pytest.raises(UsageError, match="can't be read"):
        lengths.parse(f"file:{tmp_path}/none", 1, "input")


def prompts(tmp_path: Path, *lines: Any, **options: Any) -> Any:
    file = tmp_path / "prompts.jsonl"
    data = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    file.write_bytes(data)
    return make(Workload(prompts=str(file), output_tokens="9", **options))


def test_prompts_of_every_form(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "é"}]
    source = prompts(
        tmp_path,
        {"prompt": "a", "max_tokens": 5},
        {"messages": messages, "body": {"temperature": 0}},
        b"",
        b"  ",
        {"text": "c", "output_tokens": 3},
        {"question": "d"},
        {"input": "e"},
        "f",
    )
    assert source.count == 6
    found = [source.request(index) for index in range(6)]
    assert [request.prompt for request in found] == ["a", None, "c", "d", "e", "f"]
    assert found[1].messages == tuple(messages)
    assert found[1].body == {"temperature": 0}
    assert [request.max_output_tokens for request in found] == [5, 9, 3, 9, 9, 9]
    assert [request.index for request in found] == list(range(6))
    assert {request.input_tokens for request in found} == {ABSENT}
    assert source.request(6).prompt == "a"
    assert source.request(4).prompt == "e"
    facts = source.describe()
    assert facts["sha256"] == hashlib.sha256((tmp_path / "prompts.jsonl").read_bytes()).hexdigest()
    assert (facts["kind"], facts["prompts"], facts["file"]) == ("prompts", 6, "prompts.jsonl")


def test_a_byte_order_mark_and_windows_newlines_are_no_error(tmp_path: Path) -> None:
    source = prompts(tmp_path, b'\xef\xbb\xbf{"prompt": "a"}\r', b'{"prompt": "b"}\r')
    assert [source.request(index).prompt for index in range(2)] == ["a", "b"]


def test_prompts_are_counted_by_a_tokenizer(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a b c"}\n{"messages": [{"role": "user", "content": "x"}]}\n')
    outputs = lengths.parse("9", 1, "output")
    source = Prompts(file, outputs, lambda text: len(text.split()), "words")
    assert [source.request(index).input_tokens for index in range(2)] == [3, ABSENT]
    assert source.describe()["tokenizer"] == {"name": "words"}
    source.close()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"prompt": ', "not JSON"),
        (b'{"prompt": "\xff"}', "not UTF-8 at byte 13"),
        (b"[1]", "an object is needed, not list"),
        (b"3", "an object is needed"),
        (b'{"prompt": 5}', "no prompt"),
        (b'{"prompt": ""}', "no prompt"),
        (b'{"id": 1, "query": "x"}', "the line has id, query"),
        (b"{}", "the line has nothing"),
        (b'{"messages": []}', "a role"),
        (b'{"messages": ["x"]}', "a role"),
        (b'{"prompt": "x", "max_tokens": 0}', "max_tokens is 0"),
        (b'{"prompt": "x", "max_tokens": "9"}', "whole number"),
        (b'{"prompt": "x", "max_tokens": true}', "whole number"),
        (b'{"prompt": "x", "body": [1]}', "body is not an object"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, line: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=rf"prompts.jsonl:3: .*{words}"):
        prompts(tmp_path, {"prompt": "a"}, b"", line, {"prompt": "b"})


def test_a_missing_or_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read: No such file"):
        make(Workload(prompts=str(tmp_path / "none")))
    with pytest.raises(UsageError, match="is empty"):
        prompts(tmp_path)
    with pytest.raises(UsageError, match="can't be read"):
        make(Workload(prompts=str(tmp_path)))
