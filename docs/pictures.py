"""Makes the pictures of README and tutorials from real results, in Chromium.

    python docs/pictures.py                        runs the suites first, in results/pictures
    python docs/pictures.py --results FOLDER       of results that are there: quick, schedules, ...

A picture is an element of a page, found by its id: <suite>-fig-<name> of a figure, <suite>-<name>
of a section or table. A picture whose suite has no results, or whose element is not there, is left
as it is and named. Needs Playwright (`pip install 'gradrace[dev]'`) and a Chromium: `playwright
install chromium`, or the system's by --chromium."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).resolve().parent
LARGEST_BYTES = 250_000
WIDTH = 1100


class Picture(NamedTuple):
    """A file below docs/, the suite of its page, and the element, cut off at this height; '' is the
    first screen."""

    file: str
    suite: str
    element: str = ""
    height: int = 900


PICTURES = (
    Picture("report.png", "quick"),
    Picture("tutorials/step_time.png", "quick", "quick-fig-digits_mlp-step-time"),
    Picture("tutorials/batch_size.png", "batch_size", "batch_size-fig-digits_mlp-batch-sizes"),
    Picture("tutorials/tuning.png", "tune-digits_mlp-random", "tune-digits_mlp-random-tuning"),
)
COMMANDS = (
    ["run", "quick"],
    ["run", "batch_size", "--scale", "small", "--framework", "jax"],
    [
        *("tune", "--task", "digits_mlp", "--optimizer", "sgd,momentum,adam"),
        *("--framework", "jax", "--budget", "20"),
    ],
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--results", type=Path, help="results that are there; nothing is run")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's path")
    parser.add_argument("--to", type=Path, default=DOCS, help="where the pictures go")
    args = parser.parse_args()
    results = args.results or DOCS.parent / "results" / "pictures"
    for command in () if args.results else COMMANDS:
        gradrace(*command, "--output", str(results))
    pages = args.to / ".pages"
    gradrace("report", "--output", str(results), "--html", str(pages))
    try:
        take(pages, args.to, args.chromium)
    finally:
        shutil.rmtree(pages, ignore_errors=True)


def gradrace(*words: str) -> None:
    """Runs a command; a failure of it ends this script."""
    subprocess.run([sys.executable, "-m", "gradrace", *words], check=True)


def take(pages: Path, to: Path, chromium: str | None) -> None:
    """Opens the pages and writes each picture."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for picture in PICTURES:
            size: Any = {"width": WIDTH, "height": picture.height}
            page = browser.new_page(viewport=size, color_scheme="light")
            said = shot(page, pages, picture, to / picture.file)
            print(f"{picture.file}: {said}")
            page.close()
        browser.close()


def shot(page: Any, pages: Path, picture: Picture, file: Path) -> str:
    """Writes one picture, and says how large it is or why there is none."""
    source = pages / f"suite-{picture.suite}.html"
    if not source.exists():
        return f"no results of {picture.suite}"
    page.goto(source.as_uri())
    # It stays in sight, above what is pictured.
    page.add_style_tag(content=".bar { position: static }")
    file.parent.mkdir(parents=True, exist_ok=True)
    if picture.element:
        element = page.locator(f"[id='{picture.element}']")
        if not element.count():
            return f"no element {picture.element}"
        element.first.evaluate("element => element.scrollIntoView({behavior: 'instant'})")
        box = element.first.bounding_box()
        height = min(box["height"], picture.height - box["y"])
        page.screenshot(path=str(file), clip={**box, "height": height})
    else:
        page.screenshot(path=str(file))
    size = file.stat().st_size
    return f"{size:,} bytes" + (", which is too large" if size > LARGEST_BYTES else "")


if __name__ == "__main__":
    main()
