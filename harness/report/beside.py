"""Pages of other commands that lie beside a report. Its index names them, also those that are
written after it."""

from __future__ import annotations

import re
from html import escape, unescape
from pathlib import Path

from ..errors import UserError
from ..jsonfile import reading, replace_text, writing
from . import fresh

# verify, gate, compare, time, history and certify leave them.
PAGES = ("verify.html", "gate.html", "compared.html", "time.html", "history.html", "certify.html")
# The place in index.html where they are named.
_PLACE = re.compile(r"(<!-- beside -->).*?(<!-- /beside -->)", re.DOTALL)
_TITLE = re.compile(r"<title>(.*?)</title>", re.DOTALL)
_MARK = '<meta name="generator" content="gradrace'


def links(folder: Path) -> str:
    """HTML: a list of the pages that are there, by their titles; "" if there is none."""
    titles = {name: _title(folder / name) for name in PAGES}
    items = [f'<li><a href="{name}">{escape(of)}</a></li>' for name, of in titles.items() if of]
    return f'<ul class="beside-report">{"".join(items)}</ul>' if items else ""


def link(folder: Path) -> None:
    """Names the pages in the report of this folder, if there is one; it stays as fresh as it was.
    UserError if it cannot be written."""
    index = folder / "index.html"
    try:
        with reading(index) as opened:
            page = opened.read().decode()
    except (UserError, ValueError):
        return
    found = links(folder)
    linked = _PLACE.sub(lambda match: f"{match[1]}{found}{match[2]}", page)
    if _MARK in page and linked != page and not index.is_symlink():
        with writing(index), fresh.unchanged(folder):
            replace_text(index, linked)


def _title(page: Path) -> str:
    """ "" if it is not a page of ours."""
    try:
        with reading(page) as opened:
            head = opened.read(2**16).decode(errors="replace")
    except UserError:
        return ""
    title = _TITLE.search(head)
    return unescape(title[1]).removeprefix("gradrace: ") if title and _MARK in head else ""
