"""`gradrace export`: what asv reads of stored results, cell by cell and through its commands, and
the plain tables.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from asv_project import Project
from gradrace import UserError, load
from gradrace.record import Status
from gradrace.results.asv.cells import Cell, cells, mode_of
from gradrace.results.asv.export import export
from gradrace.spec import RunSpec
from gradrace.sweep.store import read_record, suite_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import ROOT
from records import MACHINE, VERSIONS, make_results, make_specs
from tiny import TINY

asv_results = pytest.importorskip("asv.results")
Git = pytest.importorskip("asv.plugins.git").Git


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of two commits."""
    folder = tmp_path_factory.mktemp("repository")
    as_someone = ["-c", "user.name=Someone", "-c", "user.email=someone@example.org"]
    commits = [
        ["commit", "-q", "--allow-empty", "--date", "2026-03-01T00:00:00Z", "-m", message]
        for message in ("one", "two")
    ]
    for command in (["init", "-q"], *commits):
        subprocess.run(["git", "-C", str(folder), *as_someone, *command], check=True)
    return folder


def change(output: Path, suite: str, changed: Callable[[RunSpec], dict[str, Any]]) -> None:
    """Replaces fields of the records that lie there."""
    for file in suite_folder(output, suite).glob("*/run.json"):
        record = read_record(file)
        file.write_text(json.dumps(record.model_copy(update=changed(record.spec)).to_json()))


def exported(output: Path, repository: Path, *suites: str, **options: Any) -> dict[str, Any]:
    """asv's own reading of every file that the export wrote, by the framework that is among its
    params.
    """
    done = export(output, suites, output / "asv", repo=repository, **{"machine": "lab", **options})
    found = [asv_results.Results.load(str(file), machine_name="lab") for file in done.files]
    return {next(name for name in VERSIONS if name in results.params): results for results in found}


def figures(results: Any, name: str) -> dict[tuple[str, ...], Any]:
    """Values of a benchmark by its parameters."""
    params = results.get_result_params(name)
    return dict(
        zip(itertools.product(*params), results.get_result_value(name, params), strict=True)
    )


def test_asv_reads_what_was_measured(tmp_path, repository):
    make_results(tmp_path, specs=make_specs(seeds=range(3), launches=6))
    found = exported(tmp_path, repository, commit="HEAD~1")
    assert set(found) == {"torch", "tensorflow", "jax"}, "a file for each set of versions"
    torch = found["torch"]
    head = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "HEAD~1"], capture_output=True, text=True
    ).stdout.strip()
    assert torch.commit_hash == head
    as_asv_has_it = Git(str(repository), str(repository)).get_date(head)
    assert torch.date == as_asv_has_it == 1772323200000, (
        "when it was written, not when it was committed"
    )
    assert (
        torch.params | {"torch": "2.13.0", "device": "cpu", "threads": "1", "machine": "lab"}
        == torch.params
    )
    assert "tensorflow" not in torch.params and torch.params["cpu"] == MACHINE.processor
    frames = load(tmp_path)
    cell = frames.runs.query("task == 'cnn' and framework == 'torch' and optimizer == 'adam'")
    timed, trained = cell[cell.measure == "timing"], cell[cell.measure == "convergence"]
    key = ("'cnn'", "'torch-eager'", "'adam'")
    assert figures(torch, "gradrace.demo.step_time")[key] == pytest.approx(
        statistics.median(timed["step_p25_s"])
    )
    assert figures(torch, "gradrace.demo.first_call")[key] == 0.25
    assert figures(torch, "gradrace.demo.state_bytes")[key] == 1024
    assert figures(torch, "gradrace.demo.final_loss")[key] == statistics.median(
        trained["final_validation_loss"]
    )
    assert figures(torch, "gradrace.demo.steps_to_target")[key] == statistics.median(
        trained["steps_to_target"].fillna(61)
    )
    params = torch.get_result_params("gradrace.demo.step_time")
    samples = dict(
        zip(
            itertools.product(*params),
            torch.get_result_samples("gradrace.demo.step_time", params),
            strict=True,
        )
    )
    assert samples[key] == pytest.approx(list(timed["step_median_s"])), (
        "a sample a launch, not a block"
    )
    elsewhere = figures(torch, "gradrace.demo.step_time")[("'cnn'", "'jax-scan'", "'adam'")]
    assert math.isnan(elsewhere), "not of this environment: skipped, never failed"
    began = frames.runs.query("framework == 'torch' and measure == 'timing'")["started_at"].min()
    assert pd.Timestamp(
        torch.started_at["gradrace.demo.step_time"], unit="ms", tz="UTC"
    ) == pd.Timestamp(began)
    assert "gradrace.demo.peak_memory" not in torch.get_all_result_keys(), (
        "the suite does not measure it"
    )


def test_what_became_of_a_run_is_in_its_cell(tmp_path, repository):
    def judge(spec: RunSpec) -> tuple[Status, str]:
        if spec.framework == "jax":
            return "skipped", "not installed: jax"
        return (
            ("timeout", "too slow")
            if (spec.task.name, spec.seed, spec.measure) == ("cnn", 1, "convergence")
            else ("ok", "")
        )

    make_results(
        tmp_path, specs=make_specs(["mlp", "cnn"], ["torch", "jax"], ["adam"]), judge=judge
    )
    # Before it is asked, a framework is known by less than afterwards: a failed run has fewer
    # versions.
    change(
        tmp_path,
        "demo",
        lambda spec: {"versions": VERSIONS["torch"] | ({"numpy": "2.4"} if spec.seed == 0 else {})},
    )
    found = exported(tmp_path, repository)
    assert list(found) == ["torch"] and found["torch"].params["numpy"] == "2.4"
    losses = figures(found["torch"], "gradrace.demo.final_loss")
    assert losses[("'cnn'", "'torch-eager'", "'adam'")] is None, "failed"
    assert math.isnan(losses[("'mlp'", "'jax-scan'", "'adam'")]), "skipped"
    assert losses[("'mlp'", "'torch-eager'", "'adam'")] > 0
    assert (
        figures(found["torch"], "gradrace.demo.step_time")[("'cnn'", "'torch-eager'", "'adam'")] > 0
    )


OUTCOMES = ("ok", "diverged", "failed", "timeout", "skipped")
RUNS = make_specs(["mlp"], ["torch", "jax"], ["sgd", "adam"], seeds=range(2), launches=2)


@settings(max_examples=25, deadline=None)
@given(ends=st.lists(st.sampled_from(OUTCOMES), min_size=len(RUNS), max_size=len(RUNS)))
def test_asv_reads_the_cells_whatever_became_of_the_runs(repository, ends):
    outcomes = dict(zip((spec.id for spec in RUNS), ends, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        plan = make_results(
            Path(folder), specs=RUNS, judge=lambda spec: (outcomes[spec.id], "so it went")
        )
        if set(ends) == {"skipped"}:
            return
        expected = cells(dict(zip(plan.digests, RUNS, strict=True)), load(folder), key)
        for framework, results in exported(Path(folder), repository).items():
            for name in results.get_all_result_keys():
                read = figures(results, name)
                of = {
                    k: cell
                    for k, cell in expected[name.removeprefix("gradrace.demo.")].items()
                    if framework in k[1]
                }
                assert {k: plain(read[k]) for k in of} == {
                    k: plain(value_of(cell)) for k, cell in of.items()
                }


def key(spec: RunSpec) -> tuple[str, ...]:
    return repr(spec.task.name), repr(mode_of(spec)), repr(spec.optimizer.name)


def value_of(cell: Cell) -> float | None:
    """What asv shows of it."""
    if cell.status == "failed":
        return None
    return statistics.median(cell.value) if isinstance(cell.value, tuple) else cell.value


def plain(value: float | None) -> float | str | None:
    """NaN as something that equals itself."""
    return "n/a" if value is not None and math.isnan(value) else value


@pytest.mark.parametrize(
    ("specs", "axes", "cell_count"),
    [
        (make_specs(["mlp"], ["torch"], rates=[0.1]), ["task", "mode", "optimizer"], 2),
        (
            make_specs(["mlp"], ["torch"], rates=[0.1, 0.01]),
            ["task", "mode", "optimizer", "schedule"],
            4,
        ),
        (
            make_specs(["mlp"], ["torch"], schedules=["constant", "cosine"]),
            ["task", "mode", "optimizer", "schedule"],
            4,
        ),
        (
            [
                spec.model_copy(update={"variations": {"batch_size": size, "threads": 1}})
                for spec in make_specs(["mlp"], ["torch"])
                for size in (16, 32)
            ],
            ["task", "mode", "optimizer", "variation"],
            4,
        ),
        (
            [
                spec.model_copy(
                    update={
                        "optimizer": spec.optimizer.model_copy(update={"hyper": {"beta": beta}})
                    }
                )
                for spec in make_specs(["mlp"], ["torch"])
                for beta in (0.1, 0.1000001)
            ],
            ["task", "mode", "optimizer", "hyper"],
            4,
        ),
        (
            [
                spec.model_copy(
                    update={"optimizer": spec.optimizer.model_copy(update={"rule": rule})}
                )
                for spec in make_specs(["mlp"], ["torch"])
                for rule in ("canonical", "native")
            ],
            ["task", "mode", "optimizer", "rule"],
            4,
        ),
        (
            [
                spec.model_copy(update={"dtype": dtype})
                for spec in make_specs(["mlp"], ["torch"])
                for dtype in ("float32", "float64")
            ],
            ["task", "mode", "optimizer", "dtype"],
            4,
        ),
    ],
)
def test_parameters_tell_every_cell_apart(tmp_path, repository, specs, axes, cell_count):
    make_results(tmp_path, specs=specs)
    found = exported(tmp_path, repository)["torch"]
    described = json.loads((tmp_path / "asv" / "benchmarks.json").read_text())[
        "gradrace.demo.final_loss"
    ]
    assert described["param_names"] == axes
    values = figures(found, "gradrace.demo.final_loss")
    assert len(values) == cell_count and not any(map(math.isnan, values.values()))
    runs = load(tmp_path).runs.query("measure == 'convergence'")
    keys = ["optimizer", "rule", "hyper", "dtype", "schedule", "learning_rate", "variation"]
    medians = runs.groupby(keys)["final_validation_loss"].median()
    assert sorted(values.values()) == pytest.approx(sorted(medians))


def test_a_series_starts_anew_with_what_is_measured(tmp_path, repository):
    specs = make_specs(["mlp"], ["torch"], ["adam"], launches=2)
    shorter = [
        spec.model_copy(
            update={"timing": spec.timing and spec.timing.model_copy(update={"blocks": 9})}
        )
        for spec in specs
    ]
    fewer = [spec for spec in specs if spec.launch == 0]
    versions = []
    for suite in (specs, shorter, fewer):
        make_results(tmp_path, specs=suite)
        versions.append(exported(tmp_path, repository)["torch"].benchmark_version)
    assert versions[0]["gradrace.demo.step_time"] != versions[1]["gradrace.demo.step_time"]
    assert versions[0]["gradrace.demo.final_loss"] == versions[1]["gradrace.demo.final_loss"]
    assert versions[0] == versions[2]
    described = json.loads((tmp_path / "asv" / "benchmarks.json").read_text())
    assert {name: described[name]["version"] for name in versions[2]} == versions[2], (
        "else asv would show none of it"
    )


def test_device_and_threads_are_of_the_environment(tmp_path, repository):
    (spec,) = make_specs(["mlp"], ["torch"], ["adam"], seeds=[0])[:1]
    both = [spec.model_copy(update={"threads": n, "variations": {"threads": n}}) for n in (1, 2)]
    make_results(tmp_path, specs=both)
    done = export(tmp_path, [], tmp_path / "asv", repo=repository, machine="lab")
    loaded = [asv_results.Results.load(str(file)) for file in done.files]
    assert sorted(results.params["threads"] for results in loaded) == ["1", "2"]
    assert len({results.env_name for results in loaded}) == 2
    for results in loaded:
        assert list(figures(results, "gradrace.demo.final_loss")) == [
            ("'mlp'", "'torch-eager'", "'adam'")
        ]


def test_what_lies_there_is_kept(tmp_path, repository):
    """asv's own benchmarks, other suites, commits and environments; the same again changes nothing."""
    folder = tmp_path / "asv"
    folder.mkdir()
    own = {
        "race.nightly.track_step_time": {
            "name": "race.nightly.track_step_time",
            "params": [],
            "version": "1",
        }
    }
    (folder / "benchmarks.json").write_text(json.dumps({"version": 2, **own}))
    specs = make_specs(["mlp"], ["torch"], ["adam"])
    make_results(tmp_path, "first", specs)
    make_results(tmp_path, "second", specs)
    exported(tmp_path, repository, "first")
    exported(tmp_path, repository, "second")
    exported(tmp_path, repository, "first", commit="HEAD~1")
    upgraded = {"torch": "2.14.0"}
    change(tmp_path, "first", lambda spec: {"versions": upgraded})
    exported(tmp_path, repository, "first")
    content = json.loads((folder / "benchmarks.json").read_text())
    assert own.items() <= content.items()
    assert {name.split(".")[1] for name in content if name.startswith("gradrace.")} == {
        "first",
        "second",
    }
    files = sorted((folder / "lab").glob("*-gradrace-*.json"))
    assert len(files) == 3, "two commits of one environment, one of another"
    both = next(
        file
        for file in files
        if len(asv_results.Results.load(str(file)).get_all_result_keys()) == 10
    )
    before = both.read_bytes()
    change(tmp_path, "first", lambda spec: {"versions": VERSIONS["torch"]})
    exported(tmp_path, repository)
    assert both.read_bytes() == before


def another_machine(output: Path) -> None:
    def changed(spec: RunSpec) -> dict[str, Any]:
        return (
            {"machine": MACHINE.model_copy(update={"processor": "Other"})}
            if spec.framework == "jax"
            else {}
        )

    change(output, "demo", changed)


def machine_of_that_name(output: Path) -> None:
    (output / "asv" / "lab").mkdir(parents=True)
    known = {"version": 1, "machine": "lab", "num_cpu": "64"}
    (output / "asv" / "lab" / "machine.json").write_text(json.dumps(known))


def skipped(output: Path) -> None:
    change(output, "demo", lambda spec: {"status": "skipped", "reason": "not installed"})


def written(name: str, text: str) -> Callable[[Path], None]:
    def write(output: Path) -> None:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text(text)

    return write


@pytest.mark.parametrize(
    ("before", "options", "message", "code"),
    [
        (None, {"suites": ["demon"]}, "no results of a suite 'demon' (did you mean 'demo'?)", 2),
        (None, {"commit": "nowhere"}, "--commit nowhere: no such commit in", 2),
        (None, {"commit": "--help"}, "no such commit", 2),
        (None, {"repo": "here"}, "not a git repository", 2),
        (
            None,
            {"machine": None},
            "another machine (Test Processor 3000); --machine gives it a name",
            2,
        ),
        (another_machine, {}, "results of 2 machines (Test Processor 3000, 2 cores", 2),
        (machine_of_that_name, {}, "describes a machine of 64 cores", 2),
        (skipped, {}, "every run of demo was skipped", 3),
        (written("asv", ""), {}, "not a folder", 2),
        (written("asv/notes.txt", "mine"), {}, "not a results folder of asv's", 2),
        (written("asv/benchmarks.json", '{"version": 99}'), {}, "newer", 2),
        (
            written("asv/benchmarks.json", "{"),
            {},
            "benchmarks.json: not a file that this asv reads",
            2,
        ),
    ],
)
def test_what_cannot_be_exported_is_refused_and_nothing_written(
    tmp_path, repository, before, options, message, code
):
    make_results(tmp_path, specs=make_specs(["mlp"], ["torch", "jax"], ["adam"], seeds=[0]))
    if before:
        before(tmp_path)
    there = set(tmp_path.rglob("*"))
    given = {"suites": [], "repo": repository, "machine": "lab"} | options
    given["repo"] = tmp_path if given["repo"] == "here" else repository
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        export(tmp_path, to=tmp_path / "asv", **given)
    assert raised.value.exit_code == code
    assert set(tmp_path.rglob("*")) == there


def test_a_result_file_that_is_not_asv_s_is_left_alone(tmp_path, repository):
    make_results(tmp_path, specs=make_specs(["mlp"], ["torch"], ["adam"], seeds=[0]))
    (file,) = export(tmp_path, [], tmp_path / "asv", repo=repository, machine="lab").files
    file.write_text("[1, 2]")
    with pytest.raises(UserError, match="not a result file of asv's"):
        export(tmp_path, [], tmp_path / "asv", repo=repository, machine="lab")
    assert file.read_text() == "[1, 2]"


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_tables_hold_what_the_frames_hold(tmp_path, gradrace, format_):
    make_results(tmp_path / "results", "one", make_specs(["mlp"], ["torch"], ["adam"], launches=2))
    make_results(tmp_path / "results", "two", make_specs(["cnn"], ["jax"], ["sgd"]))
    done = gradrace("export", format_, "one")
    assert done.returncode == 0, done.stderr
    written = [Path(line) for line in done.stdout.split()]
    assert [file.name for file in written] == [
        f"{name}.{format_}" for name in ("runs", "curves", "steps")
    ]
    frames = load(tmp_path / "results", "one")
    for file, expected in zip(written, (frames.runs, frames.curves, frames.steps), strict=True):
        table = getattr(pd, f"read_{format_}")(tmp_path / file)
        assert list(table.columns) == list(expected.columns) and len(table) == len(expected) > 0
        numbers = expected.select_dtypes("number").columns
        np.testing.assert_allclose(
            table[numbers].astype(float), expected[numbers].astype(float), rtol=1e-15
        )


def test_options_of_asv_are_not_ignored_elsewhere(tmp_path, gradrace):
    make_results(tmp_path / "results")
    refused = gradrace("export", "csv", "--commit", "HEAD")
    assert refused.returncode == 2 and "--commit: only asv's files" in refused.stderr
    assert not (tmp_path / "results" / "tables").exists()
    assert "not one of" in gradrace("export", "excel").stderr


def test_unfinished_suites_are_exported_with_a_notice(tmp_path, repository, gradrace):
    make_results(tmp_path / "results", unrun=5)
    done = gradrace("export", "asv", "--repo", repository, "--machine", "lab")
    assert done.returncode == 0 and "5 planned runs have no result yet" in done.stderr
    assert all((tmp_path / line).is_file() for line in done.stdout.split())


def test_what_the_page_tells_to_type_exists():
    """The commands of docs/asv.md, with their options, and what the nightly workflow runs."""
    from gradrace.cli import app
    from typer.main import get_command

    commands = vars(get_command(app))["commands"]
    typed = re.findall(
        r"^gradrace (\w+)([^#\n]*)", (ROOT / "docs" / "asv.md").read_text(), re.MULTILINE
    )
    assert {"run", "export"} <= {command for command, _ in typed}
    for command, rest in typed:
        offered = {option for parameter in commands[command].params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= offered, command
    yaml = pytest.importorskip("yaml")
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "asv.yml").read_text())["jobs"]["asv"][
        "steps"
    ]
    targets = re.findall(
        r"^([\w./$()-]+):",
        (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv"),
        re.MULTILINE,
    )
    made = [step["run"].split()[1] for step in steps if step.get("run", "").startswith("make ")]
    assert "asv" in made and set(made) <= set(targets)
    assert [
        step
        for step in steps
        if "upload-artifact" in step.get("uses", "") and "results/asv" in step["with"]["path"]
    ]


@pytest.mark.slow
def test_asv_shows_compares_and_publishes_two_exports(tmp_path):
    """Nothing is run: torch's adam becomes slower from one commit to the next, in every launch."""
    project = Project(tmp_path, TINY)
    first, second = project.commit("one"), project.commit("two")
    results = project.folder / "results"
    for commit, slower in ((first, 1.0), (second, 1.3)):
        slow(results, slower)
        project.gradrace("export", "asv", "--machine", "lab", "--commit", commit)
    shown = project.asv("show", second)
    assert "gradrace.demo.step_time" in shown and "520±0μs" in shown and "failed" not in shown
    table = project.asv("compare", "--factor", "1.1", first, second)
    worse = [line for line in table.splitlines() if re.search(r"\|\s*\+\s*\|", line)]
    assert len(worse) == 1
    assert "step_time('mlp', 'torch-eager', 'adam')" in worse[0]
    assert "1.30" in worse[0]
    assert project.publish() == {
        f"gradrace.demo.{name}"
        for name in ("step_time", "first_call", "state_bytes", "steps_to_target", "final_loss")
    }
    index = json.loads((results / "asv-html" / "index.json").read_text())
    assert {"2.13.0", None} == set(index["params"]["torch"])
    assert index["params"]["device"] == ["cpu"]
    assert {*index["revision_to_hash"].values()} == {first, second}


def slow(results: Path, factor: float) -> None:
    """Made-up results in which a step of torch's adam takes `factor` times as long."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    specs = make_specs(["mlp"], ["torch", "jax"], ["sgd", "adam"], seeds=[0], launches=7)
    plan = make_results(results, specs=specs)
    for digest, spec in zip(plan.digests, specs, strict=True):
        file = results / "runs" / "demo" / digest / "steps.parquet"
        if file.exists() and (spec.framework, spec.optimizer.name) == ("torch", "adam"):
            blocks = parquet.read_table(file).to_pandas()
            blocks["wall_ns"] = (blocks["wall_ns"] * factor).astype("int64")
            parquet.write_table(arrow.Table.from_pandas(blocks), file)


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "", ".x", "a\nb", "a/b"])
def test_a_machines_name_is_no_path(tmp_path, repository, name):
    make_results(tmp_path, specs=make_specs(["mlp"], ["jax"], ["adam"], [0]))
    with pytest.raises(UserError, match="--machine .*: the name becomes a folder's"):
        export(tmp_path, [], tmp_path / "asv", repo=repository, machine=name)
    assert not (tmp_path / "asv").exists()


@pytest.mark.parametrize("name", ["benchmarks.json", "lab"])
def test_asv_writes_through_no_link(tmp_path, repository, name):
    make_results(tmp_path, specs=make_specs(["mlp"], ["jax"], ["adam"], [0]))
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "asv").mkdir()
    (tmp_path / "asv" / name).symlink_to(outside / "new" if name.endswith("json") else outside)
    (tmp_path / "asv" / "other").mkdir()
    (tmp_path / "asv" / "other" / "machine.json").touch()
    with pytest.raises(UserError, match=f"{name}: a link"):
        export(tmp_path, [], tmp_path / "asv", repo=repository, machine="lab")
    assert list(outside.iterdir()) == []
