"""`gradrace list`: fits the terminal without broken words; with a name, one thing in full."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from gradrace.cli import app
from paths import ROOT
from typer.testing import CliRunner

Listed = Callable[..., str]


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Listed:
    """Standard output of `gradrace list` with these words, or standard error if it fails."""

    def run(*words: str, columns: str = "", code: int = 0) -> str:
        monkeypatch.setenv("COLUMNS", columns)
        done = CliRunner().invoke(app, ["list", *words])
        assert done.exit_code == code, done.output
        return done.output

    return run


@pytest.mark.parametrize("columns", ["", "nonsense", "60", "80", "120"])
@pytest.mark.parametrize("words", [[], ["optimizers", "adan"], ["suites", "quick"]])
def test_every_table_fits_the_terminal(listed, columns, words):
    width = int(columns) if columns.isdecimal() else 80
    lines = listed(*words, columns=columns).splitlines()
    assert max(map(len, lines)) <= width
    assert max(map(len, lines)) > width - 20, "the room is used"


def test_no_name_is_broken(listed):
    tables = json.loads(listed("--json"))
    shown = set(re.split(r"[\s,]+", listed(columns="80")))
    for rows in tables.values():
        names = {next(iter(row.values())) for row in rows}
        assert names <= shown
    assert {row["task"] for row in tables["tasks"]} <= set(
        re.split(r"[\s,]+", listed("data", columns="80"))
    ), "the names of tasks beside data too"


FULL = [
    ("optimizers adam", "Kingma & Ba"),
    ("optimizers adam", "torch.optim.Adam"),
    ("optimizers adam", "betas=(0.9, 0.999)"),
    ("optimizers adam", "decay of the first moment"),
    ("optimizers adam", "0.0001 to 0.1, by log"),
    ("optimizers adam", "0.9 to 0.9999, by log of 1 - value"),
    ("optimizers adam", "epsilon_hat"),
    ("optimizers adam", "optimizers/adam.py:"),
    ("optimizers adan", "no: optax.adan weighs"),
    ("optimizers adan", "not available"),
    ("optimizers adan", "needs pytorch_optimizer"),
    ("optimizers lbfgs", "full batches"),
    ("tasks digits_cnn", "6,090"),
    ("tasks digits_cnn", "0.97 (one point below"),
    ("tasks digits_cnn", "filters=32"),
    ("schedules step", "He et al. (2016)"),
    ("schedules step", "what the rate is multiplied by"),
    ("suites quick", "Which optimizer learns the digits fastest"),
    ("suites quick", "digits_mlp, digits_cnn, digits_lstm"),
]


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [text for part in parts for text in texts(part)]


@pytest.mark.parametrize(("words", "part"), FULL)
def test_one_is_shown_in_full(listed, words, part):
    whole = texts(json.loads(listed(*words.split(), "--json")))
    assert any(part in text for text in whole)
    shown = re.sub(r"\s+", " ", listed(*words.split(), columns="300"))
    assert all(re.sub(r"\s+", " ", text).strip() in shown for text in whole)
    narrow = listed(*words.split(), columns="80")
    short = {word for text in whole for word in text.split() if len(word) <= 20}
    assert short <= set(narrow.split()), "no word is broken or cut off"


def test_one_of_a_user_s_file_is_shown(listed):
    file = str(ROOT / "examples" / "my_optimizer.py")
    assert "Sign momentum" in listed("optimizers", "sign_momentum", "--load", file)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("optimizers adm", "no optimizer called 'adm' (did you mean 'adam'?)"),
        ("tasks digits_ccn", "no task called 'digits_ccn' (did you mean 'digits_cnn'?)"),
        ("schedules stepp", "no schedule called 'stepp' (did you mean 'step'?)"),
        ("suites qick", "no suite called 'qick' (did you mean 'quick'?)"),
        ("data digits", "one can be shown of tasks, optimizers, schedules, suites"),
    ],
)
def test_a_name_that_is_unknown_is_met_with_the_nearest(listed, words, said):
    assert said in listed(*words.split(), code=2)
