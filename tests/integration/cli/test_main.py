"""The command line: what it makes of arguments, and what it says of wrong ones."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import loadgen
from loadgen.cli import flags, main, show
from loadgen.cli.files import write_whole
from loadgen.cli.run import plan_of
from loadgen.config import plan_file
from loadgen.outcomes.report import Report
from loadgen.plan import Plan
from loadgen.types import UsageError
from support import report_samples as samples

ROOT = Path(__file__).parents[3]
HEAVY = ("numpy", "rich", "aiohttp", "pyarrow", "uvloop", "httptools", "tokenizers", "msgspec", "hdrh", "jinja2",
         "plotly")
BASE = ["--url", "http://host:8000", "--rate", "10", "--duration", "60s"]


def plan(*arguments: str) -> Plan:
    return plan_of(main.parser().parse_args(["run", *arguments]))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command line that is wrong and return what it says on stderr."""
    assert main.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(line.startswith("loadgen: error: ") for line in err.splitlines())
    return err


def test_help_imports_nothing_heavy() -> None:
    code = ("import sys, loadgen, loadgen.cli.main as m; m.parser().format_help(); "
            f"print(sorted(set({HEAVY}) & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "loadgen", "--version"], capture_output=True, text=True, check=True,
                          cwd=ROOT)
    assert done.stdout == f"loadgen {loadgen.__version__}\n"


def test_the_version_is_that_of_the_package() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == loadgen.__version__


def test_public_names_are_loaded_when_asked_for() -> None:
    for name in loadgen.__all__:
        assert getattr(loadgen, name).__name__ == name
        assert name in dir(loadgen)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = loadgen.Nothing


def test_every_field_of_the_plan_has_a_flag_and_every_flag_a_field() -> None:
    fields = {f"{table}.{name}" for table, kind in plan_file.TABLES.items() for name in get_type_hints(kind)}
    assert sorted(flag.path for flag in flags.FLAGS) == sorted(fields)


@pytest.mark.parametrize("command", [[], *([name] for name in main.COMMANDS)])
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([*command, "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: loadgen")


@pytest.mark.parametrize(("arguments", "path", "value"), [
    (["--backend", "vllm"], "target.backend", "vllm"),
    (["--url", "http://b"], "target.url", ("http://host:8000", "http://b")),
    (["--no-stream"], "target.stream", False),
    (["--header", "X-A: b: c", "--header", "Y:"], "target.headers", {"X-A": "b: c", "Y": ""}),
    (["--body", "temperature=0.5", "--body", "stop=end", "--body", "ignore_eos=null", "--body", 'a={"b": [1]}'],
     "target.body", {"temperature": 0.5, "stop": "end", "ignore_eos": None, "a": {"b": [1]}}),
    (["--body", "x=NaN"], "target.body", {"x": "NaN"}),
    (["--rate", "2.5"], "load.rate", 2.5),
    (["--arrivals", "gamma", "--burstiness", "0.5"], "load.burstiness", 0.5),
    (["--max-in-flight", "64"], "load.max_in_flight", 64),
    (["--warmup", "auto"], "load.warmup", -1),
    (["--warmup", "0s"], "load.warmup", 0),
    (["--duration", "5m"], "load.duration", 300 * 10**9),
    (["--no-cooldown"], "load.cooldown", False),
    (["--senders", "auto"], "load.senders", 0),
    (["--prompt-seed", "0"], "workload.seed", 0),
    (["--input-tokens", "uniform:1,9"], "workload.input_tokens", "uniform:1,9"),
    (["--timeout", "0s"], "timeouts.total", 0),
    (["--slo", "ttft.p99<1s", "--slo", "errors<1%"], "judgement.slo", ("ttft.p99<1s", "errors<1%")),
    (["--precision", "2%"], "judgement.precision", 0.02),
    (["--lax"], "judgement.lax", True),
    (["--out", "here", "--outputs"], "out.dir", "here"),
])
def test_a_flag_sets_its_field(arguments: list[str], path: str, value: Any) -> None:
    table, _, key = path.partition(".")
    assert getattr(getattr(plan(*BASE, *arguments), table), key) == value


def test_flags_override_a_plan_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text('[target]\nurl = ["http://a"]\nbody = {x = 1}\n[load]\nrate = 5\nduration = "30s"\nseed = 3\n')
    made = plan(str(file), "--requests", "100", "--concurrency", "4", "--body", "y=2")
    assert (made.load.concurrency, made.load.rate, made.load.requests, made.load.duration, made.load.seed) == (
        4, 0.0, 100, 0, 3)
    assert made.target.body == {"x": 1, "y": 2}


def test_a_run_directory_runs_again_with_the_key_of_the_environment(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOADGEN_API_KEY", "hunter2")
    first = plan(*BASE)
    assert first.target.api_key == "hunter2"
    (tmp_path / "plan.json").write_text(json.dumps(plan_file.to_dict(first)))
    assert plan(str(tmp_path)) == first
    monkeypatch.delenv("LOADGEN_API_KEY")
    assert plan(str(tmp_path), "--api-key", "hunter2") == first
    with pytest.raises(UsageError, match="set LOADGEN_API_KEY, or give --api-key"):
        plan(str(tmp_path))


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "no command was given; there are run, sweep, report, compare"),
    (["rnu"], "unknown command 'rnu'; did you mean run?"),
    (["--ratee"], "unknown flag --ratee"),
    (["run", "--raet", "5"], "unknown flag --raet; did you mean --rate?"),
    (["run", "--rat=5"], "unknown flag --rat; did you mean --rate?"),
    (["mock", "--itll", "5ms"], "unknown flag --itll; did you mean --itl?"),
    (["run", "a.toml", "b.toml"], "unexpected argument 'b.toml'"),
    (["run", "--rate"], "argument --rate: expected one argument"),
    (["report"], "the following arguments are required: DIR"),
    (["run", "--rate", "abc"], "--rate: invalid rate 'abc': write a positive number"),
    (["run", "--rate", "0"], "--rate: invalid rate '0'"),
    (["run", "--rate", "-1"], "--rate: invalid rate '-1'"),
    (["run", "--rate", "nan"], "--rate: invalid rate 'nan'"),
    (["run", "--duration", "60"], "--duration: invalid duration '60': add a unit, e.g. 60s"),
    (["run", "--requests", "1.5"], "--requests: invalid count '1.5'"),
    (["run", "--seed", "x"], "--seed: invalid count 'x'"),
    (["run", "--header", "nonsense"], "--header: invalid header 'nonsense': write 'Name: value'"),
    (["run", "--body", "nonsense"], "--body: invalid body field 'nonsense': write key=value"),
    (["run", "--precision", "much"], "--precision: invalid share 'much'"),
    (["run", "--url", "host:8000"], "has no scheme: write http://host:8000"),
    (["run", "none.toml"], "can't read the plan none.toml: No such file"),
    (["run", *BASE, "--slo", "tftf.p99<1s"], "did you mean ttft"),
])
def test_a_mistake_is_said_in_a_line_and_exits_2(
        arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in said(capsys, *arguments)


def test_a_summary_goes_to_stdout_and_nothing_else_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("summary.json", "ttft.hlog", "itl.hlog"):
        (tmp_path / name).write_text("")
    show.show(samples.valid, tmp_path, as_json=True, quiet=False)
    out, err = capsys.readouterr()
    assert Report.from_json(json.loads(out)) == samples.valid
    assert "VALID   every SLO met" in err
    show.show(samples.valid, tmp_path, as_json=True, quiet=True)
    assert capsys.readouterr().err == ""


def test_the_table_goes_to_stdout_and_names_the_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("summary.json", "ttft.hlog", "itl.hlog"):
        (tmp_path / name).write_text("")
    assert show.files_of(tmp_path) == f"{tmp_path}/  summary.json  *.hlog"
    assert show.files_of(tmp_path, "report.html") == f"{tmp_path}/  report.html  summary.json  *.hlog"
    show.show(samples.valid, tmp_path, as_json=False, quiet=True)
    out, err = capsys.readouterr()
    assert "VALID   every SLO met" in out
    assert "summary.json  *.hlog" in out
    assert err == ""


def test_a_summary_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_whole(tmp_path / "summary.json", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    with pytest.raises(UsageError, match=r"can't write .*: No such file"):
        write_whole(tmp_path / "none" / "summary.json", "new")


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run([sys.executable, "-m", "loadgen", "run", "--help"], stdout=write, stderr=subprocess.PIPE,
                              text=True, cwd=ROOT, check=False, env={**os.environ, "PYTHONUNBUFFERED": ""})
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
