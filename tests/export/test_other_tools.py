"""`gradrace export tensorboard|wandb-offline|mlflow`: the tool itself reads each value back."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradrace import Frames, UserError, load
from gradrace.errors import ExitCode
from gradrace.export import mlflow, runs, tensorboard, wandb
from gradrace.export.words import environment, needed
from gradrace.record import Curve, Status
from gradrace.spec import RunSpec
from records import make_curve, make_results, make_specs

Scalars = dict[str, list[tuple[int, float]]]


@dataclass(frozen=True)
class ReadBack:
    """A run as the tool has it: texts are as the tool shows them."""

    curves: Scalars
    settings: dict[str, str]
    figures: dict[str, float]
    facts: dict[str, str] = field(default_factory=dict)
    failed: bool = False


def end(spec: RunSpec) -> tuple[Status, str]:
    """One of each: ok, diverged, failed and skipped."""
    odd = "a | pipe, <b>, \x1b[31m and\nlines"
    named: dict[tuple[str, str], tuple[Status, str]] = {
        ("torch", "adam"): ("diverged", "loss is infinite"),
        ("jax", "adam"): ("failed", odd),
        ("tensorflow", "sgd"): ("skipped", "not installed: tensorflow"),
    }
    return named.get((spec.framework, spec.optimizer.name), ("ok", ""))


def with_nan(spec: RunSpec) -> Curve:
    """A curve that has a NaN and both infinities."""
    made = make_curve(spec)
    made.train_losses[[3, 5, 7]] = [math.nan, math.inf, -math.inf]
    return made


def odd(spec: RunSpec) -> RunSpec:
    """With a setting and a name that other tools do not take."""
    hyper = {**spec.optimizer.hyper, "ε (tiny)": 1e-8, "flags": (1, 2), "on": True}
    optimizer = spec.optimizer.model_copy(update={"hyper": hyper})
    return spec.model_copy(update={"optimizer": optimizer, "variations": {"a/b c": 3}})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("results")
    specs = make_specs(["mlp"], seeds=[0], schedules=["cosine"], rates=[0.01])
    make_results(output, "first", [odd(spec) for spec in specs], end, curve=with_nan)
    shared = make_specs(["cnn"], ["jax"], ["sgd"], seeds=[0])
    make_results(output, "first2", shared)
    make_results(output, "second", shared)
    return output


@pytest.fixture(scope="module")
def frames(results: Path) -> Frames:
    return load(results)


def of_tensorboard(to: Path) -> dict[str, ReadBack]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import api_pb2, metadata

    found = {}
    for file in to.rglob("events.out.tfevents.*"):
        read = EventAccumulator(str(file.parent), size_guidance={"scalars": 0})
        read.Reload()
        scalars = {
            tag: [(event.step, event.value) for event in read.Scalars(tag)]
            for tag in read.Tags()["scalars"]
        }
        content = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        start = metadata.parse_session_start_info_plugin_data(content)
        content = read.SummaryMetadata("_hparams_/session_end_info").plugin_data.content
        ended = metadata.parse_session_end_info_plugin_data(content)
        (text,) = read.Tensors("run")[0].tensor_proto.string_val
        settings = {
            name: str(getattr(value, value.WhichOneof("kind")))
            for name, value in start.hparams.items()
        }
        rows = (line.strip("| ").split(" | ", 1) for line in text.decode().splitlines()[2:])
        prefix = tensorboard.FIGURES
        found[start.group_name] = ReadBack(
            {name: of for name, of in scalars.items() if not name.startswith(prefix)},
            settings,
            {n.removeprefix(prefix): of[0][1] for n, of in scalars.items() if n.startswith(prefix)},
            dict(rows),  # type: ignore[arg-type]
            ended.status == api_pb2.STATUS_FAILURE,
        )
    return found


def of_mlflow(to: Path) -> dict[str, ReadBack]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{to / 'mlflow.db'}")
    found = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            history = {
                name: [(each.step, each.value) for each in client.get_metric_history(number, name)]
                for number in [run.info.run_id]
                for name in run.data.metrics
            }
            curves = {name: of for name, of in history.items() if name in SERIES}
            figures = {name: of[0][1] for name, of in history.items() if name not in SERIES}
            tags = run.data.tags
            facts = {name.removeprefix("gradrace."): text for name, text in tags.items()}
            failed = run.info.status == "FAILED"
            key = facts["digest"]
            assert key not in found, "a run is there twice"
            found[key] = ReadBack(curves, dict(run.data.params), figures, facts, failed)
    return found


SERIES = ("train_loss", "validation_loss", "validation_metric", "learning_rate")


def records_of(file: Path) -> Iterator[Any]:
    """The messages of a file of wandb's: LevelDB's log format after seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Record.FromString(whole)
            whole = b""


def of_wandb(to: Path) -> dict[str, ReadBack]:
    found = {}
    for file in to.glob("offline-run-*/run-*.wandb"):
        config: dict[str, Any] = {}
        curves: Scalars = {}
        summary: dict[str, Any] = {}
        failed, digest = False, ""
        for record in records_of(file):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                digest = record.run.run_id
                config |= {i.key: json.loads(i.value_json) for i in record.run.config.update}
            elif kind == "history":
                row = {i.nested_key[0]: json.loads(i.value_json) for i in record.history.item}
                for name in set(row) & set(SERIES):
                    curves.setdefault(name, []).append((row["_step"], float(row[name])))
            elif kind == "summary":
                items = record.summary.update
                summary |= {(i.key or i.nested_key[0]): json.loads(i.value_json) for i in items}
            elif kind == "exit":
                failed = record.exit.exit_code != 0
        figures = {k: float(v) for k, v in summary.items() if k in FIGURES}
        settings = {name: str(value) for name, value in config.items()}
        facts = {"status": summary["status"], "reason": summary["reason"]}
        found[digest] = ReadBack(curves, settings, figures, facts, failed)
    return found


FIGURES = ("final_train_loss", "final_validation_loss", "test_metric", "step_p25_s", "state_bytes")
LARGEST = 1.7976931348623157e308


def as_float32(value: float) -> float:
    return float(np.float32(value))


def as_database(value: float) -> float:
    return math.copysign(LARGEST, value) if math.isinf(value) else value


def same(value: float) -> float:
    return value


Read = Callable[[Path], dict[str, ReadBack]]
TOOLS = [
    pytest.param(tensorboard, of_tensorboard, as_float32, str, id="tensorboard"),
    pytest.param(mlflow, of_mlflow, as_database, mlflow.key, id="mlflow"),
    pytest.param(wandb, of_wandb, same, str, id="wandb"),
]


@pytest.mark.parametrize(("tool", "read", "kept", "key"), TOOLS)
def test_each_value_is_read_back(tmp_path, frames, tool, read, kept, key):
    pytest.importorskip(tool.__name__.rpartition(".")[2])
    expected = {run.digest: run for run in runs.told(frames)}
    assert tool.write(iter(expected.values()), tmp_path) == (len(expected), 0)
    found = read(tmp_path)
    assert found.keys() == expected.keys(), "a run that stands in two suites is there once"
    for digest, run in expected.items():
        one = found[digest]
        assert one.curves.keys() == run.curves.keys()
        for name, (steps, values) in run.curves.items():
            told = [kept(value) for value in values.tolist()]
            assert [step for step, _ in one.curves[name]] == steps.tolist(), (run.name, name)
            np.testing.assert_array_equal([value for _, value in one.curves[name]], told)
        for name in set(FIGURES) & set(run.figures):
            assert one.figures[name] == kept(run.figures[name])
        for name, value in run.settings.items():
            text = one.settings[key(name)]
            assert text == str(value) or float(text) == float(value)
        assert one.failed == (run.status == "failed")
        assert one.facts["status"] == run.status
        assert ("pipe" in one.facts.get("reason", "")) == (run.status == "failed")


@pytest.mark.parametrize(("tool", "read", "kept", "key"), TOOLS)
def test_exporting_again_keeps_what_is_there_and_replaces_what_was_computed_anew(
    tmp_path, frames, tool, read, kept, key
):
    pytest.importorskip(tool.__name__.rpartition(".")[2])
    first, second = list(runs.told(frames, "torch !timing"))
    (tmp_path / "mine.txt").write_text("not ours")
    assert tool.write([first], tmp_path) == (1, 0)
    assert tool.write([first, second], tmp_path) == (1, 1)
    later = replace(second, began=second.began + 60, figures={"test_metric": 0.5})
    assert tool.write([first, later], tmp_path) == (1, 1)
    found = read(tmp_path)
    assert found.keys() == {first.digest, second.digest}
    assert found[second.digest].figures == {"test_metric": 0.5}
    assert (tmp_path / "mine.txt").read_text() == "not ours"


def test_the_rates_are_those_of_each_step(frames):
    (run,) = runs.told(frames, "jax sgd cosine !timing")
    steps, rates = run.curves["learning_rate"]
    assert steps.tolist() == run.curves["train_loss"][0].tolist()
    assert rates[0] == 0.01 and rates[-1] < 0.001


def test_a_setting_has_one_flat_name(frames):
    (run,) = runs.told(frames, "jax sgd cosine !timing")
    given = {"hyper.ε (tiny)": 1e-8, "hyper.flags": "1+2", "hyper.on": True, "variation.a/b c": 3}
    assert run.settings | given == run.settings
    assert mlflow.key("hyper.ε (tiny)") == "hyper.___tiny_"


@pytest.mark.parametrize(
    ("keyword", "words"),
    [("nowhere", "no run that was begun matches 'nowhere'"), ("tensorflow sgd", "no run")],
)
def test_nothing_left_is_an_error(frames, keyword, words):
    with pytest.raises(UserError, match=words) as error:
        list(runs.told(frames, keyword))
    assert error.value.exit_code == ExitCode.NOTHING_MATCHED


def test_a_missing_library_says_how_to_install_it():
    words = r"nowhere is not installed; pip install 'gradrace\[x\]'"
    with pytest.raises(UserError, match=words) as error, needed("x"):
        import nowhere  # type: ignore[import-not-found]  # noqa: F401
    assert error.value.exit_code == ExitCode.NOTHING_MEASURED
    with environment({"GRADRACE_TRIAL": "1"}):
        assert os.environ["GRADRACE_TRIAL"] == "1"
    assert "GRADRACE_TRIAL" not in os.environ
