"""Sources of requests: exact lengths with any tokenizer, the same request for the same index, no two alike."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from loadgen.plan import Workload
from loadgen.types import ABSENT, UsageError
from loadgen.workload import make, tokens
from loadgen.workload.synthetic import Beginnings, Synthetic
from loadgen.workload.words import COMMON

ROOT = Path(__file__).parents[3]
TEXT = [" ".join(COMMON[i::7]) + "." for i in range(7)] * 3
SPECIAL = ["<s>", "</s>", "<unk>"]


def byte_level() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=SPECIAL, show_progress=False, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def one_piece() -> Any:
    """A tokenizer that does not part words at all, and puts a beginning token before each text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator([" ".join(COMMON[i : i + 3]) for i in range(0, 400, 2)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer


def metaspace() -> Any:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def word_piece() -> Any:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        TEXT, trainers.WordPieceTrainer(vocab_size=500, special_tokens=SPECIAL, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return tokenizer


def letters() -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=259, special_tokens=SPECIAL, show_progress=False, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator([], trainer)
    return tokenizer


KINDS = {
    "byte_level": byte_level,
    "one_piece": one_piece,
    "metaspace": metaspace,
    "word_piece": word_piece,
    "letters": letters,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tokenizers")
    found = {}
    for name, build in KINDS.items():
        (folder / name).mkdir()
        build().save(str(folder / name / "tokenizer.json"))
        found[name] = str(folder / name)
    return found


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_prompt_has_exactly_the_tokens_asked(files: dict[str, str], kind: str, chat: bool) -> None:
    tokenizer = tokens.load(files[kind])
    source = make(Workload(input_tokens="uniform:4,300", tokenizer=files[kind]), 1, chat=chat)
    assert isinstance(source, Synthetic)
    prompts = []
    for index in range(60):
        request = source.request(index)
        assert request.prompt is not None
        length = source.inputs.at(index)
        assert request.input_tokens == length
        assert len(tokenizer.encode(request.prompt, add_special_tokens=not chat)) == length
        prompts.append(request.prompt)
    assert len(set(prompts)) == 60


def test_words_that_are_parted_first_need_no_trying(files: dict[str, str]) -> None:
    additive = {kind: tokens.Vocabulary.of(tokens.load(files[kind]), special=False).additive for kind in KINDS}
    assert additive["byte_level"]
    assert additive["metaspace"]
    assert not additive["one_piece"]
    assert not additive["letters"]


def test_token_ids_are_ordinary_and_exact(files: dict[str, str]) -> None:
    source = make(Workload(input_tokens="uniform:1,50", tokenizer=files["one_piece"], token_ids=True), chat=False)
    for index in range(50):
        request = source.request(index)
        assert request.prompt_ids is not None
        assert request.prompt is None
        assert len(request.prompt_ids) == request.input_tokens
        assert min(request.prompt_ids) > 2


def test_a_length_that_the_tokenizer_never_gives_is_told_as_it_is() -> None:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "so": 1, "on": 2}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    known = tokens.Vocabulary.of(tokenizer, special=False)
    assert known.fit(["so", "on", "so"], 3) == ("so on so", 3)
    assert known.fit(["so", "on", "so"], 2) == ("so on", 2)
    assert known.fit(["so"], 3) == ("so so so", 3)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[a-z ]+"), "removed")
    assert known.fit(["so"], 2)[1] == 0


def test_without_a_tokenizer_the_length_is_called_approximate() -> None:
    source = make(Workload(input_tokens="40", output_tokens="7"))
    request = source.request(0)
    assert request.prompt is not None
    assert (len(request.prompt.split()), request.input_tokens, request.max_output_tokens) == (40, ABSENT, 7)
    facts = source.describe()
    assert facts["input_length"] == "approximate"
    assert "chat_overhead" in facts
    assert source.count is None
    assert source.count_tokens is None


def test_description_of_an_exact_workload(files: dict[str, str]) -> None:
    source = make(Workload(tokenizer=files["one_piece"]), 3, chat=False)
    facts = source.describe()
    assert (facts["input_length"], facts["seed"], facts["tokenizer"]["added_tokens"]) == ("exact", 3, 1)
    assert len(facts["tokenizer"]["sha256"]) == 64
    assert "chat_overhead" not in facts
    assert source.count_tokens is not None
    assert source.count_tokens(source.request(0).prompt or "") == 511


@given(index=st.integers(0, 1 << 41), seed=st.integers(0, 1 << 40))
@settings(max_examples=25, deadline=None)
def test_a_request_depends_on_nothing_but_index_and_seed(index: int, seed: int) -> None:
    work = Workload(input_tokens="uniform:5,60", output_tokens="lognormal:50,1")
    first, second = make(work, seed), make(work, seed)
    second.request(index + 1), second.request(3)
    assert first.request(index) == second.request(index)


def test_prompts_and_lengths_have_streams_of_their_own() -> None:
    def ask(**options: Any) -> list[Any]:
        source = make(Workload(**{"input_tokens": "uniform:10,20", "output_tokens": "uniform:10,20", **options}), 5)
        return [source.request(index) for index in range(20)]

    base, other = ask(), ask(output_tokens="normal:9,3")
    assert [request.prompt for request in base] == [request.prompt for request in other]
    assert [r.max_output_tokens for r in base] == [r.max_output_tokens for r in ask(input_tokens="30")]
    assert [request.prompt for request in base] != [request.prompt for request in ask(seed=6)]
    assert ask(seed=6) == ask(seed=6)
    lengths = [len((request.prompt or "").split()) for request in base]
    assert lengths != [request.max_output_tokens for request in base]


def test_no_two_prompts_begin_alike() -> None:
    source = make(Workload(input_tokens="12"), 1)
    beginnings = {" ".join((source.request(index).prompt or "").split()[:5]) for index in range(3000)}
    assert len(beginnings) == 3000
    first = [(source.request(index).prompt or "").split()[0] for index in range(100)]
    assert len(set(first)) == 100


@given(st.integers(1, 50), st.integers(2, 50), st.integers(0, 1000), st.lists(st.integers(0, 1 << 42), unique=True))
def test_beginnings_are_distinct(first: int, other: int, seed: int, indices: list[int]) -> None:
    beginnings = Beginnings(first, other, seed)
    found = [beginnings.at(index % (first * other**4)) for index in indices]
    assert len({tuple(one) for one in found}) == len({index % (first * other**4) for index in indices})
    assert all(digits[0] < first and max(digits[1:]) < other for digits in found)


@pytest.mark.parametrize("ids", [True, False])
def test_a_shared_prefix_is_shared_and_no_more(files: dict[str, str], ids: bool) -> None:
    work = Workload(input_tokens="30", tokenizer=files["byte_level"], shared_prefix=10, token_ids=ids)
    source = make(work, 1, chat=False)
    found = [source.request(index) for index in range(20)]
    prompts = [list(one.prompt_ids) if one.prompt_ids else (one.prompt or "").split() for one in found]
    assert len({tuple(prompt[:10]) for prompt in prompts}) == 1
    assert len({prompt[10] for prompt in prompts}) == 20
    assert all(request.input_tokens == 30 for request in found)


def test_a_shared_prefix_longer_than_the_prompt_is_cut() -> None:
    source = make(Workload(input_tokens="3", shared_prefix=10), 1)
    assert source.request(0).prompt == source.request(1).prompt


def test_what_can_not_be_made_says_what_to_write(tmp_path: Path, files: dict[str, str]) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    for work, chat, words in (
        (Workload(tokenizer="./none"), True, "tokenizer.json"),
        (Workload(tokenizer=str(tmp_path)), True, "can't be loaded"),
        (Workload(token_ids=True), False, "--tokenizer"),
        (Workload(token_ids=True, tokenizer=files["letters"]), True, "--endpoint completions"),
    ):
        with pytest.raises(UsageError, match=words):
            make(work, chat=chat)


def test_a_name_that_is_not_here_is_an_error_when_offline() -> None:
    script = (
        "from loadgen.types import UsageError\nfrom loadgen.workload import tokens\n"
        "try: tokens.load('org/none')\nexcept UsageError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'org/none' can't be loaded" in done.stdout
    assert "give a local directory" in done.stdout
