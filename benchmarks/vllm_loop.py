"""A bare loop over vLLM's AsyncLLM: what benchmarks.local_overhead holds a run with vllm-offline against."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from typing import Any

from loadgen.plan import Workload
from loadgen.workload import Source, make

WARMUP = 2.0  # s


def loop(path: str, concurrency: int, input_tokens: int, output_tokens: int, duration: float, nice: int) -> float:
    """Keep `concurrency` requests going for `duration` s after a warm-up; returns tokens per second.

    Tokenizes each prompt, and looks at each token, as who uses AsyncLLM must; does nothing else.
    """
    import uvloop
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    os.nice(nice)
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(model=path, max_num_seqs=concurrency, enforce_eager=True))
    source = make(Workload(input_tokens=str(input_tokens), tokenizer=path))
    try:
        made: float = uvloop.run(_keep_going(engine, source, concurrency, output_tokens, duration))
        return made
    finally:
        engine.shutdown()


async def _keep_going(engine: Any, source: Source, concurrency: int, output_tokens: int, duration: float) -> float:
    began = time.monotonic() + WARMUP
    numbers = itertools.count()
    counts = await asyncio.gather(*(_ask(engine, source, numbers, output_tokens, began, began + duration)
                                    for _ in range(concurrency)))
    return sum(counts) / duration


async def _ask(engine: Any, source: Source, numbers: itertools.count[int], output_tokens: int, began: float,
               until: float) -> int:
    """Ask one request after the other; returns how many tokens came between two instants."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    tokenizer, made = engine.get_tokenizer(), 0
    while time.monotonic() < until:
        number = next(numbers)
        messages = [{"role": "user", "content": source.request(number).prompt}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        sampling = SamplingParams(max_tokens=output_tokens, min_tokens=output_tokens, ignore_eos=True,
                                  output_kind=RequestOutputKind.DELTA)
        async for output in engine.generate({"prompt_token_ids": ids}, sampling, str(number)):
            if began <= time.monotonic() < until:
                made += len(output.outputs[0].token_ids)
    return made
