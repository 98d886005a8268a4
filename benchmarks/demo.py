"""`make demo`: the built-in mock server, and `loadgen run` against it, as a user would type it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from loadgen.mock.process import MockProcess
from loadgen.run.subprocess import INVALID

PACE = ["--ttft", "200ms", "--itl", "20ms"]


def command(url: str, out: str) -> list[str]:
    """Return the command line of the demo against the server at `url`."""
    return ["loadgen", "run", "--backend", "openai", "--url", url, "--rate", "10", "--duration", "15s",
            "--input-tokens", "256", "--output-tokens", "64", "--slo", "ttft.p90<500ms", "--out", out]


def main() -> int:
    """Run the demo; returns 0 if it has a page to show, whatever the verdict on it, else the exit code of its run."""
    out = f"runs/{datetime.now():%Y-%m-%dT%H-%M-%S}-demo"
    with MockProcess(PACE) as mock:
        line = command(mock.url, out)
        print("A mock server answers after 200 ms, then sends a token every 20 ms. loadgen measures it for 15 s.\n\n"
              f"$ loadgen mock {shlex.join(PACE)}\n$ {shlex.join(line)}\n", flush=True)
        code = subprocess.run([sys.executable, "-m", *line], check=False).returncode
    page = Path(out, "report.html")
    if not page.exists():
        return code
    print("\n" + "\n".join(closing(page, code)))
    return 0


def closing(page: Path, code: int) -> list[str]:
    """Return what to say below the table: what INVALID means if the run is, and where the page is."""
    busy = ["INVALID: something else kept this machine busy, so the numbers can't be trusted (the table says why).",
            "Run the demo again when the machine is quieter."]
    return [*(busy if code == INVALID else []), f"The same command works from here as {tool()}",
            f"The page of this run, for any browser: {page.resolve().as_uri()}"]


def tool() -> str:
    """Return how to call this installation's `loadgen` from here."""
    path = Path(sys.executable).with_name("loadgen")
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    sys.exit(main())
