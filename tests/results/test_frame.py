"""Records to frames: a run that several suites of a folder share."""

from __future__ import annotations

from pathlib import Path

import pytest
from gradrace.results import frame
from records import MACHINE, make_results, make_specs

SPECS = make_specs(["mlp"], ["jax"], ["adam"], seeds=[0], launches=1)


@pytest.mark.parametrize("lost", [None, "one", "two"])
def test_arrays_times_and_record_of_a_run_in_two_suites_are_of_one(
    tmp_path: Path, lost: str | None
) -> None:
    """The first suite's, unless it has none."""
    kept = "two" if lost == "one" else "one"
    for suite in ("one", "two"):
        ended = ("failed", "it broke") if suite == lost else ("ok", "")
        fields = {"machine": MACHINE.model_copy(update={"host": suite})}
        make_results(
            tmp_path,
            suite,
            SPECS,
            judge=lambda spec, ended=ended: ended,
            fields=lambda spec, fields=fields: fields,
        )
    both, alone = frame.load(tmp_path), frame.load(tmp_path, kept)
    assert {record.machine.host for record in both.records.values()} == {kept}
    assert both.runs["host"].tolist() == [kept] * 4 and both.runs["status"].tolist() == ["ok"] * 4
    assert both.records == alone.records
    assert both.curves.equals(alone.curves) and both.steps.equals(alone.steps)
    one, two = (of.reset_index(drop=True) for _, of in both.runs.groupby("suite"))
    assert one.drop(columns="suite").equals(two.drop(columns="suite"))
