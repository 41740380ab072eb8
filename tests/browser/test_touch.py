"""Figures of a report that one can touch, in Chromium: pointer, keys, files, address."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from gradrace.results import frame
from playwright.sync_api import Locator, Page
from records import make_results, make_specs

NAME = "demo-fig-mlp-convergence"
NAMES = ("sgd", "adam", "lion")
WIDE_HIGH = ("width", "height")
# Panels of the figure, from the top: their metric.
METRICS = ("train_loss", "validation_loss", "validation_metric")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gradrace.report import writer

    output = tmp_path_factory.mktemp("touch")
    make_results(output, specs=make_specs(["mlp"], ["torch"], NAMES, rates=(0.001, 0.01)))
    writer.write(frame.load(output), output / "html")
    return output / "html"


@pytest.fixture(scope="module")
def shared(new_page: Callable[..., Any]) -> Iterator[Page]:
    with new_page() as page:
        yield page


@pytest.fixture
def open_figure(folder: Path, shared: Page) -> Callable[[str], Locator]:
    """Loads the page anew at this address, and waits until its figure can be touched."""

    def opened(query: str = "") -> Locator:
        shared.goto("about:blank")
        (page,) = folder.glob("suite-*.html")
        shared.goto(f"{page.as_uri()}#{query}")
        return ready(shared)

    return opened


@pytest.fixture
def figure(open_figure: Callable[[str], Locator]) -> Locator:
    return open_figure("")


def ready(page: Page, name: str = NAME) -> Locator:
    figure = page.locator(f"[id='{name}']")
    figure.scroll_into_view_if_needed()
    figure.locator(".field").first.wait_for()
    return figure


def field(figure: Locator, metric: str) -> Locator:
    return figure.locator(".field").nth(METRICS.index(metric))


def values(figure: Locator) -> dict[str, list[str]]:
    """What the table at the pointer says: series -> its other cells."""
    rows = figure.locator(".values tr").all()
    found = [row.locator("th, td").all_inner_texts() for row in rows]
    return {row[1]: row[2:] for row in found}


def step(figure: Locator) -> float:
    text = figure.locator(".values .at").inner_text()
    return float(text.split()[1])


def ticks(figure: Locator, way: str, panel: int = 0) -> list[str]:
    """Labels that can be seen."""
    labels = figure.locator(f"[data-part=panel{panel}] [data-part={way}] [data-part=tick] text")
    return [label.text_content() or "" for label in labels.all() if label.is_visible()]


def shown(figure: Locator, series: str) -> set[bool]:
    """Whether the artists of a series can be seen, in all panels."""
    return set(
        figure.evaluate(
            """(figure, series) => {
              const { items } = JSON.parse(figure.querySelector("script.touch").textContent);
              return items.flatMap((item, i) => item.series !== series ? [] : [
                figure.querySelector(`[data-part=item${i}]`).getAttribute("display") !== "none"]);
            }""",
            series,
        )
    )


def address(page: Page, what: str) -> str | None:
    # The page's own word: the browser tells page.url of a change a little later.
    found = re.search(rf"{NAME}\.{what}=([^&]*)", page.evaluate("location.href"))
    return unquote(found[1]) if found else None


def button(figure: Locator, name: str) -> Locator:
    return figure.get_by_role("button", name=name, exact=True)


def drag(page: Page, field: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Between two places, each a share of the field's width and height."""
    box = field.bounding_box()
    assert box
    # A hover waits until the page has ceased to scroll.
    field.hover(position={"x": start[0] * box["width"], "y": start[1] * box["height"]})
    box = field.bounding_box()
    assert box
    page.mouse.down()
    for share in (0.5, 1):
        x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.mouse.up()


@pytest.mark.parametrize("metric", METRICS)
def test_values_at_the_pointer_are_those_of_the_csv(figure, folder, metric):
    table = pd.read_csv(folder / "data/demo/mlp-convergence.csv")
    place = field(figure, metric).bounding_box()
    field(figure, metric).hover(position={"x": 0.4 * place["width"], "y": 5})
    at = table[(table["metric"] == metric) & (table["step"] == step(figure))].set_index("series")
    read = values(figure)
    assert set(read) == set(at.index) == set(NAMES)
    for name, (mean, limits) in read.items():
        scale = 100 if mean.endswith("%") else 1
        numbers = [float(text.strip("%")) for text in (mean, *limits.split(" to "))]
        row = at.loc[name]
        wanted = [
            float(f"{scale * float(f'{row[key]:.7g}'):.7g}") for key in ("mean", "min", "max")
        ]
        assert numbers == wanted


def test_the_legend_switches_a_series_in_all_panels_and_shows_it_alone(figure, shared):
    adam = figure.locator(".series").get_by_role("button", name="adam")
    adam.click()
    assert adam.get_attribute("aria-pressed") == "false" and address(shared, "hide") == "adam"
    assert shown(figure, "adam") == {False} and shown(figure, "sgd") == {True}
    field(figure, "train_loss").hover()
    assert set(values(figure)) == {"sgd", "lion"}
    adam.click(modifiers=["Shift"])
    assert shown(figure, "adam") == {True} and shown(figure, "sgd") == {False}
    assert address(shared, "hide") == "!adam"
    button(figure, "Show all series").click()
    assert all(shown(figure, name) == {True} for name in NAMES)
    assert address(shared, "hide") is None


def test_a_drag_zooms_panels_that_share_an_axis_and_a_double_click_brings_back(figure, shared):
    before = [ticks(figure, way, panel) for way, panel in (("x", 2), ("y", 0), ("y", 1))]
    drag(shared, field(figure, "train_loss"), (0.3, 0.4), (0.6, 0.8))
    after = [ticks(figure, way, panel) for way, panel in (("x", 2), ("y", 0), ("y", 1))]
    assert after[0] != before[0] and after[1] != before[1] and after[2] == before[2]
    assert all(15 < float(tick) < 40 for tick in after[0])
    field(figure, "train_loss").dblclick()
    assert [ticks(figure, way, panel) for way, panel in (("x", 2), ("y", 0), ("y", 1))] == before
    assert address(shared, "zoom") is None


def test_a_drag_along_one_axis_leaves_the_other(figure, shared):
    for end, axis in (((0.6, 0.51), "x0"), ((0.305, 0.8), "y0")):
        drag(shared, field(figure, "train_loss"), (0.3, 0.5), end)
        zoom = address(shared, "zoom")
        assert zoom and zoom.startswith(f"{axis}:") and "," not in zoom, axis
        field(figure, "train_loss").dblclick()


def test_axes_switch_to_logarithmic_and_back_where_data_allow(figure, shared):
    field(figure, "train_loss").hover()
    before = values(figure)
    log = button(figure, "Logarithmic y axis")
    assert button(figure, "Logarithmic x axis").count() == 0  # steps begin at 0
    switched = []
    for expected in ("log", "linear", "log"):
        log.click()
        pressed = log.get_attribute("aria-pressed")
        assert pressed == ("true" if expected == "log" else "false")
        assert address(shared, "y") == expected
        switched.append(ticks(figure, "y"))
    assert switched[0] == switched[2] != switched[1]
    gaps = [float(b) - float(a) for a, b in zip(switched[1], switched[1][1:], strict=False)]
    assert max(gaps) - min(gaps) < 1e-9
    button(figure, "Reset zoom and axes").click()
    field(figure, "train_loss").hover()
    assert values(figure) == before and address(shared, "y") is None


def test_smoothing_keeps_the_raw_line_faint(figure, shared):
    lines = figure.locator("[data-part=panel0] .drawn path[style*='fill: none']")
    assert lines.count() == 0
    figure.get_by_label("smooth").select_option("5")
    faint = figure.locator("[data-part=panel0] .drawn path[opacity='0.25']")
    assert faint.count() == 3 and address(shared, "smooth") == "5"
    # Evaluations are too few to be smoothed.
    assert figure.locator("[data-part=panel1] .drawn path[opacity='0.25']").count() == 0
    figure.get_by_label("smooth").select_option("0")
    assert faint.count() == 0 and address(shared, "smooth") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_files_hold_the_picture_with_its_legend(figure, shared, tmp_path, scheme):
    shared.emulate_media(color_scheme=scheme)
    wide, high = (float(figure.locator("svg[role=img]").get_attribute(key)) for key in WIDE_HIGH)
    for ending in ("SVG", "PNG"):
        with shared.expect_download() as waited:
            button(figure, f"Save as {ending}").click()
        assert waited.value.suggested_filename == f"{NAME}.{ending.lower()}"
        waited.value.save_as(tmp_path / ending)
    root = ElementTree.fromstring((tmp_path / "SVG").read_text(encoding="utf-8"))
    text = " ".join(root.itertext())
    assert all(name in text for name in (*NAMES, "step"))
    (legend,) = (part for part in root.iter() if part.get("data-part") == "legend")
    assert legend.get("display") is None
    whole = (tmp_path / "SVG").read_text(encoding="utf-8")
    assert not re.search(r"currentcolor|var\(|class=\"touch\"", whole, re.I)
    assert ("rgb(20, 23, 27)" in whole) == (scheme == "dark")
    size = [float(root.get(key)) for key in WIDE_HIGH]
    assert size[0] == wide and size[1] >= high
    png = (tmp_path / "PNG").read_bytes()
    assert struct.unpack(">II", png[16:24]) == tuple(int(2 * side) for side in size)
    shared.emulate_media(color_scheme="light")


def test_a_link_shows_a_fresh_page_the_same(figure, shared, open_figure):
    drag(shared, field(figure, "validation_loss"), (0.2, 0.2), (0.7, 0.9))
    figure.locator(".series").get_by_role("button", name="sgd").click()
    for _ in ("log", "linear"):
        button(figure, "Logarithmic y axis").click()
    figure.get_by_label("smooth").select_option("5")
    seen = [ticks(figure, way, panel) for way in "xy" for panel in range(3)]
    query = shared.url.partition("?")[2]
    again = open_figure(f"?{query}")
    assert [ticks(again, way, panel) for way in "xy" for panel in range(3)] == seen
    assert shown(again, "sgd") == {False} and shown(again, "adam") == {True}
    assert again.get_by_label("smooth").input_value() == "5"
    shared.evaluate("location.hash = '#demo-convergence'")
    shared.wait_for_function("!document.querySelector('.series button[aria-pressed=false]')")
    assert shown(again, "sgd") == {True}


@pytest.mark.parametrize(
    "query",
    [
        f"?{NAME}.hide=%E0%A4%A,nobody&{NAME}.zoom=x0:a:b,x9:1:2,y0&{NAME}.smooth=7",
        f"?{NAME}.zoom=x0:5:5,y0:Infinity:1&{NAME}.x=log&{NAME}.y=cubic&{NAME}.hide=!nobody,sgd,adam,lion",
    ],
)
def test_an_address_that_makes_no_sense_changes_nothing(open_figure, query):
    figure = open_figure(query)
    assert figure.locator(".drawn").count() == 0
    assert all(shown(figure, name) == {True} for name in NAMES)


def test_a_pinned_mark_leads_to_its_runs(figure, shared):
    rates = ready(shared, "demo-fig-mlp-learning-rates")
    rates.locator(".field").first.focus()
    shared.keyboard.press("ArrowRight")
    shared.keyboard.press("Enter")
    links = rates.locator(".values.pinned a").all()
    assert links and all(len(link.get_attribute("data-runs").split()) == 3 for link in links)
    links[0].click()
    runs = shared.locator("[id='demo-runs'] tbody tr")
    assert runs.count() == 3 and runs.first.is_visible()


def test_keys_alone_reach_everything(figure, shared):
    press = shared.keyboard.press
    field(figure, "train_loss").focus()
    press("ArrowRight")
    first = step(figure)
    press("ArrowRight")
    assert step(figure) > first and set(values(figure)) == set(NAMES)
    assert str(int(step(figure))) in figure.locator("[aria-live=polite]").inner_text()
    press("ArrowDown")
    press("End")
    assert step(figure) == 60
    press("Enter")
    inside = "document.activeElement.closest('.values') !== null"
    assert shared.evaluate(inside)
    press("Escape")
    assert not figure.locator(".values").is_visible() and not shared.evaluate(inside)
    before = ticks(figure, "x", 2)
    for key, changed in (("-", False), ("+", True), ("-", False), ("+", True), ("0", False)):
        press(key)
        assert (ticks(figure, "x", 2) != before) == changed
    figure.locator(".series").get_by_role("button", name="lion").focus()
    press("Space")
    assert shown(figure, "lion") == {False}
    press("o")
    assert shown(figure, "lion") == {True} and shown(figure, "sgd") == {False}
    press("o")
    button(figure, "Logarithmic y axis").focus()
    press("Enter")
    assert address(shared, "y") == "log"


def test_no_violation_of_wcag(figure, shared):
    field(figure, "train_loss").click()
    figure.locator(".series").get_by_role("button", name="sgd").click()
    for scheme in ("dark", "light"):
        shared.emulate_media(color_scheme=scheme)
        parts = [[f"[id='{NAME}'] {part}"] for part in (".tools", ".stage", ".values")]
        found = Axe().run(shared, context={"include": parts}).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def test_a_tap_pins_and_the_page_is_as_wide_as_the_phone(new_page, folder):
    (path,) = folder.glob("suite-*.html")
    phone = {"viewport": {"width": 400, "height": 800}, "has_touch": True}
    with new_page(**phone) as page:
        page.goto(path.as_uri())
        figure = ready(page)
        field(figure, "train_loss").tap()
        assert set(values(figure)) == set(NAMES)
        box = figure.locator(".values").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 400


def test_without_script_picture_and_legend_can_be_seen(new_page, folder):
    (path,) = folder.glob("suite-*.html")
    with new_page(java_script_enabled=False) as page:
        page.goto(path.as_uri())
        figure = page.locator(f"[id='{NAME}']")
        assert figure.locator("svg").is_visible() and figure.locator("button").count() == 0
        assert all(figure.locator("text", has_text=name).first.is_visible() for name in NAMES)
