"""The client that everyone would write first: aiohttp on uvloop, asyncio.sleep between requests, a stamp a chunk.

It is the kindest baseline there is: with `--read capture` it parses nothing while it runs. With `--read parse` it
reads each event as JSON, as most clients do.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from benchmarks.arguments import duration
from loadgen.plan import Duration, Load
from loadgen.schedule import plan_offsets

clock = time.perf_counter_ns


@dataclass(slots=True)
class Request:
    """One request as this client saw it; instants are ns of CLOCK_MONOTONIC."""

    tag: str
    due: int
    measured: bool
    sent: int = 0
    stamps: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)  # tokens at each stamp, counted after the run
    chunks: list[bytes] = field(default_factory=list)
    error: str = ""


@dataclass(slots=True)
class Window:
    """The measured window: its two ends, and this process's CPU time (ns) at each."""

    begin: int = 0
    end: int = 0
    begin_cpu: int = 0
    end_cpu: int = 0


class Client:
    """Sends bodies on a schedule, one asyncio task each."""

    def __init__(self, session: aiohttp.ClientSession, url: str, parse: bool) -> None:
        self._session = session
        self._url = url
        self._parse = parse

    async def ask(self, request: Request, body: bytes) -> None:
        """Send one request and stamp what comes."""
        request.sent = clock()
        try:
            async with self._session.post(self._url, data=body, headers={"Content-Type": "application/json"}) as answer:
                async for chunk in answer.content.iter_any():
                    request.stamps.append(clock())
                    request.chunks.append(chunk)
                    if self._parse:
                        _parse(chunk)
                if answer.status != 200:
                    request.error = f"status {answer.status}"
        except aiohttp.ClientError as error:
            request.error = type(error).__name__


def count(request: Request) -> dict[str, Any]:
    """Look through what was captured, after the run: how many tokens came with each stamp, and whether it is whole."""
    if not request.error and not b"".join(request.chunks[-2:]).endswith(b"data: [DONE]\n\n"):
        request.error = "truncated"
    if request.chunks and b'"role"' in request.chunks[0] and request.chunks[0].count(b"data: ") == 1:
        del request.chunks[0], request.stamps[0]  # says who speaks, and is no token
    request.counts = [chunk.count(b'"content":') + chunk.count(b'"text":') for chunk in request.chunks]
    request.chunks = []
    return asdict(request)


def _parse(chunk: bytes) -> None:
    for line in chunk.split(b"\n"):
        if line.startswith(b"data: {"):
            json.loads(line[6:])


async def run(args: argparse.Namespace, bodies: list[bytes]) -> tuple[list[Request], Window]:
    """Offer the schedule, its tail included, and wait for every answer."""
    load = Load(rate=args.rate, duration=Duration(args.duration), seed=args.seed)
    offsets, first, last = plan_offsets(load, args.warmup, args.tail)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        client = Client(session, args.url, args.read == "parse")
        start = clock() + 100_000_000
        window = Window(start + args.warmup, start + args.warmup + args.duration)
        loop = asyncio.get_running_loop()
        loop.call_later((window.begin - clock()) / 1e9, _mark, window, "begin")
        loop.call_later((window.end - clock()) / 1e9, _mark, window, "end")
        requests, tasks = [], []
        for index, offset, body in zip(itertools.count(), map(int, offsets), itertools.cycle(bodies), strict=False):
            if index >= len(offsets):
                break
            wait = (start + offset - clock()) / 1e9
            if wait > 0:
                await asyncio.sleep(wait)
            tag = f"q{index % len(bodies)}"
            requests.append(Request(tag, start + offset, first <= index < last))
            tasks.append(asyncio.create_task(client.ask(requests[-1], body)))
        await asyncio.gather(*tasks)
    return requests, window


def _mark(window: Window, end: str) -> None:
    setattr(window, end, clock())
    setattr(window, f"{end}_cpu", time.process_time_ns())


def bodies_of(path: Path, chat: bool) -> list[bytes]:
    """Make the bodies of a prompts file, in the OpenAI dialect, before anything is sent."""
    bodies = []
    for line in path.read_text().splitlines():
        data = json.loads(line)
        asked = {"messages": [{"role": "user", "content": data["prompt"]}]} if chat else {"prompt": data["prompt"]}
        body: dict[str, Any] = {"model": "mock", **asked, "max_tokens": data["max_tokens"], "stream": True,
                                "stream_options": {"include_usage": True}, **data["body"]}
        bodies.append(json.dumps(body).encode())
    return bodies


def main() -> int:
    """Run, write the requests to --records, and print CPU time, window and whole CPU time as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="of the endpoint itself")
    parser.add_argument("--rate", type=float, required=True)
    for name, default in (("duration", "15s"), ("warmup", "2s"), ("tail", "2s")):
        parser.add_argument(f"--{name}", type=duration, default=duration(default))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prompts", type=Path, required=True, help="JSONL as `loadgen run --prompts` takes it")
    parser.add_argument("--read", choices=("capture", "parse"), default="capture")
    parser.add_argument("--records", type=Path, required=True, help="file for the requests, JSON lines")
    args = parser.parse_args()
    bodies = bodies_of(args.prompts, args.url.endswith("/chat/completions"))
    requests, window = uvloop.run(run(args, bodies))
    with args.records.open("w") as file:
        file.writelines(json.dumps(count(request)) + "\n" for request in requests)
    print(json.dumps({**asdict(window), "cpu": time.process_time_ns()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
