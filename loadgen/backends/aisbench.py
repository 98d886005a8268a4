"""Stands in for AISBench while a user's file is loaded, so that classes and config files written for it run here."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

from loadgen.backends.interface import ServiceBackend
from loadgen.backends.local.interface import LocalBackend
from loadgen.types import Output, Request, Timeline, TokenEvents, UsageError

ROOTS: Final = ("ais_bench", "mmengine")
ROLES: Final = {"user": "HUMAN", "assistant": "BOT", "system": "SYSTEM", "tool": "TOOL"}
SERVICE: Final[Mapping[str, tuple[str, str, bool]]] = {  # our backend, its endpoint, whether it streams
    "VLLMCustomAPI": ("openai", "completions", False),
    "VLLMCustomAPIStream": ("openai", "completions", True),
    "VLLMCustomAPIChat": ("openai", "chat", False),
    "VLLMCustomAPIChatStream": ("openai", "chat", True),
    "TGICustomAPI": ("tgi", "generate", False),
    "TGICustomAPIStream": ("tgi", "generate", True),
    "TritonCustomAPI": ("mindie", "triton", False),  # its body is that of MindIE's Triton dialect
    "TritonCustomAPIStream": ("mindie", "triton", True),
    "MindieStreamApi": ("mindie", "infer", True),
}
LOCAL: Final[Mapping[str, tuple[str, str]]] = {  # our backend, its endpoint
    "HuggingFacewithChatTemplate": ("hf", "chat"),
    "HuggingFace": ("hf", "completions"),
    "HuggingFaceCausalLM": ("hf", "completions"),
    "HuggingFaceBaseModel": ("hf", "completions"),
    "HuggingFaceQwen2VLwithChatTemplate": ("hf-vl", "chat"),
    "VLLMOfflineVLModel": ("vllm-offline-vl", "chat"),
}

Find = Callable[[str], type[ServiceBackend] | type[LocalBackend]]


class BaseAPIModel(ServiceBackend):
    """What AISBench's service models derive from: the same four methods, with prompts in AISBench's form.

    Such a class has no way to tell a proper end, so the end of the HTTP message is one.
    """

    ends_with_message: bool = True

    def __init__(self, path: str = "", stream: bool = False, max_out_len: int = 4096, **options: Any) -> None:
        options.pop("meta_template", None)  # how AISBench lays out roles; ours are messages
        super().__init__(path=path, stream=stream, max_out_len=max_out_len, **options)
        body, text, event = self._request_body, self._parse_text, self._parse_stream
        self._request_body = lambda input, *rest: body(prompt_list(input), *rest)
        self._parse_text = lambda data, output: text(data, Notes(output))
        self._parse_stream = lambda data, output: event(data, Notes(output))

    def _get_service_model_path(self) -> str:
        """Return no name: loadgen asks the server itself, and makes the backend again with what it said."""
        return ""

    def decode(self, timeline: Timeline, request: Request) -> TokenEvents:
        whole = timeline.complete and timeline.payload.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))
        if self.ends_with_message and self.stream and whole:
            timeline = replace(timeline, payload=bytes(timeline.payload) + b"data: [DONE]\n\n")
        return super().decode(timeline, request)


class BaseModel(LocalBackend):
    """What AISBench's local models derive from: `generate` is given a list of inputs, in AISBench's form."""

    takes_lists = True

    def __init__(self, path: str = "", max_seq_len: int = 2048, tokenizer_only: bool = False, meta_template: Any = None,
                 generation_kwargs: Mapping[str, Any] | None = None, sync_rank: bool = False, **kwargs: Any) -> None:
        super().__init__(path, max_seq_len, tokenizer_only, generation_kwargs)
        self.logger = logging.getLogger(f"loadgen.backends.{type(self).__name__}")
        self.eos_token_id: Any = None
        self.sync_rank = sync_rank

    def adapt(self, input: Any) -> Any:
        return prompt_list(input)


class StockModel(BaseAPIModel):
    """One of AISBench's own service models, to be derived from: our backend behind coroutines, as AISBench's are."""

    ends_with_message = False

    async def get_request_body(self, input: Any, max_out_len: int | None, output: Output,  # type: ignore[override]
                               **args: Any) -> dict[str, Any]:
        return super().get_request_body(messages_of(input), max_out_len, output, **args)

    async def parse_text_response(self, data: dict[str, Any], output: Output) -> None:  # type: ignore[override]
        super().parse_text_response(data, output)

    async def parse_stream_response(self, data: dict[str, Any], output: Output) -> None:  # type: ignore[override]
        super().parse_stream_response(data, output)


class Notes:
    """An Output with room for whatever else AISBench's classes note down, which nothing reads."""

    def __init__(self, output: Output) -> None:
        object.__setattr__(self, "_output", output)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("update_extra_"):
            return lambda *args: None
        if name.startswith("extra_"):
            return self.__dict__.setdefault(name, {})
        return getattr(self._output, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(self._output, name):
            setattr(self._output, name, value)
        else:
            object.__setattr__(self, name, value)


class Absent:
    """Stands for a name of AISBench that measuring needs nothing of: it can be called, looked into, a decorator."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if len(args) == 1 and isinstance(args[0], type) else self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __repr__(self) -> str:
        return self.name


def prompt_list(input: Any) -> Any:
    """Turn messages into AISBench's form, [{"role": "HUMAN", "prompt": ...}]; anything else stays what it is."""
    if not (isinstance(input, list) and input and isinstance(input[0], dict)):
        return input
    return [{"role": ROLES.get(message["role"], message["role"]), "prompt": message.get("content"),
             **{key: value for key, value in message.items() if key not in ("role", "content")}} for message in input]


def messages_of(input: Any) -> Any:
    """Turn AISBench's form back into messages."""
    if not (isinstance(input, list) and input and isinstance(input[0], dict)):
        return input
    names = {name: role for role, name in ROLES.items()}
    return [{"role": names.get(item["role"], item["role"]), "content": item.get("prompt", item.get("content")),
             **{key: value for key, value in item.items() if key not in ("role", "prompt", "content")}}
            for item in input]


@contextlib.contextmanager
def standing_in(find: Find) -> Iterator[None]:
    """Let imports from AISBench and mmengine succeed while this is open. `find` gives a backend class by its name."""
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] in ROOTS}
    for name in before:
        del sys.modules[name]
    finder = _Finder(find)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split(".")[0] in ROOTS]:
            del sys.modules[name]
        sys.modules.update(before)


class _Finder(MetaPathFinder, Loader):
    """Makes every module of AISBench out of nothing."""

    def __init__(self, find: Find) -> None:
        self._find = find

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.split(".")[0] not in ROOTS:
            return None
        if ".configs.models." in name:
            raise UsageError(f"{name} is a config file of AISBench's own, which is not here: write its dict(...) into "
                             "`models` of yours")
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name, self._find)

    def exec_module(self, module: ModuleType) -> None:
        return None


class _Module(ModuleType):
    """A module that has every name."""

    def __init__(self, name: str, find: Find) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self._find = find

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in SERVICE:
            return _stock(name, self._find)
        if name in LOCAL:
            backend, endpoint = LOCAL[name]
            return type(name, (self._find(backend),), {"endpoints": (endpoint,), "aisbench": name,
                                                       "__doc__": f"AISBench's {name}, by the backend {backend}."})
        known: dict[str, Any] = {"BaseAPIModel": BaseAPIModel, "BaseModel": BaseModel, "BaseLMModel": BaseModel,
                                 "Output": Output, "RequestOutput": Output,
                                 "PromptList": list, "read_base": contextlib.nullcontext}
        return known.get(name) or Absent(name)


def _stock(name: str, find: Find) -> type[ServiceBackend]:
    """Make the class of one of AISBench's own service models; always the same for the same name in one file."""
    backend, endpoint, stream = SERVICE[name]
    return type(name, (StockModel, find(backend)), {"endpoints": (endpoint,), "aisbench": name, "streams": stream})
