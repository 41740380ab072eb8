"""What beats a tuned AdamW: made-up searches whose outcome is worked out by hand."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import sweeps
from gradrace.record import Curve
from gradrace.report import sections
from gradrace.report.builder import Builder
from gradrace.report.content import Table
from gradrace.report.tables import baseline
from gradrace.results import frame
from gradrace.spec import RunSpec
from sweeps import spec, task

# What the best draw of an optimizer gains over AdamW's, by seed; 0 is AdamW's own
GAINS = {
    "adamw": (0.0,) * 5,
    "lion": (0.1, 0.12, 0.11, 0.1, 0.12),
    "muon": (-0.1, -0.12, -0.11, -0.1, -0.12),
    "adam": (-0.1, 0.1, -0.05, 0.05, 0.01),
}


def search_against_adamw(folder: Path, gains: dict[str, tuple[float, ...]]) -> frame.Frames:
    """Two draws of one rate; beta1 of the second is the worse one, by 0.5 in validation loss."""

    def run(name: str, draw: int, seed: int) -> RunSpec:
        hyper, varied = {"beta1": 0.9 - 0.1 * draw}, {"draw": draw}
        return spec(task(), name, 0.01, seed, hyper=hyper, variations=varied)

    def made(run: RunSpec) -> Curve:
        loss = 1.0 - gains[run.optimizer.name][run.seed] + 0.5 * run.variations["draw"]
        at, course = np.arange(0, 101, 10), np.full(11, loss)
        return Curve(np.full(100, loss), at, course, 0.8 - 0.5 * course + 0.5)

    runs = [run(n, d, s) for n, d, s in product(gains, range(2), range(len(gains["adamw"])))]
    never = lambda run: ("ok", "")
    return sweeps.load(folder, {"d": runs}, curve=made, judge=never)


def test_the_best_draws_are_compared_with_adamw_s_seed_by_seed(tmp_path):
    frames = search_against_adamw(tmp_path, GAINS)
    table = baseline.against(frames, "d").set_index("series")
    assert dict(table["verdict"]) == {
        "lion": "better",
        "adamw": "",
        "adam": "not shown to differ",
        "muon": "worse",
    }
    assert table.loc["lion", "gain"] == pytest.approx(0.055)
    assert table.loc["lion", "gain_low"] == pytest.approx(
        0.055 - 2.776 * 0.01 / 2 / 5**0.5, rel=1e-3
    )
    assert (table["hyper"] == "beta1=0.9").all() and (table["seeds"] == 5).all()
    said = sections.baseline.section(Builder(frames, "d", None))
    assert [len(part.rows) for part in said.parts if isinstance(part, Table)] == [4]
    assert "mlp: better than AdamW: lion; worse: muon." in said.parts
    # Series have no names of draws, and form a pool.
    assert sections.aggregates.section(Builder(frames, "d", None)).parts


def test_an_adamw_that_is_worse_than_adam_is_under_tuned(tmp_path):
    better = {"adamw": (0.0,) * 5, "adam": (0.1, 0.12, 0.11, 0.1, 0.12)}
    frames = search_against_adamw(tmp_path / "a", better)
    held = [("adamw", "adam", "contained")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline, "claims", lambda spaces: held)
        assert list(baseline.under_tuned(frames, "d")) == [("mlp", "adamw", "adam")]
        equal = search_against_adamw(tmp_path / "b", {**better, "adam": (0.0,) * 5})
        assert not list(baseline.under_tuned(equal, "d"))


@pytest.mark.parametrize("gains", [{"adamw": (0.0,) * 5}, {"adamw": (0.0,), "lion": (0.1,)}])
def test_little_is_said_of_one_optimizer_or_one_seed(tmp_path, gains):
    frames = search_against_adamw(tmp_path, gains)
    said = sections.baseline.section(Builder(frames, "d", None))
    assert bool(said.parts) == (len(gains) > 1)
    assert set(baseline.against(frames, "d")["verdict"]) == {""}
