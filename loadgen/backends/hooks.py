"""What the optional hook `connect` of a backend is given and gives back; preflight/ does the asking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from loadgen.backends.errors import one_line
from loadgen.types import UsageError

if TYPE_CHECKING:
    from loadgen.plan import Plan
    from loadgen.protocols.http.address import Address
    from loadgen.types import Call, Request, Timeline, TokenEvents
    from loadgen.workload import Source

T = TypeVar("T")


class Backend(Protocol):
    """What the desk needs of a backend, be it a server's dialect or a model in a process of its own."""

    protocol: str
    endpoint: str
    stream: bool
    forces_length: bool
    takes_ignore_eos: bool
    tokenizer: Callable[[str], int] | None

    def encode(self, request: Request) -> Call: ...
    def decode(self, timeline: Timeline, request: Request) -> TokenEvents: ...
    def source(self, plan: Plan) -> Source | None: ...


class Counters(Protocol):
    """What the measured side counts by itself."""

    def facts(self) -> Mapping[str, Any]:
        """Return what to keep with the run, JSON values; asked for once, after the last request."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Connected:
    """Who is measured, as known before the clock starts.

    `told` is what the server tells of itself, which is kept with the run; `max_input_tokens` and `max_total_tokens` in
    it are limits that the first requests are compared with. `watch` is asked what it counted after the run. `served`
    says whether who answers is still there, `keep` gets the directory of the run.
    """

    backend: Backend
    addresses: tuple[Address, ...]
    plan: Plan
    watch: Counters | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    served: Callable[[], bool] = lambda: True
    keep: Callable[[Path], None] = lambda directory: None

    def source(self) -> Source:
        """Make the source of what is asked: the backend's own, if it brings one, else that of the plan.

        Raises UsageError.
        """
        from loadgen import workload  # brings numpy, which `loadgen --help` has no time for

        try:
            own = self.backend.source(self.plan)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"source of the backend {self.plan.target.backend} failed: {one_line(error)}") from error
        if own is not None:
            return own
        return workload.make(self.plan.workload, self.plan.load.seed, chat=self.backend.endpoint == "chat")


class Server(Protocol):
    """What `connect` can ask for. It waits; the clock of the run has not started."""

    def connect(self, backend: Any) -> Connected:
        """Do what is done without a hook: wait for the server, ask what it serves, try one request."""

    def warn(self, text: str) -> None:
        """Show a warning."""

    def get(self, path: str) -> Any:
        """Return the JSON that the first server answers to a GET, None if it answers anything else."""

    def fetch(self, url: str) -> str:
        """Return the text of a page of any server, "" if there is none."""

    def resolve(self, url: str) -> Address:
        """Return where a URL leads, once it takes connections. Raises UsageError."""

    def ask(self, address: Address, call: Call, timeout: float) -> HttpAnswer:
        """Send one call over HTTP (s). Raises OSError or http.client.HTTPException if there is no answer."""

    def ask_grpc(self, address: Address, call: Call, total: int) -> Timeline:
        """Send one call over gRPC (ns); what goes wrong is the failure of its timeline."""

    def wait_for(self, attempt: Callable[[], T]) -> T:
        """Call `attempt` until it raises no UsageError, up to --wait-ready; then the last one is raised."""

    def probe(self, backend: Any, plan: Plan, address: Address) -> None:
        """Send one small HTTP request as the run will, and warn of what is odd. Raises UsageError if it is refused."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
