"""Suites: what they expand to, and every kind of mistake in one."""

from __future__ import annotations

import pytest
from gradrace import data
from gradrace.errors import UserError
from gradrace.results.frame import load
from gradrace.spec import EarlyStopping, Regularization
from gradrace.suite import built_in, expand, make_suite, read_suite
from gradrace.sweep import Options, execute, prepare
from paths import ROOT
from tiny import TINY, toml


def expanded(registry, **changes):
    return expand(make_suite("tiny", {**TINY, **changes}), registry)


def test_everything_is_crossed(registry):
    runs = expanded(
        registry,
        schedules=["constant", "cosine"],
        optimizers=["sgd", {"name": "adam", "learning_rate": [0.1, 0.2]}],
    )
    converging = [run for run in runs if run.measure == "convergence"]
    assert len(converging) == 2 * 3 * 2, "schedules x (sgd, adam, adam) x seeds"
    timed = [run for run in runs if run.measure == "timing"]
    assert [run.optimizer.name for run in timed] == [
        "sgd",
        "adam",
    ], "step time does not depend on the rate"
    assert len({run.id for run in runs}) == len(runs)
    assert all(run.steps == 20 for run in converging)


def test_hyperparameters_are_swept_and_named(registry):
    entry = {"name": "momentum", "hyper": {"momentum": [0.5, 0.9]}}
    runs = expanded(registry, optimizers=[entry], seeds=1, timing=False)
    assert [run.variations for run in runs] == [{"momentum": 0.5}, {"momentum": 0.9}]
    assert [run.optimizer.hyper["momentum"] for run in runs] == [0.5, 0.9]


def test_batch_sizes_are_swept_and_named(registry):
    runs = expanded(registry, batch_sizes=[16, 64], seeds=[7], timing=False)
    assert {(run.task.batch_size, run.variations["batch_size"], run.seed) for run in runs} == {
        (16, 16, 7),
        (64, 64, 7),
    }


def test_devices_dtypes_and_threads_are_swept_and_named(registry):
    swept = {"device": ["cpu", "gpu"], "dtype": ["float64", "bfloat16"], "threads": [1, 4]}
    runs = expanded(registry, optimizers=["sgd"], seeds=1, **swept)
    assert len({run.id for run in runs}) == len(runs) == 8 + 8, "trained and timed"
    for run in runs:
        assert run.variations == {"device": run.device, "dtype": run.dtype, "threads": run.threads}
    plain = expanded(registry, optimizers=["sgd"], seeds=1, device=["cpu"], threads=[2])
    assert all(run.variations == {} and run.threads == 2 for run in plain), (
        "what does not vary has no name"
    )


def test_all_modes_of_every_framework(registry):
    runs = expanded(registry, frameworks=["torch", "jax"], optimizers=["sgd"], seeds=1, modes="all")
    for measure in ("convergence", "timing"):
        for name in ("torch", "jax"):
            modes = [run.mode for run in runs if run.measure == measure and run.framework == name]
            assert modes == list(registry.frameworks[name].modes)


def test_a_timing_part_says_launches_parts_inputs_and_memory(registry):
    given = {
        "launches": 3,
        "blocks": 6,
        "breakdown": True,
        "memory": True,
        "inputs": ["resident", "pipeline"],
    }
    runs = expanded(registry, optimizers=["sgd"], convergence=False, timing=given)
    timed, measured = (
        [run for run in runs if run.measure == measure] for measure in ("timing", "memory")
    )
    assert [(run.launch, run.input) for run in timed] == [
        (k, i) for k in range(3) for i in ("resident", "pipeline")
    ]
    assert {run.variations.get("input") for run in timed} == {None, "pipeline"}
    assert [(run.launch, run.input, run.timing) for run in measured] == [
        (0, "resident", None),
        (0, "pipeline", None),
    ]
    assert {
        (run.timing.breakdown, run.timing.blocks, run.timing.warmup_steps) for run in timed
    } == {(True, 6, 100)}
    assert len({run.id for run in runs}) == len(runs)


def test_a_timing_part_that_says_nothing_has_ten_launches_of_thirty_blocks(registry):
    runs = expanded(registry, optimizers=["sgd"], convergence=False, timing={})
    assert len(runs) == 10 and {
        (r.timing.blocks, r.timing.block_steps, r.timing.breakdown) for r in runs
    } == {(30, 25, False)}
    assert {run.optimizer.rule for run in runs} == {"native"}


@pytest.mark.parametrize("timing", [False, TINY["timing"]])
def test_only_the_clock(tmp_path, timing):
    """No convergence; the suite's own timing or the default one, with what the command line says
    instead. What would be trained is timed: the canonical rule, which TINY times anyway and the
    default beside the native one."""
    suite = make_suite(
        "tiny", {**TINY, "timing": timing, "device": ["cpu", "gpu"], "threads": [1, 2]}
    )
    asked = {"launches": 2, "memory": True}
    options = Options(
        output=tmp_path, clock_only=True, timing=asked, device="cpu", threads=1, dtype="float32"
    )
    specs = [run.spec for run in prepare(suite, options=options).plan]
    cells = 2 if timing else 4
    assert [spec.measure for spec in specs] == ["timing"] * 2 * cells + ["memory"] * cells
    assert {spec.optimizer.rule for spec in specs} == {"canonical"} | (
        {"native"} if not timing else set()
    )
    assert {(spec.device, spec.threads, spec.dtype) for spec in specs} == {("cpu", 1, "float32")}
    assert {spec.timing.blocks for spec in specs if spec.timing} == {4 if timing else 30}


def test_schedules_of_one_kind_are_told_apart(registry):
    both = [{"kind": "cosine", "params": {"final_fraction": f}} for f in (0.0, 0.1)]
    assert len(expanded(registry, schedules=both, timing=False)) == 2 * 2 * 2


def test_a_grid_of_learning_rates_is_laid_around_each_optimizers_own(registry):
    entries = ["adam", {"name": "sgd", "learning_rate": 0.5}]
    runs = expanded(
        registry,
        optimizers=entries,
        seeds=1,
        timing=False,
        learning_rate_grid={"points": 5, "per_decade": 2},
    )
    rates = {
        name: [r.schedule.base_lr for r in runs if r.optimizer.name == name]
        for name in ("adam", "sgd")
    }
    assert rates == {
        "adam": [0.0003, 0.00095, 0.003, 0.0095, 0.03],
        "sgd": [0.05, 0.16, 0.5, 1.6, 5.0],
    }


def test_shares_of_the_data_are_swept_and_named_where_there_are_several(registry):
    runs = expanded(registry, optimizers=["sgd"], seeds=1, train_fractions=[0.1, 0.5, 1.0])
    trained = [run for run in runs if run.measure == "convergence"]
    assert [(r.task.train_fraction, r.variations["train_fraction"]) for r in trained] == [
        (0.1, 0.1),
        (0.5, 0.5),
        (1.0, 1.0),
    ]
    timed = [run for run in runs if run.measure == "timing"]
    assert [(r.task.train_fraction, r.variations) for r in timed] == [(1.0, {})], (
        "step time does not depend on it"
    )
    alone = expanded(registry, optimizers=["sgd"], seeds=1, train_fractions=[0.5], timing=False)
    assert [(run.task.train_fraction, run.variations) for run in alone] == [(0.5, {})]


def test_diagnosis_is_of_trained_runs_alone(registry):
    runs = expanded(registry, optimizers=["sgd"], seeds=1, diagnose=True)
    assert [(run.measure, run.diagnose) for run in runs] == [
        ("convergence", True),
        ("timing", False),
    ]


def test_several_rules_are_crossed(registry):
    rule = {"rule": ["canonical", "native"]}
    runs = expanded(registry, convergence=rule, timing=False, seeds=1)
    assert [(r.optimizer.name, r.optimizer.rule) for r in runs] == [
        (name, kind) for name in ("sgd", "adam") for kind in ("canonical", "native")
    ]
    assert all(
        (run.optimizer.hyper == {})
        == (run.optimizer.rule == "native" or run.optimizer.name == "sgd")
        for run in runs
    )


SEARCH = {
    "draws": 9,
    "seed": 3,
    "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
    "batch_size": [16, 32, 64],
    "hyper": {"beta1": {"low": 0.01, "high": 0.2, "below_one": True}, "beta2": [0.99, 0.999]},
}


def settings(runs):
    """draw -> all settings that runs of it have."""
    found = {}
    for run in runs:
        one = (run.schedule.base_lr, run.task.batch_size, *run.optimizer.hyper.values())
        found.setdefault(run.variations["draw"], set()).add(one)
    return found


def test_draws_are_the_same_for_everything_that_is_crossed(registry):
    changes = {"optimizers": ["adam", "nadam"], "timing": False, "search": SEARCH}
    runs = expanded(
        registry, frameworks=["numpy", "torch"], regularization=["none", {"l2": 0.1}], **changes
    )
    assert len(runs) == 9 * 2 * 2 * 2 * 2 and len({run.id for run in runs}) == len(runs)
    of_draws = settings(runs)
    assert list(of_draws) == list(range(9)) and all(len(one) == 1 for one in of_draws.values())
    drawn = [next(iter(one)) for one in of_draws.values()]
    assert len(set(drawn)) == 9
    assert all(1e-4 <= rate <= 0.1 and size in (16, 32, 64) for rate, size, *_ in drawn)
    assert all(0.8 <= beta1 <= 0.99 and beta2 in (0.99, 0.999) for *_, beta1, beta2, _ in drawn)
    assert min(rate for rate, *_ in drawn) < 0.003 < max(rate for rate, *_ in drawn), (
        "in the logarithm"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"draws": 30},
        {"batch_size": None},
        {"hyper": {**SEARCH["hyper"], "epsilon": {"low": 1e-9, "high": 1e-7, "log": True}}},
    ],
    ids=["more draws", "one key less", "one key more"],
)
def test_what_is_drawn_does_not_move_when_the_search_grows(registry, change):
    adam = {"optimizers": ["adam"], "timing": False, "seeds": 1}
    before = expanded(registry, search=SEARCH, **adam)
    search = {key: value for key, value in {**SEARCH, **change}.items() if value is not None}
    after = expanded(registry, search=search, **adam)[:9]
    for one, other in zip(before, after, strict=True):
        assert one.schedule == other.schedule
        assert one.optimizer.hyper["beta1"] == other.optimizer.hyper["beta1"]
    moved = expanded(registry, search={**SEARCH, "seed": 4}, **adam)
    assert [run.schedule.base_lr for run in moved] != [run.schedule.base_lr for run in before]


def test_of_few_combinations_none_is_drawn_twice(registry):
    search = {"draws": 6, "batch_size": [16, 32, 64], "learning_rate": [0.01, 0.1]}
    runs = expanded(registry, optimizers=["sgd"], timing=False, seeds=1, search=search)
    assert len({(run.task.batch_size, run.schedule.base_lr) for run in runs}) == 6


def test_ranges_are_covered_evenly(registry):
    search = {"draws": 300, "learning_rate": {"low": 1e-4, "high": 1.0, "log": True}}
    runs = expanded(registry, optimizers=["sgd"], timing=False, seeds=1, search=search)
    decades = [
        sum(low <= run.schedule.base_lr < 10 * low for run in runs)
        for low in (1e-4, 1e-3, 1e-2, 1e-1)
    ]
    assert sum(decades) == 300 and all(50 < count < 100 for count in decades)


SCALED = {
    **TINY,
    "scales": {
        "small": {"seeds": 1, "optimizers": ["sgd"]},
        "large": {"seeds": 9, "timing": False},
    },
}


def test_a_scale_replaces_keys_and_the_command_line_replaces_those(tmp_path):
    def plan(**options):
        runs = prepare(make_suite("tiny", SCALED), options=Options(output=tmp_path, **options)).plan
        return [run.spec for run in runs]

    assert len(plan()) == 4 + 2
    small = plan(scale="small")
    assert [(run.measure, run.optimizer.name, run.seed) for run in small] == [
        ("convergence", "sgd", 0),
        ("timing", "sgd", 0),
    ]
    assert len(plan(scale="large")) == 18
    assert len(plan(scale="large", seeds=2)) == 4
    fractions = plan(scale="large", seeds=1, train_fractions=(0.25, 0.5))
    assert [run.task.train_fraction for run in fractions] == [0.25, 0.25, 0.5, 0.5]
    mine = [ROOT / "examples" / "my_optimizer.py"]
    joined = prepare(make_suite("tiny", SCALED), mine, Options(tmp_path, scale="small")).plan
    assert [run.spec.optimizer.name for run in joined] == ["sgd", "sign_momentum"] * 2


@pytest.mark.parametrize(
    ("content", "scale", "message"),
    [
        (SCALED, "smal", "no scale 'smal' .did you mean 'small'"),
        (TINY, "small", "no scale 'small' .it has none"),
        (SCALED, "huge", "no scale 'huge' .known: large, small"),
    ],
)
def test_an_unknown_scale_is_told(tmp_path, content, scale, message):
    with pytest.raises(UserError, match=message) as caught:
        prepare(make_suite("tiny", content, "tiny.toml"), options=Options(tmp_path, scale=scale))
    assert "tiny.toml" in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize(("there", "task"), [(True, "mnist_mlp"), (False, "digits_mlp")])
def test_another_task_stands_in_for_one_whose_data_are_missing(tmp_path, monkeypatch, there, task):
    monkeypatch.setattr(data, "missing", lambda name: "" if there else f"{name} is not here")
    content = {**TINY, "tasks": ["mnist_mlp"], "instead": {"mnist_mlp": "digits_mlp"}}
    sweep = prepare(make_suite("tiny", content), options=Options(tmp_path))
    assert {run.spec.task.name for run in sweep.plan} == {task}
    title = "Tiny" if there else "Tiny: digits_mlp for want of mnist_mlp (gradrace fetch mnist)"
    assert sweep.suite.content.title == title


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ({"mnist_mlp": "digit_mlp"}, "instead.mnist_mlp: no task 'digit_mlp'"),
        ({"mnist": "digits_mlp"}, "instead: no task 'mnist'"),
    ],
)
def test_a_stand_in_that_is_no_task_is_told(tmp_path, instead, message):
    with pytest.raises(UserError, match=message):
        prepare(make_suite("tiny", {**TINY, "instead": instead}), options=Options(tmp_path))


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
    assert {layer.function for layer in tasks["gelu",].model if layer.kind == "activation"} == {
        "gelu"
    }
    assert kinds(tasks["gelu",]) == kinds(registry.tasks["digits_mlp"])


def test_initializers_are_those_of_all_kernels(registry):
    tasks = varied(registry, "digits_lstm", initializer=["orthogonal", "lecun_normal"])
    lstm, dense = tasks["orthogonal",].model
    assert lstm.initializer == lstm.recurrent_initializer == dense.initializer == "orthogonal"


def test_hidden_sizes_are_one_number_or_one_for_each_layer(registry):
    tasks = varied(registry, hidden=[16, [32, 8]])
    units = {
        name: [layer.units for layer in task.model if layer.kind == "dense"]
        for name, task in tasks.items()
    }
    assert units == {(16,): [16, 16, 10], ("32-8",): [32, 8, 10]}
    assert [layer.units for layer in varied(registry, "digits_lstm", hidden=[5])[5,].model] == [
        5,
        10,
    ]


def test_depth_repeats_the_last_hidden_layer_or_leaves_the_last_ones_out(registry):
    tasks = varied(registry, depth=[1, 2, 4])
    assert kinds(tasks[1,]) == ["dense", "activation", "dense"]
    assert tasks[2,].model == registry.tasks["digits_mlp"].model
    assert kinds(tasks[4,]) == ["dense", "activation"] * 4 + ["dense"]
    crossed = varied(
        registry, depth=[3], hidden=[8], normalization=["batch"], regularization=[{"dropout": 0.5}]
    )
    (deep,) = crossed.values()
    assert kinds(deep) == ["dense", "batch_norm", "activation", "dropout"] * 3 + ["dense"]
    assert [layer.units for layer in deep.model if layer.kind == "dense"] == [8, 8, 8, 10]


def test_stacked_recurrent_layers_hand_on_every_step(registry):
    tasks = varied(registry, "digits_lstm", depth=[1, 3])
    assert tasks[1,].model == registry.tasks["digits_lstm"].model
    assert kinds(tasks[3,]) == ["lstm"] * 3 + ["dense"]
    assert [layer.sequences for layer in tasks[3,].model[:3]] == [True, True, False]
    copy = varied(registry, "copy_gru", depth=[2])[2,]
    assert [layer.sequences for layer in copy.model[:2]] == [True, True]
    twice = registry.tasks["synthetic_lstm_l"].model
    assert (
        kinds(varied(registry, "synthetic_lstm_l", depth=[1])[1,]) == ["lstm", "dense"]
        and len(twice) == 3
    )
    assert not varied(registry, "synthetic_lstm_l", depth=[1])[1,].model[0].sequences


def test_normalisation_stands_before_hidden_activations(registry):
    tasks = varied(registry, normalization=["none", "batch", "layer", "weight"])
    assert tasks["none",].model == registry.tasks["digits_mlp"].model
    assert kinds(tasks["batch",]) == ["dense", "batch_norm", "activation"] * 2 + ["dense"]
    assert [layer.bias for layer in tasks["batch",].model if layer.kind == "dense"] == [
        False,
        False,
        True,
    ]
    assert kinds(tasks["layer",]) == ["dense", "layer_norm", "activation"] * 2 + ["dense"]
    assert all(layer.weight_norm for layer in tasks["weight",].model if layer.kind == "dense")
    assert kinds(varied(registry, "digits_cnn", normalization=["batch"])["batch",])[:3] == [
        "conv2d",
        "batch_norm",
        "activation",
    ]


def test_regularization_is_swept_entry_by_entry(registry):
    entries = [
        "none",
        {},
        {"l2": 1e-4},
        {"l2": 1e-3},
        {"l1": 1e-5, "decay": 0.01},
        {"clip_norm": 1.0},
        {"dropout": 0.5},
        {"early_stopping": 3, "dropout": 0.25},
    ]
    tasks = varied(registry, regularization=entries)
    assert [name for (name,) in tasks] == [
        "none",
        "l2=0.0001",
        "l2=0.001",
        "l1=1e-05+decay=0.01",
        "clip_norm=1.0",
        "dropout=0.5",
        "dropout=0.25+early_stopping=3",
    ]
    assert tasks["none",].regularization == Regularization()
    assert tasks["l1=1e-05+decay=0.01",].regularization == Regularization(l1=1e-5, decay=0.01)
    assert kinds(tasks["dropout=0.5",]) == ["dense", "activation", "dropout"] * 2 + ["dense"]
    assert tasks["dropout=0.25+early_stopping=3",].early_stopping == EarlyStopping(patience=3)
    assert (
        kinds(varied(registry, "digits_lstm", regularization=[{"dropout": 0.5}])["dropout=0.5",])[1]
        == "dropout"
    )


def test_variations_are_crossed_and_timed_too(registry):
    sweep = {
        "activation": ["tanh", "elu"],
        "normalization": ["none", "batch"],
        "regularization": ["none", {"dropout": 0.1}],
    }
    runs = expanded(registry, optimizers=["sgd"], seeds=1, **sweep)
    for measure in ("convergence", "timing"):
        assert len([run for run in runs if run.measure == measure]) == 8
    last = {"activation": "elu", "normalization": "batch", "regularization": "dropout=0.1"}
    full = next(run for run in runs if run.variations == last)
    assert kinds(full.task) == ["dense", "batch_norm", "activation", "dropout"] * 2 + ["dense"]
    assert "activation=elu/normalization=batch/regularization=dropout=0.1" in full.id


def test_a_varied_suite_runs(registry, tmp_path):
    """Status ok for all, in the reference; and variations are columns of the frames."""
    suite = make_suite(
        "varied",
        {
            **TINY,
            "optimizers": ["sgd"],
            "seeds": 1,
            "timing": False,
            "hidden": [8],
            "normalization": ["batch", "weight"],
            "regularization": [
                "none",
                {"dropout": 0.2, "l1": 1e-4, "l2": 1e-4, "decay": 0.01, "clip_norm": 1.0},
            ],
        },
    )
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
    ({"tasks": []}, "tasks: .*at least one entry"),
    ({"tasks": "digits_mlp"}, "tasks: .*list"),
    ({"frameworks": ["troch"]}, "frameworks: no framework 'troch'.*did you mean 'torch'"),
    ({"optimizers": ["adm"]}, "optimizers: no optimizer 'adm'.*did you mean 'adam'"),
    (
        {"optimizers": [{"name": "adam", "learning_rat": 0.1}]},
        r"optimizers\[0\].learning_rat.*did you mean 'learning_rate'",
    ),
    (
        {"optimizers": [{"name": "adam", "learning_rate": -1}]},
        r"optimizers\[0\].learning_rate.*greater than 0",
    ),
    (
        {"optimizers": [{"name": "adam", "learning_rate": []}]},
        r"optimizers\[0\].learning_rate.*not \[\]",
    ),
    (
        {"optimizers": [{"name": "adam", "hyper": {"beta": 0.9}}]},
        "optimizers: adam has no hyperparameter 'beta'",
    ),
    ({"optimizers": [{"name": "adam", "hyper": {"beta1": 2.0}}]}, r"beta1 = 2 is outside \[0, 1\]"),
    ({"schedules": ["cosin"]}, "schedules: no schedule 'cosin'.*did you mean 'cosine'"),
    (
        {"schedules": [{"kind": "cosine", "params": {"x": 1}}]},
        "schedules: schedule cosine has no parameter 'x'",
    ),
    ({"seeds": 0}, "seeds.*greater than 0"),
    ({"seeds": "many"}, "seeds.*'many'"),
    ({"batch_sizes": [5000]}, "batch_sizes: 5000 is larger than the 1152 training samples"),
    ({"dtype": "float16"}, "dtype.*float32"),
    ({"steps": 0}, "steps.*greater than 0"),
    (
        {"modes": {"numpy": ["refrence"]}},
        "modes.numpy: no mode 'refrence'.*did you mean 'reference'",
    ),
    ({"modes": {"nmpy": ["reference"]}}, "modes: no framework 'nmpy'"),
    ({"timing": {"bloks": 3}}, "timing.bloks.*did you mean 'blocks'"),
    ({"timing": {"blocks": 1}}, "timing.blocks.*a number of at least 4"),
    (
        {"timing": {"launches": 0}},
        "timing.launches.*greater than or equal to 1|timing.launches.*greater than 0",
    ),
    ({"timing": {"inputs": ["disk"]}}, r"timing.inputs\[0\].*'resident' or 'pipeline'"),
    ({"timing": {"inputs": []}}, "timing.inputs.*at least one entry"),
    ({"device": ["cpu", "tpu"]}, r"device\[1\].*'cpu' or 'gpu'"),
    ({"device": "tpu"}, "device.*'cpu' or 'gpu'"),
    ({"threads": [1, 0]}, r"threads\[1\].*greater than 0"),
    ({"dtype": "float16"}, "dtype.*'float32'"),
    ({"modes": "every"}, "modes.*'all'"),
    ({"convergence": False, "timing": False}, "nothing to run"),
    ({"activations": ["relu"]}, "unknown key 'activations'.*did you mean 'activation'"),
    (
        {"activation": ["relu", "tahn"]},
        r"activation\[1\]: no activation 'tahn'.*did you mean 'tanh'",
    ),
    ({"activation": []}, "activation: .*at least one entry"),
    ({"activation": "tanh"}, "activation: .*list"),
    ({"initializer": ["he"]}, r"initializer\[0\]: no initializer 'he'.*known: .*he_normal"),
    ({"hidden": [0]}, r"hidden\[0\].*greater than 0"),
    ({"hidden": [[64, 0]]}, r"hidden\[0\]\[1\].*greater than 0"),
    ({"hidden": ["wide"]}, r"hidden\[0\].*'wide'"),
    (
        {"hidden": [64, [64, 32, 16]]},
        r"hidden\[1\]: digits_mlp has 2 hidden dense or recurrent layers, not 3",
    ),
    (
        {"normalization": ["btach"]},
        r"normalization\[0\]: no normalization 'btach'.*did you mean 'batch'",
    ),
    ({"regularization": ["nothing"]}, r"regularization\[0\].*'none'"),
    (
        {"regularization": [{"clip": 1.0}]},
        r"unknown key 'regularization\[0\].clip'.*did you mean 'clip_norm'",
    ),
    ({"regularization": [{"l2": -1.0}]}, r"regularization\[0\].l2.*a number of at least 0"),
    ({"regularization": [{"dropout": 1.0}]}, r"regularization\[0\].dropout.*less than 1"),
    (
        {"regularization": [{"early_stopping": 0}]},
        r"regularization\[0\].early_stopping.*greater than 0",
    ),
    ({"regularization": {"l2": 1e-4}}, "regularization: .*list"),
    ({"depth": [0]}, r"depth\[0\].*greater than 0"),
    (
        {"tasks": ["digits_cnn"], "depth": [2]},
        r"depth\[0\]: digits_cnn has no hidden dense or recurrent layer",
    ),
    ({"train_fractions": [0.5, 0.0]}, r"train_fractions\[1\].*greater than 0"),
    ({"train_fractions": [1.5]}, r"train_fractions\[0\].*a number of at most 1"),
    (
        {"train_fractions": [0.01]},
        "train_fractions: 0.01 leaves 12 training samples of digits_mlp, fewer than a batch of 32",
    ),
    (
        {"convergence": {"rule": ["canonical", "natve"]}},
        r"convergence.rule\[1\].*'canonical' or 'native'",
    ),
    ({"convergence": {"rule": []}}, "convergence.rule.*"),
    (
        {
            "convergence": {"rule": ["canonical", "native"]},
            "optimizers": [{"name": "adam", "hyper": {"beta1": 0.5}}],
        },
        "optimizers: adam: the native rule takes the library's own hyper",
    ),
    (
        {"learning_rate_grid": {"points": 4, "per_decade": 2}},
        "learning_rate_grid: points: 4 is even.*take 5",
    ),
    (
        {"learning_rate_grid": {"points": 1, "per_decade": 2}},
        "learning_rate_grid.points.*a number of at least 3",
    ),
    (
        {"learning_rate_grid": {"points": 3, "per_decad": 2}},
        "learning_rate_grid.per_decad.*did you mean 'per_decade'",
    ),
    (
        {
            "learning_rate_grid": {"points": 3, "per_decade": 1},
            "optimizers": [{"name": "adam", "learning_rate": [0.1, 0.2]}],
        },
        r"learning_rate_grid and the list optimizers\[0\].learning_rate say the same thing twice",
    ),
    ({"search": {"seed": 0, "batch_size": [8]}}, "search.draws: is missing"),
    ({"search": {"draws": 3}}, "search: nothing to draw"),
    ({"search": {"draws": 0, "batch_size": [8]}}, "search.draws.*greater than 0"),
    (
        {"search": {"draws": 3, "learning_rates": [0.1]}},
        "search.learning_rates.*did you mean 'learning_rate'",
    ),
    ({"search": {"draws": 3, "learning_rate": []}}, "search.learning_rate.*at least one entry"),
    (
        {"search": {"draws": 3, "learning_rate": {"low": 0.1, "high": 0.1}}},
        "search.learning_rate: the range is empty: low = 0.1",
    ),
    (
        {"search": {"draws": 3, "learning_rate": {"low": 0, "high": 1, "log": True}}},
        "starts above 0, not at low = 0",
    ),
    (
        {"search": {"draws": 3, "learning_rate": {"low": 0, "high": 1}}},
        "search: learning_rate: 0 is not greater than 0",
    ),
    (
        {"search": {"draws": 3, "learning_rate": {"low": 0.1, "hihg": 1}}},
        "unknown key 'search.learning_rate.hihg'.*'high'",
    ),
    (
        {"search": {"draws": 7, "learning_rate": [0.1, 0.2], "batch_size": [8, 16, 32]}},
        "search: draws: .*only 6 combinations.*7",
    ),
    ({"search": {"draws": 2, "batch_size": [8, 8]}}, "search: batch_size: a value is listed twice"),
    (
        {"search": {"draws": 1, "batch_size": [5000]}},
        "search.batch_size: 5000 is larger than the 1152 training samples",
    ),
    (
        {"search": {"draws": 1, "batch_size": [8]}, "batch_sizes": [8]},
        "search.batch_size and batch_sizes say the same thing",
    ),
    (
        {
            "search": {"draws": 1, "learning_rate": [0.1]},
            "optimizers": ["sgd", {"name": "adam", "learning_rate": 0.1}],
        },
        r"search.learning_rate and optimizers\[1\].learning_rate say the same thing twice",
    ),
    (
        {
            "search": {"draws": 1, "learning_rate": [0.1]},
            "learning_rate_grid": {"points": 3, "per_decade": 1},
        },
        "search.learning_rate and learning_rate_grid say the same thing twice",
    ),
    (
        {
            "search": {"draws": 1, "hyper": {"beta1": [0.1]}},
            "optimizers": [{"name": "adam", "hyper": {"beta1": 0.9}}],
        },
        r"search.hyper.beta1 and optimizers\[0\].hyper.beta1 say the same thing twice",
    ),
    (
        {"search": {"draws": 1, "hyper": {"beta": [0.1]}}},
        "optimizers: sgd has no hyperparameter 'beta'",
    ),
    (
        {
            "search": {"draws": 1, "hyper": {"beta1": [0.1]}},
            "optimizers": ["adam"],
            "convergence": {"rule": "native"},
        },
        "the native rule takes the library's own hyper",
    ),
    ({"scales": {"small": {"seds": 1}}}, r"unknown key 'scales.small.seds'.*did you mean 'seeds'"),
    ({"scales": {"small": {"seeds": 0}}}, r"scales.small.seeds.*greater than 0"),
    (
        {"scales": {"small": {"optimizers": [{"nam": "adam"}]}}},
        r"scales.small.optimizers\[0\].nam.*did you mean 'name'",
    ),
    (
        {"scales": {"small": {"title": "Small"}}},
        "scales.small.title: a scale changes what is swept",
    ),
    ({"scales": {"small": {"scales": {}}}}, "scales.small.scales: a scale changes what is swept"),
    ({"scales": {"small": 3}}, "scales.small: expected a table"),
    ({"scales": ["small"]}, "scales: expected a table"),
    (
        {"batch_sizes": [8], "scales": {"small": {"search": {"draws": 1, "batch_size": [8]}}}},
        "scales.small: search.batch_size and batch_sizes say the same thing",
    ),
    (
        {"tasks": ["digits_lstm"], "activation": ["relu"]},
        r"activation\[0\]: digits_lstm has no hidden Activation layer",
    ),
    (
        {"tasks": ["digits_cnn"], "hidden": [64]},
        r"hidden\[0\]: digits_cnn has no hidden dense or recurrent layer",
    ),
    ({"title": 3}, "title: expected text"),
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
        ("binary.toml", b"\xff\xfe\x00", "not UTF-8 text"),
        ("folder.toml", "folder", "not a file that can be read"),
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
    [
        (["sgd"], ["sgd", "sign_momentum"]),
        ([{"name": "sign_momentum", "learning_rate": 0.5}], ["sign_momentum"]),
    ],
)
def test_a_loaded_optimizer_joins_a_suite_that_does_not_name_it(tmp_path, optimizers, joined):
    suite = make_suite("tiny", {**TINY, "optimizers": optimizers})
    plan = prepare(suite, [ROOT / "examples" / "my_optimizer.py"], Options(output=tmp_path)).plan
    for measure in ("convergence", "timing"):
        assert [
            *dict.fromkeys(r.spec.optimizer.name for r in plan if r.spec.measure == measure)
        ] == joined
    assert optimizers == ["sgd"] or {
        r.spec.schedule.base_lr for r in plan if r.spec.measure == "convergence"
    } == {0.5}
