"""A page in Debian's Chromium; tests are skipped if there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# A page that waits for longer is broken; no test waits so long otherwise.
DEADLINE_MS = 30_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for longer than a file: beside Playwright's loop no test of others can start its own."""
    if not CHROMIUM:
        pytest.skip("no Chromium here: apt-get install chromium, or name one in $CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def new_page(browser: Browser) -> Callable[..., AbstractContextManager[Page]]:
    """Opens a page, by default of 1280 x 900, with the options of a context of Playwright. At its
    end it must have asked for nothing but files, and have no error on its console."""

    @contextmanager
    def opened(**options: Any) -> Iterator[Page]:
        size = {"width": 1280, "height": 900}
        still = {"reduced_motion": "reduce"}  # a page that scrolls smoothly moves under the pointer
        given = {"viewport": size, "accept_downloads": True, **still, **options}
        context = browser.new_context(**given)
        context.set_default_timeout(DEADLINE_MS)
        page = context.new_page()
        asked, errors = watched(page)
        yield page
        context.close()
        assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
        assert not errors

    return opened


@pytest.fixture
def page(new_page: Callable[..., AbstractContextManager[Page]]) -> Iterator[Page]:
    """A page for one test; see new_page."""
    with new_page() as page:
        yield page


def watched(page: Page) -> tuple[list[str], list[str]]:
    """What the page asks for, and what goes wrong on it; both lists grow."""
    asked: list[str] = []
    errors: list[str] = []

    def say(message: Any) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("request", lambda request: asked.append(request.url))
    page.on("console", say)
    page.on("pageerror", lambda error: errors.append(str(error)))
    return asked, errors
