"""`gradrace show` with several runs; the neighbours of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gradrace.cli import app
from gradrace.report.scripts.neighbours import MOST, neighbours
from gradrace.results import frame
from records import make_results, make_specs
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("beside")
    rates = [0.001 * 2**n for n in range(12)]
    specs = make_specs(["mlp"], ["torch", "jax"], ["adam"], range(2), rates=rates, launches=0)
    make_results(folder, specs=specs)
    make_results(folder, "other", make_specs(["cnn"], ["jax"], ["sgd"], [0], launches=0))
    return folder


def digests(output: Path, *words: str) -> list[str]:
    runs = frame.load(output).runs
    return [
        str(row.digest) for row in runs.itertuples() if all(word in str(row.id) for word in words)
    ]


def show(output: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["show", *arguments, "--output", str(output)])
    return done.exit_code, done.output + str(done.exception or "")


def test_what_differs_comes_first(output: Path) -> None:
    one, two = digests(output, "torch", "lr0.001/")
    code, said = show(output, one, two)
    assert code == 0
    different, same = said.split("the same")
    assert "outcome: final_train_loss" in different and "seed0" in different
    assert "optimizer" in same and "Test Processor 3000" in same and "adam" not in different[:20]
    _, text = show(output, one, two, "--json")
    assert [each["digest"] for each in json.loads(text)] == [one, two]
    _, text = show(output, one, "--json")
    assert json.loads(text)["digest"] == one


def test_runs_of_two_suites_have_a_page(output: Path) -> None:
    one, two = digests(output, "torch", "lr0.001/seed0")[0], digests(output, "cnn")[0]
    _, said = show(output, one, two, "--html")
    assert said.strip().endswith(f"/html/compare.html#demo/{one},other/{two}")
    assert (output / "html/compare.html").exists()
    assert show(output, one, "--html")[1].strip().endswith(f"/html/run.html#demo/{one}")


@pytest.mark.parametrize(
    ("count", "said"), [(7, "7 runs are named; 6 at most"), (2, "is named twice")]
)
def test_wrong_numbers_of_runs_are_refused(output: Path, count: int, said: str) -> None:
    (one,) = digests(output, "cnn")
    code, text = show(output, *[one] * count)
    assert code != 0 and said in text


def test_neighbours_differ_in_one_thing_and_are_the_nearest(output: Path) -> None:
    runs = frame.load(output).runs
    runs = runs[runs["suite"] == "demo"]
    (digest,) = digests(output, "torch", "lr0.001/seed0")
    found = dict(neighbours(runs)[digest])
    assert [label for _, label in found["Other seeds"]] == ["seed 1"]
    assert [label for _, label in found["Other frameworks and modes"]] == ["jax (scan)"]
    rates = [float(label) for _, label in found["Other learning rates"]]
    assert rates == pytest.approx([0.001 * 2**n for n in range(1, MOST + 1)])
    assert "Other optimizers" not in found
