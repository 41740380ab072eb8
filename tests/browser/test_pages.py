"""Pages of a report in a browser: found one's way, kept in the address, on paper and on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from gradrace.report import beside, writer
from gradrace.results import frame
from playwright.sync_api import Browser, Page, expect
from records import make_results, make_specs, make_task

LONG = "a_name_of_eighty_characters_" + "x" * 52
RIGHT_TO_LEFT = "\u05de\u05d9\u05e8\u05d5\u05e5 \u05e9\u05dc\u05d5\u05dd"
HOSTILE = "</script><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two suites, one of bad names, beside the page of a command."""
    output = tmp_path_factory.mktemp("pages")
    optimizers = ["adam", "sgd", "momentum"]
    specs = make_specs(["mlp"], ["torch", "jax"], optimizers, range(2), rates=(0.01, 0.001))
    make_results(output, "demo", specs, title=RIGHT_TO_LEFT)
    long = make_specs([make_task(LONG)], ["torch"], ["adam"], range(2))
    make_results(output, "index", long, title=HOSTILE, question=HOSTILE)
    folder = writer.write(frame.load(output), output / "html").parent
    mark = '<meta name="generator" content="gradrace 0"><title>gradrace: Gate &lt;b&gt;</title>'
    (folder / "gate.html").write_text(mark)
    (folder / "verify.html").write_text("<title>Somebody's</title>")
    beside.link(folder)
    return folder


def at(html: Path, name: str) -> str:
    return (html / name).as_uri()


def test_the_index_leads_to_each_suite_and_to_pages_of_commands(page: Page, html: Path) -> None:
    page.goto(at(html, "index.html"))
    assert page.locator(".card").count() == 2 and page.locator(".card svg").count() == 2
    assert page.locator(".others a").all_inner_texts() == ["Gate <b>"]
    expect(page.locator("#demo .headline")).not_to_be_empty()
    page.get_by_role("link", name=RIGHT_TO_LEFT).click()
    expect(page.locator("h1")).to_have_text(RIGHT_TO_LEFT)
    page.get_by_role("link", name="gradrace", exact=True).click()
    page.get_by_role("link", name=HOSTILE).click()
    assert page.url == at(html, "suite-index.html") and page.title() != "owned"


def test_contents_show_where_one_is_and_a_link_keeps_what_was_chosen(
    page: Page, html: Path
) -> None:
    page.goto(at(html, "suite-demo.html"))
    summary = page.locator(".contents summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Step time", exact=True).click()
    expect(summary).to_contain_text("Step time")
    expect(page.locator("#demo-step-time h2")).to_be_in_viewport()
    assert not page.locator(".contents").evaluate("each => each.open")
    table = page.locator("#demo-summary-mlp")
    head = table.locator("th button").nth(1)
    head.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    table.locator("input[type=search]").fill("adam")
    page.locator("#demo-step-time h2 .anchor").click()
    assert "#demo-step-time?" in page.url and "sort=-2" in page.url
    shown = table.locator("tbody").inner_text()
    assert "adam" in shown and "sgd" not in shown
    again = page.context.new_page()
    again.goto(page.url)
    expect(again.locator("#demo-step-time h2")).to_be_in_viewport()
    other = again.locator("#demo-summary-mlp")
    assert other.locator("tbody").inner_text() == shown
    expect(other.locator("th").nth(1)).to_have_attribute("aria-sort", "descending")


def test_runs_behind_a_number_are_in_the_address(page: Page, html: Path) -> None:
    page.goto(at(html, "suite-demo.html"))
    page.locator("#demo-summary-mlp a[data-runs]").first.click()
    rows = page.locator("#demo-runs tbody tr")
    expect(rows).to_have_count(2)
    again = page.context.new_page()
    again.goto(page.url)
    expect(again.locator("#demo-runs tbody tr")).to_have_count(2)
    expect(again.locator("#demo-runs")).to_be_visible()


@pytest.mark.parametrize("name", ["index.html", "suite-demo.html", "suite-index.html"])
def test_no_page_of_a_phone_scrolls_sideways(page: Page, html: Path, name: str) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(at(html, name))
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_on_paper_all_is_shown_and_nothing_is_cut(page: Page, html: Path) -> None:
    page.goto(at(html, "suite-demo.html"))
    # A4, the long side across, less its margins.
    page.set_viewport_size({"width": 1032, "height": 700})
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("nav.bar")).to_be_hidden()
    expect(page.locator("#demo-runs table")).to_be_visible()
    for figure in page.locator("figure svg[role=img]").all():
        assert (box := figure.bounding_box()) and box["x"] + box["width"] <= 1033
    for table in page.locator("table").all():
        assert table.evaluate("each => each.scrollWidth") <= 1033, table.inner_text()[:80]
    value, note = (
        page.locator(name).first.evaluate("each => parseFloat(getComputedStyle(each).fontSize)")
        for name in ("td", "td small")
    )
    assert note < value
    assert len(page.pdf()) > 10_000


def test_without_script_all_is_there(browser: Browser, html: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(at(html, "suite-demo.html") + "#demo-step-time")
    expect(page.locator("#demo-step-time h2")).to_be_in_viewport()
    page.locator(".contents summary").click()
    page.get_by_role("link", name="Summary", exact=True).click()
    expect(page.locator("#demo-summary h2")).to_be_in_viewport()
    assert page.locator("figure svg").first.is_visible()
    context.close()
