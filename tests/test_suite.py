"""Suites: what they expand to, and every kind of mistake in one."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import TINY, toml
from gradrace.errors import UserError
from gradrace.suite import built_in, expand, make_suite, read_suite
from gradrace.sweep import Options, prepare

ROOT = Path(__file__).parent.parent


def expanded(registry, **changes):
    return expand(make_suite("tiny", {**TINY, **changes}), registry)


def test_everything_is_crossed(registry):
    runs = expanded(registry, schedules=["constant", "cosine"], optimizers=["sgd", {"name": "adam", "learning_rate": [0.1, 0.2]}])
    converging = [run for run in runs if run.measure == "convergence"]
    assert len(converging) == 2 * 3 * 2, "schedules x (sgd, adam, adam) x seeds"
    timed = [run for run in runs if run.measure == "timing"]
    assert [run.optimizer.name for run in timed] == ["sgd", "adam"], "step time does not depend on the rate"
    assert len({run.id for run in runs}) == len(runs)
    assert all(run.steps == 20 for run in converging)


def test_hyperparameters_are_swept_and_named(registry):
    entry = {"name": "momentum", "hyper": {"momentum": [0.5, 0.9]}}
    runs = expanded(registry, optimizers=[entry], seeds=1, timing=False)
    assert [run.variations for run in runs] == [{"momentum": 0.5}, {"momentum": 0.9}]
    assert [run.optimizer.hyper["momentum"] for run in runs] == [0.5, 0.9]


def test_batch_sizes_are_swept_and_named(registry):
    runs = expanded(registry, batch_sizes=[16, 64], seeds=[7], timing=False)
    assert {(run.task.batch_size, run.variations["batch_size"], run.seed) for run in runs} == {(16, 16, 7), (64, 64, 7)}


def test_schedules_of_one_kind_are_told_apart(registry):
    both = [{"kind": "cosine", "params": {"final_fraction": f}} for f in (0.0, 0.1)]
    assert len(expanded(registry, schedules=both, timing=False)) == 2 * 2 * 2


def test_native_runs_take_no_hyperparameters(registry):
    runs = expanded(registry, convergence={"rule": "native"}, timing=False)
    assert all(run.optimizer.hyper == {} and run.optimizer.rule == "native" for run in runs)


def test_built_in_suites_expand(registry):
    assert "quick" in built_in()
    for name in built_in():
        runs = expand(read_suite(name), registry)
        assert len({run.id for run in runs}) == len(runs) > 0


MISTAKES = [
    ({"task": ["digits_mlp"]}, "unknown key 'task'.*did you mean 'tasks'"),
    ({"tasks": ["digit_mlp"]}, "tasks: no task 'digit_mlp'.*did you mean 'digits_mlp'"),
    ({"tasks": []}, "tasks: .*at least 1"),
    ({"tasks": "digits_mlp"}, "tasks: .*list"),
    ({"frameworks": ["troch"]}, "frameworks: no framework 'troch'.*did you mean 'torch'"),
    ({"optimizers": ["adm"]}, "optimizers: no optimizer 'adm'.*did you mean 'adam'"),
    ({"optimizers": [{"name": "adam", "learning_rat": 0.1}]}, r"optimizers\[0\].learning_rat.*did you mean 'learning_rate'"),
    ({"optimizers": [{"name": "adam", "learning_rate": -1}]}, r"optimizers\[0\].learning_rate.*greater than 0"),
    ({"optimizers": [{"name": "adam", "learning_rate": []}]}, r"optimizers\[0\].learning_rate.*given: \[\]"),
    ({"optimizers": [{"name": "adam", "hyper": {"beta": 0.9}}]}, "optimizers: adam has no hyperparameter 'beta'"),
    ({"optimizers": [{"name": "adam", "hyper": {"beta1": 2.0}}]}, r"beta1 = 2 is outside \[0, 1\]"),
    ({"schedules": ["cosin"]}, "schedules: no schedule 'cosin'.*did you mean 'cosine'"),
    ({"schedules": [{"kind": "cosine", "params": {"x": 1}}]}, "schedules: schedule cosine has no parameter 'x'"),
    ({"seeds": 0}, "seeds.*greater than 0"),
    ({"seeds": "many"}, "seeds.*'many'"),
    ({"batch_sizes": [5000]}, "batch_sizes: 5000 is larger than the 1152 training samples"),
    ({"dtype": "float16"}, "dtype.*float32"),
    ({"steps": 0}, "steps.*greater than 0"),
    ({"modes": {"numpy": ["refrence"]}}, "modes.numpy: no mode 'refrence'.*did you mean 'reference'"),
    ({"modes": {"nmpy": ["reference"]}}, "modes: no framework 'nmpy'"),
    ({"timing": {"bloks": 3}}, "timing.bloks.*did you mean 'blocks'"),
    ({"timing": {"blocks": 1}}, "timing.blocks.*greater than or equal to 4"),
    ({"convergence": False, "timing": False}, "nothing to run"),
    ({"title": 3}, "title.*string"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES, ids=lambda value: str(value)[:50])
def test_a_mistake_is_named_with_file_and_key(registry, tmp_path, change, message):
    file = tmp_path / "mine.toml"
    content = {**TINY, **change}
    file.write_text(toml(content))
    with pytest.raises(UserError, match=message) as caught:
        expand(read_suite(str(file)), registry)
    assert str(file) in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing.toml", None, "no suite .*missing.toml"),
        ("broken.toml", "title = ", "not valid TOML"),
        ("binary.toml", b"\xff\xfe\x00", "not valid TOML"),
        ("folder.toml", "folder", "cannot be read"),
    ],
)
def test_unreadable_files_are_named(tmp_path, name, text, message):
    file = tmp_path / name
    if text == "folder":
        file.mkdir()
    elif text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=message):
        read_suite(str(file))


def test_a_misspelt_suite_name_is_told():
    with pytest.raises(UserError, match="no suite 'quik' .did you mean 'quick'"):
        read_suite("quik")


@pytest.mark.parametrize(
    ("optimizers", "joined"),
    [(["sgd"], ["sgd", "sign_momentum"]), ([{"name": "sign_momentum", "learning_rate": 0.5}], ["sign_momentum"])],
)
def test_a_loaded_optimizer_joins_a_suite_that_does_not_name_it(tmp_path, optimizers, joined):
    suite = make_suite("tiny", {**TINY, "optimizers": optimizers})
    plan = prepare(suite, [ROOT / "examples" / "my_optimizer.py"], Options(output=tmp_path)).plan
    for measure in ("convergence", "timing"):
        assert [*dict.fromkeys(r.spec.optimizer.name for r in plan if r.spec.measure == measure)] == joined
    assert optimizers == ["sgd"] or {r.spec.schedule.base_lr for r in plan if r.spec.measure == "convergence"} == {0.5}
