"""What a user waits for is not imported before it is needed: not by --help, and not before the first request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.mock.process import MockProcess

HEAVY = {"pyarrow", "plotly", "jinja2", "grpc", "tritonclient", "PIL", "tokenizers", "aiohttp", "hdrh", "hpack",
         "pandas", "torch", "transformers"}
"""Packages that no run over HTTP/1.1 needs before its first request."""
LISTING = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
BACKEND = """
import json, os, sys
from loadgen.backends.openai import OpenAI

class Listing(OpenAI):
    def encode(self, request):
        if request.index >= 0:  # not the one that tries the server
            with open(os.environ["LISTING"], "a") as file:
                file.write(json.dumps(sorted(sys.modules)) + "\\n")
        return super().encode(request)
"""


def packages_after(code: str) -> set[str]:
    """Run code in a new interpreter; returns the packages that are imported then."""
    done = subprocess.run([sys.executable, "-c", f"{code}\n{LISTING}"], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["sweep", "--help"], ["mock", "--help"],
                                       ["--version"]])
def test_help_imports_the_standard_library_and_no_package(arguments: list[str]) -> None:
    found = packages_after(f"from loadgen.cli.main import main; assert main({arguments!r}) == 0")
    assert not found & (HEAVY | {"numpy", "rich", "msgspec", "uvloop", "asyncio", "multiprocessing"})


def test_one_command_imports_no_other(tmp_path: Path) -> None:
    code = f"import sys; from loadgen.cli.main import main; assert main(['report', {str(tmp_path)!r}]) == 2"
    done = subprocess.run([sys.executable, "-c", f"{code}; print(*sys.modules)"], capture_output=True, text=True,
                          check=True)
    assert "loadgen.cli.report" in done.stdout.split()
    assert not {"loadgen.cli.sweep", "loadgen.cli.mock", "loadgen.cli.run"} & set(done.stdout.split())


def test_a_sender_of_http_imports_no_package_but_its_codec() -> None:
    found = packages_after("from loadgen.engine import sender, transports\n"
                           "from loadgen.protocols.http import pool")
    assert not found & (HEAVY | {"numpy", "rich"})


def test_no_package_that_writes_results_is_imported_before_the_first_request(tmp_path: Path) -> None:
    backend, listing, out = tmp_path / "listing.py", tmp_path / "modules", tmp_path / "run"
    backend.write_text(BACKEND)
    with MockProcess(["--ttft", "1ms", "--itl", "1ms"]) as mock:
        done = subprocess.run(
            [sys.executable, "-m", "loadgen", "run", "--backend", f"{backend}:Listing", "--url", mock.url, "--rate",
             "20", "--duration", "1s", "--warmup", "500ms", "--output-tokens", "2", "--out", str(out)],
            env={**os.environ, "LISTING": str(listing)}, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr  # 3: on a busy machine
    first = set(json.loads(listing.read_text().splitlines()[0]))
    assert not {name.partition(".")[0] for name in first} & HEAVY
    unused = ("reports.export", "reports.html", "figures", "local", "protocols.http2", "protocols.grpc",
              "backends.triton", "run_files.arrow", "run_files.hlog")
    assert not [name for name in first if name.startswith(tuple(f"loadgen.{unit}" for unit in unused))]
    assert (out / "requests.parquet").stat().st_size
    assert (out / "report.html").stat().st_size
