"""One client of benchmarks.grpc_overhead: streams from a Triton model on a timeline; says what that cost and saw."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import uvloop

from loadgen import schedule
from loadgen.engine import pacer
from loadgen.plan import Duration, Load, Tls
from loadgen.protocols.grpc import answer, messages, request
from loadgen.protocols.http.address import resolve
from loadgen.protocols.http.limits import Limits
from loadgen.protocols.http2.pool import Http2Pool
from loadgen.run.assemble import reads_of
from loadgen.types import Call, Timeline

PATH = "/inference.GRPCInferenceService/ModelStreamInfer"


@dataclass(slots=True)
class Seen:
    """Instants of one request, ns: when it was sent, when each response came."""

    sent: int
    at: list[int] = field(default_factory=list)
    coalesced: int = 0


def question(model: str, tokens: int) -> Any:
    """Make the ModelInferRequest that every client sends."""
    from tritonclient.grpc import service_pb2

    asked = service_pb2.ModelInferRequest(model_name=model, id="1")
    asked.parameters["triton_enable_empty_final_response"].bool_param = True
    text = b"hello " * 20
    for name, kind, raw in (("text_input", "BYTES", len(text).to_bytes(4, "little") + text),
                            ("stream", "BOOL", b"\x01"), ("max_tokens", "INT32", tokens.to_bytes(4, "little"))):
        tensor = asked.inputs.add()
        tensor.name, tensor.datatype = name, kind
        tensor.shape.append(1)
        asked.raw_input_contents.append(raw)
    return asked


async def own(args: argparse.Namespace, offsets: list[int]) -> tuple[list[Seen], float]:
    """Send over the capture path, as a sender process does."""
    loop = asyncio.get_running_loop()
    address = resolve(f"grpc://{args.url}", Tls(), 5)
    data = request.encode(Call(PATH, question(args.model, args.tokens).SerializeToString()), address.authority)
    done: list[Timeline] = []
    ended = asyncio.Event()
    parts: dict[int, list[bytearray]] = {}

    def take(timeline: Timeline) -> None:
        done.append(timeline)
        if len(done) == len(offsets):
            ended.set()

    pool = Http2Pool(loop, [address], Limits(total=60_000_000_000), channels=args.channels, fresh=False, done=take,
                fragment=lambda index, payload: parts.setdefault(index, []).append(payload))
    ready: asyncio.Future[Any] = loop.create_future()
    pool.prepare(40, ready.set_result)
    assert await ready is None
    start, began = time.monotonic_ns() + 200_000_000, time.process_time()
    due_at = [start + offset for offset in reversed(offsets)]

    def wake() -> None:
        while due_at and due_at[-1] <= time.monotonic_ns():
            pool.launch(Timeline(len(due_at), due=due_at.pop() - start), data)
        if due_at:
            timer.arm(due_at[-1])

    timer = pacer.make(loop, wake)
    timer.arm(due_at[-1])
    await ended.wait()
    cpu = time.process_time() - began
    pool.close()
    for timeline in done:
        timeline.payload = b"".join((*parts.get(timeline.index, ()), timeline.payload))
    return [_seen(timeline) for timeline in done], cpu


def _seen(timeline: Timeline) -> Seen:
    answer.unpack(timeline)
    assert timeline.failure is None, timeline.failure
    stamps, _, offsets = reads_of(timeline)
    ends = messages.split(timeline.payload).ends
    which = np.searchsorted(offsets, ends, side="left")
    late = np.append(which[1:] == which[:-1], False)
    if timeline.shared:
        late |= np.isin(which, np.frombuffer(timeline.shared, dtype=np.int64))
    wall = time.time_ns() - time.monotonic_ns()
    return Seen(timeline.sent, [int(at) - wall for at in stamps[which]], int(np.count_nonzero(late)))


async def raw(args: argparse.Namespace, offsets: list[int]) -> tuple[list[Seen], float]:
    """Send over grpc.aio, which neither makes nor parses messages."""
    import grpc.aio

    body = question(args.model, args.tokens).SerializeToString()
    async with grpc.aio.insecure_channel(args.url) as channel:
        method = channel.stream_stream(PATH)

        async def one() -> Any:
            yield body

        async def ask(seen: Seen) -> None:
            async for _ in method(one()):
                seen.at.append(time.monotonic_ns())

        await channel.channel_ready()
        return await on_a_timeline(offsets, ask)


async def triton(args: argparse.Namespace, offsets: list[int]) -> tuple[list[Seen], float]:
    """Send over tritonclient, as its users do."""
    import tritonclient.grpc as sync
    import tritonclient.grpc.aio as triton_client

    def inputs() -> list[Any]:
        found = []
        for name, kind, value in (("text_input", "BYTES", np.array([b"hello " * 20], dtype=np.object_)),
                                  ("stream", "BOOL", np.array([True])),
                                  ("max_tokens", "INT32", np.array([args.tokens], dtype=np.int32))):
            tensor = sync.InferInput(name, [1], kind)
            tensor.set_data_from_numpy(value)
            found.append(tensor)
        return found

    async with triton_client.InferenceServerClient(args.url) as client:
        async def one() -> Any:
            yield {"model_name": args.model, "inputs": inputs(), "request_id": "1",
                   "enable_empty_final_response": True}

        async def ask(seen: Seen) -> None:
            async for result, error in client.stream_infer(one()):
                assert error is None, error
                seen.at.append(time.monotonic_ns())
                result.as_numpy("text_output")

        await client.is_server_ready()
        return await on_a_timeline(offsets, ask)


async def on_a_timeline(offsets: list[int], ask: Callable[[Seen], Awaitable[None]]) -> tuple[list[Seen], float]:
    """Start a task for each request when it is due."""
    start, began = time.monotonic_ns() + 200_000_000, time.process_time()
    seen: list[Seen] = []
    tasks = []
    for offset in offsets:
        await asyncio.sleep((start + offset - time.monotonic_ns()) / 1e9)
        seen.append(Seen(time.monotonic_ns()))
        tasks.append(asyncio.ensure_future(ask(seen[-1])))
    await asyncio.gather(*tasks)
    return seen, time.process_time() - began


CLIENTS = {"own": own, "raw": raw, "triton": triton}


def main() -> None:
    """Run one client and print JSON: CPU seconds, responses, ttft and itl (ns), share that was coalesced."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", default="llm")
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--channels", type=int, default=0)
    args = parser.parse_args()
    load = Load(rate=args.rate, requests=args.requests, warmup=Duration(0), cooldown=False, seed=1)
    offsets, first, last = schedule.plan_offsets(load, 0, 0)
    seen, cpu = uvloop.run(CLIENTS[args.client](args, list(map(int, offsets[first:last]))))
    count = sum(len(one.at) for one in seen)
    ttft = np.array([one.at[0] - one.sent for one in seen])
    gaps = np.array([after - before for one in seen for before, after in pairwise(one.at)])
    quantiles = {f"{name}.{label}": int(np.quantile(values, share, method="inverted_cdf"))
                 for name, values in (("ttft", ttft), ("itl", gaps)) for label, share in (("p50", 0.5), ("p99", 0.99))}
    print(json.dumps({"cpu": cpu, "responses": count, "coalesced": sum(one.coalesced for one in seen) / count,
                      **quantiles}))


if __name__ == "__main__":
    main()
