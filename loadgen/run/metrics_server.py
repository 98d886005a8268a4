"""The metrics page of a run that goes on (`--metrics-port`): served by the desk, in its own event loop."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from loadgen.metrics import unstreamed_absent
from loadgen.outcomes.run_record import RunRecord
from loadgen.plan import OutputOptions
from loadgen.recorder import Recorder
from loadgen.run.loop import View
from loadgen.run_files.record import to_json
from loadgen.summary.numbers import requests
from loadgen.types import SECOND, Progress, UsageError

if TYPE_CHECKING:
    from loadgen.reports.export.prometheus import Snapshot

PATH: Final = "/metrics"
_PHASES: Final = {"warm-up": "warmup", "measured": "measured", "cool-down": "cooldown", "draining": "draining"}


class MetricsServer:
    """What the page says, and a View that lets it know how the run goes: it stands before the View of the user."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._progress: Progress | None = None
        self._recorder: Recorder | None = None
        self._record: RunRecord | None = None

    def begin(self, recorder: Recorder, record: RunRecord) -> None:
        """Say from now on what `recorder` holds."""
        self._recorder, self._record = recorder, record

    def answer(self) -> tuple[int, str]:
        """Return (status, text): 503 until there is something to say."""
        if self._recorder is None or self._record is None or self._progress is None:
            return 503, "the run has not begun\n"
        from loadgen.reports.export.prometheus import expose

        return 200, expose(snapshot(self._recorder, self._record, self._progress))

    # View

    def start(self, title: str) -> None:
        self._view.start(title)

    def update(self, progress: Progress) -> None:
        self._progress = progress
        self._view.update(progress)

    def warn(self, text: str) -> None:
        self._view.warn(text)

    def stop(self) -> None:
        self._view.stop()


def snapshot(recorder: Recorder, record: RunRecord, progress: Progress) -> Snapshot:
    """Take a snapshot of a run that goes on."""
    from loadgen.reports.export.prometheus import Snapshot, info_of

    unknown = () if record.plan.target.stream else unstreamed_absent()
    histograms = {name: histogram for name, histogram in recorder.metrics.items() if name not in unknown}
    live = {"offered": progress.offered, "in_flight": progress.in_flight,
            "planned_rate": record.plan.load.rate or float(record.resolved.schedule.get("rate", 0.0)),
            "offered_rate": progress.offered_rate, "elapsed": progress.elapsed / SECOND,
            "failing_checks": len(progress.warnings)}
    return Snapshot(info_of(to_json(record), record.resolved.provenance), requests(recorder), histograms, live,
                    _PHASES.get(progress.phase, ""))


@contextlib.asynccontextmanager
async def serving(where: OutputOptions, view: View) -> AsyncIterator[MetricsServer]:
    """Serve a page while the block runs, if the plan asks for one. Raises UsageError if the port can't be had."""
    page = MetricsServer(view)
    if not where.metrics_port:
        yield page
        return
    from aiohttp import web

    from loadgen.prometheus_text import CONTENT_TYPE

    async def answer(_: web.Request) -> web.Response:
        status, text = page.answer()
        return web.Response(status=status, body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get(PATH, answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await _listen(web.TCPSite(runner, where.metrics_host, where.metrics_port), where)
        yield page
    finally:
        await runner.cleanup()


async def _listen(site: Any, where: OutputOptions) -> None:
    try:
        await site.start()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise UsageError(f"can't serve metrics on {where.metrics_host}:{where.metrics_port} ({why}): write another "
                         "--metrics-port, or another --metrics-host") from None
