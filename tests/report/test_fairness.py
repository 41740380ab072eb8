"""The report's first section: a suite's cells beside kept verdicts, and what a reader is told to
mind.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from gradrace.registry import load_registry
from gradrace.report import writer
from gradrace.report.fairness import Fairness, fairness
from gradrace.results import frame
from gradrace.spec import RunSpec
from gradrace.verify import file as verify_file
from gradrace.verify.verdict import FirstDifference, Side, Verdict, VerifyFile
from records import MACHINE, VERSIONS, make_results, make_specs

REGISTRY = load_registry()
PAIRS = (("torch", "tensorflow"), ("torch", "jax"), ("tensorflow", "jax"))
Outcomes = dict[tuple[str, str, str], str]


def verdict(
    level: str, case: str, pair: tuple[str, str], outcome: str = "equal", **about: str
) -> Verdict:
    a, b = (Side(framework=name, mode="") for name in pair)
    worst = {"equal": 2e-15, "differs by definition": 0.25, "FAILED": 1.5}.get(outcome)
    place = FirstDifference(step=3, tensor="losses", a="1", b="2") if outcome == "FAILED" else None
    return Verdict(
        level=level,
        case=case,
        a=a,
        b=b,
        verdict=outcome,
        worst=worst,
        tolerance=1e-12,
        place=place,
        **about,
    )


def verified(
    *verdicts: Verdict, versions: dict[str, dict[str, str]] = VERSIONS, **options: bool
) -> VerifyFile:
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


def trained(task: str, optimizer: str, outcome: str = "equal") -> list[Verdict]:
    return [
        verdict(
            "trajectories",
            f"{task}/{optimizer}",
            pair,
            outcome,
            task=task,
            optimizer=optimizer,
            rule="canonical",
        )
        for pair in PAIRS
    ]


def ruled(optimizer: str, outcome: str = "equal", rule: str = "canonical") -> list[Verdict]:
    return [
        verdict(
            "updates", f"{optimizer}/{rule}/constant", pair, outcome, optimizer=optimizer, rule=rule
        )
        for pair in PAIRS
    ]


@pytest.fixture
def matrix(tmp_path) -> object:
    """Words of the matrix of a suite with tasks mlp and cnn under sgd and adam, by (task,
    optimizer, a, b).
    """

    def make(
        *verdicts: Verdict, specs: list[RunSpec] | None = None, **more: object
    ) -> tuple[Outcomes, Fairness]:
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
    bad = verdict(
        "trajectories",
        "mlp/sgd",
        ("torch", "jax"),
        "FAILED",
        task="mlp",
        optimizer="sgd",
        rule="canonical",
    )
    words, fair = matrix(
        *trained("mlp", "sgd"), bad, *trained("mlp", "adam", "differs by definition")
    )
    assert words["mlp", "sgd", "torch", "jax"] == "FAILED"
    assert words["mlp", "sgd", "torch", "tensorflow"] == "equal"
    assert words["mlp", "adam", "torch", "tensorflow"] == "differs by definition"
    assert any("1 of 24 cells FAILED" in note for note in fair.notes)


def test_layers_and_losses_are_the_parts_of_a_task_that_was_not_trained(matrix):
    parts = [verdict("layers", "dense", pair) for pair in PAIRS] + [
        verdict("losses", "softmax_cross_entropy", p) for p in PAIRS
    ]
    words, _ = matrix(*ruled("sgd"), *parts)
    assert words["cnn", "sgd", "torch", "jax"] == "equal, by parts"


def test_a_varied_task_is_not_taken_for_the_one_that_was_verified(matrix):
    known = REGISTRY.tasks["digits_mlp"]
    varied = known.model_copy(update={"label_smoothing": 0.1})
    words, _ = matrix(
        *trained("digits_mlp", "sgd"),
        specs=make_specs(tasks=[varied], optimizers=["sgd"], seeds=[0]),
    )
    assert words["digits_mlp", "sgd", "torch", "jax"] == "not verified"
    shorter = known.model_copy(update={"steps": 20, "batch_size": 8})
    words, _ = matrix(
        *trained("digits_mlp", "sgd"),
        specs=make_specs(tasks=[shorter], optimizers=["sgd"], seeds=[0]),
    )
    assert words["digits_mlp", "sgd", "torch", "jax"] == "equal"


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
        return Path(writer.write(frame.load(tmp_path), tmp_path / "html")).read_text(
            encoding="utf-8"
        )

    return make


def test_the_report_opens_with_the_matrix(page, tmp_path):
    html = page(verified(*trained("mlp", "sgd"), *ruled("adam", "differs by definition")))
    first = html.index("<h2>Is the comparison fair?</h2>")
    assert first < html.index("<h2>What was compared") and html.count("<h2>", 0, first) == 0
    assert 'class="flag fair-equal"' in html and 'class="flag fair-differs-by-definition"' in html
    assert "2026-03-01 10:00" in html and "torch 2.13.0" in html
    table = next(tmp_path.glob("html/data/*/fairness.csv")).read_text()
    assert table.startswith("task,optimizer,rule,a,b,verdict,worst,detail\n")
    assert "\nmlp,sgd,canonical,torch,jax,equal," in table


def test_the_report_says_when_nothing_was_verified(page):
    html = page(None)
    assert "gradrace verify was not run" in html
    assert "fair-equal" not in html.partition("</style>")[2]
