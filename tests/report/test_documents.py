"""Pages of commands beside a report: the answer first, escaped, nobody else's file replaced."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gate_cases import make_cell, make_convergence, make_result, make_timing
from gradrace.commands.documents import leave
from gradrace.errors import UserError
from gradrace.report.documents import compared, gate, timed, verified
from gradrace.report.documents.document import grid
from gradrace.report.documents.pages import html, write
from gradrace.results import frame
from gradrace.results.compare import compare
from gradrace.verify.verdict import FirstDifference, Side, Verdict, VerifyFile
from records import MACHINE, make_results, make_specs

EVIL = "<script>alert(1)</script>"


def opened(page: str) -> str:
    """The page's body without what is folded away, and without scripts and styles of its own."""
    body = page[page.index("<article") : page.index("</article>")]
    return re.sub(r"<details>.*?</details>", "", body, flags=re.DOTALL)


def test_the_gate_s_page_says_the_verdict_first_and_folds_what_is_fine():
    losses, times = make_convergence("same", "differs", "within"), make_timing("ok", "regression")
    page = html(gate.document(make_result(losses, times)))
    seen = opened(page)
    assert seen.index("regression</h1>") < seen.index("1 differ") < seen.index("Step times")
    assert "digits_mlp/torch-eager/regression" in seen and "digits_mlp/torch-eager/ok" not in seen
    assert "digits_mlp/torch-eager/ok" in page and "0 false alarms" in seen
    assert '<span class="flag failed">differs</span>' in seen


def test_a_gate_without_parts_says_why():
    result = make_result(None, None, convergence_reason="no baseline", timing_reason="no base")
    seen = opened(html(gate.document(result)))
    assert "Not checked: no baseline" in seen and "Not measured: no base" in seen


def test_two_sides_are_told_in_words_for_what_they_are():
    result = make_timing("regression", "ok")
    assert "1 regression" in opened(html(compared.of_sides(result, versions=True)))
    seen = opened(html(compared.of_sides(result, versions=False)))
    assert "1 slower, 1 about equal" in seen and "regression</span>" not in seen


def test_names_are_escaped_everywhere():
    cell = make_cell("regression", cell=EVIL, reason=EVIL)
    times = make_timing("ok").model_copy(update={"cells": (cell,)})
    for page in (
        html(gate.document(make_result(None, times, convergence_reason=EVIL))),
        html(compared.of_sides(times, versions=True)),
    ):
        assert EVIL not in page and "&lt;script&gt;alert(1)" in page


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    make_results(folder, "made-up", make_specs(seeds=[0]))
    return folder


def test_stored_results_that_are_the_same_are_folded_away(results):
    frames = frame.load(results)
    page = html(compared.of_folders(compare(frames, frames, 0.25), results, results, 0.25))
    assert "same</h1>" in page and "<table>" in page and "<table>" not in opened(page)


def test_times_begin_with_the_shortest_step(results):
    cells = frame.timing_cells(frame.load(results))
    page = html(timed.document("A title", cells))
    assert "A title</h1>" in page
    assert ("A step takes from" in page) == (cells["step_p25_s"].notna().sum() > 1)


def test_verdicts_name_who_differs_before_the_levels():
    place = FirstDifference(step=3, tensor="losses", a="1", b="2")
    sides = [Side(framework=name) for name in ("torch", "jax", "numpy")]

    def verdict(a: int, b: int) -> Verdict:
        failed = a == 0
        found = {"verdict": "FAILED" if failed else "equal", "place": place if failed else None}
        about = {"level": "updates", "case": "adam/canonical", "worst": 0.5, "tolerance": 1e-12}
        return Verdict(**about, a=sides[a], b=sides[b], **found)

    found = VerifyFile(
        **{"gradrace": "0.1", "started_at": "2026-03-01T10:00:00+00:00", "seconds": 1.0},
        **{"options": {}, "versions": {"torch": {"torch": "2"}}, "sources": {}, "machine": MACHINE},
        verdicts=(verdict(0, 1), verdict(0, 2), verdict(1, 2)),
    )
    seen = opened(html(verified.document(found)))
    assert (
        "NOT fair</h1>" in seen and seen.count("torch differs, jax and the NumPy rule agree") == 1
    )
    assert seen.index("torch differs") < seen.index("Update rules:")


def test_nobody_else_s_file_is_replaced(tmp_path, capsys):
    document = gate.document(make_result(make_convergence("same"), None))
    leave(tmp_path, lambda: document)
    assert "page: " in capsys.readouterr().err and (tmp_path / "html/gate.html").exists()
    leave(tmp_path, lambda: document, quiet=True)
    assert capsys.readouterr().err == ""
    (tmp_path / "html/gate.html").write_text("mine")
    with pytest.raises(UserError, match="not a page of gradrace"):
        write(tmp_path, "gate.html", "new")
    leave(tmp_path, lambda: document)
    assert "no page was written" in capsys.readouterr().err
    assert (tmp_path / "html/gate.html").read_text() == "mine"


def test_long_tables_are_cut_and_empty_columns_left_out():
    (table,) = grid("", [{"a": str(n), "b": ""} for n in range(600)])
    assert table.heads == ("a",) and len(table.rows) == 500 and table.left_out == 100
