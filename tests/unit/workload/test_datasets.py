"""Datasets: what ships is whole, GSM8K's form is recognised, and everything else is read as prompts are."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from loadgen import plan, workload
from loadgen.types import UsageError
from loadgen.workload import lengths
from loadgen.workload.datasets import HERE, NAMED, Dataset, gsm8k, make

DEMO = "demo_gsm8k_gen_4_shot_cot_chat_prompt"
OUTPUTS = lengths.parse("64", 0, "output")
LINE = '{"question": "What is 6 * 7?", "answer": "It is 42.\\n#### 42"}\n'


def written(path: Path, *lines: str) -> str:
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


def test_the_demo_asks_each_question_after_four_examples() -> None:
    demo = make(DEMO, OUTPUTS)
    assert demo.count is not None and 8 <= demo.count <= 20
    asked = [demo.request(index) for index in range(demo.count)]
    assert [request.index for request in asked] == list(range(demo.count))
    assert {request.max_output_tokens for request in asked} == {64}
    last = set()
    for request in asked:
        assert request.messages is not None and request.prompt is None
        assert [message["role"] for message in request.messages] == ["user", "assistant"] * 4 + ["user"]
        assert all(re.fullmatch(r"Question: .*\nLet's think step by step\nAnswer:", message["content"], re.DOTALL)
                   for message in request.messages[::2])
        assert all(re.search(r"The answer is \d+\.$", message["content"]) for message in request.messages[1::2])
        last.add(request.messages[-1]["content"])
    assert len(last) == demo.count
    assert demo.request(demo.count).messages == asked[0].messages


def test_without_chat_the_same_is_one_text() -> None:
    said = make(DEMO, OUTPUTS).request(3).messages
    text = make(DEMO, OUTPUTS, chat=False).request(3).prompt
    assert said is not None and text is not None
    assert text == "".join(f"{asked['content']} {answer['content']}\n\n"
                           for asked, answer in zip(said[::2], said[1::2], strict=False)) + said[-1]["content"]


@pytest.mark.parametrize("line", NAMED[DEMO].read_text(encoding="utf-8").splitlines())
def test_every_sum_of_the_demo_is_right(line: str) -> None:
    data = json.loads(line)
    assert gsm8k.has_form(data)
    for sum_, result in re.findall(r"<<([^=<>]+)=([^<>]+)>>", data["answer"]):
        assert re.fullmatch(r"[\d+*/. -]+", sum_)
        assert eval(sum_) == float(result), sum_
    assert re.search(r"\n#### \d+$", data["answer"])
    assert data["answer"].split("####")[1].strip() in data["answer"].split("####")[0].replace(",", "")


def test_the_files_are_in_the_package() -> None:
    config = tomllib.loads((HERE.parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    (pattern,) = [text for text in config["tool"]["setuptools"]["package-data"]["loadgen"] if "datasets" in text]
    assert {path.name for path in HERE.parents[1].glob(pattern)} >= {"demo_gsm8k.jsonl", "gsm8k_shots.jsonl"}


def test_gsm8k_itself_is_asked_in_the_same_way(tmp_path: Path) -> None:
    name = written(tmp_path / "test.jsonl", LINE, "\n", LINE.replace("6", "7"))
    for path in (name, str(tmp_path)):
        source = make(path, OUTPUTS)
        assert source.count == 2
        messages = source.request(1).messages
        assert messages is not None
        assert messages[-1]["content"] == "Question: What is 7 * 7?\nLet's think step by step\nAnswer:"
        assert source.describe()["shots"] == 4


def test_any_other_file_is_read_as_prompts_are(tmp_path: Path) -> None:
    name = written(tmp_path / "mine.jsonl", '{"prompt": "hi", "max_tokens": 3}\n', '"there"\n')
    source = make(name, OUTPUTS, len, "t")
    assert [source.request(index).prompt for index in range(3)] == ["hi", "there", "hi"]
    assert (source.request(0).max_output_tokens, source.request(1).input_tokens) == (3, 5)
    facts = source.describe()
    assert (facts["kind"], facts["dataset"], facts["prompts"]) == ("dataset", "mine.jsonl", 2)
    assert "shots" not in facts
    question = make(written(tmp_path / "q.jsonl", '{"question": "why?", "answer": "because"}\n'), OUTPUTS)
    assert question.request(0).prompt == "why?"


@pytest.mark.parametrize("lines, words", [
    ((LINE, '{"answer": "#### 1"}\n'), [":2", "no question", "####"]),
    ((LINE, '{"question": " ", "answer": "#### 1"}\n'), [":2", "no question"]),
    ((LINE, "{broken\n"), [":2", "not JSON"]),
    (("{broken\n",), [":1", "not JSON"]),
    ((), ["empty"]),
])
def test_a_broken_file_is_refused_with_its_line(lines: tuple[str, ...], words: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        make(written(tmp_path / "bad.jsonl", *lines), OUTPUTS)
    assert all(word in str(error.value) for word in ["bad.jsonl", *words])


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=f"did you mean {DEMO}.*JSONL"):
        make("demo_gsm8k_gen_4_shot", OUTPUTS)
    with pytest.raises(UsageError, match="no dataset 'x'"):
        make("x", OUTPUTS)


def test_a_plan_names_a_dataset() -> None:
    source = workload.make(plan.Workload(datasets=DEMO, output_tokens="32"))
    assert isinstance(source, Dataset)
    assert source.request(0).max_output_tokens == 32
    assert workload.make(plan.Workload(datasets=DEMO), chat=False).request(0).prompt
