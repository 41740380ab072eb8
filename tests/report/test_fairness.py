"""The report's first section: a suite's cells beside stored verdicts, and its cautions."""

from __future__ import annotations

from typing import Any

import pytest
from gradrace.registry import load_registry
from gradrace.report.fairness import Fairness, fairness
from gradrace.results import frame
from gradrace.verify import file as verify_file
from gradrace.verify.verdict import FirstDifference, Side, Verdict, VerifyFile
from records import MACHINE, VERSIONS, make_results, make_specs, page_of

REGISTRY = load_registry()
PAIRS = (("torch", "tensorflow"), ("torch", "jax"), ("tensorflow", "jax"))
Outcomes = dict[tuple[str, str, str], str]


def verdict(level: str, case: str, pair: Any, outcome: str = "equal", **about: str) -> Verdict:
    a, b = (Side(framework=name, mode="") for name in pair)
    worst = {"equal": 2e-15, "differs by definition": 0.25, "FAILED": 1.5}.get(outcome)
    place = FirstDifference(step=3, tensor="losses", a="1", b="2") if outcome == "FAILED" else None
    found = {"verdict": outcome, "worst": worst, "tolerance": 1e-12, "place": place}
    return Verdict(level=level, case=case, a=a, b=b, **found, **about)


def verified(*verdicts: Verdict, versions: Any = VERSIONS, **options: bool) -> VerifyFile:
    return VerifyFile(
        gradrace="0.1",
        started_at="2026-03-01T10:00:00+00:00",
        seconds=1.0,
        options={"quick": False, **options},
        versions=versions,
        sources={"gradrace.layers": "new"},
        machine=MACHINE,
        verdicts=verdicts,
    )


def trained(task: str, optimizer: str, outcome: str = "equal", pairs: Any = PAIRS) -> list[Verdict]:
    about = {"task": task, "optimizer": optimizer, "rule": "canonical"}
    case = f"{task}/{optimizer}"
    return [verdict("trajectories", case, pair, outcome, **about) for pair in pairs]


def ruled(optimizer: str, outcome: str = "equal", rule: str = "canonical") -> list[Verdict]:
    about, case = {"optimizer": optimizer, "rule": rule}, f"{optimizer}/{rule}/constant"
    return [verdict("updates", case, pair, outcome, **about) for pair in PAIRS]


@pytest.fixture
def matrix(tmp_path) -> object:
    """The matrix of tasks mlp and cnn under sgd and adam: (task, optimizer, a, b) -> its word."""

    def make(*verdicts: Verdict, specs: Any = None, **more: Any) -> tuple[Outcomes, Fairness]:
        make_results(tmp_path, "made-up", specs or make_specs(seeds=[0]))
        records = list(frame.load(tmp_path).records.values())
        fair = fairness(records, verified(*verdicts, **more), REGISTRY)
        words = {
            (row.task, row.optimizer, *pair): finding.word
            for row in fair.rows
            for pair, finding in zip(fair.pairs, row.findings, strict=True)
        }
        return words, fair

    return make


def test_cells_are_told_from_their_own_training_and_else_by_parts(matrix):
    words, _ = matrix(*trained("mlp", "sgd"), *ruled("sgd"), *ruled("adam"))
    assert words["mlp", "sgd", "torch", "jax"] == "equal"
    assert words["mlp", "adam", "torch", "jax"] == "equal, by parts"
    assert words["cnn", "adam", "torch", "jax"] == "not verified"
    assert words["mlp", "sgd", "jax", "numpy"] == "not verified"


def test_the_gravest_verdict_about_a_cell_counts(matrix):
    (bad,) = trained("mlp", "sgd", "FAILED", [("torch", "jax")])
    differing = trained("mlp", "adam", "differs by definition")
    words, fair = matrix(*trained("mlp", "sgd"), bad, *differing)
    assert words["mlp", "sgd", "torch", "jax"] == "FAILED"
    assert words["mlp", "sgd", "torch", "tensorflow"] == "equal"
    assert words["mlp", "adam", "torch", "tensorflow"] == "differs by definition"
    assert any("1 of 24 cells FAILED" in note for note in fair.notes)


def test_layers_and_losses_are_the_parts_of_a_task_that_was_not_trained(matrix):
    parts = [
        verdict(level, case, pair)
        for level, case in (("layers", "dense"), ("losses", "softmax_cross_entropy"))
        for pair in PAIRS
    ]
    words, _ = matrix(*ruled("sgd"), *parts)
    assert words["cnn", "sgd", "torch", "jax"] == "equal, by parts"


def test_a_varied_task_is_not_taken_for_the_one_that_was_verified(matrix):
    task = REGISTRY.tasks["digits_mlp"]
    shorter = {"steps": 20, "batch_size": 8}
    for changes, word in (({"label_smoothing": 0.1}, "not verified"), (shorter, "equal")):
        specs = make_specs([task.model_copy(update=changes)], optimizers=["sgd"], seeds=[0])
        words, _ = matrix(*trained("digits_mlp", "sgd"), specs=specs)
        assert words["digits_mlp", "sgd", "torch", "jax"] == word


def test_other_versions_and_partial_runs_are_told(matrix):
    old = {**VERSIONS, "torch": {"torch": "2.0.0"}}
    _, fair = matrix(*trained("mlp", "sgd"), versions=old, quick=True)
    assert any("torch 2.13.0 (verified: 2.0.0)" in note for note in fair.notes)
    assert any("--quick" in note for note in fair.notes)
    assert any("do not cover" in note for note in fair.notes)


@pytest.fixture
def page(tmp_path) -> object:
    def make(file: VerifyFile | None) -> str:
        make_results(tmp_path, "made-up", make_specs(seeds=[0]))
        if file:
            verify_file.write(tmp_path, file)
        return page_of(frame.load(tmp_path), tmp_path)

    return make


def test_the_report_opens_with_the_matrix(page, tmp_path):
    html = page(verified(*trained("mlp", "sgd"), *ruled("adam", "differs by definition")))
    answer, first = html.index("<h2>Is it fair?"), html.index("<h2>Is the comparison fair?")
    assert answer < first < html.index("<h2>Summary") < html.index("<h2>Compared runs")
    assert 'class="flag fair-equal"' in html and 'class="flag fair-differs-by-definition"' in html
    assert "2026-03-01 10:00" in html and "torch 2.13.0" in html
    table = next(tmp_path.glob("html/data/*/fairness.csv")).read_text()
    assert table.startswith("task,optimizer,rule,a,b,verdict,worst,detail\n")
    assert "\nmlp,sgd,canonical,torch,jax,equal," in table


def test_the_report_says_when_nothing_was_verified(page):
    html = page(None)
    assert "these runs were not verified" in html
    assert "fair-equal" not in html.partition("</style>")[2]
