"""`make demo`: the built-in mock server, and `loadgen run` against it, as a user would type it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from datetime import datetime

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
        print(f"$ loadgen mock {shlex.join(PACE)}\n$ {shlex.join(line)}\n", flush=True)
        code = subprocess.run([sys.executable, "-m", *line], check=False).returncode
    print(f"Open {out}/report.html in a browser. Make table and page again with: loadgen report {out}")
    return code


if __name__ == "__main__":
    sys.exit(main())
