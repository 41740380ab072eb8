"""The script for machines with a card, without one: its suites, its limits, its judgement."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gradrace.registry import load_registry
from gradrace.suite import read_suite
from gradrace.suite.expansion import expand
from records import make_results, make_specs

HERE = Path(__file__).resolve().parent


@pytest.fixture
def steps(monkeypatch) -> Any:
    """The module as the script runs it, for a GPU with both frameworks."""
    monkeypatch.setenv("DEVICE", "gpu")
    spec = importlib.util.spec_from_file_location("device_steps", HERE / "steps.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    monkeypatch.setitem(sys.modules, "device_steps", module)
    spec.loader.exec_module(module)
    return module


def test_the_thousand_configurations_are_1024():
    registry = load_registry()
    runs = list(expand(read_suite(str(HERE / "configurations.toml")), registry))
    assert {name: sum(run.framework == name for run in runs) for name in ("jax", "torch")} == {
        "jax": 1024,
        "torch": 1024,
    }
    assert {run.task.steps for run in runs} == {560}


def test_a_step_ends_at_its_limit_and_says_what_went_wrong(steps, tmp_path):
    read = lambda log: {"said": log.read_text().strip()}

    def wrong(log: Path) -> Any:
        raise steps.Wrong("too few")

    made = [
        ("fine", "print('hello')", read, (True, "hello")),
        ("slow", "import time; time.sleep(60)", read, (False, "ended after 2 s")),
        ("broken", "import nowhere", read, (False, "No module named 'nowhere'")),
        ("wrong", "print('hello')", wrong, (False, "Wrong: too few")),
    ]
    for name, code, reader, (passed, said) in made:
        limit_s = 2.0 if name == "slow" else 60.0
        (tmp_path / name).mkdir()
        found = steps.take(steps.Step(name, limit_s, ["-c", code], reader), tmp_path, limit_s)
        assert found["passed"] is passed and said in json.dumps(found), found
        assert found["command"].startswith("python -c ")
        assert not (tmp_path / name).exists(), "results of an earlier call are no figures"


def test_all_steps_are_in_the_file_and_one_that_fails_stops_none(steps, tmp_path, monkeypatch):
    two = [steps.Step(name, 60, ["-c", f"1/{n}"], lambda _: {}) for name, n in (("a", 0), ("b", 1))]
    monkeypatch.setattr(steps, "steps", lambda folder: two)
    monkeypatch.setattr(sys, "argv", ["steps.py", str(tmp_path)])
    assert steps.main() == 1
    told = json.loads((tmp_path / "device.json").read_text())["steps"]
    assert {name: step["passed"] for name, step in told.items()} == {"a": False, "b": True}
    monkeypatch.setattr(steps, "WHOLE_S", 4.0)
    assert steps.main() == 1
    told = json.loads((tmp_path / "device.json").read_text())["steps"]
    assert {step["why"] for step in told.values()} == {"4 s were over"}


def test_runs_that_were_trained_by_themselves_or_failed_do_not_pass(steps, tmp_path):
    specs = make_specs(["mlp"], ["jax"], ["adam"], launches=0)
    together = [s.model_copy(update={"mode": "population", "lanes": 4}) for s in specs]
    make_results(tmp_path / "alone", specs=together)
    with pytest.raises(steps.Wrong, match="trained by itself"):
        steps._runs(tmp_path / "alone", "demo")
    make_results(tmp_path / "failed", specs=specs, judge=lambda spec: ("failed", "no memory"))
    with pytest.raises(steps.Wrong, match="failed, no memory"):
        steps._runs(tmp_path / "failed", "demo")


def test_captured_steps_with_other_numbers_do_not_pass(steps, tmp_path):
    specs = make_specs(["mlp"], ["torch"], ["adam", "momentum"], launches=0)
    both = [s.model_copy(update={"mode": m}) for s in specs for m in ("eager-fused", "cudagraph")]
    odd = lambda spec: spec.mode == "cudagraph" and spec.optimizer.name == "momentum"
    skipped = lambda spec: ("skipped", "it reads") if odd(spec) else ("ok", "")
    make_results(tmp_path, specs=both, judge=skipped)
    frames = steps._load(tmp_path)
    frames.curves["value"] = 1.0
    found = steps.graph_differences(frames)
    assert found["captured"] > 0 and found["worst"] == 0.0
    assert found["skipped"] == {"it reads": ["momentum"]}
    ours = frames.runs.set_index("digest")["mode"].reindex(frames.curves["digest"]) == "cudagraph"
    frames.curves.loc[ours.to_numpy(), "value"] += 1e-9
    with pytest.raises(steps.Wrong, match=r"adam .* differs by 1.0e-09"):
        steps.graph_differences(frames)
    frames.runs["status"] = "skipped"
    with pytest.raises(steps.Wrong, match="runs not captured"):
        steps.graph_differences(frames)


def test_without_a_gpu_the_first_step_says_so(steps, tmp_path):
    each = {"name": "torch", "versions": {}, "installed": True, "accelerator": {}}
    told: dict[str, Any] = {"frameworks": [{**each, "devices": ["cpu"]}]}
    (tmp_path / "log").write_text(f"a warning {{}}\n{json.dumps(told, indent=1)}\nbye\n")
    with pytest.raises(steps.Wrong, match="no framework sees a GPU"):
        steps._doctor(tmp_path / "log")


def test_the_script_names_missing_packages(tmp_path):
    bare = tmp_path / "python"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    bare.write_text(f'#!/bin/sh\nexec {sys._base_executable} -I -S "$@"\n')
    bare.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "PYTHON": str(bare)}
    command = ["bash", str(HERE / "run.sh"), str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "lacks scikit-learn" in done.stderr
    assert "pydantic" in done.stderr and not (tmp_path / "out" / "source").exists()
    command[-1] = str(tmp_path / "mine")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "holds other files" in done.stderr
