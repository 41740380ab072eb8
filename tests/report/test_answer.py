"""The answer of a suite's first screen, on results whose answer is known."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pytest
from gradrace.record import Curve
from gradrace.report import drawing
from gradrace.report.answer import answer, words
from gradrace.report.builder import Builder
from gradrace.report.content import Answer
from gradrace.results import frame
from gradrace.spec import RunSpec

from tests.helpers import records
from tests.helpers.records import MACHINE, make_results, make_specs, make_task

ARRIVAL = {"adam": 12, "rmsprop": 18, "sgd": 42}


def arriving(spec: RunSpec) -> Curve:
    """Reaches the target at the step of its optimizer, one evaluation later with odd seeds."""
    evaluated = np.arange(0, spec.task.steps + 1, spec.task.eval_every)
    arrival = ARRIVAL.get(spec.optimizer.name, 24) + spec.task.eval_every * (spec.seed % 2)
    metric = np.where(evaluated >= arrival, 0.9, 0.1) + spec.seed / 1000
    return Curve(np.linspace(2, 1, spec.task.steps), evaluated, 1 - metric, metric)


def never(spec: RunSpec) -> Curve:
    """The metric is best by optimizer, but below the target."""
    curve = arriving(spec)
    level = 0.5 - ARRIVAL[spec.optimizer.name] / 100
    metric = np.full(len(curve.eval_steps), level) + spec.seed / 1000
    metric = metric - 1 if spec.task.metric == "negative_loss" else metric
    return Curve(curve.train_losses, curve.eval_steps, 0.9 - level + 0 * metric, metric)


def diverging(spec: RunSpec):
    return "diverged", "the loss is infinite"


def failing(spec: RunSpec):
    return "failed", "made up"


def first_diverges(spec: RunSpec):
    return diverging(spec) if spec.seed == 0 and spec.measure == "convergence" else ("ok", "")


def only(kind: str, specs: Iterable[RunSpec]) -> list[RunSpec]:
    return [spec for spec in specs if spec.measure == kind]


def made(folder, specs, **options) -> Answer:
    make_results(folder, "demo", specs, **{"curve": arriving, **options})
    return answer(Builder(frame.load(folder), "demo", None))


def said(found: Answer) -> str:
    """All words of it."""
    replies = (text for reply in found.replies for text in (*reply.says, *reply.cautions))
    return "\n".join((found.headline, *replies))


def trained(optimizers=("sgd", "adam"), seeds=6, tasks=("mlp",), frameworks=("torch",)):
    return only("convergence", make_specs(tasks, frameworks, optimizers, range(seeds)))


NEGATIVE = make_task("loss", target=-0.2).model_copy(update={"metric": "negative_loss"})
MANY = [f"task{number}" for number in range(6)]
# Results, options, what the words say, and what they must not say.
CASES = {
    "a known leader": (
        trained(),
        {},
        ["mlp: adam leads, best 15 steps; 1 of 2 is shown to be slower.", "adam leads on 1 of 1"],
        ["no clear", "Caution", "Only"],
    ),
    "no clear winner": (
        trained(seeds=2),
        {},
        [
            "mlp: no clear winner; ahead here: adam, 15 steps.",
            "Only 2 seeds: too few to show a winner among 2; 4 each could.",
            "No clear winner on 1 task; adam is ahead on 1",
        ],
        ["adam leads", "slower"],
    ),
    "nobody reached": (
        trained(),
        {"curve": never},
        ["adam leads, best accuracy 38.2% (half of the runs or more missed the target); 1 of 2 is"],
        ["steps;", "no clear"],
    ),
    "all diverged": (
        trained(),
        {"judge": diverging},
        ["mlp: every run diverged or ran out of time.", "12 diverged, 0 ended ok"],
        ["leads", "ahead here", "inf", "nan"],
    ),
    "one seed": (
        trained(seeds=1),
        {},
        ["no clear winner; ahead here: adam, 12 steps", "Only 1 seed"],
        ["leads"],
    ),
    "one run": (
        trained(("adam",), 1),
        {},
        ["mlp: adam reached the target in 12 steps.", "Only 1 seed: no spread is known."],
        ["leads", "clear winner"],
    ),
    "all failed": (
        trained(),
        {"judge": failing},
        ["No run tried its target: all failed or were skipped.", "12 failed, 0 ended ok"],
        ["leads", "nan"],
    ),
    "some diverged": (
        trained(),
        {"judge": first_diverges},
        ["2 diverged, 10 ended ok"],
        ["nan"],
    ),
    "some not run yet": (trained(), {"unrun": 3}, ["All ended ok; 3 not run yet"], []),
    "nothing run yet": (trained(), {"unrun": 12}, ["Nothing yet: 12 not run yet."], ["Computed"]),
    "timing only": (
        only("timing", make_specs(["mlp"], ["torch", "jax"], ["sgd"])),
        {},
        ["jax (scan) has the cheapest steps (1 cell); one costs 4.00× in torch (eager)."],
        ["leads", "winner", "Which optimizer"],
    ),
    "no timing": (trained(), {}, ["No step was timed here:"], ["×"]),
    "a loss alone": (
        trained(tasks=(NEGATIVE,)),
        {"curve": never},
        ["adam leads, best loss 0.520 (half", "; 1 of 2 is shown to be worse"],
        ["accuracy", "R²"],
    ),
    "many tasks are counted": (
        trained(tasks=MANY),
        {},
        ["On 6 of 6 tasks somebody is shown to be worse than the best;", "be: adam on 6."],
        ["task3:"],
    ),
    "one framework": (trained(), {}, ["One framework: nothing to compare"], ["Not verified"]),
    "two frameworks": (
        trained(frameworks=("torch", "jax")),
        {},
        ["2 of 2 canonical settings agree between frameworks", "Not verified"],
        ["part:"],
    ),
}


@pytest.mark.parametrize(("specs", "options", "there", "absent"), CASES.values(), ids=CASES)
def test_what_it_says(tmp_path, specs, options, there, absent):
    if options.get("unrun") == len(specs):
        make_results(tmp_path, "other", trained(seeds=1), curve=arriving)
    found = made(tmp_path, specs, **options)
    text = said(found)
    for part in there:
        assert part in text
    for part in absent:
        assert part not in text
    assert len(found.headline) <= 120


def test_seeds_are_the_sample_not_frameworks(tmp_path):
    """Three frameworks that compute the same are no evidence beyond one."""
    found = made(tmp_path, trained(seeds=2, frameworks=("torch", "tensorflow", "jax")))
    assert "no clear winner" in said(found)


def with_launches(monkeypatch, launches: int) -> list[RunSpec]:
    monkeypatch.setattr(records, "LAUNCH_FACTOR", 1.01)
    return make_specs(
        ["mlp", "cnn"], ["torch", "jax"], ["sgd", "adam"], range(6), launches=launches
    )


@pytest.mark.parametrize(
    ("launches", "there", "absent"),
    [
        (3, ["one costs 4.00× [3.97, 4.03] in torch (eager)", "adam in jax (scan)"], ["interval"]),
        (1, ["4.00× in torch (eager)", "had fewer than 3 launches, and so no interval"], ["["]),
    ],
)
def test_what_a_step_costs(tmp_path, monkeypatch, launches, there, absent):
    found = made(tmp_path, with_launches(monkeypatch, launches))
    reply = next(reply for reply in found.replies if "cost" in reply.question)
    text = "\n".join((*found.replies[0].says, *reply.says, *reply.cautions))
    for part in there:
        assert part in text
    for part in absent:
        assert part not in text
    # Seconds of unknown launches show nobody to be slower, though all runs were.
    assert ("of 4 shown to be slower" in text) == (launches == 3)


def test_times_of_two_machines_are_never_in_one_ratio(tmp_path):
    specs = make_specs(["mlp"], ["torch", "jax"], ["sgd"], range(2), launches=2)

    def host(spec: RunSpec) -> dict[str, object]:
        on = "a1" if spec.framework == "torch" else "b2"
        return {"machine": MACHINE.model_copy(update={"host": on})}

    text = said(made(tmp_path, specs, fields=host))
    assert "Timed on several machines (a1, b2)" in text and "×" not in text
    assert "nothing here compares with it" in text and "Computed on a1 and b2" in text


def test_the_matrix_marks_the_best_and_says_how_many_missed(tmp_path):
    def judge(spec: RunSpec):
        lost = spec.optimizer.name == "sgd" and spec.task.name == "mlp"
        return diverging(spec) if lost else ("ok", "")

    specs = trained(("sgd", "adam", "rmsprop"), 6, ("mlp", "cnn"))
    found = made(tmp_path, specs, judge=judge)
    shown = [[(cell.text, cell.flag) for cell in row[1:]] for row in found.matrix.rows]
    assert [row[0].text for row in found.matrix.rows] == ["adam", "rmsprop", "sgd"]
    assert shown == [
        [("★ 15", "best"), ("★ 15", "best")],
        [("≈ 21", "alike"), ("≈ 21", "alike")],
        [("> 60", ""), ("45", "")],
    ]
    assert found.matrix.rows[2][1].note == "0 of 6"


def test_of_many_settings_the_first_stand_there_and_the_file_has_all(tmp_path):
    names = [f"own-{number:02d}" for number in range(40)]
    make_results(tmp_path, "demo", trained(names, 1), curve=arriving)
    builder = Builder(frame.load(tmp_path), "demo", None)
    found = answer(builder)
    assert len(found.matrix.rows) == 10 and "the first 10 of 40" in found.matrix.caption
    assert builder.data["demo/answer-matrix.csv"]["series"].nunique() == 40
    assert "own-00, own-01, own-02 and 37 more" in said(found)


def test_long_names_are_cut_in_sentences(tmp_path):
    specs = make_specs(["mlp"], ["torch", "jax"], ["a" * 80, "b" * 80], [0])
    found = made(tmp_path, specs)
    assert "a" * 48 not in said(found) and "a" * 40 in said(found)
    assert len(found.headline) <= 120


NAMES = {
    "plain": ("adam", "adam"),
    "long": ("x" * 80, "x" * 47 + "…"),
    "decimals": ("every=0.3333333333333333, factor=0.1", "every=0.333, factor=0.1"),
    "right to left": ("שלום", "\u2068שלום\u2069"),
}


@pytest.mark.parametrize(("whole", "short"), NAMES.values(), ids=NAMES)
def test_names_in_sentences(whole, short):
    assert words.name(whole) == short


def test_the_picture_shows_what_the_words_say(tmp_path):
    found = made(tmp_path, trained(("sgd", "adam"), 6))
    drawing.draw([found.picture.svg, found.thumbnail], cores=1)
    whole, small = found.picture.svg.svg, found.thumbnail.svg
    assert re.findall(r"<text[^>]*>([^<]+)</text>", whole)[-1] != ""
    assert {"adam", "sgd", "mlp", "steps to target"} <= set(re.findall(r">([^<>]+)</text>", whole))
    assert "</text>" not in small and len(small) < len(whole)
    width, height = re.search(r'width="(\d+)" height="(\d+)"', small).groups()
    assert (int(width), int(height)) == (278, 159)


def test_everything_missing_has_no_picture(tmp_path):
    found = made(tmp_path, trained(), judge=failing)
    assert found.picture is None and found.matrix is None and str(found.thumbnail) == ""
