"""The wheel, as a user gets it: built from the sources, installed where nothing else is, and used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import loadgen

pytestmark = pytest.mark.slow  # 40 s, and 450 MB from a package index

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE")
LOAD = ("--rate", "10", "--duration", "1s", "--warmup", "200ms", "--output-tokens", "4", "--quiet")
DATA_SET = "demo_gsm8k_gen_4_shot_cot_chat_prompt"
BARE = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
"""An environment that imports nothing of the sources."""
NOT_THERE = "import importlib.util as u; print([n for n in ('torch', 'transformers', 'pytest') if u.find_spec(n)])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel by way of the sdist, from a copy: building leaves files beside the sources."""
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(ROOT / "loadgen", copy / "loadgen", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(copy / "dist"), str(copy)], check=True,
                   capture_output=True)
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into an environment of its own; returns where its commands are."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True)
    commands = home / ("Scripts" if os.name == "nt" else "bin")
    subprocess.run([str(commands / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check", str(wheel)],
                   check=True, env=BARE)
    return commands


@contextmanager
def mock_of(installed: Path) -> Iterator[str]:
    """Serve the installed mock; gives its address."""
    command = [str(installed / "loadgen"), "mock", "--port", "0", "--ttft", "2ms", "--itl", "1ms"]
    with subprocess.Popen(command, env=BARE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip().removeprefix("listening on ")
        process.terminate()


def call(program: Path, *arguments: str, within: Path) -> str:
    """Run a program of the environment; returns what it printed."""
    done = subprocess.run([str(program), *arguments], cwd=within, env=BARE, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr  # 3: a run on a busy machine
    return done.stdout


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "loadgen").rglob("*")
             if path.is_file() and "__pycache__" not in path.parts}
    assert {Path(name).suffix for name in files} >= {".jsonl", ".json", ".html", ".css", ".js", ".py", ".typed"}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == files


def test_the_installed_wheel_runs_serves_and_has_its_data(installed: Path, tmp_path: Path) -> None:
    """One test, so that parallel ones don't each install."""
    command = installed / "loadgen"
    assert call(command, "--version", within=tmp_path) == f"loadgen {loadgen.__version__}\n"
    assert call(installed / "python", "-c", NOT_THERE, within=tmp_path) == "[]\n"
    assert json.loads(call(command, "grafana", within=tmp_path))["panels"]
    with mock_of(installed) as url:
        table = call(command, "run", "--url", url, *LOAD, "--input-tokens", "8", "--out", "run", within=tmp_path)
        call(command, "run", "--url", url, *LOAD, "--datasets", DATA_SET, "--out", "data", within=tmp_path)
    assert "ttft" in table
    for name in ("run", "data"):
        summary = json.loads((tmp_path / name / "summary.json").read_text(encoding="utf-8"))
        assert summary["requests"]["succeeded"] > 0 == summary["requests"]["failed"]
        assert (tmp_path / name / "requests.parquet").stat().st_size
        assert "Plotly" in (tmp_path / name / "report.html").read_text(encoding="utf-8")
