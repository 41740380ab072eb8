"""`gradrace export`: asv's reading of stored results, by cell and by its commands; plain tables."""

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
from gradrace.results.asv.export import export
from gradrace.results.asv.tracks import Track, mode_of, tracks
from gradrace.spec import RunSpec
from gradrace.sweep.store import suite_folder
from gradrace.sweep.stored import read_record
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
    """Replaces fields of the stored records."""
    for file in suite_folder(output, suite).glob("*/run.json"):
        record = read_record(file)
        file.write_text(json.dumps(record.model_copy(update=changed(record.spec)).to_json()))


def written(output: Path, repository: Path, *suites: str, **options: Any) -> list[Path]:
    """The files of an export of these suites, or of all."""
    options = {"repo": repository, "machine": "lab"} | options
    return export(output, suites, output / "asv", **options).files


def exported(output: Path, repository: Path, *suites: str, **options: Any) -> dict[str, Any]:
    """asv's own reading of every file that the export wrote, by framework (one of its params)."""
    files = written(output, repository, *suites, **options)
    found = [asv_results.Results.load(str(file), machine_name="lab") for file in files]
    return {next(name for name in VERSIONS if name in results.params): results for results in found}


def figures(results: Any, name: str, samples: bool = False) -> dict[tuple[str, ...], Any]:
    """Values, or samples, of a benchmark by its parameters."""
    name = f"gradrace.demo.{name}"
    params = results.get_result_params(name)
    read = results.get_result_samples if samples else results.get_result_value
    return dict(zip(itertools.product(*params), read(name, params), strict=True))


def described(output: Path) -> dict[str, Any]:
    return json.loads((output / "asv" / "benchmarks.json").read_text())


def test_asv_reads_the_measured_figures(tmp_path, repository):
    make_results(tmp_path, specs=make_specs(seeds=range(3), launches=6))
    found = exported(tmp_path, repository, commit="HEAD~1")
    assert set(found) == {"torch", "tensorflow", "jax"}, "a file for each set of versions"
    torch = found["torch"]
    command = ["git", "-C", str(repository), "rev-parse", "HEAD~1"]
    head = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    assert torch.commit_hash == head
    as_asv_has_it = Git(str(repository), str(repository)).get_date(head)
    assert torch.date == as_asv_has_it == 1772323200000, "when it was written, not committed"
    expected = {"torch": "2.13.0", "device": "cpu", "threads": "1", "machine": "lab"}
    assert torch.params | expected == torch.params
    assert "tensorflow" not in torch.params and torch.params["cpu"] == MACHINE.processor
    runs = load(tmp_path).runs.query("framework == 'torch'")
    cell = runs.query("task == 'cnn' and optimizer == 'adam'")
    timed, trained = cell[cell.measure == "timing"], cell[cell.measure == "convergence"]
    key = ("'cnn'", "'torch-eager'", "'adam'")
    steps = trained["steps_to_target"].fillna(61)
    step_time = statistics.median(timed["step_p25_s"])
    assert figures(torch, "step_time")[key] == pytest.approx(step_time)
    assert figures(torch, "first_call")[key] == 0.25
    assert figures(torch, "state_bytes")[key] == 1024
    losses = trained["final_validation_loss"]
    assert figures(torch, "final_loss")[key] == statistics.median(losses)
    assert figures(torch, "steps_to_target")[key] == statistics.median(steps)
    samples = figures(torch, "step_time", samples=True)[key]
    assert samples == pytest.approx(list(timed["step_median_s"])), "a sample a launch, not a block"
    elsewhere = figures(torch, "step_time")[("'cnn'", "'jax-scan'", "'adam'")]
    assert math.isnan(elsewhere), "not of this environment: skipped, never failed"
    began = pd.Timestamp(runs.query("measure == 'timing'")["started_at"].min())
    started = torch.started_at["gradrace.demo.step_time"]
    assert pd.Timestamp(started, unit="ms", tz="UTC") == began
    unmeasured = "gradrace.demo.peak_memory"
    assert unmeasured not in torch.get_all_result_keys(), "the suite does not measure it"


def test_each_machine_has_a_folder_of_its_own(tmp_path, repository):
    """Launches 0 to 2 and all seeds of torch are of a1, the others of b2; each trained jax once."""
    specs = make_specs(["mlp"], ["torch", "jax"], ["adam"], range(2), launches=6)

    def host(spec: RunSpec) -> str:
        number = spec.launch // 3 if spec.measure == "timing" else spec.seed
        alone = spec.measure == "convergence" and spec.framework == "torch"
        return "a1" if alone or number == 0 else "b2"

    def fields(spec: RunSpec) -> dict[str, Any]:
        first = {"a1": 0.25, "b2": 0.75}[host(spec)]
        return {"machine": MACHINE.model_copy(update={"host": host(spec)}), "first_call_s": first}

    make_results(tmp_path, specs=specs, fields=fields)
    done = export(tmp_path, [], tmp_path / "asv", repo=repository)
    assert done.scattered == 1
    assert sorted(file.parent.name for file in done.files) == ["a1", "a1", "b2", "b2"]
    torch, jax = ("'mlp'", "'torch-eager'", "'adam'"), ("'mlp'", "'jax-scan'", "'adam'")
    for file in done.files:
        machine = file.parent.name
        results = asv_results.Results.load(str(file), machine_name=machine)
        assert results.params["machine"] == machine
        cell = torch if "torch" in results.params else jax
        samples = figures(results, "first_call", samples=True)[cell]
        assert samples == [{"a1": 0.25, "b2": 0.75}[machine]] * 3
        trained = "gradrace.demo.final_loss" in results.get_all_result_keys()
        assert trained == (cell == torch and machine == "a1")


def test_the_end_of_a_run_is_in_its_cell(tmp_path, repository):
    def judge(spec: RunSpec) -> tuple[Status, str]:
        if spec.framework == "jax":
            return "skipped", "not installed: jax"
        slow = (spec.task.name, spec.seed, spec.measure) == ("cnn", 1, "convergence")
        return ("timeout", "too slow") if slow else ("ok", "")

    # A framework is asked for its versions by a run: one that failed earlier has fewer of them.
    def versions(spec: RunSpec) -> dict[str, Any]:
        return {"versions": VERSIONS["torch"] | ({"numpy": "2.4"} if spec.seed == 0 else {})}

    specs = make_specs(["mlp", "cnn"], ["torch", "jax"], ["adam"])
    make_results(tmp_path, specs=specs, judge=judge)
    change(tmp_path, "demo", versions)
    found = exported(tmp_path, repository)
    assert list(found) == ["torch"] and found["torch"].params["numpy"] == "2.4"
    losses = figures(found["torch"], "final_loss")
    assert losses[("'cnn'", "'torch-eager'", "'adam'")] is None, "failed"
    assert math.isnan(losses[("'mlp'", "'jax-scan'", "'adam'")]), "skipped"
    assert losses[("'mlp'", "'torch-eager'", "'adam'")] > 0
    assert figures(found["torch"], "step_time")[("'cnn'", "'torch-eager'", "'adam'")] > 0


OUTCOMES = ("ok", "diverged", "failed", "timeout", "skipped")
RUNS = make_specs(["mlp"], ["torch", "jax"], ["sgd", "adam"], seeds=range(2), launches=2)


@settings(max_examples=25, deadline=None)
@given(ends=st.lists(st.sampled_from(OUTCOMES), min_size=len(RUNS), max_size=len(RUNS)))
def test_asv_reads_the_cells_however_the_runs_ended(repository, ends):
    outcomes = dict(zip((spec.id for spec in RUNS), ends, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        plan = make_results(output, specs=RUNS, judge=lambda run: (outcomes[run.id], "because"))
        if set(ends) == {"skipped"}:
            return
        expected = tracks(dict(zip(plan.digests, RUNS, strict=True)), load(folder), key)
        for framework, results in exported(output, repository).items():
            for name in results.get_all_result_keys():
                figure = name.removeprefix("gradrace.demo.")
                read, of = figures(results, figure), expected[figure]
                for at, cell in of.items():
                    assert framework not in at[1] or plain(read[at]) == plain(value_of(cell))


def key(spec: RunSpec) -> tuple[str, ...]:
    return repr(spec.task.name), repr(mode_of(spec)), repr(spec.optimizer.name)


def value_of(cell: Track) -> float | None:
    """The figure that asv shows for this cell."""
    if cell.status == "failed":
        return None
    return statistics.median(cell.value) if isinstance(cell.value, tuple) else cell.value


def plain(value: float | None) -> float | str | None:
    """NaN as something that equals itself."""
    return "n/a" if value is not None and math.isnan(value) else value


PLAIN = make_specs(["mlp"], ["torch"])


def varied(update: Callable[[RunSpec, Any], dict[str, Any]], *values: Any) -> list[RunSpec]:
    """PLAIN, each run with each of these values."""
    return [spec.model_copy(update=update(spec, value)) for spec in PLAIN for value in values]


def of_optimizer(name: str) -> Callable[[RunSpec, Any], dict[str, Any]]:
    return lambda spec, value: {"optimizer": spec.optimizer.model_copy(update={name: value})}


def of_size(spec: RunSpec, size: int) -> dict[str, Any]:
    return {"variations": {"batch_size": size, "threads": 1}}


AXES = [
    ("", make_specs(["mlp"], ["torch"], rates=[0.1])),
    ("schedule", make_specs(["mlp"], ["torch"], rates=[0.1, 0.01])),
    ("schedule", make_specs(["mlp"], ["torch"], schedules=["constant", "cosine"])),
    ("variation", varied(of_size, 16, 32)),
    ("hyper", varied(of_optimizer("hyper"), {"beta": 0.1}, {"beta": 0.1000001})),
    ("rule", varied(of_optimizer("rule"), "canonical", "native")),
    ("dtype", varied(lambda spec, dtype: {"dtype": dtype}, "float32", "float64")),
]


@pytest.mark.parametrize(("axis", "specs"), AXES)
def test_parameters_tell_every_cell_apart(tmp_path, repository, axis, specs):
    make_results(tmp_path, specs=specs)
    found = exported(tmp_path, repository)["torch"]
    names = described(tmp_path)["gradrace.demo.final_loss"]["param_names"]
    assert names == ["task", "mode", "optimizer", *axis.split()]
    values = figures(found, "final_loss")
    assert len(values) == (4 if axis else 2) and not any(map(math.isnan, values.values()))
    runs = load(tmp_path).runs.query("measure == 'convergence'")
    keys = ["optimizer", "rule", "hyper", "dtype", "schedule", "learning_rate", "variation"]
    medians = runs.groupby(keys)["final_validation_loss"].median()
    assert sorted(values.values()) == pytest.approx(sorted(medians))


def test_a_series_starts_anew_if_another_thing_is_measured(tmp_path, repository):
    specs = make_specs(["mlp"], ["torch"], ["adam"], launches=2)
    nine = {"blocks": 9}
    shorter = [
        spec.model_copy(update={"timing": spec.timing and spec.timing.model_copy(update=nine)})
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
    now = {name: described(tmp_path)[name]["version"] for name in versions[2]}
    assert now == versions[2], "else asv would show none of it"


def test_device_and_threads_are_of_the_environment(tmp_path, repository):
    (spec,) = make_specs(["mlp"], ["torch"], ["adam"], seeds=[0])[:1]
    both = [spec.model_copy(update={"threads": n, "variations": {"threads": n}}) for n in (1, 2)]
    make_results(tmp_path, specs=both)
    loaded = [asv_results.Results.load(str(file)) for file in written(tmp_path, repository)]
    assert sorted(results.params["threads"] for results in loaded) == ["1", "2"]
    assert len({results.env_name for results in loaded}) == 2
    for results in loaded:
        assert list(figures(results, "final_loss")) == [("'mlp'", "'torch-eager'", "'adam'")]


def test_an_export_keeps_other_files_and_results(tmp_path, repository):
    """asv's benchmarks, other suites, commits, environments; the same again changes nothing."""
    folder = tmp_path / "asv"
    folder.mkdir()
    name = "race.nightly.track_step_time"
    own = {name: {"name": name, "params": [], "version": "1"}}
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
    content = described(tmp_path)
    assert own.items() <= content.items()
    suites = {name.split(".")[1] for name in content if name.startswith("gradrace.")}
    assert suites == {"first", "second"}
    files = sorted((folder / "lab").glob("*-gradrace-*.json"))
    assert len(files) == 3, "two commits of one environment, one of another"
    loaded = {file: asv_results.Results.load(str(file)) for file in files}
    both = next(file for file in files if len(loaded[file].get_all_result_keys()) == 10)
    before = both.read_bytes()
    change(tmp_path, "first", lambda spec: {"versions": VERSIONS["torch"]})
    exported(tmp_path, repository)
    assert both.read_bytes() == before


def another_machine(output: Path) -> None:
    other = {"machine": MACHINE.model_copy(update={"processor": "Other"})}

    def changed(spec: RunSpec) -> dict[str, Any]:
        return other if spec.framework == "jax" else {}

    change(output, "demo", changed)


def two_of_a_name(output: Path) -> None:
    """Containers may have one host name on two machines."""
    machines = [MACHINE.model_copy(update={"host": "a1", "processor": of}) for of in ("Test", "X")]
    change(output, "demo", lambda spec: {"machine": machines[spec.framework == "jax"]})


def no_name_for_asv(output: Path) -> None:
    named = {"machine": MACHINE.model_copy(update={"host": "../a1"})}
    change(output, "demo", lambda spec: named)


def machine_of_that_name(output: Path) -> None:
    (output / "asv" / "lab").mkdir(parents=True)
    known = {"version": 1, "machine": "lab", "num_cpu": "64"}
    (output / "asv" / "lab" / "machine.json").write_text(json.dumps(known))


def skipped(output: Path) -> None:
    change(output, "demo", lambda spec: {"status": "skipped", "reason": "not installed"})


def holding(name: str, text: str) -> Callable[[Path], None]:
    def write(output: Path) -> None:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text(text)

    return write


OTHER_READER = "benchmarks.json: not a file that this asv reads"
UNNAMED = "whose host is not known or no name for asv; --machine gives it a name"


@pytest.mark.parametrize(
    ("before", "options", "message", "code"),
    [
        (None, {"suites": ["demon"]}, "no results of a suite 'demon' (did you mean 'demo'?)", 2),
        (None, {"commit": "nowhere"}, "--commit nowhere: no such commit in", 2),
        (None, {"commit": "--help"}, "no such commit", 2),
        (None, {"repo": "here"}, "not a git repository", 2),
        (None, {"machine": None}, UNNAMED, 2),
        (another_machine, {}, "results of 2 machines (Test Processor 3000, 2 cores; Other, 2", 2),
        (two_of_a_name, {"machine": None}, "one name, 'a1', for two machines: a1: Test", 2),
        (no_name_for_asv, {"machine": None}, UNNAMED, 2),
        (machine_of_that_name, {}, "describes a machine of 64 cores", 2),
        (skipped, {}, "every run of demo was skipped", 3),
        (holding("asv", ""), {}, "not a folder", 2),
        (holding("asv/notes.txt", "mine"), {}, "not a results folder of asv's", 2),
        (holding("asv/benchmarks.json", '{"version": 99}'), {}, "newer", 2),
        (holding("asv/benchmarks.json", "{"), {}, OTHER_READER, 2),
    ],
)
def test_refused_exports_write_nothing(tmp_path, repository, before, options, message, code):
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
    (file,) = written(tmp_path, repository)
    file.write_text("[1, 2]")
    with pytest.raises(UserError, match="not a result file of asv's"):
        written(tmp_path, repository)
    assert file.read_text() == "[1, 2]"


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_tables_hold_the_frames(tmp_path, gradrace, format_):
    make_results(tmp_path / "results", "one", make_specs(["mlp"], ["torch"], ["adam"], launches=2))
    make_results(tmp_path / "results", "two", make_specs(["cnn"], ["jax"], ["sgd"]))
    done = gradrace("export", format_, "one")
    assert done.returncode == 0, done.stderr
    files = [Path(line) for line in done.stdout.split()]
    names = ("runs", "curves", "steps")
    assert [file.name for file in files] == [f"{name}.{format_}" for name in names]
    frames = load(tmp_path / "results", "one")
    for file, expected in zip(files, (frames.runs, frames.curves, frames.steps), strict=True):
        table = getattr(pd, f"read_{format_}")(tmp_path / file)
        assert list(table.columns) == list(expected.columns) and len(table) == len(expected) > 0
        numbers = expected.select_dtypes("number").columns
        table, expected = (these[numbers].astype(float) for these in (table, expected))
        np.testing.assert_allclose(table, expected, rtol=1e-15)


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


def test_commands_in_the_documents_exist():
    """The commands of docs/asv.md, with their options, and those that the nightly workflow runs."""
    from gradrace.cli import app
    from typer.main import get_command

    commands = vars(get_command(app))["commands"]
    page = (ROOT / "docs" / "asv.md").read_text()
    typed = re.findall(r"^gradrace (\w+)([^#\n]*)", page, re.MULTILINE)
    assert {"run", "export"} <= {command for command, _ in typed}
    for command, rest in typed:
        offered = {option for parameter in commands[command].params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= offered, command
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "asv.yml").read_text())
    steps = workflow["jobs"]["asv"]["steps"]
    makefile = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")
    targets = re.findall(r"^([\w./$()-]+):", makefile, re.MULTILINE)
    made = [step["run"].split()[1] for step in steps if step.get("run", "").startswith("make ")]
    assert "asv" in made and set(made) <= set(targets)
    kept = [step for step in steps if "upload-artifact" in step.get("uses", "")]
    assert any("results/asv" in step["with"]["path"] for step in kept)


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
    names = ("step_time", "first_call", "state_bytes", "steps_to_target", "final_loss")
    assert project.publish() == {f"gradrace.demo.{name}" for name in names}
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
        written(tmp_path, repository, machine=name)
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
        written(tmp_path, repository)
    assert list(outside.iterdir()) == []
