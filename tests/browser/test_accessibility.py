"""No page breaks a rule of WCAG 2.1 AA that axe-core can check, in light and in dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from gradrace.report import writer
from gradrace.results import frame
from playwright.sync_api import Browser, Page
from records import make_results, make_specs

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports of one suite and of two, with runs of every status."""
    output = tmp_path_factory.mktemp("accessible")
    ends = {1: ("diverged", "inf"), 2: ("failed", "no memory"), 3: ("skipped", "no"), 4: ("ok", "")}
    specs = make_specs(["mlp"], ["torch", "jax"], ["adam", "sgd"], range(5), rates=(0.01, 0.001))
    make_results(output, "demo", specs, lambda spec: ends.get(spec.seed, ("ok", "")), unrun=2)
    writer.write(frame.load(output), output / "one")
    make_results(output, "more", make_specs(["cnn"], ["jax"], ["adam"], [0]))
    writer.write(frame.load(output), output / "html")
    return output


def runs(html: Path, count: int) -> str:
    found = sorted(file.stem for file in (html / "html/data/runs/demo").glob("*.js"))[:count]
    return ",".join(f"demo/{digest}" for digest in found)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, html: Path, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    pages = {
        "one/index.html": "",
        "html/index.html": "",
        "html/suite-demo.html": "",
        "html/run.html": runs(html, 1),
        "html/compare.html": runs(html, 6),
    }
    for name, anchor in pages.items():
        page.goto(f"{(html / name).as_uri()}#{anchor}")
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        found = Axe().run(page, options=RULES).response["violations"]
        assert not [(each["id"], each["nodes"][0]["html"]) for each in found], name
    context.close()


def test_the_first_key_leads_to_the_content(page: Page, html: Path) -> None:
    page.goto((html / "html/suite-demo.html").as_uri())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "MAIN"
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
