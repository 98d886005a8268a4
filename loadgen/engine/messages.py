"""The messages between the desk and its senders."""

from __future__ import annotations

import msgspec

from loadgen.protocols.http.address import Address
from loadgen.protocols.http.limits import Limits
from loadgen.types import Failure, Health, Timeline


class Setup(msgspec.Struct, tag=True):
    """The first message to a sender: its settings for the whole run."""

    sender: int
    addresses: list[Address]
    limits: Limits
    connections: int  # to open before the start, to each address
    reserve: int  # to keep idle while running
    fresh: bool  # each request opens its own connection
    limit: int  # most requests in flight; 0: no limit
    closed: bool  # closed loop: a request is due when a slot gets free
    protocol: str = "http"  # or grpc, grpcio or local
    channels: int = 0  # HTTP/2 connections that requests share, to each address; 0: as many as are in flight
    keep_alive: int = 0  # ns of silence after which an HTTP/2 server is asked for a sign of life; 0: never


class Item(msgspec.Struct, array_like=True, gc=False):
    """One call, ready to send. `due` is ns since the start of the schedule; a later attempt is due when it arrives."""

    index: int
    due: int
    target: int
    data: bytes
    attempt: int = 0


class CallBatch(msgspec.Struct, tag=True):
    items: list[Item]


class Start(msgspec.Struct, tag=True):
    """`at` is the instant (CLOCK_MONOTONIC ns) that offsets count from."""

    at: int


class Stop(msgspec.Struct, tag=True):
    """Send nothing new."""


class Cancel(msgspec.Struct, tag=True):
    """End the requests in flight, with this failure."""

    failure: Failure


class Ready(msgspec.Struct, tag=True):
    """Connections are open, unless there is a failure."""

    failure: Failure | None


class Sent(msgspec.Struct, tag=True):
    """Requests that were sent: (index, due, sent) each; `due` as in Item, `sent` CLOCK_MONOTONIC ns."""

    requests: list[tuple[int, int, int]]


class Fragment(msgspec.Struct, tag=True):
    """A part of a long answer; it comes before the payload of the timeline."""

    index: int
    payload: bytearray


class Done(msgspec.Struct, tag=True):
    timeline: Timeline


class Pulse(msgspec.Struct, tag=True):
    health: Health


class Finished(msgspec.Struct, tag=True):
    """Nothing is in flight and nothing more will be sent."""


ToSender = Setup | CallBatch | Start | Stop | Cancel
ToDesk = Ready | Sent | Fragment | Done | Pulse | Finished
