"""The suites that come with gradrace: runs at every scale, a cut of each that runs, estimates."""

from __future__ import annotations

import json

import pytest
from gradrace import data
from gradrace.commands.list import catalogue
from gradrace.results import frame
from gradrace.suite import at_scale, built_in, expand, make_suite, read_suite
from gradrace.sweep import Options, execute, prepare
from gradrace.sweep.estimate import estimate
from gradrace.sweep.stored import read_record
from paths import ROOT
from published import empty_places
from tiny import TINY

# Suite -> runs as they stand in the file, at the scale small and at the scale large.
RUNS = {
    "optimizers": (14 * 13 * 9 * 5, 8 * 8 * 5 * 5, 14 * 22 * 9 * 10),
    "modern": (5 * 18 * 20 * 5, 3 * 18 * 12 * 5, 7 * 18 * 50 * 10),
    "native": (4 * 3 * 13 * 5 * 2, 2 * 3 * 6 * 3 * 2, 8 * 3 * 13 * 10 * 2),
    "schedules": (2 * 3 * 5 * 16 * 5, 3 * 3 * 12 * 5, 4 * 4 * 7 * 16 * 10),
    "batch_size": (3 * 9 * 7 * 5, 3 * 5 * 4 * 3, 3 * 5 * 9 * 7 * 10),
    "initializers": (2 * 5 * 11 * 2 * 5, 2 * 3 * 11 * 2 * 3, 2 * 3 * 5 * 11 * 4 * 10),
    "activations": (5 * 7 * 5 * 5, 3 * 7 * 5 * 3, 2 * 5 * 7 * 11 * 2 * 10),
    "regularization": (2 * 2 * 3 * 12 * 5, 2 * 3 * 7 * 3, 2 * 2 * 5 * 3 * 12 * 10),
    "architecture": (2 * 5 * 4 * 4 * 5, 2 * 3 * 3 * 3 * 3, 3 * 4 * 5 * 6 * 4 * 10),
    "mnist_regularization": (3 * 24 * 5, 3 * 12 * 3, 6 * 50 * 5),
}
SCALES = (None, "small", "large")
CUT = {"seeds": 1, "steps": 4, "eval_every": 2, "dtype": "float64"}
NARROW = set(
    ["learning_rate_grid", "schedules", "initializer", "activation", "batch_sizes", "hidden"]
)
NARROW |= {"regularization", "optimizers"}


@pytest.mark.parametrize("name", RUNS)
def test_every_suite_expands_to_the_declared_runs_at_every_scale(registry, name):
    suite = read_suite(name)
    assert tuple(suite.content.scales) == SCALES[1:] and suite.content.question
    for scale, count in zip(SCALES, RUNS[name], strict=True):
        runs = expand(at_scale(suite, scale) if scale else suite, registry)
        assert len(runs) == count == len({run.id for run in runs}), scale
        assert all(run.measure == "convergence" and run.task.target_origin for run in runs)
        # A library's gaps are skipped; no suite of ours plans such a run. The last evaluation is at
        # the end.
        assert all(possible(registry, run) for run in runs)
        assert all(run.steps % run.task.eval_every == 0 for run in runs)


@pytest.mark.parametrize("name", sorted({*built_in()} - {*RUNS}))
def test_other_built_in_suites_plan_no_run_that_is_skipped(registry, name):
    for run in expand(read_suite(name), registry):
        assert possible(registry, run), run.id


def possible(registry, run):
    """The run's library has its optimizer, under the run's rule."""
    optimizer = registry.optimizers[run.optimizer.name]
    return run.framework in optimizer.bindings and (
        run.optimizer.rule == "native" or run.framework not in optimizer.differs
    )


def cut(name):
    """The smallest scale with the first and the last of each list, and few, short runs."""
    content = at_scale(read_suite(name), "small").content.model_dump(exclude_unset=True)
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    ends = {key: [value[0], value[-1]] for key, value in lists.items() if key in NARROW}
    if "search" in content:
        ends["search"] = {**content["search"], "draws": 2}
    # The reference has no native rules; it computes in float64 alone, as the libraries can.
    frameworks = ["jax"] if name == "native" else ["numpy"]
    one = {"tasks": [content["tasks"][-1]], "frameworks": frameworks}
    return make_suite(name, {**content, **CUT, **ends, **one})


@pytest.mark.parametrize("name", RUNS)
def test_a_cut_of_every_suite_runs(name, tmp_path, monkeypatch):
    if name == "native":
        pytest.importorskip("jax")
    # On the small stand-ins, also if someone has MNIST here.
    empty_places(monkeypatch, tmp_path)
    sweep = prepare(cut(name), options=Options(output=tmp_path))
    outcome = execute(sweep)
    records = frame.load(tmp_path).runs
    assert set(outcome.counts) <= {"ok", "diverged"}, records[["id", "reason"]].to_string()
    assert len(records) == len(sweep.plan)


def test_the_documents_table_has_these_counts():
    lines = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8").splitlines()
    cells_of = [line.split("|") for line in lines if line.startswith("| `")]
    rows = {cells[1].strip("` "): cells for cells in cells_of if len(cells) == 8}
    assert list(rows) == list(RUNS)
    for name, cells in rows.items():
        assert tuple(int(cell.replace(",", "")) for cell in cells[4:7]) == RUNS[name], name
        assert cells[2].strip() == read_suite(name).content.question


def test_scales_are_listed():
    rows = {row["suite"]: row for row in catalogue()["suites"]}
    assert set(rows) == set(built_in())
    assert all(rows[name]["scales"] == "small, large" and rows[name]["question"] for name in RUNS)
    assert rows["quick"]["scales"] == ""


@pytest.mark.parametrize(
    ("absent", "task"),
    [(["mnist"], "fashion_mlp"), (["mnist", "fashion_mnist"], "digits_mlp")],
)
def test_mnist_gives_way_to_other_images_in_the_open(tmp_path, monkeypatch, absent, task):
    monkeypatch.setattr(data, "missing", lambda name: "not here" if name in absent else "")
    sweep = prepare("mnist_regularization", options=Options(tmp_path, scale="small"))
    assert {run.spec.task.name for run in sweep.plan} == {task}
    assert f"{task} for want of mnist_mlp (gradrace fetch mnist)" in sweep.suite.content.title


SMALL = {key: TINY[key] for key in ("tasks", "frameworks", "dtype", "steps", "eval_every")}
SMALL |= {"title": "Estimated", "optimizers": ["sgd"], "seeds": 3}
SMALL |= {"scales": {"long": {"steps": 200, "batch_sizes": [8]}, "other": {"tasks": ["wine_mlp"]}}}


def test_an_estimate_takes_the_nearest_earlier_runs_of_any_suite(tmp_path):
    def found(name="one", **options):
        return estimate(prepare(make_suite(name, SMALL), options=Options(tmp_path, **options)))

    assert found().unknown == 3 and "no earlier records" in found().sentence
    runs = prepare(make_suite("one", SMALL), options=Options(tmp_path))
    import_s, program_s, step_s = runs.registry.frameworks["numpy"].first_run_s
    steps = sum(run.spec.steps for run in runs.selected)
    assert found().first_s == pytest.approx(import_s + program_s + steps * step_s)
    assert f"about {found().first_s:.0f} s of work on" in found().sentence
    execute(prepare(make_suite("one", SMALL), options=Options(tmp_path)))
    done = found()
    assert done.seconds == 0 and done.sentence.endswith("nothing to do") and done.first_s is None
    per_run = [row["seconds"] for row in done.runs]
    walls = frame.load(tmp_path).runs["wall_s"]
    starting = walls.max() - walls.median()
    assert found("two").unknown == 0
    assert found("two").seconds == pytest.approx(3 * walls.median() + starting)
    assert per_run == [pytest.approx(walls.median())] * 3
    longer = [row["seconds"] for row in found(scale="long").runs]
    assert longer == [pytest.approx(10 * seconds) for seconds in per_run], "by the task's steps"
    assert found(scale="other").unknown == 3
    for file in tmp_path.glob("runs/*/*/run.json"):
        record = read_record(file)
        far = record.machine.model_copy(update={"host": "another"})
        file.write_text(json.dumps(record.model_copy(update={"machine": far}).to_json()))
    assert found("two").unknown == 3, "only this machine's records tell how long it takes here"


@pytest.mark.slow
def test_a_dry_run_at_a_scale_from_the_command_line(gradrace):
    ended = gradrace("run", "optimizers", "--scale", "small", "--dry-run", "--json")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert len(said["runs"]) == RUNS["optimizers"][1]
    assert said["memory_bytes"]["jax"] > 0
    unknown = gradrace("run", "optimizers", "--scale", "smal", "--dry-run")
    assert unknown.returncode == 2 and "did you mean 'small'" in unknown.stderr
