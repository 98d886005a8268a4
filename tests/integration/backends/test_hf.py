"""The backends hf and hf-vl on the real code of transformers, with tiny models of random weights."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns, time_ns
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="pip install 'loadgen[hf]'")
pytest.importorskip("transformers", reason="pip install 'loadgen[hf]'")

from loadgen.backends.local.hf import HuggingFace  # noqa: E402
from loadgen.backends.local.hf_batch import Rows, answer_batch  # noqa: E402
from loadgen.backends.local.hf_continuous import Continuous, offset_to  # noqa: E402
from loadgen.backends.local.hf_loading import check_streamed  # noqa: E402
from loadgen.backends.local.hf_vl import HuggingFaceVL  # noqa: E402
from loadgen.protocols.local.jobs import Jobs, LocalJob  # noqa: E402
from loadgen.types import ABSENT, UsageError  # noqa: E402
from support.local_jobs import Ended, decoded, served, wait_for  # noqa: E402
from support.runs import Run, loadgen  # noqa: E402
from support.tiny_models import IMAGE_TOKENS, make_llama, make_llava  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
PROMPTS = ["one two three", "a much longer prompt than the one before it, by many words", "x"]
ROUNDING = 2 ** -8
"""The step between two bfloat16 numbers from 0.5 to 1, where the largest logits of the tiny models are."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # a second one only waits, on a machine that has other things to do
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = str(tmp_path_factory.mktemp("models") / "tiny-llama")
    make_llama(directory)
    return directory


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = str(tmp_path_factory.mktemp("models") / "tiny-llava")
    make_llava(directory)
    return directory


@pytest.fixture(scope="module")
def hf(llama: str) -> HuggingFace:
    return HuggingFace(llama, batch_size=3)


def bare(hf: HuggingFace, prompt: str, limit: int, **kwargs: Any) -> list[int]:
    """Return the token ids that `generate` itself makes of one prompt."""
    ids = hf.ids_of(prompt)
    with torch.inference_mode():
        output = hf.model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                                   max_new_tokens=limit, **kwargs)
    made: list[int] = output[0, len(ids):].tolist()
    return made


def behind_the_best(hf: HuggingFace, prompt: Any, made: list[int]) -> list[float]:
    """Return by how much the logit of each token of an answer misses the largest, in one pass over the whole text.

    Greedy decoding gives 0, give or take the rounding of bfloat16: two ways to the same logits may part at a tie.
    """
    ids = hf.ids_of(prompt)
    with torch.inference_mode():
        logits = hf.model(torch.tensor([ids + made])).logits[0, len(ids) - 1:-1].float()
    missed: list[float] = (logits.max(-1).values - logits[range(len(made)), made]).tolist()
    return missed


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (60, 40)) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def asked(*images: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*({"type": "image_url", "image_url": {"url": url}} for url in images),
                                         {"type": "text", "text": "what is it"}]}]


# Static batches.


def test_each_token_of_generate_has_its_instant_and_none_else(hf: HuggingFace) -> None:
    (end,) = served(hf, PROMPTS[:1], 12)
    job = end[0]
    assert job.ids == bare(hf, PROMPTS[0], 12, min_new_tokens=12)
    assert len(job.stamps) == 12 == job.usage and list(job.stamps) == sorted(set(job.stamps))
    assert job.input_tokens == len(hf.ids_of(PROMPTS[0]))
    events = decoded(end)
    assert (events.output_tokens, events.output_source, events.usage_tokens) == (12, "token ids", 12)
    assert (events.finish_reason, events.input_source) == ("length", "token ids")


def test_the_rows_of_a_batch_end_each_at_its_own_length(hf: HuggingFace) -> None:
    ended = Ended()
    made = [LocalJob(number, prompt, limit, {}, ended)
            for number, (prompt, limit) in enumerate(zip(PROMPTS, (3, 9, 6), strict=True))]
    answer_batch(hf, made)
    assert [len(job.ids) for job in made] == [3, 9, 6] == [job.usage for job in made]
    assert [reason for _, reason, _ in ended.all] == ["length"] * 3
    assert made[0].stamps[0] == made[1].stamps[0] == made[2].stamps[0]  # one step, one instant
    assert made[1].stamps[2] == made[0].stamps[2]


@pytest.mark.parametrize("place", ["model", "request"])
def test_a_row_ends_at_its_end_of_sequence_token(hf: HuggingFace, place: str) -> None:
    free = bare(hf, PROMPTS[1], 20)
    stop = free[4]
    at = free.index(stop) + 1
    known = hf.model.generation_config.eos_token_id
    option = {"eos_token_id": stop} if place == "request" else {}
    try:
        if place == "model":
            hf.model.generation_config.eos_token_id = stop
        ends = served(hf, PROMPTS, 20, {"ignore_eos": False, **option})
        forced = served(hf, PROMPTS, 20, option)
    finally:
        hf.model.generation_config.eos_token_id = known
    job, reason, failure = ends[1]
    assert (job.ids, reason, failure) == (free[:at], "stop", None)
    assert len(job.stamps) == at == job.usage
    for one, _, _ in ends:  # whatever the others did, counts are those of the tensor
        assert len(one.ids) == len(one.stamps) == one.usage
    assert all(len(one.ids) == 20 and stop not in one.ids for one, _, _ in forced)


def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers_and_alone(llama: str) -> None:
    small = HuggingFace(llama, max_seq_len=40, batch_size=2)
    long, good = served(small, ["word " * 60, "short"], 8)
    assert long[2] is not None and long[2].kind == "too_long"
    assert f"{long[0].input_tokens:,} tokens and an answer of 8" in long[2].detail and "40" in long[2].detail
    assert good[2] is None and len(good[0].ids) == 8


def test_what_nobody_waits_for_any_more_leaves_the_batch(hf: HuggingFace) -> None:
    jobs = [LocalJob(number, "", 50, {}, Ended()) for number in range(2)]
    rows = Rows(jobs, frozenset(), 4, torch.device("cpu"))
    ids = torch.zeros(2, 6, dtype=torch.long)
    assert rows(ids, None).tolist() == [False, False]
    jobs[0].dropped = True
    assert rows(ids, None).tolist() == [True, False]


def test_options_are_those_of_generate_and_a_wrong_one_fails_its_request(hf: HuggingFace) -> None:
    ((_, _, refused),) = served(hf, PROMPTS[:1], 12, {"seed_of_nothing": 3})
    assert refused is not None and "seed_of_nothing" in refused.detail  # transformers refuses what it does not know
    torch.manual_seed(1)
    ((one, _, failure),) = served(hf, PROMPTS[:1], 12, {"do_sample": True, "temperature": 5.0})
    assert failure is None and one.ids != bare(hf, PROMPTS[0], 12, min_new_tokens=12)
    for name, value, words in (("num_beams", 4, "beam search"), ("max_new_tokens", 8, "--output-tokens"),
                               ("num_return_sequences", 2, "asked once"), ("prompt_lookup_num_tokens", 3, "assisted"),
                               ("stopping_criteria", [], "of loadgen's own")):
        ((_, _, refused),) = served(hf, PROMPTS[:1], 12, {name: value})
        assert refused is not None and refused.detail.startswith(f"{name}: ") and words in refused.detail


def test_a_request_with_a_temperature_of_0_is_greedy_where_the_model_samples(llama: str, hf: HuggingFace) -> None:
    sampling = HuggingFace(llama, generation_kwargs={"do_sample": True, "temperature": 5.0})
    ((job, _, failure),) = served(sampling, PROMPTS[:1], 12, {"temperature": 0})
    assert failure is None and job.ids == bare(hf, PROMPTS[0], 12, min_new_tokens=12)


def test_what_waited_for_another_group_of_its_batch_waited_in_the_queue(hf: HuggingFace) -> None:
    ended, order = Ended(), []
    jobs = [LocalJob(number, "x", 4, {"repetition_penalty": 1.0 + number}, ended) for number in range(3)]
    jobs[0]._ended = lambda job, reason, failure: (order.append(monotonic_ns()), jobs[1].drop())
    answer_batch(hf, jobs)
    assert jobs[2].began > order[0] and jobs[2].server["server_queue"] == jobs[2].began - jobs[2].received
    assert [(job.number, reason) for job, reason, _ in ended.all] == [(1, "dropped"), (2, "length")]


def test_plain_texts_and_ids(llama: str, hf: HuggingFace) -> None:
    plain = HuggingFace(llama, endpoint="completions")
    assert len(plain.ids_of("one two")) < len(hf.ids_of("one two"))
    assert plain.ids_of([5, 6, 7]) == [5, 6, 7]
    with pytest.raises(ValueError, match="takes no messages"):
        plain.ids_of([{"role": "user", "content": "hi"}])
    with pytest.raises(ValueError, match="takes no images"):
        hf.ids_of(asked("x"))


def test_memory_that_runs_out_fails_the_batch_and_not_the_next(hf: HuggingFace) -> None:
    def generate(**kwargs: Any) -> Any:
        if len(kwargs["input_ids"]) > 1:
            raise torch.OutOfMemoryError("tried to allocate 80 GiB")
        return hf.model.generate(**kwargs)

    class Full(HuggingFace):
        def __init__(self) -> None:
            small = SimpleNamespace(generation_config=hf.model.generation_config, device=hf.model.device,
                                    generate=generate)
            self.__dict__.update(hf.__dict__, model=small)

    full = Full()
    ended = Ended()
    for batch in ([LocalJob(0, "a", 4, {}, ended), LocalJob(1, "b", 4, {}, ended)], [LocalJob(2, "c", 4, {}, ended)]):
        answer_batch(full, batch)
    failures = [failure for _, _, failure in ended.all]
    assert [failure.type for failure in failures[:2] if failure] == ["OutOfMemoryError"] * 2
    assert failures[2] is None


# Continuous batching.


def test_continuous_batching_stamps_each_token(llama: str, hf: HuggingFace) -> None:
    continuous = HuggingFace(llama, batching="continuous", engine={"num_blocks": 16, "page_size": 32})
    ends = served(continuous, PROMPTS, 10)
    for job, reason, failure in ends:
        assert (failure, reason) == (None, "length"), failure
        assert len(job.ids) == len(job.stamps) == job.usage == 10
        assert list(job.stamps) == sorted(job.stamps)
        assert job.received + job.server["server_queue"] < job.stamps[0] - offset_to(time_ns, monotonic_ns)
    for prompt, (job, _, _) in zip(PROMPTS, ends, strict=True):
        assert max(behind_the_best(hf, prompt, job.ids)) <= ROUNDING
    assert ends[1][0].ids == bare(hf, PROMPTS[1], 10)  # where no two logits are that near each other
    assert max(behind_the_best(hf, PROMPTS[1], ends[2][0].ids)) > 10 * ROUNDING  # what answers another prompt
    assert continuous.facts()["max_seq_len"] == 512
    long, short = served(continuous, ["word " * 600, "x"], 8)  # the model takes it, its cache does not
    assert long[2] is not None and long[2].kind == "too_long" and "512 of the cache (--engine" in long[2].detail
    assert short[2] is None and len(short[0].ids) == 8


def test_continuous_batching_has_the_model_s_length_where_its_cache_has_more(llama: str) -> None:
    continuous = HuggingFace(llama, batching="continuous", max_seq_len=100, engine={"num_blocks": 16, "page_size": 32})
    assert continuous.facts()["max_seq_len"] == 100
    ((_, _, failure),) = served(continuous, ["word " * 200], 8)
    assert failure is not None and "100 of the model (--max-seq-len)" in failure.detail


def test_a_request_that_continuous_batching_began_again_has_no_stamps_to_tell(llama: str) -> None:
    """Both fit the cache alone, and not together: transformers throws one out, with the instants of its tokens."""
    continuous = HuggingFace(llama, batching="continuous", engine={"num_blocks": 4, "page_size": 32})
    ends = served(continuous, [[5] * 20, [6] * 20], 80)
    full = [failure for _, _, failure in ends if failure is not None]
    assert [failure.type for failure in full] == ["CacheFull"] and "--engine num_blocks" in full[0].detail
    (whole,) = [job for job, _, failure in ends if failure is None]
    assert len(whole.ids) == len(whole.stamps) == 80


def test_options_of_a_request_with_continuous_batching(llama: str, hf: HuggingFace) -> None:
    continuous = HuggingFace(llama, batching="continuous", generation_kwargs={"ignore_eos": False},
                             engine={"num_blocks": 16, "page_size": 32})
    free = bare(hf, PROMPTS[1], 20)
    jobs = [{"eos_token_id": free[4]}, {"ignore_eos": True, "eos_token_id": free[4]}, {"temperature": 0},
            {"top_p": 0.4}]
    ended, queue = Ended(), Jobs()
    for number, options in enumerate(jobs):
        queue.put(LocalJob(number, PROMPTS[1], 20, options, ended))
    closing = threading.Thread(target=lambda: (wait_for(lambda: len(ended.all) == len(jobs)), queue.close()))
    closing.start()
    continuous.serve(queue)
    closing.join()
    stopped, forced, greedy, refused = sorted(ended.all, key=lambda end: end[0].number)
    assert (stopped[0].ids, stopped[1]) == (free[:free.index(free[4]) + 1], "stop")
    assert (len(forced[0].ids), forced[1], greedy[2]) == (20, "length", None)
    assert refused[2] is not None and refused[2].detail.startswith("top_p: continuous batching samples all")


@dataclass
class Manager:
    """As transformers' manager of continuous batching: it ends when `results` are gone, but for what it left behind."""

    results: list[Any]
    left: list[Any] = field(default_factory=list)
    generation_config: Any = field(default_factory=lambda: SimpleNamespace(eos_token_id=2))
    cancelled: list[str] = field(default_factory=list)
    added: Callable[[], None] = lambda: None

    def start(self) -> None: ...
    def stop(self, hard_stop: bool) -> None: ...

    def is_running(self) -> bool:
        return bool(self.results)

    def get_result(self, timeout: float) -> Any:
        there = self.results or self.left
        return there.pop(0) if there else None

    def add_request(self, ids: list[int], request_id: str, **kwargs: Any) -> str:
        self.added()
        return request_id

    def cancel_request(self, request_id: str) -> None:
        self.cancelled.append(request_id)


def backend_of(manager: Manager) -> Any:
    return SimpleNamespace(model=manager, generation_kwargs={}, engine={}, prepare=lambda job: [1])


def test_a_request_that_nobody_waits_for_leaves_continuous_batching_at_once() -> None:
    manager, ended = Manager([]), Ended()
    continuous = Continuous(backend_of(manager), manager)
    first, second = LocalJob(0, "x", 4, {}, ended), LocalJob(1, "x", 4, {}, ended)
    continuous._begin(first)
    first.drop()
    manager.added = second.drop  # while it is handed over: nobody was told
    continuous._begin(second)
    assert manager.cancelled == ["0", "1"] and [reason for _, reason, _ in ended.all] == ["dropped"] * 2


def test_what_a_dead_manager_left_behind_is_told() -> None:
    """The text of what it died of, first of all."""
    def failed(name: str) -> Any:
        return SimpleNamespace(request_id=name, error="CUDA out of memory", is_finished=lambda: True)

    manager, ended = Manager([failed("0")], left=[failed("1"), failed("2")]), Ended()
    continuous = Continuous(backend_of(manager), manager)
    for number in range(4):
        continuous._begin(LocalJob(number, "x", 4, {}, ended))
    continuous._collect()
    details = [failure.detail for _, _, failure in ended.all if failure is not None]
    assert details[:3] == ["CUDA out of memory"] * 3 and "model.log" in details[3]


def test_a_switch_of_threads_between_two_readings_shifts_no_clock() -> None:
    own = iter([0, 900, 1000, 1010, 2000, 2900, 3000, 3300, 4000, 4500])
    there = iter([90_000, 101_005, 1, 1, 1])
    assert offset_to(lambda: next(there), lambda: next(own)) == 100_000


def test_tokens_that_transformers_hands_out_late_are_refused() -> None:
    check_streamed(torch.device("cpu"))
    check_streamed(torch.device("cuda"))
    with pytest.raises(UsageError, match="one step late"):
        check_streamed(torch.device("mps"))


# Vision-language models.


def test_images_are_prepared_apart_and_counted(llava: str) -> None:
    vl = HuggingFaceVL(llava, batch_size=3)
    ends = served(vl, [asked(picture((255, 0, 0))), asked(), asked(picture((0, 255, 0)), picture((0, 0, 255)))], 6)
    tokens = []
    for job, reason, failure in ends:
        assert (failure, reason, len(job.ids), job.usage) == (None, "length", 6, 6), failure
        assert job.server["server_preprocess"] > 0
        tokens.append(job.input_tokens)
    assert tokens[0] - tokens[1] >= IMAGE_TOKENS and tokens[2] - tokens[1] >= 2 * IMAGE_TOKENS
    alone = HuggingFaceVL(llava)
    ((job, _, _),) = served(alone, [asked(picture((255, 0, 0)))], 6)
    assert job.ids == ends[0][0].ids


def test_an_image_that_can_not_be_read_is_named_and_fails_alone(llava: str) -> None:
    vl = HuggingFaceVL(llava, batch_size=2)
    bad, web, good = served(vl, [asked(picture((1, 1, 1)), "data:image/png;base64,AAAA"), asked("http://host/cat.png"),
                                 asked(picture((9, 9, 9)))], 4)
    assert bad[2] is not None and "image 2 of the request (data:image/png;base64,AAAA) can't be read" in bad[2].detail
    assert web[2] is not None and "fetches nothing" in web[2].detail
    assert good[2] is None


def test_a_prompt_that_the_processor_refuses_fails_alone(llava: str) -> None:
    marked = [{"role": "user", "content": "the mark <image> and no image"}]
    bad, good = served(HuggingFaceVL(llava, batch_size=2), [marked, asked(picture((9, 9, 9)))], 4)
    assert bad[2] is not None and bad[2].kind == "backend"
    assert good[2] is None and len(good[0].ids) == 4


def test_a_prompt_with_images_that_does_not_fit_is_refused_alone(llava: str) -> None:
    vl = HuggingFaceVL(llava, batch_size=2, max_seq_len=60)
    big, small = served(vl, [asked(*[picture((1, 1, 1))] * 3), asked(picture((1, 1, 1)))], 4)
    assert big[2] is not None and big[2].kind == "too_long" and big[0].input_tokens > 60
    assert small[2] is None and len(small[0].ids) == 4


def test_a_config_file_of_aisbench_s_own_class(llama: str, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(f"""
from ais_bench.benchmark.models import HuggingFacewithChatTemplate

models = [dict(attr="local", type=HuggingFacewithChatTemplate, abbr="tiny", path={llama!r}, tokenizer_path={llama!r},
               model_kwargs=dict(device_map="auto"), tokenizer_kwargs=dict(padding_side="left"), max_out_len=5,
               generation_kwargs=dict(do_sample=True, temperature=0.5, top_k=10, seed=None), batch_size=3,
               max_seq_len=2048, run_cfg=dict(num_gpus=1))]
""")
    result = loadgen([sys.executable, "-m", "loadgen", "run", "--models", str(tmp_path / "models.py"), "--datasets",
                      "demo_gsm8k_gen_4_shot_cot_chat_prompt", "--out", str(tmp_path / "run"), "--quiet"],
                     tmp_path / "run", {"OMP_NUM_THREADS": "1"})
    assert result.summary["requests"]["succeeded"] == 12, result.out + result.err
    assert (result.plan["model"]["batch_size"], result.plan["target"]["backend"]) == (3, "hf")
    assert {row["output_tokens"] for row in result.rows} == {5}


# What can't be loaded.


@pytest.mark.parametrize("arguments, words", [
    ({"path": "./nowhere"}, "there is no directory ./nowhere"), ({"path": ""}, "--path DIR"),
    ({"device": "cuda:9"}, "there is no device cuda:9"), ({"device": "abacus"}, "unknown device 'abacus'"),
    ({"dtype": "int3"}, "unknown dtype"), ({"batching": "dynamic"}, "no dynamic batching"),
    ({"engine": {"num_blocks": 3}}, "--batching continuous"), ({"tokenizer_only": True}, "loads no model"),
    ({"batching": "continuous", "engine": {"nonsense": 3}}, "nonsense"),
    ({"generation_kwargs": {"num_beams": 4}}, "beam search"), ({"generation_kwargs": {"max_new_tokens": 1}}, "length"),
    ({"generation_kwargs": {"prompt_lookup_num_tokens": 3}}, "assisted"),
    ({"batching": "continuous", "engine": {"page_size": 1}}, "page_size"),
])
def test_arguments_that_can_not_be(llama: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        HuggingFace(**{"path": llama, **arguments})


def test_directories_that_hold_something_else(llama: str, llava: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json"):
        HuggingFace(str(tmp_path))
    (tmp_path / "config.json").write_text((Path(llama) / "config.json").read_text())
    with pytest.raises(UsageError, match="has no tokenizer"):
        HuggingFace(str(tmp_path))
    with pytest.raises(UsageError, match=r"is not a causal language model .*hf-vl"):
        HuggingFace(llava)
    with pytest.raises(UsageError, match="no processor of images"):
        HuggingFaceVL(llama)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text((Path(llama) / name).read_text())
    with pytest.raises(UsageError, match="chat template: add --endpoint completions"):
        HuggingFace(str(tmp_path))
    with pytest.raises(UsageError, match="can't be loaded: "):  # there are no weights
        HuggingFace(str(tmp_path), endpoint="completions")


def test_a_directory_may_be_below_the_home_of_a_user(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path(llama).parent))
    assert HuggingFace("~/tiny-llama", tokenizer_path="~/tiny-llama").path == llama


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="needs a machine without torchvision")
def test_a_processor_that_needs_torchvision_says_how_to_get_it(llava: str, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tmp_path / name).write_text((Path(llava) / name).read_text())
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_vl"}')
    for kind, name in (("image", "preprocessor_config.json"), ("video", "video_preprocessor_config.json")):
        (tmp_path / name).write_text(json.dumps({f"{kind}_processor_type": f"Qwen2VL{kind.title()}Processor",
                                                 "processor_class": "Qwen2VLProcessor"}))
    with pytest.raises(UsageError, match=r"needs torchvision.*loadgen\[hf-vl\]"):
        HuggingFaceVL(str(tmp_path))


def test_code_of_the_model_s_own_is_run_only_if_trusted(llama: str, tmp_path: Path) -> None:
    for file in Path(llama).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = (Path(llama) / "config.json").read_text()
    own = '"auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}, "model_type": "own"'
    (tmp_path / "config.json").write_text(config.replace('"model_type": "llama"', own))
    with pytest.raises(UsageError, match="--trust-remote-code"):
        HuggingFace(str(tmp_path))


def test_a_temperature_of_0_is_greedy(llama: str) -> None:
    assert HuggingFace(llama, generation_kwargs={"temperature": 0}).generation_kwargs == {"do_sample": False}


# The command line.


def run(dir: Path, *flags: str) -> Run:
    return loadgen([sys.executable, "-m", "loadgen", "run", "--rate", "20", "--requests", "8", "--warmup", "0s",
                    "--no-cooldown", "--quiet", "--input-tokens", "12", "--output-tokens", "7", "--out", str(dir),
                    *flags], dir, {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})


def test_a_run_of_hf_from_the_command_line(llama: str, tmp_path: Path) -> None:
    result = run(tmp_path / "run", "--backend", "hf", "--path", llama, "--batch-size", "2", "--outputs")
    summary = result.summary
    assert summary["requests"]["succeeded"] == 8, result.err
    assert not {"token_counts", "output_length", "coalesced"} & result.failing
    assert all(len(row["token_at"]) == 7 == row["usage_tokens"] for row in result.rows)
    facts = summary["server"]["model"]
    assert (facts["device"], facts["class"], facts["batching"]) == ("cpu", "LlamaForCausalLM", "static")
    assert facts["load_time"] > 0 and facts["max_rss"] > 50_000_000
    assert result.plan["target"]["model"] == "tiny-llama"
    assert all(row["input_source"] == "token ids" and row["input_tokens"] > 12 for row in result.rows)
    assert '"text":""' not in (result.dir / "outputs.jsonl").read_text().replace(" ", "")


def test_a_run_of_hf_vl_from_the_command_line(llava: str, tmp_path: Path) -> None:
    result = run(tmp_path / "run", "--backend", "hf-vl", "--path", llava, "--images", "synthetic:64x48",
                 "--images-per-request", "2")
    assert result.summary["requests"]["succeeded"] == 8, result.err
    assert result.summary["metrics"]["server_preprocess"]["count"] == 8
    assert "server_preprocess" in result.out
    assert all(row["input_tokens"] > 2 * IMAGE_TOKENS and row["input_tokens"] != ABSENT for row in result.rows)
    assert result.plan["resolved"]["provenance"]["workload"]["images"]["per_request"] == 2


def test_texts_with_images_are_refused_for_a_text_model(llama: str, tmp_path: Path) -> None:
    result = run(tmp_path / "run", "--backend", "hf", "--path", llama, "--images", "synthetic:64x48")
    assert result.code == 2 and "hf takes no images: write --backend hf-vl" in result.err


def test_an_option_that_measuring_forbids_is_refused_before_the_run(llama: str, tmp_path: Path) -> None:
    result = run(tmp_path / "run", "--backend", "hf", "--path", llama, "--body", "num_beams=4")
    assert result.code == 2 and "num_beams: beam search" in result.err, result.err
