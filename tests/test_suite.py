"""Suites: what they expand to, and every kind of mistake in one."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import TINY, toml
from gradrace.errors import UserError
from gradrace.frame import load
from gradrace.spec import EarlyStopping, Regularization
from gradrace.suite import built_in, expand, make_suite, read_suite
from gradrace.sweep import Options, execute, prepare

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


def test_devices_dtypes_and_threads_are_swept_and_named(registry):
    swept = {"device": ["cpu", "gpu"], "dtype": ["float64", "bfloat16"], "threads": [1, 4]}
    runs = expanded(registry, optimizers=["sgd"], seeds=1, **swept)
    assert len({run.id for run in runs}) == len(runs) == 8 + 8, "trained and timed"
    for run in runs:
        assert run.variations == {"device": run.device, "dtype": run.dtype, "threads": run.threads}
    plain = expanded(registry, optimizers=["sgd"], seeds=1, device=["cpu"], threads=[2])
    assert all(run.variations == {} and run.threads == 2 for run in plain), "what does not vary has no name"


def test_all_modes_of_every_framework(registry):
    runs = expanded(registry, frameworks=["torch", "jax"], optimizers=["sgd"], seeds=1, modes="all")
    for measure in ("convergence", "timing"):
        for name in ("torch", "jax"):
            modes = [run.mode for run in runs if run.measure == measure and run.framework == name]
            assert modes == list(registry.frameworks[name].modes)


def test_a_timing_part_says_launches_parts_inputs_and_memory(registry):
    given = {"launches": 3, "blocks": 6, "breakdown": True, "memory": True, "inputs": ["resident", "pipeline"]}
    runs = expanded(registry, optimizers=["sgd"], convergence=False, timing=given)
    timed, measured = ([run for run in runs if run.measure == measure] for measure in ("timing", "memory"))
    assert [(run.launch, run.input) for run in timed] == [(k, i) for k in range(3) for i in ("resident", "pipeline")]
    assert {run.variations.get("input") for run in timed} == {None, "pipeline"}
    assert [(run.launch, run.input, run.timing) for run in measured] == [(0, "resident", None), (0, "pipeline", None)]
    assert {(run.timing.breakdown, run.timing.blocks, run.timing.warmup_steps) for run in timed} == {(True, 6, 100)}
    assert len({run.id for run in runs}) == len(runs)


def test_a_timing_part_that_says_nothing_has_ten_launches_of_thirty_blocks(registry):
    runs = expanded(registry, optimizers=["sgd"], convergence=False, timing={})
    assert len(runs) == 10 and {(r.timing.blocks, r.timing.block_steps, r.timing.breakdown) for r in runs} == {(30, 25, False)}
    assert {run.optimizer.rule for run in runs} == {"native"}


@pytest.mark.parametrize("timing", [False, TINY["timing"]])
def test_only_the_clock(tmp_path, timing):
    """No convergence; the suite's own timing or the default one, with what the command line says instead."""
    suite = make_suite("tiny", {**TINY, "timing": timing, "device": ["cpu", "gpu"], "threads": [1, 2]})
    asked = {"launches": 2, "memory": True}
    options = Options(output=tmp_path, clock_only=True, timing=asked, device="cpu", threads=1, dtype="float32")
    specs = [run.spec for run in prepare(suite, options=options).plan]
    assert [spec.measure for spec in specs] == ["timing"] * 4 + ["memory"] * 2
    assert {(spec.device, spec.threads, spec.dtype) for spec in specs} == {("cpu", 1, "float32")}
    assert {spec.timing.blocks for spec in specs[:4]} == {4 if timing else 30}


def test_schedules_of_one_kind_are_told_apart(registry):
    both = [{"kind": "cosine", "params": {"final_fraction": f}} for f in (0.0, 0.1)]
    assert len(expanded(registry, schedules=both, timing=False)) == 2 * 2 * 2


def varied(registry, task="digits_mlp", **sweep):
    """variations -> task, of a suite with this sweep."""
    runs = expanded(registry, tasks=[task], optimizers=["sgd"], seeds=1, timing=False, **sweep)
    assert len({run.id for run in runs}) == len(runs)
    return {tuple(run.variations.values()): run.task for run in runs}


def kinds(task):
    return [layer.kind for layer in task.model]


def test_activations_are_swept_and_named(registry):
    tasks = varied(registry, activation=["tanh", "gelu"])
    assert list(tasks) == [("tanh",), ("gelu",)]
    assert {layer.function for layer in tasks["gelu",].model if layer.kind == "activation"} == {"gelu"}
    assert kinds(tasks["gelu",]) == kinds(registry.tasks["digits_mlp"])


def test_initializers_are_those_of_all_kernels(registry):
    tasks = varied(registry, "digits_lstm", initializer=["orthogonal", "lecun_normal"])
    lstm, dense = tasks["orthogonal",].model
    assert lstm.initializer == lstm.recurrent_initializer == dense.initializer == "orthogonal"


def test_hidden_sizes_are_one_number_or_one_for_each_layer(registry):
    tasks = varied(registry, hidden=[16, [32, 8]])
    units = {name: [layer.units for layer in task.model if layer.kind == "dense"] for name, task in tasks.items()}
    assert units == {(16,): [16, 16, 10], ("32-8",): [32, 8, 10]}
    assert [layer.units for layer in varied(registry, "digits_lstm", hidden=[5])[5,].model] == [5, 10]


def test_normalisation_stands_before_hidden_activations(registry):
    tasks = varied(registry, normalization=["none", "batch", "layer", "weight"])
    assert tasks["none",].model == registry.tasks["digits_mlp"].model
    assert kinds(tasks["batch",]) == ["dense", "batch_norm", "activation"] * 2 + ["dense"]
    assert [layer.bias for layer in tasks["batch",].model if layer.kind == "dense"] == [False, False, True]
    assert kinds(tasks["layer",]) == ["dense", "layer_norm", "activation"] * 2 + ["dense"]
    assert all(layer.weight_norm for layer in tasks["weight",].model if layer.kind == "dense")
    assert kinds(varied(registry, "digits_cnn", normalization=["batch"])["batch",])[:3] == ["conv2d", "batch_norm", "activation"]


def test_regularization_is_swept_entry_by_entry(registry):
    entries = [
        "none", {}, {"l2": 1e-4}, {"l2": 1e-3}, {"l1": 1e-5, "decay": 0.01}, {"clip_norm": 1.0}, {"dropout": 0.5},
        {"early_stopping": 3, "dropout": 0.25},
    ]  # fmt: skip
    tasks = varied(registry, regularization=entries)
    assert [name for (name,) in tasks] == [
        "none", "l2=0.0001", "l2=0.001", "l1=1e-05+decay=0.01", "clip_norm=1.0", "dropout=0.5",
        "dropout=0.25+early_stopping=3",
    ]  # fmt: skip
    assert tasks["none",].regularization == Regularization()
    assert tasks["l1=1e-05+decay=0.01",].regularization == Regularization(l1=1e-5, decay=0.01)
    assert kinds(tasks["dropout=0.5",]) == ["dense", "activation", "dropout"] * 2 + ["dense"]
    assert tasks["dropout=0.25+early_stopping=3",].early_stopping == EarlyStopping(patience=3)
    assert kinds(varied(registry, "digits_lstm", regularization=[{"dropout": 0.5}])["dropout=0.5",])[1] == "dropout"


def test_variations_are_crossed_and_timed_too(registry):
    sweep = {"activation": ["tanh", "elu"], "normalization": ["none", "batch"], "regularization": ["none", {"dropout": 0.1}]}
    runs = expanded(registry, optimizers=["sgd"], seeds=1, **sweep)
    for measure in ("convergence", "timing"):
        assert len([run for run in runs if run.measure == measure]) == 8
    last = {"activation": "elu", "normalization": "batch", "regularization": "dropout=0.1"}
    full = next(run for run in runs if run.variations == last)
    assert kinds(full.task) == ["dense", "batch_norm", "activation", "dropout"] * 2 + ["dense"]
    assert "activation=elu/normalization=batch/regularization=dropout=0.1" in full.id


def test_a_varied_suite_runs(registry, tmp_path):
    """Status ok for all, in the reference; and variations are columns of the frames."""
    suite = make_suite("varied", {
        **TINY, "optimizers": ["sgd"], "seeds": 1, "timing": False, "hidden": [8], "normalization": ["batch", "weight"],
        "regularization": ["none", {"dropout": 0.2, "l1": 1e-4, "l2": 1e-4, "decay": 0.01, "clip_norm": 1.0}],
    })  # fmt: skip
    sweep = prepare(suite, (), Options(output=tmp_path))
    assert execute(sweep).counts == {"ok": 4}
    assert load(tmp_path).runs["variation"].nunique() == 4


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
    ({"timing": {"launches": 0}}, "timing.launches.*greater than or equal to 1|timing.launches.*greater than 0"),
    ({"timing": {"inputs": ["disk"]}}, r"timing.inputs\[0\].*'resident' or 'pipeline'"),
    ({"timing": {"inputs": []}}, "timing.inputs.*at least 1"),
    ({"device": ["cpu", "tpu"]}, r"device\[1\].*'cpu' or 'gpu'"),
    ({"device": "tpu"}, "device.*'cpu' or 'gpu'"),
    ({"threads": [1, 0]}, r"threads\[1\].*greater than 0"),
    ({"dtype": "float16"}, "dtype.*'float32'"),
    ({"modes": "every"}, "modes.*'all'"),
    ({"convergence": False, "timing": False}, "nothing to run"),
    ({"activations": ["relu"]}, "unknown key 'activations'.*did you mean 'activation'"),
    ({"activation": ["relu", "tahn"]}, r"activation\[1\]: no activation 'tahn'.*did you mean 'tanh'"),
    ({"activation": []}, "activation: .*at least 1"),
    ({"activation": "tanh"}, "activation: .*list"),
    ({"initializer": ["he"]}, r"initializer\[0\]: no initializer 'he'.*known: .*he_normal"),
    ({"hidden": [0]}, r"hidden\[0\].*greater than 0"),
    ({"hidden": [[64, 0]]}, r"hidden\[0\]\[1\].*greater than 0"),
    ({"hidden": ["wide"]}, r"hidden\[0\].*'wide'"),
    ({"hidden": [64, [64, 32, 16]]}, r"hidden\[1\]: digits_mlp has 2 hidden dense or recurrent layers, not 3"),
    ({"normalization": ["btach"]}, r"normalization\[0\]: no normalization 'btach'.*did you mean 'batch'"),
    ({"regularization": ["nothing"]}, r"regularization\[0\].*'none'"),
    ({"regularization": [{"clip": 1.0}]}, r"unknown key 'regularization\[0\].clip'.*did you mean 'clip_norm'"),
    ({"regularization": [{"l2": -1.0}]}, r"regularization\[0\].l2.*greater than or equal to 0"),
    ({"regularization": [{"dropout": 1.0}]}, r"regularization\[0\].dropout.*less than 1"),
    ({"regularization": [{"early_stopping": 0}]}, r"regularization\[0\].early_stopping.*greater than 0"),
    ({"regularization": {"l2": 1e-4}}, "regularization: .*list"),
    ({"tasks": ["digits_lstm"], "activation": ["relu"]}, r"activation\[0\]: digits_lstm has no hidden Activation layer"),
    ({"tasks": ["digits_cnn"], "hidden": [64]}, r"hidden\[0\]: digits_cnn has no hidden dense or recurrent layer"),
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
