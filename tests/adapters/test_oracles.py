"""Outside figures that gradrace reproduces: scikit-learn's, closed forms, optax' docstrings."""

from __future__ import annotations

import importlib.util
import json
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from gradrace import data
from gradrace.adapters.numpy import ADAPTER
from gradrace.data import Data, Loader, Split, points
from gradrace.layers import Activation, Dense, Point, build
from gradrace.optimizer import Optimizer, ReferenceRule
from gradrace.plan import RunInputs, make_plan
from gradrace.registry import load_registry
from gradrace.spec import Regularization, RunSpec, TaskSpec
from programs import printed
from runs import opened, spec_of

REGISTRY = load_registry()

# scikit-learn: "Compare Stochastic learning strategies for MLPClassifier", iris, learning rates 0.2
# and 0.01

ALPHA, SAMPLES = 1e-4, 150
HEAVY_BALL, MOMENTUM = {"solver": "sgd", "momentum": 0.9}, {"momentum": 0.9}
SKLEARN = [
    ("sgd", {}, 0.2, {"solver": "sgd", "momentum": 0.0}, 0.096950, 400),
    ("momentum", MOMENTUM, 0.2, {**HEAVY_BALL, "nesterovs_momentum": False}, 0.049530, 139),
    ("nesterov", MOMENTUM, 0.2, {**HEAVY_BALL, "nesterovs_momentum": True}, 0.049540, 143),
    ("adam", {}, 0.01, {"solver": "adam"}, 0.045311, 176),
]


def iris() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_iris
    from sklearn.preprocessing import MinMaxScaler

    x, y = load_iris(return_X_y=True)
    return MinMaxScaler().fit_transform(x), y.astype(np.int64)


def sklearn_start() -> dict[str, np.ndarray]:
    """MLPClassifier(random_state=0) draws so: weights, then biases, uniform in Glorot's bound."""
    rng, start = np.random.RandomState(0), {}
    for name, fan_in, fan_out in (("0_dense", 4, 100), ("2_dense", 100, 3)):
        bound = np.sqrt(6.0 / (fan_in + fan_out))
        start[f"{name}.kernel"] = rng.uniform(-bound, bound, (fan_in, fan_out))
        start[f"{name}.bias"] = rng.uniform(-bound, bound, fan_out)
    return start


def stopped(losses: np.ndarray, tol: float = 1e-4, patience: int = 10) -> int:
    """Epochs of MLPClassifier, which stops if the loss fell by less than `tol` too often."""
    best, waited = np.inf, 0
    for epoch, loss in enumerate(losses, start=1):
        waited = waited + 1 if loss > best - tol else 0
        best = min(best, loss)
        if waited > patience:
            return epoch
    return len(losses)


@pytest.fixture
def iris_task(monkeypatch) -> TaskSpec:
    """The example's network as a task of ours: every step sees all samples, in their order."""
    everything = Split(*iris())
    splits = dict.fromkeys(("train", "validation", "test"), everything)
    monkeypatch.setitem(
        data.SETS, "iris", Loader(SAMPLES, lambda: Data("iris", splits, 3, "UCI Iris"))
    )
    model = (Dense(units=100), Activation(function="relu"), Dense(units=3))
    return TaskSpec(
        **{"name": "iris_mlp", "title": "Iris", "data": "iris", "input_shape": (4,)},
        **{"model": model, "regularization": Regularization(l2=ALPHA / SAMPLES)},
        **{"batch_size": SAMPLES, "steps": 400, "eval_every": 400},
        **{"target": 0.9, "target_origin": "-"},
    )


def epsilon_hat(adam: Optimizer) -> Optimizer:
    """Adam as scikit-learn has it: epsilon is added to the root that is not corrected yet (Kingma &
    Ba, 2015, end of 2).

    It matters here: weights of dead units are left with the penalty's gradient of 1e-7, near
    epsilon."""
    assert adam.rule is not None
    rule = adam.rule

    def update(p, g, state, lr, t, hyper):
        epsilon = hyper["epsilon"] / np.sqrt(1.0 - hyper["beta2"] ** t)
        return rule.update(p, g, state, lr, t, {**hyper, "epsilon": epsilon})

    return replace(adam, rule=ReferenceRule(rule.init, update))


@pytest.mark.parametrize(
    ("name", "hyper", "rate", "theirs", "loss", "steps"), SKLEARN, ids=[row[0] for row in SKLEARN]
)
def test_the_sklearn_example_to_six_digits(iris_task, name, hyper, rate, theirs, loss, steps):
    from sklearn.neural_network import MLPClassifier

    run = spec_of(iris_task, name, rate, hyper=hyper)
    optimizer = REGISTRY.optimizers[name]
    optimizer = epsilon_hat(optimizer) if name == "adam" else optimizer
    inputs = make_plan(run, optimizer)
    in_order = np.tile(np.arange(SAMPLES), (run.steps, 1))
    inputs = RunInputs(optimizer, data.load("iris"), in_order, inputs.learning_rates)
    session = ADAPTER.open(run, sklearn_start(), inputs)
    session.train(range(run.steps))
    losses = session.losses()
    data.load.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = MLPClassifier(
            random_state=0, max_iter=400, learning_rate_init=rate, shuffle=False, **theirs
        ).fit(*iris())
    assert stopped(losses) == steps == fitted.n_iter_
    assert losses[steps - 1] == pytest.approx(loss, abs=5.1e-7), "the published digits"
    assert losses[:steps] == pytest.approx(fitted.loss_curve_, abs=1e-6), (
        "every step of scikit-learn's own"
    )


# Closed forms


def point_run(layer: Point, name: str, rate: float, steps: int, **hyper: float) -> RunSpec:
    task = TaskSpec(
        **{"name": "points", "title": "Points", "data": "point", "input_shape": (1,)},
        **{"model": (layer,), "loss": "output", "metric": "negative_loss", "batch_size": 1},
        **{"steps": steps, "eval_every": steps, "target": 0.0, "target_origin": "-"},
    )
    return spec_of(task, name, rate, hyper=hyper)


def losses_of(run: RunSpec) -> np.ndarray:
    """The function's value before every step."""
    session = opened(run)
    session.train(range(run.steps))
    return session.losses()


@pytest.mark.parametrize("condition", [2.0, 10.0, 100.0])
def test_gradient_descent_contracts_by_the_condition_number(condition):
    layer = Point(objective="quadratic", start=(1.0, 1.0, -2.0)[:2], condition=condition)
    losses = losses_of(point_run(layer, "sgd", 2.0 / (1.0 + condition), 60))
    rate = (condition - 1.0) / (condition + 1.0)
    assert losses == pytest.approx(losses[0] * rate ** (2 * np.arange(60)), rel=1e-12)


@pytest.mark.parametrize("condition", [4.0, 25.0, 100.0])
def test_heavy_ball_at_its_optimal_setting_has_a_double_root(condition):
    """Polyak (1964): with rate (2 / (1 + sqrt k))^2 and momentum r^2, r = (sqrt k - 1) / (sqrt k +
    1), the recurrence of each coordinate has r (or -r) as its double root, so that x_t = (a + b t)
    r^t."""
    root = np.sqrt(condition)
    r, rate = (root - 1.0) / (root + 1.0), (2.0 / (1.0 + root)) ** 2
    layer = Point(objective="quadratic", start=(3.0, 2.0), condition=condition)
    losses = losses_of(point_run(layer, "momentum", rate, 80, momentum=r * r))
    t = np.arange(80)
    expected = np.zeros(80)
    for start, curvature, z in ((3.0, 1.0, r), (2.0, condition, -r)):
        first = start - rate * curvature * start
        expected += 0.5 * curvature * ((start + t * (first / z - start)) * z**t) ** 2
    # A double root magnifies rounding: perturbed by 1e-16 it splits by 1e-8.
    assert losses == pytest.approx(expected, rel=1e-6, abs=1e-25)


def test_a_sum_of_squares_under_gradient_descent():
    """sum x^2 from (1, 2, 3) at rate 0.003 is 14 * 0.994^(2k); ours is half, at twice the rate."""
    layer = Point(objective="quadratic", start=(1.0, 2.0, 3.0), condition=1.0)
    losses = losses_of(point_run(layer, "sgd", 0.006, 500))
    assert 2.0 * losses == pytest.approx(14.0 * 0.994 ** (2 * np.arange(500)), rel=1e-12)


@pytest.mark.parametrize("objective", points.MINIMA)
def test_the_functions_have_their_published_minima(objective):
    for minimum in points.MINIMA[objective]:
        layer = Point(objective=objective, start=minimum)
        (built,) = build((layer,), (1,))
        found = ADAPTER.differentiate(
            built,
            {f"{built.name}.point": np.array(minimum)},
            np.zeros((1, 1)),
            np.ones((1, 1)),
            True,
        )
        assert found.output[0, 0] == pytest.approx(points.MINIMUM[objective], abs=1e-7)
        assert found.gradients[f"{built.name}.point"] == pytest.approx([0.0, 0.0], abs=1e-5)
        assert points.surface(layer, *np.array(minimum)) == pytest.approx(
            found.output[0, 0], abs=1e-12
        )


@pytest.mark.parametrize("objective", points.MINIMA)
def test_the_surface_that_is_drawn_is_the_function_that_is_trained(objective):
    rng = np.random.default_rng(3)
    for x, y in rng.uniform(-3.0, 4.0, (20, 2)):
        layer = Point(objective=objective, start=(x, y), condition=37.0)
        (built,) = build((layer,), (1,))
        trained = ADAPTER.differentiate(
            built,
            {f"{built.name}.point": np.array([x, y])},
            np.zeros((1, 1)),
            np.ones((1, 1)),
            True,
        )
        assert points.surface(layer, np.array(x), np.array(y)) == pytest.approx(
            trained.output[0, 0], rel=1e-12
        )


@pytest.mark.parametrize(
    ("task", "name", "rate", "steps"),
    [
        ("quadratic", "momentum", 0.02, 500),
        ("rosenbrock", "adam", 0.05, 3000),
        ("beale", "adam", 0.05, 2000),
        ("branin", "adam", 0.1, 1000),
        ("branin", "sgd", 0.02, 1000),
    ],
)
def test_optimizers_find_the_minima(task, name, rate, steps):
    layer = REGISTRY.tasks[task].model[0]
    assert isinstance(layer, Point)
    losses = losses_of(point_run(layer, name, rate, steps))
    assert losses[-1] == pytest.approx(points.MINIMUM[layer.objective], abs=1e-6)


# The traces in optax' docstrings: three digits of f = sum x^2 from (1, 2, 3), five steps

# Where optax' default differs from ours; docstrings print runs of optax' defaults.
OPTAX_DEFAULTS: dict[str, dict[str, float]] = {
    "adamw": {"weight_decay": 1e-4},
    "lion": {"weight_decay": 1e-3},
}
# optax.rprop applies each update one step late (google-deepmind/optax#1725); optax.lbfgs searches
# along lines; optax.adan is not the paper's (google-deepmind/optax#1715).
DIFFER = {"rprop", "lbfgs", "adan"}
# Optax' defaults, if a docstring leaves the learning rate to them.
OPTAX_RATES = {"schedule_free_sgd": 1.0}


@cache
def traces() -> dict[str, dict[str, Any]]:
    """From the installed optax, in a process of its own."""
    if importlib.util.find_spec("optax") is None:
        pytest.skip("optax is not installed")
    return json.loads(printed("optax_traces.py").splitlines()[-1])


def trace(
    optimizer: Optimizer, rate: float, steps: int
) -> tuple[list[str], list[np.ndarray], list[np.ndarray]]:
    """The reference rule on f = sum x^2: its printed values, gradients and points."""
    assert optimizer.rule is not None
    hyper = optimizer.hypers(OPTAX_DEFAULTS.get(optimizer.name, {}))
    x = np.array([1.0, 2.0, 3.0])
    state, printed, gradients, path = optimizer.rule.init(x, hyper), [], [], []
    for t in range(1, steps + 1):
        gradients.append(2.0 * x)
        x, state = optimizer.rule.update(x, gradients[-1], state, rate, t, hyper)
        evaluation = getattr(optimizer.rule, "evaluation", None)
        printed.append(_printed(evaluation(x, state, hyper) if evaluation else x))
        path.append(x)
    return printed, gradients, path


def _printed(x: np.ndarray) -> str:
    return f"{float(x @ x):.2E}"


def rate_of(optimizer: Optimizer) -> float:
    """The learning rate of a docstring's trace."""
    given = traces()[optimizer.name]["arguments"].get("learning_rate")
    return OPTAX_RATES[optimizer.name] if given is None else given


def comparable() -> list[Optimizer]:
    """Optimizers of ours with a reference rule and a docstring's trace of the same name."""
    ours = [optimizer for optimizer in REGISTRY.optimizers.values() if optimizer.rule is not None]
    return [
        optimizer
        for optimizer in ours
        if optimizer.name in traces() and optimizer.name not in DIFFER
    ]


@pytest.mark.slow
def test_reference_rules_print_what_optax_docstrings_print():
    for optimizer in comparable():
        known = traces()[optimizer.name]
        printed, _, _ = trace(optimizer, rate_of(optimizer), len(known["printed"]))
        # In float32 a zero has rounding.
        for ours, theirs in zip(printed, known["printed"], strict=True):
            both_vanish = max(float(ours), float(theirs)) < 1e-12
            assert both_vanish or ours == theirs, optimizer.name
    names = {optimizer.name for optimizer in comparable()}
    assert names >= {"sgd", "adam", "adamw", "adagrad", "rmsprop"}
    assert len(traces()) >= 30, (
        "docstrings have changed their form: tests/helpers/optax_traces.py no longer finds them"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "framework", [name for name, known in REGISTRY.frameworks.items() if known.versions()]
)
def test_every_framework_prints_what_optax_docstrings_print(framework):
    cases, expected = [], []
    for optimizer in comparable():
        known = traces()[optimizer.name]
        rate = rate_of(optimizer)
        _, gradients, path = trace(optimizer, rate, len(known["printed"]))
        cases.append(
            {
                "optimizer": optimizer.name,
                "hyper": OPTAX_DEFAULTS.get(optimizer.name, {}),
                "rate": rate,
                "start": [1.0, 2.0, 3.0],
                "gradients": [gradient.tolist() for gradient in gradients],
            }
        )
        expected.append([_printed(x) for x in path])
    said = printed("oracle_updates.py", framework, given=json.dumps(cases))
    taken = json.loads(said.splitlines()[-1])
    compared = 0
    for case, theirs, ours in zip(cases, taken, expected, strict=True):
        if theirs is not None:
            assert [_printed(np.array(x)) for x in theirs] == ours, (
                f"{framework}: {case['optimizer']}"
            )
            compared += 1
    assert compared >= 5


@pytest.mark.slow
@pytest.mark.skipif("rprop" not in REGISTRY.optimizers, reason="rprop is not in the catalogue")
def test_optax_prints_rprop_one_step_late():
    """google-deepmind/optax#1725. If this fails, optax has mended it: remove rprop from DIFFER."""
    known = traces()["rprop"]
    printed, _, _ = trace(
        REGISTRY.optimizers["rprop"], known["arguments"]["learning_rate"], len(known["printed"])
    )
    assert (
        known["printed"][0] == "1.40E+01"
        and known["printed"][1:] == printed[:-1] != known["printed"][:-1]
    )
