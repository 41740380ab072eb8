"""Panels: how many series each holds, what lies outside, and what captions say of it."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sweeps
from gradrace.record import Curve
from gradrace.report.builder import Builder
from gradrace.report.content import Figure
from gradrace.report.draw import arrivals, convergence, limits, looks, svg
from gradrace.report.draw.touch import tag_of
from gradrace.report.sections import convergence as curves_by_step
from gradrace.report.sections import learning_rates, targets
from gradrace.report.tables import facets
from gradrace.results import frame
from gradrace.spec import RunSpec
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

SECTIONS = (curves_by_step, targets, learning_rates)


def runs(optimizers: int, variants: int, tasks: int = 1) -> pd.DataFrame:
    rows = [
        (f"t{k}", f"o{i}", f"v{j}" if j else "")
        for k in range(tasks)
        for i in range(optimizers)
        for j in range(variants)
    ]
    table = pd.DataFrame(rows, columns=["task", "optimizer", "variant"])
    return table.assign(series=table["optimizer"] + table["variant"])


@pytest.mark.parametrize(
    ("optimizers", "variants", "panels", "hues", "most"),
    [
        (4, 2, 1, 8, 8),
        (10, 1, 1, 10, 10),
        (3, 12, 3, 12, 12),
        (12, 5, 12, 5, 5),
        (40, 2, 8, 80, 10),
        (41, 1, 5, 41, 9),
        (1, 13, 2, 13, 7),
    ],
)
def test_panels_hold_about_ten_series(optimizers, variants, panels, hues, most):
    table = runs(optimizers, variants, tasks=2)
    found = facets.facets(table)
    assert len(set(found.panel.values())) == panels and len(set(found.hue.values())) == hues
    placed = found.applied(table)
    assert placed.groupby(["task", "facet"])["hue"].nunique().max() == most
    assert not placed.duplicated(["task", "facet", "hue"]).any(), "a line has its own name"


def test_the_best_series_of_a_task_are_drawn_in_their_order():
    table = runs(5, 1).assign(
        status=["ok", "ok", "failed", "ok", "ok"],
        final_validation_loss=[3.0, 1.0, math.nan, 2.0, math.nan],
    )
    assert list(facets.drawn(table, 2)["series"]) == ["o1", "o3"]
    assert list(facets.drawn(table, 4)["series"]) == ["o0", "o1", "o2", "o3"]


# Limits


def spread(*values: float) -> pd.Series:
    return pd.Series(values, dtype="float64")


def test_one_outlier_of_many_does_not_set_the_limits():
    low, high = spread(*[0.1] * 99, 1e-30), spread(*[2.0] * 99, 1e9)
    found = limits.logarithmic(low, high)
    assert found is not None
    assert 0.01 < found[0] < 0.1 and 2 < found[1] < 20
    said = limits.outside("Training loss", low, high, found)
    assert said.startswith("Training loss below") and "above" in said


@pytest.mark.parametrize("values", [[0.1, 1.0, 10.0], [1e-9, 1e-3, 1e3], [0.5, 0.5, 0.5]])
def test_few_values_are_all_inside(values):
    found = limits.logarithmic(spread(*values), spread(*values))
    assert found is not None and found[0] <= min(values) * 1.0001
    assert not limits.outside("Loss", spread(*values), spread(*values), found)


def test_losses_that_are_unknown_or_not_positive_have_no_limits():
    table = pd.DataFrame({"min": spread(-1.0, 2.0), "max": spread(1.0, 3.0)})
    assert limits.loss_limits(table, table.iloc[:0]) is None
    assert limits.loss_limits(table * math.nan, table.iloc[:0]) is None


# Drawings


def bands(
    series: list[str], setups: list[str], values: Any = None, metrics: Any = None
) -> pd.DataFrame:
    steps = np.arange(5)
    values = 0.9**steps if values is None else values
    rows = [
        pd.DataFrame(
            {"task": "t", "setup": setup, "series": name, "metric": metric, "step": steps}
            | {"mean": values, "min": 0.9 * values, "max": 1.1 * values, "runs": 2}
            | {"digests": f"{name}1 {name}2"}
        )
        for setup in setups
        for name in series
        for metric in metrics or ("train_loss", "validation_loss", "validation_metric")
    ]
    return pd.concat(rows, ignore_index=True)


NO_LOST = pd.DataFrame(
    {name: [] for name in ("task", "setup", "series", "metric", "step", "digest")}
    | {"value": spread()}
)


def shown(figure: Drawing) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible()]


def tags(figure: Drawing) -> Iterator[Any]:
    for axes in shown(figure):
        yield from (found for artist in axes.get_children() if (found := tag_of(artist)))


def test_one_panel_is_as_wide_as_the_page():
    table = bands(["adam", "sgd"], ["jax"])
    figure = convergence.convergence(table, NO_LOST, looks.looks(["adam", "sgd"]), 0.5)
    assert figure.get_figwidth() > 12 and figure.get_figheight() < 4
    assert [axes.get_title() for axes in shown(figure)] == ["jax"] * 3
    lines = [tag for tag in tags(figure) if tag.kind == "line"]
    assert len(lines) == 6
    assert {(tag.series, tag.runs) for tag in lines} == {
        (name, (f"{name}1 {name}2",)) for name in ("adam", "sgd")
    }
    assert lines[0].x == (0, 1, 2, 3, 4) and lines[0].y == pytest.approx(0.9 ** np.arange(5))


def test_facets_have_titles_and_wrap():
    names = [f"{i}" for i in range(30)]
    table = bands(names, ["jax", "torch"])
    table = facets.facets(table.assign(optimizer=table["series"], variant="")).applied(table)
    figure = convergence.convergence(table, NO_LOST, looks.looks(names), 0.5)
    assert len(shown(figure)) == 3 * 2 * 3
    titles = {axes.get_title() for axes in shown(figure)} - {""}
    assert "series 11 to 20, torch" in titles and len(titles) == 6
    assert max(len([t for t in axes.get_lines() if tag_of(t)]) for axes in shown(figure)) == 10
    assert not [tag for tag in tags(figure) if tag.kind == "band"], "ten bands hide each other"


def test_every_panel_of_arrivals_has_a_title():
    names = [f"{i}" for i in range(25)]
    curves = pd.DataFrame(
        [
            {"setup": "jax", "series": name, "steps": step, "remaining": left, "missed": 1}
            | {"low": 0.0, "high": 1.0}
            for name in names
            for step, left in ((0, 1.0), (10, 0.5))
        ]
    )
    figure = arrivals.arrivals(curves, looks.looks(names))
    assert [axes.get_title() for axes in shown(figure)] == [
        f"series {a} to {b}, jax" for a, b in ((1, 9), (10, 18), (19, 25))
    ]
    ends = [tag for tag in tags(figure) if tag.kind == "marks"]
    assert [tag.series for tag in ends] == names


HARD: dict[str, tuple[list[str], Any]] = {
    "constant": (["adam"], np.full(5, 0.5)),
    "12 decades": (["adam", "sgd"], 10.0 ** -np.arange(0, 15, 3)),
    "nan": (["adam"], np.array([1.0, math.nan, 0.5, math.nan, 0.1])),
    "nothing but nan": (["adam"], np.full(5, math.nan)),
    "zero": (["adam"], np.zeros(5)),
    "negative": (["adam"], np.linspace(-5, 5, 5)),
    "long": ([f"{'x' * 60}{i}{'y' * 19}" for i in range(3)], None),
    "right to left": (["מהיר · קצב", "أدم"], None),
    "40": ([f"optimizer{i}" for i in range(40)], None),
}


@pytest.mark.parametrize(("names", "values"), HARD.values(), ids=HARD)
def test_hard_input_is_drawn_without_a_warning(names, values):
    table, styles = bands(names, ["jax (scan)"], values), looks.looks(names)

    def draw() -> Drawing:
        return convergence.convergence(table, NO_LOST, styles, 0.5)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = svg.inline(draw, "f", "title", "description")
    assert {tag.series for tag in tags(draw())} == set(names), "names are whole in the data"
    assert max(len(word) for word in re.findall(r">([^<>]+)</text>", text)) <= 44


# Captions


def made(folder: Path, specs: list[RunSpec], curve: Any = None) -> dict[str, Figure]:
    """Figures of the sections that draw curves, by the end of their names."""
    options = {"curve": curve} if curve else {}
    builder = Builder(sweeps.load(folder, {"s": specs}, **options), "s", None)
    found = [part for made in SECTIONS for part in made.section(builder).parts]
    figures = [part for part in found if isinstance(part, Figure)]
    return {figure.name.removeprefix("s-fig-"): figure for figure in figures}


def bands_drawn(figure: Figure) -> bool:
    sketch: Any = figure.svg
    return any(tag.kind == "band" for tag in tags(sketch.draw()))


@pytest.mark.parametrize(("optimizers", "seeds"), [(2, 2), (2, 1), (7, 2)])
def test_captions_promise_bands_if_there_are_some(tmp_path, optimizers, seeds):
    names = [f"adam{i}" for i in range(optimizers)]
    specs = [
        sweeps.spec(sweeps.task(), name, rate, seed)
        for name in names
        for rate in (0.001, 0.01)
        for seed in range(seeds)
    ]

    def curve(spec: RunSpec) -> Curve:
        at, level = np.arange(0, 101, 10), 1 + spec.seed
        return Curve(np.full(100, level), at, level * 0.99**at, np.linspace(0, 1, 11))

    found = made(tmp_path, specs, curve)
    for name in ("mlp-convergence", "mlp-learning-rates", "mlp-arrivals"):
        figure = found[name]
        assert bands_drawn(figure) == ("ands" in figure.caption), (name, figure.caption)
        assert "1 run a rate" in figure.caption or seeds > 1 or name != "mlp-learning-rates"


def test_frameworks_that_agree_are_one_panel_and_the_caption_says_how_far_apart(tmp_path):
    specs = [
        sweeps.spec(sweeps.task(), "adam", None, seed, framework=name)
        for name in ("jax", "torch")
        for seed in range(2)
    ]

    def curve(spec: RunSpec) -> Curve:
        at, off = np.arange(0, 101, 10), 1 + 3e-5 * (spec.framework == "torch")
        losses = (1 + spec.seed) * 0.99**at * off
        return Curve(np.full(100, off), at, losses, np.linspace(0, 1, 11))

    found = made(tmp_path, specs, curve)["mlp-convergence"]
    assert "Frameworks differ by at most 0.003%" in found.caption
    sketch: Any = found.svg
    drawn = sketch.draw()
    assert {axes.get_title() for axes in shown(drawn)} == {"jax, torch"}
    runs = {tag.runs for tag in tags(drawn) if tag.kind == "line"}
    assert len(runs) == 1 and len(set(runs.pop()[0].split())) == 4


def test_a_suite_of_diverged_runs_has_its_curves(tmp_path):
    folder, specs = tmp_path, [sweeps.spec(sweeps.task(), "adam", None, 0)]
    frames = sweeps.load(folder, {"s": specs}, judge=lambda spec: ("diverged", "inf"))
    assert isinstance(frames, frame.Frames)
    builder = Builder(frames, "s", None)
    found = curves_by_step.section(builder).parts[0]
    assert isinstance(found, Figure)
    sketch: Any = found.svg
    drawn = sketch.draw()
    assert "No run ended ok." in found.caption
    assert {tag.runs for tag in tags(drawn)} == {(frames.runs["digest"].iloc[0],)}
