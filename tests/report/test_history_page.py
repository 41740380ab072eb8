"""The page of a history: the answer first, a panel a cell, links to commits, all texts escaped."""

from __future__ import annotations

import re

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.history.foreign import Value
from gradrace.history.standing import changes_of
from gradrace.history.together import of
from gradrace.report.history import page
from gradrace.report.history.links import commit_url
from made_nights import level
from made_points import START, made_commit, points

EVIL = "<script>alert(1)</script>"
REPOSITORY = "https://github.com/owner/name"


def html(found, rank=None, values=(), repository=REPOSITORY) -> str:
    history = of(found, rank, values)
    return page.html(history, changes_of(history), repository)


def heading(text: str) -> str:
    return re.findall(r"<h1>(.*?)</h1>", text)[0]


@pytest.fixture(scope="module")
def changed() -> str:
    """A step up, a step down, a cell without a change; a library moves on one night."""

    def versions(night):
        return {"torch": "2.12" if night < 10 else "2.13"}

    slower = points("slow", 40, 1, ("step", 0.05, 20), versions=versions)
    faster = points("fast", 40, 2, ("step", -0.05, 20))
    return html([*slower, *faster, *points("flat", 40, 3)])


def test_the_worst_change_comes_first_and_its_commits_are_links(changed):
    assert heading(changed).startswith("2 changes, the worst: slow +") and "(step)" in changed
    order = [changed.index(f"<h2>{cell}</h2>") for cell in ("slow", "fast", "flat")]
    assert order == sorted(order)
    rows = re.findall(r"<tr>.*?</tr>", changed, re.DOTALL)
    first, second = (
        next(row for row in rows if f">{cell}</a>" in row) for cell in ("slow", "fast")
    )
    assert "slower: step" in first and "faster: step" in second
    assert all(f"{REPOSITORY}/commit/{made_commit(n)}" in first for n in (19, 20))
    assert "No change." in changed and "2026-09-11 torch 2.12 → 2.13" in changed


def test_a_figure_names_changes_and_versions_and_tells_each_night(changed):
    (drawn,) = re.findall(r"<svg role[^>]*cell-\d+-figure-title.*?</figure>", changed, re.DOTALL)[
        :1
    ]
    assert "torch 2.12 → 2.13" in drawn and re.search(r"\+[45]\.\d% step", drawn)
    assert f"2026-09-01 {made_commit(0)[:8]} change 0" in drawn


@pytest.mark.parametrize(
    ("found", "title"),
    [
        ([], "No night was recorded"),
        (points("cell", 5), "Too few nights to see a change"),
        (points("cell", 30), "Nothing changed"),
    ],
    ids=["none", "few", "flat"],
)
def test_without_a_change_the_page_says_so(found, title):
    assert heading(html(found)) == title


def test_drift_is_told_with_its_nights():
    shown = html(points("cell", 60, 4, ("stairs", 0.1)))
    assert re.search(r"1 change: cell \+\d+\.\d% \(drift over \d+ nights\)", heading(shown))


def test_changes_that_add_up_are_added_up():
    steps = level(120, "step", 0.05, 40) + level(120, "step", 0.05, 80)
    base = points("cell", 120, 6)
    shifted = [
        point.model_copy(
            update={
                "log_ratios": tuple(log + by for log in point.log_ratios),
                "ratio": point.ratio * np.exp(by),
            }
        )
        for point, by in zip(base, steps, strict=True)
    ]
    shown = html(shifted)
    assert heading(shown).startswith("2 changes") and re.search(r"In all \+(9|1\d)\.\d%", shown)


def test_every_text_is_escaped():
    fields = ("cell", "subject", "anchor", "machine_type")
    shown = html(
        [
            *points(EVIL, 20, 5, ("step", 0.2, 10), **dict.fromkeys(fields[1:], EVIL)),
            *points("lost", 1, 5, decision="failed", reason=EVIL, ratio=None, log_ratios=()),
        ],
        values=[Value(EVIL, EVIL, EVIL, "ab12", START.isoformat(), 1.0, 0.9, 1.1, EVIL)],
    )
    assert EVIL not in shown and "alert(1)" in shown


def test_commits_that_are_gone_are_marked_and_failures_listed():
    lost = points("cell", 1, decision="failed", reason="no memory", ratio=None, log_ratios=())
    rank = {made_commit(night): night for night in range(9)}
    shown = html([*points("cell", 10), *lost], rank)
    assert "1 commit not in the history of HEAD" in shown and f"{made_commit(9)[:8]}*" in shown
    assert "Recordings without a figure (1)" in shown and "no memory" in shown


def test_values_of_asv_are_marked_as_unpaired():
    days = (START.replace(day=day).isoformat() for day in range(1, 21))
    values = [
        Value("time_x", "box", "py", made_commit(n), at, 0.2 if n > 9 else 0.1, unit="seconds")
        for n, at in enumerate(days)
    ]
    shown = html([], values=values)
    assert "time_x: seconds (unpaired: asv)</h2>" in shown and "rose: step" in shown
    assert "does not hold" in shown and "at most 5%" not in shown


def test_much_is_shown_as_far_as_a_page_can_show_it(monkeypatch):
    monkeypatch.setattr(page, "MOST_FIGURES", 2)
    monkeypatch.setattr(page, "MOST_ROWS", 40)
    monkeypatch.setattr("gradrace.report.history.panels.MOST_POINTS", 10)
    cells = [point for n in range(4) for point in points(f"cell{n}", 30, n)]
    shown = html([*cells, *points("late", 30, 9, ("step", 0.1, 15))])
    assert shown.count("<svg role") == 2 and "Cells without a figure (3)" in shown
    assert "10 older rows are not shown" in shown and "each point is the mean of 3 nights" in shown
    assert shown.index("<h2>late</h2>") < shown.index("<h2>cell0</h2>")


def test_it_is_written_beside_a_report_and_replaces_no_other_file(tmp_path):
    history = of(points("cell", 9))
    file = page.page(history, (), "", tmp_path)
    assert file == tmp_path / "html/history.html" and "http" not in re.sub(
        r"http://www\.w3\.org/\S+", "", file.read_text()
    )
    file.write_text("mine")
    with pytest.raises(UserError, match="not a page of gradrace"):
        page.page(history, (), "", tmp_path)


@pytest.mark.parametrize(
    ("host", "between"),
    [("github.com", "/commit/"), ("gitlab.com", "/-/commit/"), ("bitbucket.org", "/commits/")],
)
def test_hosts_have_their_own_addresses_of_commits(host, between):
    assert commit_url(f"https://{host}/o/n", "ab") == f"https://{host}/o/n{between}ab"
    assert commit_url("", "ab") == ""
