"""Loads what transformers needs for a model, and says in a user's words why it can't."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from loadgen.protocols.local.jobs import LocalJob
from loadgen.types import UsageError

DTYPES: Final = ("bfloat16", "float16", "float32", "auto")
TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tokenizer_config.json")
MODEL: Final = "the model (--max-seq-len)"
CACHE: Final = "the cache (--engine num_blocks)"
"""What sets how many tokens fit."""
def need(path: str, *modules: str, extra: str = "hf") -> str:
    """Return the path of a model as libraries take it. Raises UsageError if there is none, or for a missing library.

    Nothing is downloaded unless the environment says HF_HUB_OFFLINE=0: a measurement is no time for that.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for module in modules or ("torch", "transformers"):
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"this backend needs {module}, which is not installed: pip install 'loadgen[{extra}]'")
    if not path:
        raise UsageError("which model? write --path DIR, the directory of its weights and tokenizer")
    folder = Path(path).expanduser()
    if not folder.exists() and (path.startswith((".", "/", "~")) or path.count("/") != 1):
        raise UsageError(f"there is no directory {path}: write --path DIR, the directory of weights and tokenizer")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise UsageError(f"{path} has no model: there is no config.json in it")
    return expanded(path)


def expanded(path: str) -> str:
    """Return a path without `~`, which transformers would take for a name of a hub."""
    folder = Path(path).expanduser()
    return str(folder) if folder.exists() else path


def need_tokenizer(path: str) -> None:
    """Raise UsageError if a directory has none of the files in which a tokenizer can be."""
    folder = Path(path).expanduser()
    if folder.is_dir() and not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UsageError(f"{path} has no tokenizer: there is none of {', '.join(TOKENIZER_FILES)} in it")


def load_tokenizer(path: str, kwargs: Mapping[str, Any], trusted: bool, *, chat: bool) -> Any:
    """Load a tokenizer that pads on the left. Raises UsageError if there is none, or no chat template for `chat`."""
    from transformers import AutoTokenizer

    path = expanded(path)
    need_tokenizer(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **{"trust_remote_code": trusted, **kwargs,
                                                           "padding_side": "left"})
    except Exception as error:
        raise explained(error, path, trusted, f"{path} has no tokenizer that can be loaded") from error
    if not len(tokenizer):
        raise UsageError(f"{path} has no tokenizer that can be loaded: its files are missing")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if chat and not tokenizer.chat_template:
        raise UsageError(f"the tokenizer of {path} has no chat template: add --endpoint completions for plain texts")
    return tokenizer


def load_processor(path: str, kwargs: Mapping[str, Any], trusted: bool) -> Any:
    """Load the processor of a vision-language model, padding on the left. Raises UsageError if there is none."""
    from transformers import AutoProcessor

    path = expanded(path)
    try:
        processor = AutoProcessor.from_pretrained(path, **{"trust_remote_code": trusted, **kwargs})
    except Exception as error:
        raise explained(error, path, trusted, f"{path} has no processor that can be loaded") from error
    if not hasattr(processor, "image_processor"):
        raise UsageError(f"{path} has no processor of images: it is not a vision-language model (a text model: "
                         "the backend without -vl)")
    processor.tokenizer.padding_side = "left"
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    if not processor.chat_template:
        raise UsageError(f"the processor of {path} has no chat template, which says where images go: add one")
    return processor


def load_model(kind: str, path: str, kwargs: Mapping[str, Any], trusted: bool, device: str, dtype: str) -> Any:
    """Load a model with one of transformers' Auto classes, ready to generate. Raises UsageError that says why not."""
    import torch
    import transformers

    if dtype and dtype not in DTYPES:
        raise UsageError(f"unknown dtype {dtype!r}: write one of {', '.join(DTYPES)}")
    given = {"trust_remote_code": trusted, "dtype": dtype or "auto", **kwargs}
    if "torch_dtype" in given:
        given["dtype"] = given.pop("torch_dtype")
    place = device_of(device)
    try:
        model = getattr(transformers, kind).from_pretrained(path, **given)
        if "device_map" not in given:
            model = model.to(place)
    except Exception as error:
        if isinstance(error, torch.OutOfMemoryError | MemoryError):
            raise UsageError(f"{path} does not fit the memory of {place}: {first_line(error)}; another --dtype or "
                             "--device") from error
        words = KINDS[kind] if "Unrecognized configuration class" in str(error) else "can't be loaded"
        raise explained(error, path, trusted, f"{path} {words}") from error
    return model.eval()


KINDS: Final = {
    "AutoModelForCausalLM": "is not a causal language model (a vision-language model: --backend hf-vl)",
    "AutoModelForImageTextToText": "is not a vision-language model (a text model: --backend hf)",
}
"""What to say of a model that one of transformers' Auto classes does not take."""


def explained(error: Exception, path: str, trusted: bool, words: str, said: str = "") -> UsageError:
    """Return the UsageError for what a library raised while it loaded something; `said` is in place of its first line.
    """
    if not trusted and "trust_remote_code" in str(error):
        return UsageError(f"{path} brings code of its own: add --trust-remote-code if you trust where it comes from")
    if isinstance(error, ImportError) and "torchvision" in str(error).lower():
        return UsageError(f"{path} needs torchvision, which is not installed: pip install 'loadgen[hf-vl]'")
    return UsageError(f"{words}: {said or first_line(error)}")


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message, its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def device_of(name: str) -> str:
    """Return the device to use: as named, else CUDA if there is any, else the CPU. Raises UsageError for another."""
    import torch

    if not name:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}: write cpu, cuda or cuda:1") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"there is no device {name}: this machine has {torch.cuda.device_count()} CUDA devices, so "
                         "write another, or leave --device out")
    return name


def check_streamed(device: Any) -> None:
    """Raise UsageError for a device on which transformers hands tokens out later than it has them."""
    from transformers.generation import utils

    deferred = getattr(utils, "DeferredStopCheck", None)
    if deferred is not None and deferred.is_supported(device, None, False, False):
        raise UsageError(f"on {device.type} transformers hands each token out one step late, so its instant can't be "
                         "told: --batching continuous, or another --device")


def context_of(model: Any) -> int:
    """Return the most tokens that a model takes, prompt and answer together; 0 if it does not say."""
    config = model.config.get_text_config()
    return int(getattr(config, "max_position_embeddings", 0) or 0)


def ids_of(tokenizer: Any, input: Any, *, chat: bool) -> list[int]:
    """Return the token ids of a prompt: ids as they are, messages and (for `chat`) texts through the template.

    Raises ValueError for messages where there is no template for them.
    """
    if isinstance(input, list) and input and isinstance(input[0], int):
        return input
    if isinstance(input, list) and any(_has_image(message) for message in input):
        raise ValueError("this backend takes no images: use the one whose name ends in -vl")
    if not chat:
        if not isinstance(input, str):
            raise ValueError("the completions endpoint takes no messages or images: use --endpoint chat")
        return list(tokenizer(input)["input_ids"])
    messages = [{"role": "user", "content": input}] if isinstance(input, str) else input
    return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False))


def _has_image(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(part.get("type") in ("image", "image_url") for part in content)


def fits(job: LocalJob, most: int, bound: str = MODEL) -> bool:
    """Say whether a job's prompt and answer fit; fails the job with the numbers, and what sets them, if not."""
    if most and job.input_tokens + job.limit > most:
        job.fail("too_long", f"a prompt of {job.input_tokens:,} tokens and an answer of {job.limit:,} don't fit the "
                             f"{most:,} of {bound}")
        return False
    return True


def facts_of(model: Any) -> dict[str, Any]:
    """Return what to keep of a model with a run; memory in bytes."""
    import torch

    device = model.device
    facts = {"device": str(device), "dtype": str(model.dtype).removeprefix("torch."),
             "parameters": model.num_parameters(), "class": type(model).__name__, "threads": torch.get_num_threads(),
             **{name: importlib.metadata.version(name) for name in ("torch", "transformers")}}
    if device.type == "cuda":
        facts |= {"device_name": torch.cuda.get_device_name(device),
                  "device_memory": torch.cuda.get_device_properties(device).total_memory,
                  "memory_peak": torch.cuda.max_memory_allocated(device)}
    return facts
