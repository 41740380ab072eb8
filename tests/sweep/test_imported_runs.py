"""Runs of optimizers that come by import paths, and of the native rule with hyperparameters."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path

import numpy as np
import pytest
from gradrace import sweep
from gradrace.errors import UserError
from gradrace.importpath import ImportPath, is_import_path
from gradrace.paired import choose
from gradrace.plugins import imports
from gradrace.registry import load_registry
from gradrace.results import frame
from gradrace.spec import OptimizerSpec, ScheduleSpec
from gradrace.sweep.store import read_records
from gradrace.tune import results
from gradrace.tune.prepare import StudyRequest, prepare
from gradrace.tune.search import StudyPlace, execute
from gradrace.tune.study import read_study
from tiny import TINY, planned, swept

torch = pytest.importorskip("torch")

MINE = """
    import torch
    from lib_of_mine import SCALE

    class Mine(torch.optim.SGD):
        def __init__(self, params, lr=0.1, betas=(0.0, 0.0), times: int = 1, **kwargs):
            super().__init__(params, lr * SCALE * times, momentum=betas[0], **kwargs)
"""
TORCH = {"frameworks": ["torch"], "dtype": "float32", "seeds": 1}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's file with a helper, and an installed package, on the path of all processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    about = "Metadata-Version: 2.1\nName: shipped-thing\nVersion: {}\n"
    files = {
        "mine.py": textwrap.dedent(MINE),
        "lib/lib_of_mine.py": "SCALE = 1.0\n",
        "lib/shipped/__init__.py": "import torch\nclass Good(torch.optim.SGD): pass\n",
        "lib/shipped_thing-1.0.dist-info/METADATA": about.format("1.0"),
        "lib/shipped_thing-1.0.dist-info/RECORD": "shipped/__init__.py,,\n",
        "lib/shipped_thing-1.0.dist-info/top_level.txt": "shipped\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    imports._modules_to_distributions.cache_clear()
    yield tmp_path
    imports._modules_to_distributions.cache_clear()


def final(frames: frame.Frames) -> dict[str, list[float]]:
    """Optimizer -> its curve of training losses."""
    found = {}
    for run in frames.runs.itertuples():
        curve = frames.curves[frames.curves["digest"] == run.digest]
        found[run.id] = curve[curve["series"] == "train_loss"]["value"].tolist()
    return found


def test_a_file_and_a_package_run_beside_our_own(folder):
    mine = {"name": "torch:./mine.py:Mine", "learning_rate": 0.1}
    swapped = {**mine, "hyper": {"betas": [0.9, 0.0]}}
    ours = [{"name": name, "learning_rate": 0.1} for name in ("sgd", "momentum")]
    optimizers = [mine, swapped, *ours, "torch:shipped.Good", "torch:not_there_at_all.X"]
    convergence = {"rule": ["canonical", "native"]}
    outcome, frames = swept(
        folder / "r", **{**TORCH, "optimizers": optimizers, "convergence": convergence}
    )
    assert outcome.counts == {"ok": 7, "skipped": 1} and outcome.exit_code == 0
    curves = final(frames)
    names = ("mine.py:Mine-native", "sgd-native", "momentum-native", "shipped.Good-native")
    of = {name: [c for key, c in curves.items() if f"{name}/" in key] for name in names}
    plain, moved = of["mine.py:Mine-native"]
    np.testing.assert_allclose(plain, of["sgd-native"][0], rtol=1e-5)
    np.testing.assert_allclose(moved, of["momentum-native"][0], rtol=1e-5)
    assert plain != moved
    skipped = frames.runs[frames.runs["status"] == "skipped"]
    assert "not installed: not_there_at_all" in skipped["reason"].iloc[0]
    records = {record.spec.optimizer.name: record for record in read_records(folder / "r", "tiny")}
    assert records["torch:shipped.Good"].versions["shipped-thing"] == "1.0"
    assert records["torch:mine.py:Mine"].spec.optimizer.hyper["betas"] == (0.9, 0.0)


def digest_of(make_run, name: str) -> str:
    """Of a run in torch; no process is started for it."""
    paths = [ImportPath.parse(name)] if is_import_path(name) else []
    spec = OptimizerSpec(name=paths[0].name if paths else name, rule="native")
    schedule = ScheduleSpec(kind="constant", base_lr=0.1)
    changes = {"optimizer": spec, "schedule": schedule, "framework": "torch", "mode": "eager"}
    return sweep.Planner(load_registry(paths), {}).plan(make_run(**changes)).digest


def touched(file: Path, text: str) -> None:
    """The file with another text, and surely another time of change."""
    before = file.stat().st_mtime_ns
    file.write_text(text)
    os.utime(file, ns=(before + 10**9, before + 10**9))


def upgraded(folder: Path) -> None:
    old = folder / "lib" / "shipped_thing-1.0.dist-info"
    new = old.rename(folder / "lib" / "shipped_thing-2.0.dist-info")
    (new / "METADATA").write_text("Metadata-Version: 2.1\nName: shipped-thing\nVersion: 2.0\n")
    imports._modules_to_distributions.cache_clear()


STALE = {
    "its own file": (
        "torch:./mine.py:Mine",
        lambda folder: touched(folder / "mine.py", textwrap.dedent(MINE) + "\nMORE = 1\n"),
    ),
    "what it imports": (
        "torch:./mine.py:Mine",
        lambda folder: touched(folder / "lib/lib_of_mine.py", "SCALE = 2.0\n"),
    ),
    "a module on the path": (
        "torch:lib_of_mine.torch_class",
        lambda folder: touched(folder / "lib/lib_of_mine.py", HELD + "\nMORE = 1\n"),
    ),
    "the version of its package": ("torch:shipped.Good", upgraded),
}
HELD = "import torch\nSCALE = 1.0\ntorch_class = torch.optim.SGD\n"


@pytest.mark.parametrize("what", STALE)
def test_a_change_makes_its_runs_stale_and_no_others(folder, make_run, what):
    name, change = STALE[what]
    (folder / "lib" / "lib_of_mine.py").write_text(HELD)
    before, other = digest_of(make_run, name), digest_of(make_run, "sgd")
    assert digest_of(make_run, name) == before
    change(folder)
    assert digest_of(make_run, name) != before and digest_of(make_run, "sgd") == other


def test_native_hyperparameters_reach_the_class_also_in_lanes(folder):
    entry = {"name": "adam", "hyper": {"epsilon": [1e-8, 0.1], "betas": [[0.9, 0.999], [0.5, 0.6]]}}
    changes = {**TORCH, "optimizers": [entry], "convergence": {"rule": "native"}}
    alone = swept(folder / "a", **changes)[1]
    lanes = sweep.Options(output=folder / "b", population=3)
    outcome, together = swept(folder / "b", (), lanes, **changes)
    assert outcome.counts == {"ok": 4}
    one = {key.split("/", 3)[3]: curve for key, curve in final(alone).items()}
    other = {key.split("/", 3)[3]: curve for key, curve in final(together).items()}
    assert one.keys() == other.keys() and len({tuple(curve) for curve in one.values()}) == 4
    for key, curve in one.items():
        np.testing.assert_allclose(other[key], curve, rtol=1e-5)


def test_a_framework_without_the_argument_is_refused_before_anything_runs(folder):
    pytest.importorskip("jax")
    entry = {"name": "momentum", "hyper": {"dampening": 0.1}}
    ready = planned(
        folder / "r",
        **{**TORCH, "frameworks": ["torch", "jax"], "optimizers": [entry]},
        convergence={"rule": "native"},
    )
    planner = sweep.Planner(ready.registry, {})
    reasons = {run.spec.framework: planner.missing(run.spec) for run in ready.plan}
    assert reasons["torch"] is None and "optax.sgd has no argument 'dampening'" in reasons["jax"]


def test_a_search_takes_an_import_path_and_its_signature(folder):
    names = ("sampler", "budget", "seed", "seeds", "fresh_seeds", "schedule", "steps")
    values = ("random", 3, 0, 1, 1, "constant", 10)
    others = {**dict(zip(names, values, strict=True)), "batch_size": None, "threads": 1}
    others |= {"device": "cpu", "dtype": "float32"}
    spaces = ("torch:mine.py:Mine.times=2", "learning_rate=0.01..0.2,log")
    request = StudyRequest(
        ("digits_mlp",), ("sgd", "torch:./mine.py:Mine"), (), spaces, others=others
    )
    ready = prepare(request)
    assert ready.study.frameworks == ("torch",)
    space = ready.study.spaces["torch:mine.py:Mine"]
    assert [*space.ranges] == ["learning_rate", "weight_decay", "times"]
    place = StudyPlace(folder / "r", "study", ready.registry)
    execute(ready.study, ready.combinations, place)
    kept = read_study(folder / "r" / "runs" / "study")
    found = {each.key[1]: each for each in results.found(kept, read_records(folder / "r", "study"))}
    mine = found["torch:mine.py:Mine"]
    assert [(trial.state, trial.reason) for trial in mine.trials] == [("ok", "")] * 3
    assert all(trial.settings["times"] == 2 for trial in mine.trials)
    spec = mine.tuned[0].spec.optimizer
    assert spec.rule == "native" and type(spec.hyper["times"]) is int


def test_the_commands_show_an_import_path(gradrace, folder):
    shown = json.loads(gradrace("list", "torch:./mine.py:Mine", "--json").stdout)
    assert {row["argument"] for row in shown["arguments"]} >= {"betas", "times", "momentum"}
    content = {**TINY, **TORCH, "timing": False, "optimizers": ["torch:./mine.py:Mine"]}
    Path("mine.toml").write_text("\n".join(f"{k} = {json.dumps(v)}" for k, v in content.items()))
    dry = gradrace("run", "mine.toml", "--dry-run", "-k", "mine.py:mine")
    assert dry.returncode == 0 and "torch:mine.py:Mine-native" in dry.stdout
    wrong = gradrace("run", "mine.toml", "--load", "torch:./mine.py:Mime", "--dry-run")
    assert wrong.returncode == 2 and "did you mean 'Mine'" in wrong.stderr
    assert ImportPath.parse("torch:./mine.py:Mine").name in dry.stdout


def test_a_comparison_takes_an_import_path_on_each_side(folder):
    part = choose.SuiteFilter("quick", "digits_mlp")
    a, b = {"optimizer": "adamw"}, {"optimizer": "torch:./mine.py:Mine"}
    registry = choose.registry_of([], part, a, b)
    (pair,) = choose.against_each_other(registry, part, a, b)
    assert (pair.a.framework, pair.b.framework) == ("torch", "torch")
    assert pair.b.optimizer.name == "torch:mine.py:Mine" and pair.b.optimizer.rule == "native"
    with pytest.raises(UserError, match=r"--b optimizer=torch:.*only torch can run it"):
        choose.against_each_other(registry, part, {"framework": "jax"}, {**b, "framework": "jax"})
