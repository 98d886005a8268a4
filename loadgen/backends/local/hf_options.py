"""Options of transformers' `generate`: those that measuring forbids, and what a request asks with the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from loadgen.backends.local.generating import stops_of
from loadgen.types import UsageError

_LENGTH: Final = "the length of answers is --output-tokens (max_out_len in a config file): leave it out"
_ASSISTED: Final = "assisted decoding has no instants of single tokens here: leave it out (vllm-offline has it)"
REFUSED: Final[Mapping[str, tuple[str, Any]]] = {  # what to write instead, and the value that is nothing to refuse
    "max_new_tokens": (_LENGTH, None),
    "max_length": (_LENGTH, None),
    "streamer": ("tokens are stamped by a streamer of loadgen's own: leave it out", None),
    "stopping_criteria": ("rows are ended by a criterion of loadgen's own: leave it out", None),
    "return_dict_in_generate": ("answers are read as ids: leave it out", False),
    "num_beams": ("beam search has no tokens until its end: leave it out", 1),
    "num_return_sequences": ("each prompt is asked once: give --requests a multiple of the prompts instead", 1),
    "prompt_lookup_num_tokens": (_ASSISTED, None),
    "assistant_model": (_ASSISTED, None),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks of `generate` beside its length."""

    forced: bool  # whether its answer is to be as long as asked
    stops: frozenset[int]  # ids that end it; none if it is forced
    options: dict[str, Any]


def asked_of(config: Any, own: Mapping[str, Any], options: Mapping[str, Any]) -> Asked:
    """Return what a request with `options` asks of a model whose generation config and own options these are.

    Raises UsageError for options that measuring forbids.
    """
    both = generation_kwargs({**own, **options})
    forced = bool(both.pop("ignore_eos", True))
    stops = frozenset[int]() if forced else stops_of(both.get("eos_token_id", config.eos_token_id))
    return Asked(forced, stops, both)


def generation_kwargs(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments of `generate`: a temperature of 0 is greedy. Raises UsageError for those that measuring forbids.
    """
    kept = {name: value for name, value in given.items() if value is not None}
    for name, (instead, harmless) in REFUSED.items():
        if (value := kept.pop(name, None)) is not None and value != harmless:
            raise UsageError(f"{name}: {instead}")
    if kept.get("temperature") == 0:
        del kept["temperature"]
        kept["do_sample"] = False
    return kept
