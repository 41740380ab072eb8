"""Frames in a notebook: parts of results, their best settings, and how they show themselves."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gradrace import UserError
from gradrace.results import frame
from gradrace.results.frame import Frames
from gradrace.spec import RunSpec
from records import Verdict, make_results, make_specs

RATES = (0.001, 0.01)


def judge(spec: RunSpec) -> Verdict:
    """One run of sgd at the lower rate diverges."""
    lost = spec.optimizer.name == "sgd" and spec.schedule.base_lr == RATES[0] and spec.seed == 1
    return ("diverged", "made up") if lost and spec.measure == "convergence" else ("ok", "")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frames]:
    output = tmp_path_factory.mktemp("results")
    specs = make_specs(["mlp", "cnn"], ["torch", "jax"], rates=RATES, seeds=range(2))
    make_results(output, "demo", specs, judge, title="Of <b>two</b> & more")
    make_results(output, "other", make_specs(["mlp"], ["jax"], rates=RATES, seeds=range(2)))
    yield frame.load(output)


def consistent(found: Frames) -> bool:
    kept = set(found.runs["digest"])
    tables = [set(t["digest"].astype(str)) for t in (found.curves, found.steps, found.norms)]
    planned = {digest for plan in found.plans.values() for digest in plan.digests}
    return kept == set(found.records) == planned and all(each <= kept for each in tables)


@pytest.mark.parametrize(
    "columns, runs",
    [
        ({"task": "mlp"}, lambda r: r["task"] == "mlp"),
        (
            {"optimizer": ["adam"], "framework": ("jax", "torch")},
            lambda r: r["optimizer"] == "adam",
        ),
        ({"suite": "other"}, lambda r: r["suite"] == "other"),
        (
            {"learning_rate": 0.01, "seed": {0}},
            lambda r: (r["seed"] == 0) & (r["learning_rate"] > 0.002),
        ),
        ({"where": lambda r: r["status"] != "ok"}, lambda r: r["status"] == "diverged"),
        ({"where": lambda r: [False] * len(r)}, lambda r: r["seed"] < 0),
    ],
)
def test_a_part_holds_the_same_runs_in_every_table(frames, columns, runs):
    before = len(frames.runs), len(frames.curves), len(frames.records)
    found = frames.filter(**columns)
    wanted = frames.runs[runs(frames.runs)]
    assert list(found.runs["digest"]) == list(wanted["digest"])
    assert consistent(found) and found.runs.index.equals(wanted.reset_index().index)
    trained = wanted[wanted["measure"] == "convergence"]
    assert set(found.curves["digest"].astype(str)) == set(trained["digest"])
    assert (len(frames.runs), len(frames.curves), len(frames.records)) == before


@pytest.mark.parametrize(
    "columns, said",
    [
        ({"optimiser": "adam"}, "no column 'optimiser' (did you mean 'optimizer'?)"),
        ({"optimizer": "adm"}, "no run has optimizer 'adm' (did you mean 'adam'?)"),
        ({"task": ["mlp", "rnn_of_others"]}, "no run has task 'rnn_of_others' (known: mlp, cnn)"),
        ({"where": lambda r: [True]}, "expected a bool for each row"),
    ],
)
def test_a_mistake_is_named(frames, columns, said):
    with pytest.raises(UserError, match=re.escape(said)):
        frames.filter(**columns)


def test_the_best_setting_of_each_optimizer_by_hand(frames):
    found = frames.best("mlp", by="validation_loss")
    assert list(found.columns[:5]) == ["task", "framework", "mode", "optimizer", "rule"]
    assert len(found) == 4 and set(found["task"]) == {"mlp"}
    for row in found.itertuples():
        cells = frames.runs[
            (frames.runs["measure"] == "convergence")
            & (frames.runs["task"] == "mlp")
            & (frames.runs["framework"] == row.framework)
            & (frames.runs["optimizer"] == row.optimizer)
        ].drop_duplicates("digest")
        means = cells.groupby("learning_rate")["final_validation_loss"].mean()
        # Of sgd's lower rate a run diverged: the other stands first, whatever its mean.
        best = 0.01 if row.optimizer == "sgd" else means.idxmin()
        assert row.learning_rate == best and row.value == pytest.approx(means[best])
        assert row.low <= row.value <= row.high and row.runs == row.ok == 2
        assert len(row.digests.split()) == 2
    assert found["value"].is_monotonic_increasing


@pytest.mark.parametrize("by, higher", [("validation_metric", True), ("steps_to_target", False)])
def test_the_best_come_first_in_each_task(frames, by, higher):
    found = frames.best(by=by)
    assert list(dict.fromkeys(found["task"])) == ["mlp", "cnn"]
    for _, rows in found.groupby("task", sort=False):
        values = rows["value"].replace(math.inf, 1e9)
        assert values.is_monotonic_decreasing if higher else values.is_monotonic_increasing


def test_steps_of_a_median_run_that_missed_are_infinite(frames):
    never = frames.runs.assign(steps_to_target=np.nan)
    from gradrace.results.best import best

    assert np.isinf(best(never, "steps_to_target")["value"]).all()


def test_best_of_nothing_has_its_columns(frames):
    assert frames.filter(where=lambda r: r["seed"] < 0).best().empty
    with pytest.raises(UserError, match="did you mean 'validation_loss'"):
        frames.best(by="validation_los")
    with pytest.raises(UserError, match="no run has task"):
        frames.best("nothing")


def test_a_line_and_a_table_in_short(frames):
    assert repr(frames).startswith("<Frames of demo, other: ")
    assert "2 tasks, 2 frameworks, 2 optimizers>" in repr(frames)
    html = frames._repr_html_()
    assert html.count("<tr>") == 3 and "<b>" not in html
    assert (
        "Of &lt;b&gt;two&lt;/b&gt; &amp; more" in html
        and "2 diverged" not in html.split("other")[1]
    )
    empty = frames.filter(where=lambda r: r["seed"] < 0)
    assert repr(empty) == "<Frames of nothing: 0 runs, 0 tasks, 0 frameworks, 0 optimizers>"
    assert "no runs" in empty._repr_html_()


def test_results_are_read_without_a_library_for_figures(tmp_path: Path):
    import subprocess
    import sys

    make_results(tmp_path, specs=make_specs(["mlp"], ["jax"], ["sgd"], range(1)))
    code = (
        "import sys, gradrace; f = gradrace.load(sys.argv[1]); f.best(); f.filter(task='mlp');"
        "f._repr_html_(); repr(f); sys.exit('matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
