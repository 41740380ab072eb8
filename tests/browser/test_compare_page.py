"""Runs side by side, and a run's neighbours, in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gradrace.report import writer
from gradrace.results import frame
from playwright.sync_api import Page, expect
from records import make_results, make_specs


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("compared")
    optimizers = ["adam", "sgd", "momentum"]
    specs = make_specs(["mlp"], ["torch", "jax"], optimizers, range(2), launches=0)
    lost = "the loss became inf </script>"
    make_results(output, specs=specs, judge=lambda s: ("diverged", lost) if s.seed else ("ok", ""))
    return writer.write(frame.load(output), output / "html").parent


def open_table(page: Page, html: Path) -> None:
    page.goto((html / "suite-demo.html").as_uri())
    page.locator("#demo-all summary").click()


def test_runs_that_are_ticked_stand_side_by_side(page: Page, html: Path) -> None:
    open_table(page, html)
    link = page.locator("#demo-runs .picked a")
    expect(link).to_be_hidden()
    for name in ("torch-eager/adam", "jax-scan/sgd"):
        search = page.locator("#demo-runs input[type=search]")
        search.fill(name)
        page.locator("#demo-runs tbody input").first.focus()
        page.keyboard.press("Space")
    page.locator("#demo-runs input[type=search]").fill("")
    assert page.locator("#demo-runs tbody input:checked").count() == 2
    expect(link).to_have_text("Compare 2 runs")
    link.click()
    expect(page.locator("h1")).to_have_text("2 runs side by side")
    assert page.locator(".sides strong").all_inner_texts() == [
        "A: torch · adam · eager",
        "B: jax · sgd · scan",
    ]
    assert page.locator(".curves figure").count() == 4
    settings = page.get_by_role("region", name="Different").nth(1)
    assert settings.locator("th[scope=row]").all_inner_texts() == [
        "optimizer.name",
        "framework",
        "mode",
    ]
    same = page.locator("details:has(summary:text('that are the same'))").nth(1)
    expect(same.get_by_text("task.batch_size")).to_be_hidden()
    same.locator("summary").click()
    expect(same.get_by_text("task.batch_size")).to_be_visible()


def test_six_runs_are_the_most(page: Page, html: Path) -> None:
    open_table(page, html)
    for box in page.locator("#demo-runs tbody input").all()[:6]:
        box.check()
    expect(page.locator("#demo-runs tbody input:disabled")).to_have_count(6)
    page.get_by_role("button", name="clear").click()
    expect(page.locator("#demo-runs tbody input:disabled")).to_have_count(0)


def test_curves_tell_values_by_keys_and_lines_are_switched(page: Page, html: Path) -> None:
    digests = sorted(file.stem for file in (html / "data/runs/demo").glob("*.js"))[:3]
    page.goto(f"{(html / 'compare.html').as_uri()}#{','.join(f'demo/{of}' for of in digests)}")
    figure = page.locator(".curves figure").nth(1)
    figure.locator(".panel").focus()
    page.keyboard.press("Home")
    expect(figure.locator(".readout")).to_have_text(re.compile("^Step 0: A: .*; B: .*; C: "))
    drawn = figure.locator(".panel path")
    assert drawn.count() == 3
    figure.get_by_role("button", pressed=True).first.press("Enter")
    assert drawn.count() == 2
    scale = figure.get_by_role("button", name="scale")
    before = scale.inner_text()
    scale.press("Enter")
    assert scale.inner_text() != before


def test_a_run_leads_to_its_seeds_and_neighbours(page: Page, html: Path) -> None:
    open_table(page, html)
    page.locator("#demo-runs tbody a").first.click()
    name = page.locator("h1")
    expect(name).to_contain_text("/seed")
    first = name.inner_text()
    terms = page.locator("h2:text('Runs nearby') + dl dt").all_inner_texts()
    assert terms == ["Other seeds", "Other optimizers", "Other frameworks and modes"]
    page.get_by_role("link", name=re.compile("^seed ")).click()
    expect(name).not_to_have_text(first)
    page.get_by_role("link", name="Compare: other seeds").click()
    expect(page.locator("h1")).to_have_text("2 runs side by side")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("", "No runs to compare"),
        ("#demo/" + "0" * 24, "No runs to compare"),
        ("#" + ",".join(f"demo/{n:024d}" for n in range(7)), "No runs to compare"),
        ("#demo/../../x,demo/" + "0" * 24, "No runs to compare"),
    ],
)
def test_a_wrong_address_is_explained(page: Page, html: Path, asked: str, said: str) -> None:
    page.goto((html / "compare.html").as_uri() + asked)
    expect(page.locator("h1")).to_have_text(said)
