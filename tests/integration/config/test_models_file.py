"""Config files: every field takes effect in the plan or is refused by name, and files written for AISBench load."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from loadgen.backends import aisbench, registry
from loadgen.config import models_file
from loadgen.config.models_file import ModelEntry
from loadgen.mock.process import MockProcess
from loadgen.plan import Load, Plan
from loadgen.types import SECOND, Output, Request, UsageError
from support.replay import answer, stream
from support.runs import loadgen

HEAD = """\
from loadgen import LocalBackend, ServiceBackend

class Mine(ServiceBackend):
    def __init__(self, flavour="plain", **more):
        super().__init__(**more)
        self.flavour = flavour

class Local(LocalBackend):
    def generate(self, input, max_out_len, **kwargs):
        return input
"""
STOCK = """\
from mmengine.config import read_base
from ais_bench.benchmark.models import VLLMCustomAPIChat
from ais_bench.benchmark.utils.postprocess.model_postprocessors import extract_non_reasoning_content

with read_base():
    from ais_bench.benchmark.configs.datasets.gsm8k.gsm8k_gen import gsm8k_datasets

datasets = [*gsm8k_datasets]
work_dir = "outputs/"
models = [dict(attr="service", type=VLLMCustomAPIChat, abbr="vllm api", path="", model="", stream=True, request_rate=0,
               retry=2, api_key="", host_ip="localhost", host_port=8080, url="", max_out_len=512, batch_size=3,
               trust_remote_code=False, generation_kwargs=dict(temperature=0.01, ignore_eos=False),
               pred_postprocessor=dict(type=extract_non_reasoning_content))]
"""
CUSTOM = """\
from typing import Dict, Union
from ais_bench.benchmark.registry import MODELS
from ais_bench.benchmark.utils.prompt import PromptList
from ais_bench.benchmark.models import BaseAPIModel
from ais_bench.benchmark.models.output import RequestOutput

PromptType = Union[PromptList, str]

@MODELS.register_module()
class MyCustomAPI(BaseAPIModel):
    is_api: bool = True

    def __init__(self, path: str = "", stream: bool = False, max_out_len: int = 4096, retry: int = 2,
                 host_ip: str = "localhost", host_port: int = 8080, url: str = "", generation_kwargs: Dict = None):
        super().__init__(path=path, stream=stream, max_out_len=max_out_len, retry=retry, host_ip=host_ip,
                         host_port=host_port, url=url, generation_kwargs=generation_kwargs)
        self.model = self._get_service_model_path()
        self.url = self._get_url()

    def _get_url(self):
        return self.base_url + "ask"

    async def get_request_body(self, input: PromptType, max_out_len: int, output: RequestOutput, **args) -> dict:
        output.input = input
        said = input if isinstance(input, str) else [(item["role"], item["prompt"]) for item in input]
        return {"said": said, "limit": max_out_len} | self.generation_kwargs

    async def parse_text_response(self, data: Dict, output: RequestOutput):
        output.content = data["word"]
        output.update_extra_details_data_from_text_response(data)

    async def parse_stream_response(self, data: Dict, output: RequestOutput):
        output.content += data["word"]
        output.extra_details_data["last"] = data
        output.seen = getattr(output, "content")

models = [dict(attr="service", type=MyCustomAPI, abbr="custom", stream=True, generation_kwargs=dict(seed=1))]
"""


def load(path: Path, text: str) -> list[ModelEntry]:
    path.write_text(text)
    return models_file.load(path)


def one(tmp_path: Path, **fields: Any) -> Plan:
    """The plan of one model with these fields."""
    given = "".join(f", {name}={value!r}" for name, value in fields.items())
    (model,) = load(tmp_path / "models.py", f"{HEAD}\nmodels = [dict(attr='service', type=Mine{given})]\n")
    return model.plan(Plan(), {})


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as error:
        load(tmp_path / "models.py", text)
    return str(error.value)


def test_a_bare_model_has_the_defaults(tmp_path: Path) -> None:
    plan = one(tmp_path)
    assert plan.target.backend == f"{tmp_path}/models.py:Mine"
    assert plan.target.url == ("http://localhost:8080/",)
    assert (plan.target.stream, plan.target.model, plan.target.api_key) == (True, "", "")
    assert (plan.load.concurrency, plan.load.warmup, plan.load.cooldown, plan.load.retry) == (64_000, 0, False, 0)


@pytest.mark.parametrize("fields, path, value", [
    ({"model": "m"}, "target.model", "m"),
    ({"model_name": "m"}, "target.model", "m"),
    ({"stream": False}, "target.stream", False),
    ({"api_key": "k"}, "target.api_key", "k"),
    ({"url": "https://host/below/"}, "target.url", ("https://host/below/",)),
    ({"url": "host:9"}, "target.url", ("http://host:9/",)),
    ({"host_ip": "10.0.0.1", "host_port": 9}, "target.url", ("http://10.0.0.1:9/",)),
    ({"host_ip": "::1", "host_port": 9}, "target.url", ("http://[::1]:9/",)),
    ({"host_ip": "h", "enable_ssl": True}, "target.url", ("https://h:8080/",)),
    ({"path": "/weights"}, "workload.tokenizer", "/weights"),
    ({"max_out_len": 77}, "workload.output_tokens", "77"),
    ({"retry": 3}, "load.retry", 3),
    ({"request_rate": 5}, "load.rate", 5.0),
    ({"request_rate": 5}, "load.arrivals", "constant"),
    ({"request_rate": 0.1}, "load.rate", 0.1),
    ({"request_rate": 0.09}, "load.rate", 0.0),
    ({"request_rate": 5, "batch_size": 8}, "load.max_in_flight", 8),
    ({"request_rate": 5}, "load.max_in_flight", 0),
    ({"request_rate": 0, "batch_size": 8}, "load.concurrency", 8),
    ({"request_rate": 5, "traffic_cfg": {"burstiness": 0}}, "load.arrivals", "constant"),
    ({"request_rate": 5, "traffic_cfg": {"burstiness": 1}}, "load.arrivals", "poisson"),
    ({"request_rate": 5, "traffic_cfg": {"burstiness": 0.5}}, "load.arrivals", "gamma"),
    ({"request_rate": 5, "traffic_cfg": {"burstiness": 10}}, "load.burstiness", 10.0),
    ({"request_rate": 5, "traffic_cfg": {"ramp_up_strategy": "linear", "ramp_up_start_rps": 0}}, "load.rate", 5.0),
    ({"flavour": "sour"}, "target.options", {"flavour": "sour"}),
    ({"generation_kwargs": {"top_k": 3, "seed": None}, "trust_remote_code": False}, "target.options",
     {"generation_kwargs": {"top_k": 3, "seed": None}, "trust_remote_code": False}),
    ({"use_timestamp": False, "response_anomaly": None}, "target.options", {}),
])
def test_each_field_takes_effect(fields: dict[str, Any], path: str, value: Any, tmp_path: Path) -> None:
    plan = one(tmp_path, **fields)
    table, _, key = path.partition(".")
    assert getattr(getattr(plan, table), key) == value


def test_options_reach_the_class(tmp_path: Path) -> None:
    backend = registry.make(one(tmp_path, flavour="sour", generation_kwargs={"top_k": 3}, max_out_len=9).target)
    assert (vars(backend)["flavour"], backend.max_out_len, backend.generation_kwargs) == ("sour", 9, {"top_k": 3})
    body = json.loads(backend.encode(Request(0, prompt="hi", max_output_tokens=9)).body)
    assert (body["top_k"], body["max_tokens"]) == (3, 9)


@pytest.mark.parametrize("fields, words", [
    ("reqest_rate=1", ["unknown field 'reqest_rate'", "did you mean request_rate?"]),
    ("flavor='sour'", ["unknown field 'flavor'", "did you mean flavour?"]),
    ("max_seq_len=7", ["unknown field 'max_seq_len'"]),
    ("use_timestamp=True", ["use_timestamp", "request_rate"]),
    ("response_anomaly=dict(model_name='x')", ["response_anomaly", "leave it out"]),
    ("meta_template=dict(round=[])", ["meta_template", "leave it out"]),
    ("generation_kwargs=dict(lora_data_map_file='x')", ["generation_kwargs.lora_data_map_file", "adapter"]),
    ("generation_kwargs=dict(num_return_sequences=4)", ["generation_kwargs.num_return_sequences", "--requests"]),
    ("generation_kwargs=[1]", ["generation_kwargs", "dict("]),
    ("generation_kwargs=dict(stop=object())", ["generation_kwargs", "JSON"]),
    ("traffic_cfg=dict(ramp_up_strategy='linear', ramp_up_start_rps=1, ramp_up_end_rps=9)",
     ["traffic_cfg.ramp_up_strategy", "not offered yet"]),
    ("traffic_cfg=dict(burstines=1)", ["traffic_cfg.burstines", "did you mean burstiness?"]),
    ("traffic_cfg=dict(burstiness=-1)", ["traffic_cfg.burstiness", "-1"]),
    ("traffic_cfg=7", ["traffic_cfg", "dict("]),
    ("request_rate=-1", ["request_rate", "-1"]), ("request_rate='5'", ["request_rate", "'5'"]),
    ("request_rate=float('nan')", ["request_rate", "nan"]),
    ("batch_size=0", ["batch_size", "0"]), ("batch_size=1.5", ["batch_size", "1.5"]),
    ("retry=True", ["retry", "True"]), ("max_out_len=0", ["max_out_len"]), ("host_port='80'", ["host_port", "'80'"]),
    ("stream='yes'", ["stream", "'yes'"]), ("model=7", ["model", "7"]),
    ("model='a', model_name='b'", ["model_name", "differs"]),
    ("attr='local'", ["attr", "server's backend", "service"]), ("attr='cloud'", ["attr", "'cloud'"]),
    ("type=Local, attr='service'", ["Local", "loaded here", "local"]), ("type=int", ["type", "derive it"]),
    ("type='Mine'", ["type", "derive it"]), ("type=ServiceBackend", ["type", "class of your own"]),
])
def test_a_wrong_field_is_refused_by_name(fields: str, words: list[str], tmp_path: Path) -> None:
    said = refused(tmp_path, f"{HEAD}\nmodels = [{{'type': Mine, **dict({fields})}}]\n")
    assert all(word in said for word in [f"{tmp_path}/models.py: models[0]", *words])


@pytest.mark.parametrize("text, words", [
    ("x = 1\n\nraise ValueError('no')\n", ["models.py:3: ValueError: no"]),
    ("x = (\n", ["models.py:1: SyntaxError"]),
    ("import nowhere\n", ["models.py:1", "nowhere"]),
    ("x = 1\n", ["no `models`", "models = [dict("]), ("models = []\n", ["no `models`"]),
    ("models = {}\n", ["no `models`"]),
    ("models = [7]\n", ["models[0] is not a dict"]),
    (f"{HEAD}models = [dict(type=Mine), dict(type=Mine)]\n", ["models[1]", "'Mine'", "abbr"]),
    (f"{HEAD}def f():\n    class In(ServiceBackend): pass\n    return In\nmodels = [dict(type=f())]\n",
     ["type", "top level of its file"]),
    ("from ais_bench.benchmark.models import MindFormerModel as M\nmodels = [dict(type=M)]\n",
     ["MindFormerModel", "no counterpart", "HuggingFacewithChatTemplate"]),
    ("from ais_bench.benchmark.models import VLLMFunctionCallAPIChat as F\nmodels = [dict(attr='service', type=F)]\n",
     ["VLLMFunctionCallAPIChat", "VLLMCustomAPIChat"]),
    ("from ais_bench.benchmark.models import BaseAPIModel\nclass Half(BaseAPIModel):\n"
     "    def _get_url(self): return ''\n"
     "models = [dict(type=Half, stream=True)]\n", ["Half has no get_request_body and no parse_stream_response"]),
    ("from ais_bench.benchmark.configs.models.vllm_api.vllm_api_stream_chat import models\n",
     ["configs.models.vllm_api", "dict(...)"]),
])
def test_a_file_that_can_not_be_used_says_why(text: str, words: list[str], tmp_path: Path) -> None:
    said = refused(tmp_path, text)
    assert all(word in said for word in words), said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file .*none\.py"):
        models_file.load(tmp_path / "none.py")


def test_flags_override_the_file(tmp_path: Path) -> None:
    (model,) = load(tmp_path / "models.py", f"{HEAD}models = [dict(type=Mine, request_rate=5, batch_size=8, "
                                            "traffic_cfg=dict(burstiness=0.5))]\n")
    assert model.plan(Plan(), {"load.rate": 9.0}).load.rate == 9.0
    load_ = model.plan(Plan(), {"load.concurrency": 2}).load
    assert (load_.rate, load_.concurrency, load_.arrivals, load_.max_in_flight) == (0.0, 2, "poisson", 0)
    (model,) = load(tmp_path / "models.py", f"{HEAD}models = [dict(type=Mine, batch_size=8)]\n")
    load_ = model.plan(Plan(), {"load.rate": 9.0}).load
    assert (load_.rate, load_.concurrency, load_.max_in_flight) == (9.0, 0, 8)
    assert model.plan(Plan(load=Load(seed=4)), {}).load.seed == 4


def test_all_at_once_is_no_duration(tmp_path: Path) -> None:
    (model,) = load(tmp_path / "models.py", f"{HEAD}models = [dict(type=Mine)]\n")
    with pytest.raises(UsageError, match="number of requests"):
        model.plan(Plan(), {"load.duration": 5 * SECOND})


def test_a_class_beside_the_file_and_an_installed_one(tmp_path: Path) -> None:
    (tmp_path / "besides.py").write_text("from loadgen import ServiceBackend\nclass There(ServiceBackend): pass\n")
    there, vllm = load(tmp_path / "models.py", "from besides import There\nfrom loadgen.backends.vllm import VLLM\n"
                                               "models = [dict(type=There), dict(type=VLLM)]\n")
    assert there.values["target.backend"] == f"{tmp_path}/besides.py:There"
    assert registry.find(there.values["target.backend"]).__name__ == "There"
    assert vllm.values["target.backend"] == "vllm"
    assert str(tmp_path) not in sys.path


# Files written for AISBench.


def test_a_stock_file_of_aisbench_loads_as_it_is(tmp_path: Path) -> None:
    (model,) = load(tmp_path / "stock.py", STOCK)
    plan = model.plan(Plan(), {})
    assert model.name == "vllm_api"
    assert (plan.target.backend, plan.target.endpoint, plan.target.stream) == ("openai", "chat", True)
    assert (plan.load.concurrency, plan.load.retry, plan.workload.output_tokens) == (3, 2, "512")
    assert len(model.notes) == 2
    assert "datasets, work_dir not read" in model.notes[0] and "pred_postprocessor" in model.notes[1]
    assert not any(name.split(".")[0] in aisbench.ROOTS for name in sys.modules)


@pytest.mark.parametrize("name", aisbench.SERVICE)
def test_each_class_of_aisbench_is_one_of_our_backends(name: str, tmp_path: Path) -> None:
    text = f"from ais_bench.benchmark.models import {name} as C\nclass Mine(C): pass\n"
    stock, mine = load(tmp_path / "m.py", text + "models = [dict(type=C, abbr='a'), dict(type=Mine, abbr='b')]\n")
    backend, endpoint, streams = aisbench.SERVICE[name]
    target = stock.plan(Plan(), {}).target
    assert (target.backend, target.endpoint, target.stream) == (backend, endpoint, streams)
    assert registry.make(target).endpoint == endpoint
    derived = registry.make(mine.plan(Plan(), {}).target, model="m")
    assert derived.endpoint == endpoint
    given = Request(0, prompt="hi", max_output_tokens=5)
    plain = json.loads(registry.make(target, model="m", stream=derived.stream).encode(given).body)
    assert json.loads(derived.encode(given).body).keys() == plain.keys()


def test_a_class_derived_from_a_stock_one_may_override_a_coroutine(tmp_path: Path) -> None:
    text = ("from ais_bench.benchmark.models import VLLMCustomAPIChat\n"
            "class Mine(VLLMCustomAPIChat):\n"
            "    async def get_request_body(self, input, max_out_len, output, **args):\n"
            "        self.roles = [item['role'] for item in input]\n"
            "        return await super().get_request_body(input, max_out_len, output, **args) | {'mine': 1}\n"
            "    async def parse_stream_response(self, data, output):\n"
            "        await super().parse_stream_response(data, output)\n"
            "models = [dict(type=Mine, stream=True)]\n")
    (model,) = load(tmp_path / "m.py", text)
    backend = registry.make(model.plan(Plan(), {}).target, model="m")
    said = ({"role": "system", "content": "be"}, {"role": "user", "content": "hi"})
    body = json.loads(backend.encode(Request(0, messages=said)).body)
    assert (body["messages"], body["mine"], vars(backend)["roles"]) == ([*said], 1, ["SYSTEM", "HUMAN"])
    payload = stream({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]})
    assert backend.decode(answer(payload), Request(0, prompt="hi")).text == "a"
    assert backend.decode(answer(payload[:-14]), Request(0, prompt="hi")).failure is None  # the finish reason came


def test_a_class_of_the_users_own_written_for_aisbench_runs(tmp_path: Path) -> None:
    (model,) = load(tmp_path / "custom.py", CUSTOM)
    backend = registry.make(model.plan(Plan(), {}).target)
    said = ({"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"})
    assert json.loads(backend.encode(Request(0, messages=said, max_output_tokens=3)).body) == {
        "said": [["HUMAN", "hi"], ["BOT", "ho"]], "limit": 3, "seed": 1}
    assert json.loads(backend.encode(Request(0, prompt="hi")).body)["said"] == "hi"
    payload = stream({"word": "a"}, {"word": "b"}, done=False)
    events = backend.decode(answer(payload), Request(0, prompt="hi"))
    assert (events.text, events.counts, events.failure) == ("ab", [1, 1], None)
    for cut in (answer(payload[:-1]), answer(payload[:-3]), answer(payload, complete=False)):
        failure = backend.decode(cut, Request(0, prompt="hi")).failure
        assert failure is not None and failure.kind == "truncated"
    backend.stream = False
    assert backend.decode(answer(b'{"word": "whole"}'), Request(0, prompt="hi")).text == "whole"


def test_what_a_class_of_aisbench_notes_down_harms_nothing() -> None:
    output = Output()
    notes = aisbench.Notes(output)
    notes.content += "x"
    notes.success = True
    notes.extra_perf_data["a"] = 1
    notes.update_extra_perf_data_from_stream_response({})
    assert (output.content, notes.success, notes.extra_perf_data) == ("x", True, {"a": 1})
    with pytest.raises(AttributeError):
        _ = notes.nothing


# Runs.


def test_the_models_of_a_file_run_one_after_the_other(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with MockProcess(["--ttft", "5ms", "--itl", "1ms"]) as mock:
        port = int(mock.url.rpartition(":")[2])
        text = STOCK.replace("8080", str(port)).replace("512", "8") + (
            f"\nmodels += [dict(type=VLLMCustomAPIChat, abbr='second', host_ip='127.0.0.1', host_port={port}, "
            "request_rate=100, batch_size=50, max_out_len=4, stream=True, model='mock'),\n"
            "           dict(type=VLLMCustomAPIChat, abbr='wrong', host_port=1, max_out_len=4, model='mock')]\n")
        (tmp_path / "stock.py").write_text(text)
        done = loadgen([sys.executable, "-m", "loadgen", "run", "--models", str(tmp_path / "stock.py"), "--lax",
                        "--datasets", "demo_gsm8k_gen_4_shot_cot_chat_prompt", "--out", str(out), "--quiet"], out)
        truth = mock.truth()
    assert done.code == 2, done.err
    assert done.err.count("loadgen: model ") == 3
    assert "wrong: " in done.err and "refused" in done.err
    first, second = (json.loads((out / name / "summary.json").read_text()) for name in ("vllm_api", "second"))
    assert (first["requests"]["succeeded"], second["requests"]["succeeded"]) == (12, 12)
    assert first["schedule"]["law"] == "closed" and second["schedule"]["law"] == "constant"
    assert done.out.count("succeeded 12") == 2
    assert truth["totals"]["ended"] >= 24


def test_exactly_the_prompts_of_a_dataset_are_asked(tmp_path: Path) -> None:
    with MockProcess(["--ttft", "5ms", "--itl", "1ms"]) as mock:
        (tmp_path / "m.py").write_text(f"{HEAD}models = [dict(type=Mine, url='{mock.url}', max_out_len=4)]\n")
        done = loadgen([sys.executable, "-m", "loadgen", "run", "--models", str(tmp_path / "m.py"), "--no-probe",
                        "--datasets", "demo_gsm8k_gen_4_shot_cot_chat_prompt", "--out", str(tmp_path / "out"),
                        "--quiet", "--lax"], tmp_path)
        assert mock.truth(12)["totals"]["ended"] == 12
    assert "succeeded 12" in done.out
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert (plan["load"]["concurrency"], plan["load"]["requests"]) == (12, 12)
