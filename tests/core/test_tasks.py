"""Every built-in task: shapes, target, learnt in steps; reports of metrics other than accuracy."""

from __future__ import annotations

import math

import gradrace
import numpy as np
import pytest
from gradrace import data
from gradrace.data import points
from gradrace.data.generated import SYNTHETIC
from gradrace.layers import Point, build
from gradrace.registry import load_registry
from gradrace.report import tables, writer
from gradrace.results import frame
from records import suite_pages
from runs import opened, spec_of

REGISTRY = load_registry()
TASKS = list(REGISTRY.tasks.values())
AT_HAND = [task for task in TASKS if not data.SETS[task.data].published]
# The larger tasks that are made to be timed are too much for the NumPy reference.
SMALL = [task for task in AT_HAND if task.data not in SYNTHETIC or task.name.endswith("_s")]
WIDTHS = {"mnist": 784, "fashion_mnist": 784, "cifar10": 3072, "tiny_shakespeare": 64}
SUITE = {"frameworks": ["numpy"], "dtype": "float64", "seeds": 1}
OUTPUTS = {"accuracy": 2, "r2": 1, "negative_loss": 1}


def names(tasks):
    return [task.name for task in tasks]


def test_all_tasks_of_the_catalogue_are_there():
    expected = {
        *(f"digits_{kind}" for kind in ("mlp", "cnn", "rnn", "lstm", "gru")),
        *(f"{data}_{kind}" for data in ("adding", "copy") for kind in ("rnn", "lstm", "gru")),
        *(f"mnist_{kind}" for kind in ("mlp", "cnn", "lstm")),
        *(f"synthetic_{kind}_{size}" for kind in ("mlp", "cnn", "lstm") for size in "sml"),
        *("breast_cancer_logreg", "wine_mlp", "diabetes_mlp", "fashion_mlp", "fashion_cnn"),
        *("quadratic", "rosenbrock", "beale", "branin"),
        *("cifar10_cnn", "shakespeare_lstm", "shakespeare_gru"),
    }
    assert set(REGISTRY.tasks) == expected


@pytest.mark.parametrize("task", TASKS, ids=names(TASKS))
def test_shapes_fit_the_data_and_the_target_has_an_origin(task):
    width = WIDTHS.get(task.data) or data.load(task.data).train.x.shape[1]
    assert math.prod(task.input_shape) == width
    assert task.batch_size <= data.training_samples(task.data)
    assert task.target_origin and task.eval_every <= task.steps
    assert task.steps % task.eval_every == 0, "the last evaluation is that of the end"
    output = build(task.model, task.input_shape)[-1].output_shape
    if task.loss == "softmax_cross_entropy":
        known = dict.fromkeys(WIDTHS, 10) | {"tiny_shakespeare": 65}
        classes = known.get(task.data) or data.load(task.data).classes
        assert output[-1] == classes
    else:
        assert output == (1,)
    if task.metric == "accuracy":
        assert 0 < task.target < 1
    if task.data in WIDTHS and task.data != "fashion_mnist":
        assert "not calibrated" in task.target_origin


def session_of(task, name="adam", rate=3e-3):
    return opened(spec_of(task, name, rate))


@pytest.mark.parametrize("task", SMALL, ids=names(SMALL))
def test_a_few_steps_lower_the_validation_loss(task):
    steps = 100 if isinstance(task.model[0], Point) else 15
    session = session_of(task.model_copy(update={"steps": steps}))
    before = session.evaluate("validation").loss
    session.train(range(steps))
    losses, after = session.losses(), session.evaluate("validation").loss
    assert np.isfinite(losses).all() and after < before


def test_the_memoryless_answers_score_what_the_docstrings_say():
    adding, copy = data.load("adding").splits["test"], data.load("copy_memory").splits["test"]
    assert np.mean((adding.y - 1.0) ** 2) == pytest.approx(1 / 6, rel=0.1)
    guess = np.where(np.arange(20) < 15, 8, 0)
    assert np.mean(copy.y == guess) == pytest.approx(15 / 20 + 5 / 20 / 8, rel=0.02)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_tasks_made_to_be_timed_have_what_a_teacher_can_teach(name):
    """Standardised features, no rare class, the stated sizes, and a linear model that learns."""
    features, training = SYNTHETIC[name]
    found, task = data.load(name), REGISTRY.tasks[name]
    x, y = found.train.x, found.train.y
    assert x.shape == (training, features) and x.dtype == np.float32 and y.dtype == np.int64
    assert x.nbytes <= 64 * 2**20 and task.batch_size <= len(found.splits["validation"].y)
    assert np.allclose(x.mean(axis=0), 0, atol=1e-3) and np.allclose(x.std(axis=0), 1, atol=1e-3)
    assert np.bincount(y, minlength=10).min() > 0.04 * training
    # Ridge regression on the first samples, through the kernel because there may be more features
    # than samples.
    some, targets, held_out = x[:1024], np.eye(10)[y[:1024]] - 0.1, found.splits["validation"]
    dual = np.linalg.solve(some @ some.T + features * np.eye(1024), targets)
    assert np.mean(np.argmax(held_out.x @ (some.T @ dual), axis=1) == held_out.y) > 0.35
    assert "made to be timed" in task.target_origin and -math.log(10) < task.target < 0


# Reports


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Runs of the NumPy reference on tasks of each metric, one of them diverging."""
    folder = tmp_path_factory.mktemp("tasks")
    chosen = [{"name": "sgd", "learning_rate": 2e-3}, {"name": "adam", "learning_rate": 3e-2}]
    tasks = ["rosenbrock", "diabetes_mlp", "wine_mlp"]
    suite = {**SUITE, "tasks": tasks, "optimizers": chosen, "seeds": 2, "steps": 40}
    metrics = {**suite, "title": "Metrics", "eval_every": 4}
    gradrace.run(metrics, name="metrics", output=folder, verify=False)
    wild = [{"name": "sgd", "learning_rate": 10.0}, "adam"]
    suite |= {"title": "Wild", "tasks": ["beale"], "optimizers": wild, "eval_every": 4}
    gradrace.run(suite, name="wild", output=folder, verify=False)
    return folder


@pytest.fixture(scope="module")
def html(output, tmp_path_factory):
    page = writer.write(frame.load(output), tmp_path_factory.mktemp("html"))
    return suite_pages(page.parent)


def test_the_path_of_a_point_is_kept_at_every_evaluation(output):
    frames = frame.load(output, "metrics")
    ways = tables.paths(frames, tables.chosen(frames, "metrics"))
    assert set(ways["task"]) == {"rosenbrock"} and set(ways["series"]) == {"sgd", "adam"}
    layer = REGISTRY.tasks["rosenbrock"].model[0]
    for digest, way in ways.groupby("digest"):
        assert way["step"].tolist() == list(range(0, 41, 4))
        assert (way["x"].iloc[0], way["y"].iloc[0]) == (-1.2, 1.0)
        curve = frames.curves[
            (frames.curves["digest"] == digest) & (frames.curves["series"] == "validation_loss")
        ]
        height = points.surface(layer, way["x"].to_numpy(), way["y"].to_numpy())
        assert height == pytest.approx(curve["value"].to_numpy(), rel=1e-12)


def test_the_report_draws_the_path_on_contours(html):
    assert html.count("rosenbrock: paths on contours</title>") == 1
    assert "diabetes_mlp: paths" not in html
    description = html[html.index("Ways of the optimizers over the contours") :][:600]
    for words in ("from (-1.2, 1.0)", "sgd in numpy", "ends at ("):
        assert words in description
    assert "beale: paths on contours</title>" in html, "a diverged run does not cost the figure"


def test_metrics_are_named_for_what_they_are(html, output):
    def summary_of(task):
        caption = html.index(f"{task}: outcome and cost")
        return html[caption : html.index("</table>", caption)]

    diabetes = summary_of("diabetes_mlp")
    assert "Final val. R²" in diabetes and "acc." not in diabetes
    assert "Best val. acc., %" in summary_of("wine_mlp")
    assert "acc." not in summary_of("rosenbrock") and "R²" not in summary_of("rosenbrock")
    assert "until validation loss is 0.001" in html and "until validation R² is 0.505" in html
    compact = tables.summary_compact(frame.load(output, "metrics"), "metrics").set_index("task")
    assert compact["best val metric"]["wine_mlp"].str.endswith("%").all()
    assert (compact["best val metric"]["rosenbrock"] == "–").all()
    assert not compact["best val metric"]["diabetes_mlp"].str.endswith("%").any()


def test_a_plateau_is_driven_and_drawn_as_it_was_applied(tmp_path):
    params = {"patience": 1, "factor": 0.5, "min_delta": 0.05}
    suite = {
        **{**SUITE, "title": "Plateau", "tasks": ["wine_mlp"], "optimizers": ["momentum"]},
        **{"schedules": [{"kind": "plateau", "params": params}], "steps": 70, "eval_every": 7},
    }
    frames = gradrace.run(suite, name="plateau", output=tmp_path, verify=False)
    assert frames.runs.status.tolist() == ["ok"], frames.runs.reason.tolist()
    curves = frames.curves.set_index("series")
    applied = curves["value"]["learning_rate"].to_numpy()
    losses = curves["value"]["validation_loss"].to_numpy()
    base, step, best = REGISTRY.optimizers["momentum"].learning_rate, 0, math.inf
    expected, rate = [], base
    for loss in losses[:-1]:
        rate, best = (rate, loss) if loss < best - 0.05 else (max(rate / 2, base / 1000), best)
        expected += [rate] * 7
        step += 7
    assert applied == pytest.approx(expected) and applied[-1] < base
    drawn = tables.schedule_curves(frames, "plateau")
    assert drawn["factor"].to_numpy() == pytest.approx(applied / base)
    assert "as in convergence/wine_mlp" in drawn["schedule"].iloc[0]
