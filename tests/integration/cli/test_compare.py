"""`loadgen compare` through the command line, on run directories that were made without a server."""

import json
from pathlib import Path

import pytest

from loadgen.cli import main
from loadgen.outcomes.comparison import Comparison
from loadgen.plan import Duration
from support.run_dirs import PLAN, with_, write_run, write_side

MS = 1_000_000


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sides of five runs: `base`, `slow` (itl 10 % slower), `one` and `other` of a single run with one seed."""
    path = tmp_path_factory.mktemp("runs")
    write_side(path / "base")
    write_side(path / "slow", itl=11 * MS)
    write_run(path / "one")
    write_run(path / "other", itl=11 * MS)
    return path


def compared(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main.main(["compare", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What is said of a comparison that is refused."""
    code, out, err = compared(capsys, *arguments)
    assert (code, out) == (2, "")
    return err


def test_a_slow_down_is_found_and_fails_its_gate(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = compared(capsys, runs / "base", runs / "slow", "--fail-on", "itl.p50>3%", "--fail-on", "ttft.p50")
    assert code == 1
    assert "REGRESSION   1 of 2 gates failed" in out
    assert "gate         itl.p50>3%   REGRESSION   +1" in out
    assert "gate         ttft.p50>3%   pass" in out


@pytest.mark.parametrize("gate", ["itl.p50>12%", "e2e.p99>30%", "output_tokens<-5%"])
def test_a_change_within_the_tolerance_passes(gate: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = compared(capsys, runs / "base", runs / "slow", "--fail-on", gate)
    assert code == 0
    assert "PASS   no regression by 1 gate" in out


def test_what_got_better_is_no_regression(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = compared(capsys, runs / "slow", runs / "base", "--fail-on", "itl.p50")
    assert code == 0
    assert "better" in out


def test_without_a_gate_the_table_is_all(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = compared(capsys, runs / "base", runs / "slow")
    assert code == 0
    assert "COMPARED" in out
    assert "worse" in out


def test_one_run_a_side_can_not_tell_and_says_how_many_are_missing(runs: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = compared(capsys, runs / "one", runs / "other")
    assert code == 0
    assert "indicative" in out
    code, out, _ = compared(capsys, runs / "one", runs / "other", "--fail-on", "itl.p50>3%")
    assert code == 3
    assert "CAN'T TELL   1 of 1 gates undecided: 3 more runs a side" in out


@pytest.mark.parametrize(("gates", "missing"), [(1, 1), (2, 2), (6, 2)])
def test_too_few_runs_for_the_gates_is_no_pass(gates: int, missing: int, runs: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    names = ["itl.p50", "itl.p90", "e2e.p50", "e2e.p90", "ttft.p50", "ttft.p90"][:gates]
    sides = [flag for side in ("base", "slow") for flag in
             (f"--{'base' if side == 'base' else 'new'}", *(runs / side / f"run-{i}" for i in range(3)))]
    code, out, _ = compared(capsys, *sides, *(flag for name in names for flag in ("--fail-on", name)))
    assert code == 3
    assert f"{missing} more run{'s' if missing > 1 else ''} a side" in out.splitlines()[0]


def test_strict_wants_proof(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = (runs / "base", runs / "slow", "--fail-on", "ttft.p50>0.1%")
    assert compared(capsys, *both)[0] == 0
    code, out, _ = compared(capsys, *both, "--strict")
    assert code == 3
    assert "the interval reaches beyond the tolerance" in out
    assert compared(capsys, *both[:2], "--strict", "--fail-on", "ttft.p50>50%")[0] == 0


def test_an_invalid_run_is_named_and_passes_nothing(runs: Path, tmp_path: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    side = write_side(tmp_path / "new", runs=4)
    write_run(side / "run-4", 4, summary=False)  # killed: no summary, the report is made again from the rows
    code, out, _ = compared(capsys, runs / "base", side, "--fail-on", "itl.p50")
    assert code == 3
    assert out.splitlines()[0].strip().startswith("INVALID   1 of 10 runs must not be believed")
    assert f"{side}/run-4 is INVALID: interrupted" in out
    code, out, _ = compared(capsys, runs / "base", side, "--fail-on", "itl.p50", "--lax")
    assert code == 0
    assert f"warn         {side}/run-4 is INVALID" in out


def test_a_run_that_only_leaves_its_own_slo_open_is_no_reason_for_doubt(runs: Path, tmp_path: Path,
                                                                       capsys: pytest.CaptureFixture[str]) -> None:
    plan = with_(PLAN, judgement={"slo": ("e2e.p99.9<1s",)})
    side = write_side(tmp_path / "new", plan=plan)
    code, out, _ = compared(capsys, runs / "base", side)
    assert code == 0
    assert "5 of 10 runs are too small to decide their own --slo" in out


@pytest.mark.parametrize(("changes", "said"), [
    ({"load": {"rate": 70.0}}, "rate: 60.0 against 70.0"),
    ({"load": {"arrivals": "constant"}}, "arrivals: poisson against constant"),
    ({"load": {"duration": Duration(7 * 10**9)}}, "duration: 6s against 7s"),
    ({"load": {"rate": 0.0, "concurrency": 4}}, "concurrency: 0 against 4"),
    ({"workload": {"input_tokens": "uniform:1,9"}}, "input_tokens: 100 against uniform:1,9"),
    ({"workload": {"output_tokens": "21"}}, "output_tokens: 20 against 21"),
    ({"target": {"backend": "tgi"}}, "backend: vllm against tgi"),
    ({"target": {"endpoint": "completions"}}, "endpoint: - against completions"),
    ({"target": {"stream": False}}, "stream: True against False"),
    ({"target": {"body": {"temperature": 1}}}, "body: - against {'temperature': 1}"),
    ({"workload": {"images": "synthetic:64x64"}}, "images: - against synthetic:64x64"),
    ({"load": {"max_duration": Duration(48 * 10**9)}}, "max_duration: 0s against 48s"),
])
def test_another_load_is_refused_with_the_difference(changes: dict[str, dict[str, object]], said: str, runs: Path,
                                                     tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_run(tmp_path / "new", plan=with_(PLAN, **changes))
    err = refused(capsys, runs / "one", other)
    assert "not offered the same load" in err
    assert "--force" in err
    assert said in err
    code, out, _ = compared(capsys, runs / "one", other, "--force")
    assert code == 0
    assert f"not the same {said}" in out


def test_other_seeds_are_refused_only_where_more_runs_can_not_even_them_out(runs: Path, tmp_path: Path,
                                                                           capsys: pytest.CaptureFixture[str]) -> None:
    err = refused(capsys, runs / "one", runs / "base" / "run-1")
    assert "seed: 0 against 1 (schedule 000000 against 000001); run both sides with the same seeds" in err
    other = write_side(tmp_path / "new", first=10)
    code, out, _ = compared(capsys, runs / "base", other)
    assert code == 0
    assert "the seeds of the sides differ" in out


def test_mixed_models_on_one_side_are_refused(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "new" / "a", 0)
    write_run(tmp_path / "new" / "b", 1, with_(PLAN, target={"model": "other"}))
    err = refused(capsys, "--base", runs / "base" / "run-0", runs / "base" / "run-1", "--new", tmp_path / "new")
    assert "models within new: m, other" in err


def test_mixed_backends_are_refused(tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "new" / "a", 0)
    write_run(tmp_path / "new" / "b", 1, with_(PLAN, target={"backend": "tgi"}))
    assert "only one side has runs of backend tgi" in refused(capsys, runs / "base", tmp_path / "new")


def test_cells_of_a_sweep_are_matched_by_their_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side, itl in (("base", 10 * MS), ("new", 11 * MS)):
        for length in ("20", "30", "40"):
            if (side, length) != ("new", "40"):
                write_side(tmp_path / side / f"cell-{length}", plan=with_(PLAN, workload={"output_tokens": length}),
                           itl=itl)
    both = (tmp_path / "base", tmp_path / "new", "--fail-on", "itl.p50")
    assert "only one side has runs of output_tokens 40" in refused(capsys, *both)
    code, out, _ = compared(capsys, *both, "--force")
    assert code == 1
    assert "REGRESSION   2 of 3 gates failed" in out
    assert "output_tokens 20\n" in out
    assert "output_tokens 40: itl.p50>3%   CAN'T TELL   only one side has runs of it" in out
    err = refused(capsys, tmp_path / "base" / "cell-40", tmp_path / "new")
    assert "no load is on both sides" in err


def test_json_is_the_comparison_and_out_has_curves(runs: Path, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    out_dir = tmp_path / "cmp"
    code, out, _ = compared(capsys, runs / "base", runs / "slow", "--json", "--out", out_dir)
    assert code == 0
    assert json.loads(out) == json.loads((out_dir / "comparison.json").read_text())
    comparison = Comparison.from_json(json.loads(out))
    curve = comparison.cells[0].new.curves["itl"]
    assert curve.count == sum(run.requests for run in comparison.cells[0].new.runs) * 19
    assert [share for share, _ in curve.points] == sorted({share for share, _ in curve.points})
    assert curve.points[-1][0] == 1.0
    assert dict(curve.points)[1.0] == max(value for _, value in curve.points)


def test_markdown_is_a_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = compared(capsys, runs / "base", runs / "slow", "--format", "markdown", "--fail-on", "itl.p50")
    assert code == 1
    assert out.startswith("**REGRESSION** 1 of 1 gates failed\n")
    assert "\n| itl.p50\\* |" in out


def test_what_is_no_run_is_refused(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not a directory" in refused(capsys, runs / "one", tmp_path / "nowhere")
    assert "has no runs" in refused(capsys, runs / "one", tmp_path)
    assert "on both sides" in refused(capsys, runs / "one", runs / "one")
    assert "twice" in refused(capsys, "--base", runs / "one", runs / "one", "--new", runs / "other")
    for arguments in ([], [runs / "one"], [runs / "one"] * 3, ["--base", runs / "one"]):
        assert "two sides are compared" in refused(capsys, *arguments)


def test_a_newer_or_a_half_written_run_is_refused(runs: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    broken = write_run(tmp_path / "new")
    summary, plan = broken / "summary.json", broken / "plan.json"
    whole = summary.read_text()
    summary.write_text(json.dumps({**json.loads(whole), "schema": 99}))
    assert "newer loadgen" in refused(capsys, runs / "one", broken)
    summary.write_text(whole[: len(whole) // 2])
    assert "summary.json is damaged" in refused(capsys, runs / "one", broken)
    summary.write_text('{"schema": 1}')
    assert "is not a complete summary" in refused(capsys, runs / "one", broken)
    summary.write_text(whole)
    rows = broken / "requests.parquet"
    rows.write_bytes(rows.read_bytes()[:1000])
    assert str(rows) in refused(capsys, runs / "one", broken)  # one run a side needs the rows
    plan.unlink()
    assert "has no plan.json" in refused(capsys, runs / "one", broken)


def test_half_the_rows_of_a_killed_run_are_read(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killed = write_run(tmp_path / "new", summary=False)
    rows = killed / "requests.arrows"
    rows.write_bytes(rows.read_bytes()[:-100])
    code, out, _ = compared(capsys, runs / "one", killed)
    assert code == 3
    assert "is INVALID: interrupted" in out


@pytest.mark.parametrize(("flags", "said"), [
    (["--fail-on", "ttft>3%"], "doesn't say which percentile"),
    (["--fail-on", "ttft.p98>3%"], "there is no ttft.p98"),
    (["--fail-on", "itl.p50<3%"], "write 'itl.p50>3%'"),
    (["--tolerance", "many"], "--tolerance: invalid share 'many'"),
    (["--tolerance", "150%"], "invalid --tolerance"),
    (["--rows", "itl"], "--rows doesn't say which percentile"),
    (["--rows", "errors"], "errors has no ratio"),
    (["--rows", "output_tokens.p50"], "neither better nor worse"),
    (["--format", "csv"], "--format"),
])
def test_a_flag_that_makes_no_sense_is_refused(flags: list[str], said: str, runs: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    assert said in refused(capsys, runs / "one", runs / "other", *flags)


def test_a_directory_that_can_not_be_made_is_said(runs: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert "write another --out" in refused(capsys, runs / "one", runs / "other", "--out", tmp_path / "file" / "x")


@pytest.mark.parametrize("name", ["comparison.json", "report.html"])
def test_a_file_that_can_not_be_written_takes_no_answer_away(name: str, runs: Path, tmp_path: Path,
                                                             capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).mkdir()
    code, out, err = compared(capsys, runs / "base", runs / "slow", "--out", tmp_path, "--fail-on", "itl.p50>3%")
    assert code == 1
    assert "REGRESSION   1 of 1 gates failed" in out
    assert f"warning: there is no {name}: can't write {tmp_path / name}" in err
    assert len(err.splitlines()) == 1
    assert (tmp_path / "comparison.json").is_file() == (name == "report.html")


def test_the_directory_of_a_run_or_a_sweep_is_kept(runs: Path, tmp_path: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted((runs / "one").iterdir())
    assert "is the directory of a run" in refused(capsys, runs / "one", runs / "other", "--out", runs / "one")
    assert sorted((runs / "one").iterdir()) == before
    (tmp_path / "sweep.json").write_text("{}")
    assert "is the directory of a sweep" in refused(capsys, runs / "one", runs / "other", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
