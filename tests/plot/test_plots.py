"""Plots of results: what is drawn is what the report draws, in the width of a page's column."""

from __future__ import annotations

import re
from collections.abc import Iterator

import gradrace
import matplotlib
import numpy as np
import pytest
import seaborn
from gradrace import UserError, plot
from gradrace.plot.figure import COLUMNS
from gradrace.report import tables
from gradrace.report.draw.svg import styled
from gradrace.results import frame
from gradrace.results.frame import Frames
from gradrace.spec import RunSpec
from records import Verdict, make_results, make_specs


def judge(spec: RunSpec) -> Verdict:
    lost = spec.optimizer.name == "adam" and spec.seed == 1 and spec.task.name == "cnn"
    return ("diverged", "made up") if lost and spec.measure == "convergence" else ("ok", "")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frames]:
    output = tmp_path_factory.mktemp("results")
    specs = make_specs(["mlp", "cnn"], ["torch"], rates=(0.001, 0.003, 0.01), seeds=range(2))
    kinds = make_specs(["mlp"], ["torch"], ["sgd"], range(1), schedules=("constant", "cosine"))
    make_results(output, "demo", specs, judge)
    make_results(output, "kinds", kinds)
    yield frame.load(output)


@pytest.fixture(scope="module")
def demo(frames: Frames) -> Frames:
    return frames.filter(suite="demo")


def test_the_style_of_the_report_is_seaborns():
    with styled():
        ours = dict(matplotlib.rcParams)
    with matplotlib.rc_context(seaborn.axes_style("ticks")), styled():
        assert dict(matplotlib.rcParams) == ours


def names(figure) -> set[str]:
    return {text.get_text() for legend in figure.legends for text in legend.get_texts()}


@pytest.mark.parametrize(
    "draw, more, title",
    [
        (plot.convergence, {}, "mlp: convergence by step"),
        (plot.convergence, {"x": "seconds"}, "mlp: convergence by time"),
        (plot.learning_rate_sensitivity, {}, "mlp: learning rates"),
        (plot.step_times, {}, "mlp: step time"),
        (plot.step_times, {"metric": "first call"}, "mlp: first step"),
        (plot.time_to_target, {}, "mlp: time to target"),
        (plot.time_to_target, {"metric": "share"}, "mlp: share of runs"),
    ],
)
def test_a_task_s_plots(demo, draw, more, title):
    figure = draw(demo, task="mlp", width="two", **more)
    assert figure.title.startswith(title) and figure.caption.startswith("mlp: ")
    assert figure.get_figwidth() == COLUMNS["two"]
    png, size = figure._repr_png_()
    assert png.startswith(b"\x89PNG") and size["width"] == pytest.approx(7.2 * 96)


def test_lines_are_those_of_the_report_s_table(demo):
    figure = plot.convergence(demo, task="mlp", metric="validation_loss")
    picked = tables.chosen(demo, "demo")
    bands = tables.bands(tables.curves(demo, picked[picked["task"] == "mlp"]))
    bands = bands[bands["metric"] == "validation_loss"]
    (axes,) = figure.axes
    drawn = [line.get_ydata() for line in axes.get_lines() if len(line.get_ydata()) > 2]
    for _, rows in bands.groupby("series"):
        assert any(np.array_equal(rows["mean"], line) for line in drawn)
    assert names(figure) == set(bands["series"])


@pytest.mark.parametrize("metric", ["train_loss", "validation_loss", "validation_metric"])
def test_one_curve_in_the_same_panels_and_its_caption(demo, metric):
    whole = plot.convergence(demo, task="cnn")
    figure = plot.convergence(demo, task="cnn", metric=metric)
    assert len(whole.axes) == 3 * len(figure.axes) and "target" in whole.caption
    assert ("target" in figure.caption) == (metric == "validation_metric")
    assert "raining loss" not in figure.caption or metric == "train_loss"
    assert "diverged" in figure.caption


def test_the_profile_is_over_all_tasks(demo):
    figure = plot.performance_profile(demo, width=5)
    assert names(figure) == {"sgd", "adam"} and figure.get_figwidth() == 5
    assert plot.performance_profile(demo, metric="runtimes").title == "Runtime distribution"


def test_schedules_of_the_one_suite_that_has_some(frames):
    figure = plot.schedules(frames, suite="kinds", width="one")
    assert names(figure) == {"constant", "cosine (final_fraction=0)"} or len(names(figure)) == 2
    assert figure.get_figwidth() == COLUMNS["one"]


def test_paths_and_gradients_of_runs_that_recorded_them(tmp_path):
    content = {"title": "Paths", "tasks": ["rosenbrock"], "frameworks": ["numpy"], "steps": 40}
    more = {"optimizers": ["sgd", "adam"], "seeds": 1, "dtype": "float64", "eval_every": 10}
    found = gradrace.run({**content, **more}, output=tmp_path, diagnose=True, verify=False)
    assert names(plot.paths(found)) == {"sgd", "adam"}
    with pytest.raises(UserError, match="2 figures would do"):
        plot.gradients(found)
    assert plot.gradients(found.filter(optimizer="sgd")).title == "rosenbrock: gradients under sgd"


def test_runs_of_one_s_choice_under_what_tells_them_apart(demo):
    runs = demo.runs[(demo.runs["measure"] == "convergence") & (demo.runs["task"] == "mlp")]
    two = runs[(runs["optimizer"] == "sgd") & (runs["seed"] == 0)]["digest"][:2]
    figure = plot.compare(demo, *(digest[:9] for digest in two), width="one")
    assert names(figure) == {"lr 0.001", "lr 0.003"}
    assert len(plot.compare(demo.filter(task="mlp")).axes) == 3
    assert names(plot.compare(demo.filter(task="mlp", optimizer="sgd", learning_rate=0.01))) == {
        "seed 0",
        "seed 1",
    }


MISTAKES = [
    (plot.convergence, {}, "2 suites; say suite= one of demo, kinds"),
    (plot.convergence, {"suite": "dem"}, "no suite 'dem' in these results (did you mean 'demo'?)"),
    (plot.convergence, {"suite": "demo"}, "2 figures would do (mlp: convergence by step; cnn: "),
    (plot.convergence, {"suite": "demo", "task": "mpl"}, "no task 'mpl' in these results"),
    (plot.convergence, {"suite": "kinds", "metric": "loss"}, "metric 'loss': no such curve"),
    (plot.convergence, {"suite": "demo", "x": "epoch"}, "x 'epoch': no such choice"),
    (plot.step_times, {"suite": "demo", "metric": "p25"}, "metric 'p25': no such choice"),
    (plot.tuning, {"suite": "demo"}, "suite demo: nothing to draw; it needs the results of"),
    (plot.gradients, {"suite": "demo"}, "it needs runs that recorded norms"),
    (plot.paths, {"suite": "demo", "task": "mlp"}, "suite demo, task mlp: nothing to draw"),
    (plot.schedules, {"suite": "demo"}, "it needs a task that was trained with several schedules"),
    (plot.performance_profile, {"suite": "kinds"}, "it needs two optimizers or more"),
    (plot.convergence, {"suite": "demo", "width": "three"}, "width 'three': expected one or two"),
    (plot.convergence, {"suite": "demo", "width": 300}, "inches from 2 to 40"),
    (plot.compare, {}, "runs of several tasks share no picture (mlp, cnn)"),
    (plot.compare, {"task": "mlp"}, "13 runs are too many for one picture"),
]


@pytest.mark.parametrize("draw, more, said", MISTAKES)
def test_a_mistake_says_what_would_do(frames, draw, more, said):
    with pytest.raises(UserError, match=re.escape(said)):
        draw(frames, **more)


def test_digests_that_name_no_run_or_several(demo):
    for start, said in (("zz", "no training run"), ("", "no training run")):
        with pytest.raises(UserError, match=said):
            plot.compare(demo, start)


def test_the_style_stays_inside(demo):
    import matplotlib

    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"figure.facecolor": "black", "axes.facecolor": "black"}):
        figure = plot.step_times(demo, task="mlp")
        assert figure.get_facecolor() == (1, 1, 1, 1) == figure.axes[0].get_facecolor()
    assert dict(matplotlib.rcParams) == before
