"""Suites: what they expand to, and every kind of mistake in one."""

from __future__ import annotations

import re
import tomllib

import numpy as np
import pytest
from gradrace import data
from gradrace.errors import UserError
from gradrace.plugins.space import limits_of
from gradrace.results.frame import load
from gradrace.spec import EarlyStopping, Regularization
from gradrace.suite import built_in, expand, make_suite, read_suite
from gradrace.sweep import Options, execute, prepare
from paths import ROOT
from tiny import TINY, toml


def expanded(registry, **changes):
    return expand(make_suite("tiny", {**TINY, **changes}), registry)


def test_everything_is_crossed(registry):
    adam = {"name": "adam", "learning_rate": [0.1, 0.2]}
    runs = expanded(registry, schedules=["constant", "cosine"], optimizers=["sgd", adam])
    converging = [run for run in runs if run.measure == "convergence"]
    assert len(converging) == 2 * 3 * 2, "schedules x (sgd, adam, adam) x seeds"
    timed = [run.optimizer.name for run in runs if run.measure == "timing"]
    assert timed == ["sgd", "adam"], "step time does not depend on the rate"
    assert len({run.id for run in runs}) == len(runs)
    assert all(run.steps == 20 for run in converging)


def test_hyperparameters_are_swept_and_named(registry):
    entry = {"name": "momentum", "hyper": {"momentum": [0.5, 0.9]}}
    runs = expanded(registry, optimizers=[entry], seeds=1, timing=False)
    assert [run.variations for run in runs] == [{"momentum": 0.5}, {"momentum": 0.9}]
    assert [run.optimizer.hyper["momentum"] for run in runs] == [0.5, 0.9]


def test_batch_sizes_are_swept_and_named(registry):
    runs = expanded(registry, batch_sizes=[16, 64], seeds=[7], timing=False)
    found = {(run.task.batch_size, run.variations["batch_size"], run.seed) for run in runs}
    assert found == {(16, 16, 7), (64, 64, 7)}


def test_devices_dtypes_and_threads_are_swept_and_named(registry):
    swept = {"device": ["cpu", "gpu"], "dtype": ["float64", "bfloat16"], "threads": [1, 4]}
    runs = expanded(registry, optimizers=["sgd"], seeds=1, **swept)
    assert len({run.id for run in runs}) == len(runs) == 8 + 8, "trained and timed"
    for run in runs:
        assert run.variations == {"device": run.device, "dtype": run.dtype, "threads": run.threads}
    plain = expanded(registry, optimizers=["sgd"], seeds=1, device=["cpu"], threads=[2])
    assert all(run.variations == {} and run.threads == 2 for run in plain), "no name if none varies"


def test_all_modes_of_every_framework(registry):
    runs = expanded(registry, frameworks=["torch", "jax"], optimizers=["sgd"], seeds=1, modes="all")
    for measure in ("convergence", "timing"):
        for name in ("torch", "jax"):
            modes = [run.mode for run in runs if run.measure == measure and run.framework == name]
            assert modes == list(registry.frameworks[name].modes)


def test_a_timing_part_says_launches_parts_inputs_and_memory(registry):
    inputs = ("resident", "pipeline")
    given = {"launches": 3, "blocks": 6, "breakdown": True, "memory": True, "inputs": list(inputs)}
    runs = expanded(registry, optimizers=["sgd"], convergence=False, timing=given)
    timed, measured = (
        [run for run in runs if run.measure == measure] for measure in ("timing", "memory")
    )
    assert [(run.launch, run.input) for run in timed] == [(k, i) for k in range(3) for i in inputs]
    assert {run.variations.get("input") for run in timed} == {None, "pipeline"}
    alone = [(run.launch, run.input, run.timing) for run in measured]
    assert alone == [(0, input_, None) for input_ in inputs]
    rules = [run.timing for run in timed]
    assert {(t.breakdown, t.blocks, t.warmup_steps) for t in rules} == {(True, 6, 100)}
    assert len({run.id for run in runs}) == len(runs)


def test_a_timing_part_that_says_nothing_has_ten_launches_of_thirty_blocks(registry):
    runs = expanded(registry, optimizers=["sgd"], convergence=False, timing={})
    assert len(runs) == 10
    rules = {(r.timing.blocks, r.timing.block_steps, r.timing.breakdown) for r in runs}
    assert rules == {(30, 25, False)}
    assert {run.optimizer.rule for run in runs} == {"native"}


@pytest.mark.parametrize("timing", [False, TINY["timing"]])
def test_only_the_clock(tmp_path, timing):
    """No convergence; the suite's own timing or the default one, with what the command line says
    instead. What would be trained is timed: the canonical rule, which TINY times anyway and the
    default beside the native one."""
    swept = {**TINY, "timing": timing, "device": ["cpu", "gpu"], "threads": [1, 2]}
    clock = {"clock_only": True, "timing": {"launches": 2, "memory": True}}
    options = Options(output=tmp_path, **clock, device="cpu", threads=1, dtype="float32")
    specs = [run.spec for run in prepare(make_suite("tiny", swept), options=options).plan]
    cells = 2 if timing else 4
    assert [spec.measure for spec in specs] == ["timing"] * 2 * cells + ["memory"] * cells
    rules = {"canonical"} if timing else {"canonical", "native"}
    assert {spec.optimizer.rule for spec in specs} == rules
    assert {(spec.device, spec.threads, spec.dtype) for spec in specs} == {("cpu", 1, "float32")}
    assert {spec.timing.blocks for spec in specs if spec.timing} == {4 if timing else 30}


def test_schedules_of_one_kind_are_told_apart(registry):
    both = [{"kind": "cosine", "params": {"final_fraction": f}} for f in (0.0, 0.1)]
    assert len(expanded(registry, schedules=both, timing=False)) == 2 * 2 * 2


def test_a_grid_of_learning_rates_is_laid_around_each_optimizers_own(registry):
    entries = ["adam", {"name": "sgd", "learning_rate": 0.5}]
    grid = {"points": 5, "per_decade": 2}
    runs = expanded(registry, optimizers=entries, seeds=1, timing=False, learning_rate_grid=grid)
    rates = [(run.optimizer.name, run.schedule.base_lr) for run in runs]
    adam, sgd = ([rate for name, rate in rates if name == of] for of in ("adam", "sgd"))
    assert adam == [0.0003, 0.00095, 0.003, 0.0095, 0.03]
    assert sgd == [0.05, 0.16, 0.5, 1.6, 5.0]
    assert len(rates) == 5 + 5


def test_shares_of_the_data_are_swept_and_named_if_there_are_several(registry):
    def shares(measure, **changes):
        runs = expanded(registry, optimizers=["sgd"], seeds=1, **changes)
        found = [run for run in runs if run.measure == measure]
        return [(run.task.train_fraction, run.variations) for run in found]

    swept = {"train_fractions": [0.1, 0.5, 1.0]}
    named = [(share, {"train_fraction": share}) for share in (0.1, 0.5, 1.0)]
    assert shares("convergence", **swept) == named
    assert shares("timing", **swept) == [(1.0, {})], "step time does not depend on it"
    alone = {"train_fractions": [0.5], "timing": False}
    assert shares("convergence", **alone) == [(0.5, {})] and not shares("timing", **alone)


def test_diagnosis_is_of_trained_runs_alone(registry):
    runs = expanded(registry, optimizers=["sgd"], seeds=1, diagnose=True)
    measures = [(run.measure, run.diagnose) for run in runs]
    assert measures == [("convergence", True), ("timing", False)]


def test_several_rules_are_crossed(registry):
    rule = {"rule": ["canonical", "native"]}
    runs = expanded(registry, convergence=rule, timing=False, seeds=1)
    names = [(run.optimizer.name, run.optimizer.rule) for run in runs]
    assert names == [(name, kind) for name in ("sgd", "adam") for kind in ("canonical", "native")]
    for run, (name, rule) in zip(runs, names, strict=True):
        assert (run.optimizer.hyper == {}) == (rule == "native" or name == "sgd")


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
    changes |= {"frameworks": ["numpy", "torch"], "regularization": ["none", {"l2": 0.1}]}
    runs = expanded(registry, **changes)
    assert len(runs) == 9 * 2 * 2 * 2 * 2 and len({run.id for run in runs}) == len(runs)
    of_draws = settings(runs)
    assert list(of_draws) == list(range(9)) and all(len(one) == 1 for one in of_draws.values())
    drawn = [next(iter(one)) for one in of_draws.values()]
    assert len(set(drawn)) == 9
    assert all(1e-4 <= rate <= 0.1 and size in (16, 32, 64) for rate, size, *_ in drawn)
    assert all(0.8 <= beta1 <= 0.99 and beta2 in (0.99, 0.999) for *_, beta1, beta2, _ in drawn)
    rates = [rate for rate, *_ in drawn]
    assert min(rates) < 0.003 < max(rates), "in the logarithm"


def test_every_optimizer_draws_from_its_published_space(registry):
    """Equal ranges give equal values; what an entry gives is not drawn."""
    entries = ["adamw", "mars_adamw", {"name": "lion", "learning_rate": 1e-3}]
    entries.append({"name": "ademamix", "hyper": {"alpha": 8.0}})
    search = {"draws": 6, "published": True}
    runs = expanded(registry, optimizers=entries, timing=False, seeds=2, search=search)
    drawn = {name: {} for name in ("adamw", "mars_adamw", "lion", "ademamix")}
    for run in runs:
        values = {"learning_rate": run.schedule.base_lr, **run.optimizer.hyper}
        drawn[run.optimizer.name].setdefault(run.variations["draw"], values)
    for name, draws in drawn.items():
        optimizer = registry.optimizers[name]
        assert len({tuple(values.values()) for values in draws.values()}) == 6
        for key, given in optimizer.space.ranges.items():
            low, high = limits_of(given)
            assert all(low <= values[key] <= high for values in draws.values()), (name, key)
        for key in optimizer.hyper.keys() - optimizer.space.ranges.keys():
            assert {values[key] for values in draws.values()} == {optimizer.hyper[key].default}
    for number in range(6):
        mars, adamw = (drawn[name][number] for name in ("mars_adamw", "adamw"))
        shared = ("learning_rate", "beta1", "weight_decay")
        assert [mars[key] for key in shared] == [adamw[key] for key in shared]
    assert {values["learning_rate"] for values in drawn["lion"].values()} == {1e-3}
    assert {values["alpha"] for values in drawn["ademamix"].values()} == {8.0}


def test_published_spaces_and_a_grid_exclude_each_other(registry):
    grid, search = {"points": 3, "per_decade": 2}, {"draws": 2, "published": True}
    with pytest.raises(UserError, match="search.published and learning_rate_grid say the same"):
        expanded(registry, learning_rate_grid=grid, search=search, timing=False)


@pytest.mark.parametrize(
    "change",
    [
        {"draws": 30},
        {"batch_size": None},
        {"hyper": {**SEARCH["hyper"], "epsilon": {"low": 1e-9, "high": 1e-7, "log": True}}},
    ],
    ids=["more draws", "one key less", "one key more"],
)
def test_draws_stay_when_the_search_grows(registry, change):
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
    rates = np.array([run.schedule.base_lr for run in runs])
    decades = [((low <= rates) & (rates < 10 * low)).sum() for low in (1e-4, 1e-3, 1e-2, 1e-1)]
    assert sum(decades) == 300 and all(50 < count < 100 for count in decades)


SMALL, LARGE = {"seeds": 1, "optimizers": ["sgd"]}, {"seeds": 9, "timing": False}
SCALED = TINY | {"scales": {"small": SMALL, "large": LARGE}}


def test_a_scale_replaces_keys_and_the_command_line_replaces_those(tmp_path):
    def plan(**options):
        runs = prepare(make_suite("tiny", SCALED), options=Options(output=tmp_path, **options)).plan
        return [run.spec for run in runs]

    assert len(plan()) == 4 + 2
    small = [(run.measure, run.optimizer.name, run.seed) for run in plan(scale="small")]
    assert small == [("convergence", "sgd", 0), ("timing", "sgd", 0)]
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


BOTH = ["fashion_mlp", "digits_mlp"]


@pytest.mark.parametrize(
    ("here", "instead", "task"),
    [
        (["mnist", "digits"], "digits_mlp", "mnist_mlp"),
        (["digits"], "digits_mlp", "digits_mlp"),
        (["mnist", "fashion_mnist", "digits"], BOTH, "mnist_mlp"),
        (["fashion_mnist", "digits"], BOTH, "fashion_mlp"),
        (["digits"], BOTH, "digits_mlp"),
        ([], BOTH, "digits_mlp"),
    ],
)
def test_another_task_stands_in_for_one_whose_data_are_missing(
    tmp_path, monkeypatch, here, instead, task
):
    monkeypatch.setattr(data, "missing", lambda name: "" if name in here else f"{name} is not here")
    content = {**TINY, "tasks": ["mnist_mlp"], "instead": {"mnist_mlp": instead}}
    sweep = prepare(make_suite("tiny", content), options=Options(tmp_path))
    assert {run.spec.task.name for run in sweep.plan} == {task}
    said = f"Tiny: {task} for want of mnist_mlp (gradrace fetch mnist)"
    assert sweep.suite.content.title == ("Tiny" if "mnist" in here else said)


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ({"mnist_mlp": "digit_mlp"}, "instead.mnist_mlp: no task 'digit_mlp'"),
        ({"mnist_mlp": ["digits_mlp", "digit"]}, "instead.mnist_mlp: no task 'digit'"),
        ({"mnist": "digits_mlp"}, "instead: no task 'mnist'"),
    ],
)
def test_a_stand_in_that_is_no_task_is_told(tmp_path, instead, message):
    with pytest.raises(UserError, match=message):
        prepare(make_suite("tiny", {**TINY, "instead": instead}), options=Options(tmp_path))


def varied(registry, task="digits_mlp", **sweep):
    """variations -> task, of a suite with this sweep; a single variation is its own key."""
    runs = expanded(registry, tasks=[task], optimizers=["sgd"], seeds=1, timing=False, **sweep)
    assert len({run.id for run in runs}) == len(runs)
    names = [tuple(run.variations.values()) for run in runs]
    keys = [name[0] if len(name) == 1 else name for name in names]
    return dict(zip(keys, [run.task for run in runs], strict=True))


def of_dense(task, name):
    """An attribute of each dense layer."""
    return [getattr(layer, name) for layer in task.model if layer.kind == "dense"]


def kinds(task):
    return [layer.kind for layer in task.model]


def test_activations_are_swept_and_named(registry):
    tasks = varied(registry, activation=["tanh", "gelu"])
    assert list(tasks) == ["tanh", "gelu"]
    model = tasks["gelu"].model
    assert {layer.function for layer in model if layer.kind == "activation"} == {"gelu"}
    assert kinds(tasks["gelu"]) == kinds(registry.tasks["digits_mlp"])


def test_initializers_are_those_of_all_kernels(registry):
    tasks = varied(registry, "digits_lstm", initializer=["orthogonal", "lecun_normal"])
    lstm, dense = tasks["orthogonal"].model
    assert lstm.initializer == lstm.recurrent_initializer == dense.initializer == "orthogonal"


def test_hidden_sizes_are_one_number_or_one_for_each_layer(registry):
    tasks = varied(registry, hidden=[16, [32, 8]])
    units = {name: of_dense(task, "units") for name, task in tasks.items()}
    assert units == {16: [16, 16, 10], "32-8": [32, 8, 10]}
    lstm = varied(registry, "digits_lstm", hidden=[5])[5]
    assert [layer.units for layer in lstm.model] == [5, 10]


def test_depth_repeats_the_last_hidden_layer_or_leaves_the_last_ones_out(registry):
    tasks = varied(registry, depth=[1, 2, 4])
    assert kinds(tasks[1]) == ["dense", "activation", "dense"]
    assert tasks[2].model == registry.tasks["digits_mlp"].model
    assert kinds(tasks[4]) == ["dense", "activation"] * 4 + ["dense"]
    crossed = {"normalization": ["batch"], "regularization": [{"dropout": 0.5}]}
    (deep,) = varied(registry, depth=[3], hidden=[8], **crossed).values()
    assert kinds(deep) == ["dense", "batch_norm", "activation", "dropout"] * 3 + ["dense"]
    assert of_dense(deep, "units") == [8, 8, 8, 10]


def test_stacked_recurrent_layers_hand_on_every_step(registry):
    tasks = varied(registry, "digits_lstm", depth=[1, 3])
    assert tasks[1].model == registry.tasks["digits_lstm"].model
    assert kinds(tasks[3]) == ["lstm"] * 3 + ["dense"]
    assert [layer.sequences for layer in tasks[3].model[:3]] == [True, True, False]
    copy = varied(registry, "copy_gru", depth=[2])[2]
    assert [layer.sequences for layer in copy.model[:2]] == [True, True]
    assert len(registry.tasks["synthetic_lstm_l"].model) == 3
    once = varied(registry, "synthetic_lstm_l", depth=[1])[1]
    assert kinds(once) == ["lstm", "dense"] and not once.model[0].sequences


def test_normalisation_stands_before_hidden_activations(registry):
    tasks = varied(registry, normalization=["none", "batch", "layer", "weight"])
    assert tasks["none"].model == registry.tasks["digits_mlp"].model
    assert kinds(tasks["batch"]) == ["dense", "batch_norm", "activation"] * 2 + ["dense"]
    assert of_dense(tasks["batch"], "bias") == [False, False, True]
    assert kinds(tasks["layer"]) == ["dense", "layer_norm", "activation"] * 2 + ["dense"]
    assert all(of_dense(tasks["weight"], "weight_norm"))
    cnn = varied(registry, "digits_cnn", normalization=["batch"])["batch"]
    assert kinds(cnn)[:3] == ["conv2d", "batch_norm", "activation"]


def test_regularization_is_swept_entry_by_entry(registry):
    named = {
        "none": "none",
        "l2=0.0001": {"l2": 1e-4},
        "l2=0.001": {"l2": 1e-3},
        "l1=1e-05+decay=0.01": {"l1": 1e-5, "decay": 0.01},
        "clip_norm=1.0": {"clip_norm": 1.0},
        "dropout=0.5": {"dropout": 0.5},
        "dropout=0.25+early_stopping=3": {"early_stopping": 3, "dropout": 0.25},
    }
    tasks = varied(registry, regularization=[*named.values(), {}])
    assert list(tasks) == list(named), "an empty entry is none"
    assert tasks["none"].regularization == Regularization()
    assert tasks["l1=1e-05+decay=0.01"].regularization == Regularization(l1=1e-5, decay=0.01)
    assert kinds(tasks["dropout=0.5"]) == ["dense", "activation", "dropout"] * 2 + ["dense"]
    assert tasks["dropout=0.25+early_stopping=3"].early_stopping == EarlyStopping(patience=3)
    lstm = varied(registry, "digits_lstm", regularization=[{"dropout": 0.5}])["dropout=0.5"]
    assert kinds(lstm)[1] == "dropout"


def test_variations_are_crossed_and_timed_too(registry):
    sweep = {"activation": ["tanh", "elu"], "normalization": ["none", "batch"]}
    sweep |= {"regularization": ["none", {"dropout": 0.1}]}
    runs = expanded(registry, optimizers=["sgd"], seeds=1, **sweep)
    for measure in ("convergence", "timing"):
        assert len([run for run in runs if run.measure == measure]) == 8
    last = {"activation": "elu", "normalization": "batch", "regularization": "dropout=0.1"}
    full = next(run for run in runs if run.variations == last)
    assert kinds(full.task) == ["dense", "batch_norm", "activation", "dropout"] * 2 + ["dense"]
    assert "activation=elu/normalization=batch/regularization=dropout=0.1" in full.id


def test_a_varied_suite_runs(registry, tmp_path):
    """Status ok for all, in the reference; and variations are columns of the frames."""
    every = {"dropout": 0.2, "l1": 1e-4, "l2": 1e-4, "decay": 0.01, "clip_norm": 1.0}
    swept = {"hidden": [8], "normalization": ["batch", "weight"], "regularization": ["none", every]}
    alone = {"optimizers": ["sgd"], "seeds": 1, "timing": False}
    suite = make_suite("varied", {**TINY, **alone, **swept})
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


# A change of the suite as a user writes it, then the message (a pattern).
MISTAKES = r"""
task = ["digits_mlp"]
    unknown key 'task'.*did you mean 'tasks'
tasks = ["digit_mlp"]
    tasks: no task 'digit_mlp'.*did you mean 'digits_mlp'
tasks = []
    tasks: .*at least one entry
tasks = "digits_mlp"
    tasks: .*list
frameworks = ["troch"]
    frameworks: no framework 'troch'.*did you mean 'torch'
optimizers = ["adm"]
    optimizers: no optimizer 'adm'.*did you mean 'adam'
optimizers = [{name = "adam", learning_rat = 0.1}]
    optimizers\[0\].learning_rat.*did you mean 'learning_rate'
optimizers = [{name = "adam", learning_rate = -1}]
    optimizers\[0\].learning_rate.*greater than 0
optimizers = [{name = "adam", learning_rate = []}]
    optimizers\[0\].learning_rate.*not \[\]
optimizers = [{name = "adam", hyper = {beta = 0.9}}]
    optimizers: adam has no hyperparameter 'beta'
optimizers = [{name = "adam", hyper = {beta1 = 2.0}}]
    beta1 = 2 is outside \[0, 1\]
schedules = ["cosin"]
    schedules: no schedule 'cosin'.*did you mean 'cosine'
schedules = [{kind = "cosine", params = {x = 1}}]
    schedules: schedule cosine has no parameter 'x'
seeds = 0
    seeds.*greater than 0
seeds = "many"
    seeds.*'many'
batch_sizes = [5000]
    batch_sizes: 5000 is larger than the 1152 training samples
dtype = "float16"
    dtype.*float32
steps = 0
    steps.*greater than 0
modes = {numpy = ["refrence"]}
    modes.numpy: no mode 'refrence'.*did you mean 'reference'
modes = {nmpy = ["reference"]}
    modes: no framework 'nmpy'
timing = {bloks = 3}
    timing.bloks.*did you mean 'blocks'
timing = {blocks = 1}
    timing.blocks.*a number of at least 4
timing = {launches = 0}
    timing.launches.*greater than or equal to 1|timing.launches.*greater than 0
timing = {inputs = ["disk"]}
    timing.inputs\[0\].*'resident' or 'pipeline'
timing = {inputs = []}
    timing.inputs.*at least one entry
device = ["cpu", "tpu"]
    device\[1\].*'cpu' or 'gpu'
device = "tpu"
    device.*'cpu' or 'gpu'
threads = [1, 0]
    threads\[1\].*greater than 0
dtype = "float16"
    dtype.*'float32'
modes = "every"
    modes.*'all'
convergence = false
timing = false
    nothing to run
activations = ["relu"]
    unknown key 'activations'.*did you mean 'activation'
activation = ["relu", "tahn"]
    activation\[1\]: no activation 'tahn'.*did you mean 'tanh'
activation = []
    activation: .*at least one entry
activation = "tanh"
    activation: .*list
initializer = ["he"]
    initializer\[0\]: no initializer 'he'.*known: .*he_normal
hidden = [0]
    hidden\[0\].*greater than 0
hidden = [[64, 0]]
    hidden\[0\]\[1\].*greater than 0
hidden = ["wide"]
    hidden\[0\].*'wide'
hidden = [64, [64, 32, 16]]
    hidden\[1\]: digits_mlp has 2 hidden dense or recurrent layers, not 3
normalization = ["btach"]
    normalization\[0\]: no normalization 'btach'.*did you mean 'batch'
regularization = ["nothing"]
    regularization\[0\].*'none'
regularization = [{clip = 1.0}]
    unknown key 'regularization\[0\].clip'.*did you mean 'clip_norm'
regularization = [{l2 = -1.0}]
    regularization\[0\].l2.*a number of at least 0
regularization = [{dropout = 1.0}]
    regularization\[0\].dropout.*less than 1
regularization = [{early_stopping = 0}]
    regularization\[0\].early_stopping.*greater than 0
regularization = {l2 = 0.0001}
    regularization: .*list
depth = [0]
    depth\[0\].*greater than 0
tasks = ["digits_cnn"]
depth = [2]
    depth\[0\]: digits_cnn has no hidden dense or recurrent layer
train_fractions = [0.5, 0.0]
    train_fractions\[1\].*greater than 0
train_fractions = [1.5]
    train_fractions\[0\].*a number of at most 1
train_fractions = [0.01]
    train_fractions: 0.01 leaves 12 training samples of digits_mlp, fewer than a batch of 32
convergence = {rule = ["canonical", "natve"]}
    convergence.rule\[1\].*'canonical' or 'native'
convergence = {rule = []}
    convergence.rule.*
optimizers = [{name = "adam", hyper = {beta1 = true}}]
    optimizers: adam: beta1: expected a number, not True
optimizers = [{name = "adam", hyper = {betas = [[0.9, 0.95]]}}]
    optimizers: adam has no hyperparameter 'betas'.*did you mean 'beta2'
optimizers = [{name = "adam", hyper = {beta1 = []}}]
    optimizers\[0\].hyper.beta1.*
learning_rate_grid = {points = 4, per_decade = 2}
    learning_rate_grid: points: 4 is even.*take 5
learning_rate_grid = {points = 1, per_decade = 2}
    learning_rate_grid.points.*a number of at least 3
learning_rate_grid = {points = 3, per_decad = 2}
    learning_rate_grid.per_decad.*did you mean 'per_decade'
learning_rate_grid = {points = 3, per_decade = 1}
optimizers = [{name = "adam", learning_rate = [0.1, 0.2]}]
    learning_rate_grid and the list optimizers\[0\].learning_rate say the same thing twice
search = {seed = 0, batch_size = [8]}
    search.draws: is missing
search = {draws = 3}
    search: nothing to draw
search = {draws = 3, published = true, learning_rate = [0.1]}
    search: published draws learning_rate and hyper
search = {draws = 3, published = true, hyper = {beta1 = [0.9]}}
    search: published draws learning_rate and hyper
search = {draws = 0, batch_size = [8]}
    search.draws.*greater than 0
search = {draws = 3, learning_rates = [0.1]}
    search.learning_rates.*did you mean 'learning_rate'
search = {draws = 3, learning_rate = []}
    search.learning_rate.*at least one entry
search = {draws = 3, learning_rate = {low = 0.1, high = 0.1}}
    search.learning_rate: the range is empty: low = 0.1
search = {draws = 3, learning_rate = {low = 0, high = 1, log = true}}
    starts above 0, not at low = 0
search = {draws = 3, learning_rate = {low = 0, high = 1}}
    search: learning_rate: 0 is not greater than 0
search = {draws = 3, learning_rate = {low = 0.1, hihg = 1}}
    unknown key 'search.learning_rate.hihg'.*'high'
search = {draws = 7, learning_rate = [0.1, 0.2], batch_size = [8, 16, 32]}
    search: draws: .*only 6 combinations.*7
search = {draws = 2, batch_size = [8, 8]}
    search: batch_size: a value is listed twice
search = {draws = 1, batch_size = [5000]}
    search.batch_size: 5000 is larger than the 1152 training samples
search = {draws = 1, batch_size = [8]}
batch_sizes = [8]
    search.batch_size and batch_sizes say the same thing
search = {draws = 1, learning_rate = [0.1]}
optimizers = ["sgd", {name = "adam", learning_rate = 0.1}]
    search.learning_rate and optimizers\[1\].learning_rate say the same thing twice
search = {draws = 1, learning_rate = [0.1]}
learning_rate_grid = {points = 3, per_decade = 1}
    search.learning_rate and learning_rate_grid say the same thing twice
search = {draws = 1, hyper = {beta1 = [0.1]}}
optimizers = [{name = "adam", hyper = {beta1 = 0.9}}]
    search.hyper.beta1 and optimizers\[0\].hyper.beta1 say the same thing twice
search = {draws = 1, hyper = {beta = [0.1]}}
    optimizers: sgd has no hyperparameter 'beta'
scales = {small = {seds = 1}}
    unknown key 'scales.small.seds'.*did you mean 'seeds'
scales = {small = {seeds = 0}}
    scales.small.seeds.*greater than 0
scales = {small = {optimizers = [{nam = "adam"}]}}
    scales.small.optimizers\[0\].nam.*did you mean 'name'
scales = {small = {title = "Small"}}
    scales.small.title: a scale changes what is swept
scales = {small = {scales = {}}}
    scales.small.scales: a scale changes what is swept
scales = {small = 3}
    scales.small: expected a table
scales = ["small"]
    scales: expected a table
batch_sizes = [8]
scales = {small = {search = {draws = 1, batch_size = [8]}}}
    scales.small: search.batch_size and batch_sizes say the same thing
tasks = ["digits_lstm"]
activation = ["relu"]
    activation\[0\]: digits_lstm has no hidden Activation layer
tasks = ["digits_cnn"]
hidden = [64]
    hidden\[0\]: digits_cnn has no hidden dense or recurrent layer
title = 3
    title: expected text
"""


CHANGES = re.findall(r"((?:\S.*\n)+)    (.+)\n", MISTAKES)


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=lambda text: text[:50])
def test_a_mistake_is_named_with_file_and_key(registry, tmp_path, change, message):
    file = tmp_path / "mine.toml"
    file.write_text(toml(TINY | tomllib.loads(change)))
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
        names = [run.spec.optimizer.name for run in plan if run.spec.measure == measure]
        assert [*dict.fromkeys(names)] == joined
    if optimizers != ["sgd"]:
        rates = {r.spec.schedule.base_lr for r in plan if r.spec.measure == "convergence"}
        assert rates == {0.5}
