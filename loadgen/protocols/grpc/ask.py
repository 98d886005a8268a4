"""One gRPC call outside of a run, over the capture path of the run, for whoever can wait."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from loadgen.protocols.grpc import answer, request
from loadgen.protocols.http.address import Address
from loadgen.protocols.http.limits import Limits
from loadgen.protocols.http2.pool import Http2Pool
from loadgen.types import Call, Timeline


def ask(address: Address, call: Call, limits: Limits) -> Timeline:
    """Send one call over a connection of its own and wait for its answer, which is unpacked (see answer.unpack).

    What goes wrong is the timeline's failure; UsageError is raised as by request.encode. Works beside a running loop.
    """
    data = request.encode(call, address.authority, address.prefix, secure=bool(address.server_name),
                          timeout=limits.total)
    with ThreadPoolExecutor(1) as executor:
        timeline = executor.submit(asyncio.run, _ask(address, data, limits)).result()
    answer.unpack(timeline)
    return timeline


async def _ask(address: Address, data: bytes, limits: Limits) -> Timeline:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Timeline] = loop.create_future()
    parts: list[bytearray] = []
    pool = Http2Pool(loop, [address], limits, channels=1, fresh=True, done=done.set_result,
                fragment=lambda index, payload: parts.append(payload))
    pool.launch(Timeline(0), data)
    timeline = await done
    pool.close()
    timeline.payload = b"".join((*parts, timeline.payload))
    return timeline
