"""The page of a history in a browser: without a network, at the size of a phone, by keys."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from axe_playwright_python.sync_playwright import Axe
from gradrace.history.standing import changes_of
from gradrace.history.together import of
from gradrace.report.history.page import page as write_page
from made_points import points
from playwright.sync_api import Page

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
Open = Callable[..., AbstractContextManager[Page]]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = [
        *points("slow", 20, 1, ("step", 0.09, 10)),
        *points("slow", 20, 2, ("step", 0.09, 10), machine="runner-2"),
        *points("flat", 9, 3),
    ]
    history = of(found)
    folder = tmp_path_factory.mktemp("history")
    file = write_page(history, changes_of(history), "https://github.com/o/n", folder)
    return file.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(new_page: Open, address: str, scheme: str) -> None:
    with new_page(color_scheme=scheme) as page:
        page.goto(address)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        found = Axe().run(page, options=RULES).response["violations"]
        assert not [(each["id"], each["nodes"][0]["html"]) for each in found]


def test_a_link_leads_to_the_panel_and_keys_walk_over_its_nights(page: Page, address: str) -> None:
    page.goto(address)
    page.click("#changes a >> text=slow >> nth=0")
    panel = page.locator("section", has=page.locator("h2", has_text="slow")).last
    field = panel.locator(".field")
    field.focus()
    page.keyboard.press("End")
    assert "change 19" in panel.locator(".values").inner_text()
    page.keyboard.press("Escape")
    panel.locator(".series button").first.press("Enter")
    assert panel.locator(".series button[aria-pressed=false]").count() == 1


def test_a_phone_scrolls_down_only(new_page: Open, address: str) -> None:
    with new_page(viewport={"width": 400, "height": 800}) as page:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") == 400
