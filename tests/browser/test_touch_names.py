"""Figures whose series have hostile names, and whose artists are of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from gradrace.report.draw import svg
from gradrace.report.draw.legend import legend
from gradrace.report.draw.looks import looks
from gradrace.report.draw.touch import tag
from gradrace.report.jinja import environment
from markupsafe import Markup
from matplotlib.figure import Figure
from playwright.sync_api import Locator, Page

NAMES = (
    "</script><b>bold</b>",
    "\"'><img src=x onerror=alert(1)>",
    "שלום עולם",
    "n" * 80,
    "constructor",
    "__proto__",
    "hasOwnProperty",
    "!a,b&c=d#e",
)
RUN = "0123456789abcdef01234567"
PAGE = """{% extends "base.html" %}
{% block main %}<article id="demo"><h1>Names</h1>
<figure class="block" id="demo-fig-names"><div class="scroll">{{ svg }}</div></figure></article>
{% endblock %}
{% block script %}<script>
{% include "script.js" %}
{% include "touch.js" %}</script>{% endblock %}"""


def drawn() -> Figure:
    """A panel of lines, with gaps and without end; one of marks; one of bars."""
    styles = looks(NAMES)
    figure = Figure(figsize=(9, 3), layout="constrained")
    lines, marks, bars = figure.subplots(1, 3)
    for i, name in enumerate(NAMES):
        x, y = np.arange(5), np.array([i + 1, i + 2, np.nan, np.inf, i + 1.5])
        look = styles[name]
        (line,) = lines.plot(x, y, color=look.color)
        tag(line, name, "line", x, y, runs=[RUN])
        (mark,) = marks.plot([i], [i * i], look.marker, color=look.color)
        limits = ([i * i - 0.5], [i * i + 0.5])
        tag(mark, name, "marks", [i], [i * i], limits, labels=["of " + name], runs=[RUN])
        (bar,) = bars.barh([i], [i + 1], color=look.color)
        tag(bar, name, "bars", [i + 1], [i])
    bars.set_yticks(range(len(NAMES)), [str(i) for i in range(len(NAMES))])
    lines.set_xlabel("step")
    legend(figure, styles, NAMES, "line")
    return figure


@pytest.fixture(scope="module")
def figure(
    new_page: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Locator]:
    picture = svg.inline(drawn, "demo-fig-names", "Names", "Names that hurt")
    assert picture == svg.inline(drawn, "demo-fig-names", "Names", "Names that hurt")
    file = Path(tmp_path_factory.mktemp("names")) / "page.html"
    page = environment().from_string(PAGE).render(version="1", svg=Markup(picture))
    file.write_text(page, encoding="utf-8")
    with new_page() as page:
        page.goto(file.as_uri())
        figure = page.locator("figure")
        figure.locator(".field").first.wait_for()
        yield figure


def entries(figure: Locator) -> list[str]:
    return figure.locator(".series bdi").all_inner_texts()


def values(figure: Locator) -> list[list[str]]:
    rows = figure.locator(".values tr").all()
    return [row.locator("th, td").all_inner_texts()[1:] for row in rows]


def test_names_are_text_wherever_they_stand(figure):
    assert entries(figure) == list(NAMES)
    assert figure.locator(".series .look").count() == len(NAMES)
    assert figure.locator("b, img").count() == 0
    fields = figure.locator(".field")
    fields.first.focus()
    figure.page.keyboard.press("Home")
    assert sorted(row[0] for row in values(figure)) == sorted(NAMES)
    figure.page.keyboard.press("Enter")
    links = figure.locator(".values a")
    assert links.count() == len(NAMES)
    assert links.first.get_attribute("href") == f"run.html#demo/{RUN}"
    figure.page.keyboard.press("Escape")


HIDDEN = "Array.from(document.querySelectorAll('[aria-pressed=false] bdi'), e => e.textContent)"


def test_each_name_switches_its_own_series_and_survives_the_address(figure):
    page: Page = figure.page
    buttons = figure.locator(".series button[aria-pressed]")
    for i, name in enumerate(NAMES):
        buttons.nth(i).click()
        assert page.evaluate(HIDDEN) == [name]
        buttons.nth(i).click()
    for gone in (NAMES[-1:], NAMES[::2] + NAMES[1:-1:2]):
        for i, name in enumerate(NAMES):
            if (name in gone) != (name in page.evaluate(HIDDEN)):
                buttons.nth(i).click()
        page.reload()
        figure.locator(".field").first.wait_for()
        assert page.evaluate(HIDDEN) == [name for name in NAMES if name in gone]
    figure.locator(".series .all").click()
    assert page.evaluate(HIDDEN) == [] and "hide" not in page.url


def test_a_gap_has_no_value_and_what_has_no_end_says_so(figure):
    figure.locator(".field").first.focus()
    found = []
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight"):
        figure.page.keyboard.press(key)
        found.append({row[1] for row in values(figure)})
    assert "1" in found[0] and found[2] == {"–"} and found[3] == {"Infinity"}


def test_marks_and_bars_say_what_they_are(figure):
    figure.locator(".field").nth(1).focus()
    figure.page.keyboard.press("End")
    (mark,) = values(figure)
    assert mark == [f"{NAMES[0]}: of {NAMES[0]}", "0, 0", "-0.5 to 0.5"]
    figure.locator(".field").nth(2).focus()
    figure.page.keyboard.press("Home")
    assert values(figure)[0][:2] == [NAMES[-1], "8"]


def test_a_zoomed_figure_is_clean_too(figure):
    figure.get_by_role("button", name="Zoom in", exact=True).click()
    figure.get_by_role("button", name="Zoom in", exact=True).click()
    assert figure.locator(".drawn").count() > 3
    assert Axe().run(figure.page, context="figure").response["violations"] == []
    figure.get_by_role("button", name="Reset zoom and axes").click()
    assert figure.locator(".drawn").count() == 0
