"""`make demo`: the built-in mock server, and `loadgen run` against it, as a user would type it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from loadgen.mock.process import MockProcess

PACE = ["--ttft", "200ms", "--itl", "20ms"]


def command(url: str, out: str) -> list[str]:
    """Return the command line of the demo against the server at `url`."""
    return ["loadgen", "run", "--backend", "openai", "--url", url, "--rate", "10", "--duration", "15s",
            "--input-tokens", "256", "--output-tokens", "64", "--slo", "ttft.p90<500ms", "--out", out]


def main() -> int:
    """Run the demo and return the exit code of its run."""
    out = f"runs/{datetime.now():%Y-%m-%dT%H-%M-%S}-demo"
    with MockProcess(PACE) as mock:
        line = command(mock.url, out)
        print("A mock server answers after 200 ms, then sends a token every 20 ms. loadgen measures it for 15 s.\n\n"
              f"$ loadgen mock {shlex.join(PACE)}\n$ {shlex.join(line)}\n", flush=True)
        code = subprocess.run([sys.executable, "-m", *line], check=False).returncode
    page = Path(out, "report.html")
    if page.exists():
        print(f"\nThe same command works from here as {tool()}\n"
              f"The page of this run, for any browser: {page.resolve().as_uri()}")
    return code


def tool() -> str:
    """Return how to call this installation's `loadgen` from here."""
    path = Path(sys.executable).with_name("loadgen")
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    sys.exit(main())
