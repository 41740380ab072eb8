"""A site of several reports: a folder for each, and an index of them all.

A report's folder is its name, so that `<site>/<name>/run.html#<suite>/<digest>` is a run's address
for ever. Publishing one again replaces it alone. All links are relative: any address will do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ..errors import UserError
from ..jsonfile import read_model, reading, replace_text, there, writing
from ..results.frame import Frames
from ..spec import Frozen, Name
from ..turns import turn
from ..version import __version__
from . import writer
from .jinja import environment

_FACTS = "report.json"
# Pages of other commands, which lie beside the report in the results folder.
_OTHERS = ("verify.html", "gate.html", "compared.html", "time.html", "certify.html")
_MARK = b'<meta name="generator" content="gradrace'


class Told(Frozen):
    """A suite of a published report: its words, and how many runs it has."""

    name: Name
    title: str
    question: str
    runs: int


class Published(Frozen):
    """What the index says of a report; kept beside its pages.

    newest: when the last of its runs was started; machines: their short names."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
    newest: str
    machines: tuple[str, ...]
    suites: tuple[Told, ...]

    @property
    def day(self) -> str:
        """Of its newest run: 2026-05-01."""
        return f"{datetime.fromisoformat(self.newest):%Y-%m-%d}"


def publish(site: Path, name: str, frames: Frames, pages: Path | None = None) -> Path:
    """Writes the report of these results to `site`/`name`, and returns its first page.

    pages: the folder with pages of other commands, which are copied. UserError if the folder is
    there and is not an earlier report of that name."""
    folder = site / name
    facts = _facts(name, frames)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _FACTS).exists() and any(folder.iterdir()):
        raise UserError(f"{folder}: not an earlier report; choose another name with -o NAME=FOLDER")
    with writing(folder):
        # First, so that the folder is known as ours if the rest is interrupted.
        replace_text(folder / _FACTS, facts.model_dump_json(by_alias=True, indent=1) + "\n")
    for page in _found(pages):
        with writing(folder / page.name):
            shutil.copyfile(page, folder / page.name)
    return writer.write(frames, folder)


def index(site: Path) -> Path:
    """Writes `site`/index.html, of all reports that are there, the newest first; returns its path.

    UserError if there is an index.html that is not ours."""
    page = site / "index.html"
    with turn(page), writing(page):
        check_ours(site)
        reports = sorted(_reports(site), key=lambda each: (each.newest, each.name), reverse=True)
        template = environment().get_template("site.html")
        replace_text(page, template.render(reports=reports, version=__version__))
    return page


def check_ours(site: Path) -> None:
    """UserError if the site's first page is somebody else's."""
    page = site / "index.html"
    if page.is_symlink() or (page.exists() and not _is_ours(page)):
        raise UserError(f"{page}: not of an earlier `gradrace publish`; choose another folder")


def _is_ours(page: Path) -> bool:
    with reading(page) as opened:
        return _MARK in opened.read(2**12)


def _reports(site: Path) -> Iterator[Published]:
    for file in sorted(site.glob(f"*/{_FACTS}")):
        try:
            found = read_model(Published, file, 1, "a report's facts", "publish it again")
        except UserError:
            # Somebody else's report.json.
            continue
        if found.name == file.parent.name:
            yield found


def _found(pages: Path | None) -> Iterator[Path]:
    for name in _OTHERS if pages else ():
        page = pages / name  # type: ignore[operator]
        if there(page) and _is_ours(page):
            yield page


def _facts(name: str, frames: Frames) -> Published:
    counts = frames.runs.groupby("suite", sort=False)["digest"].nunique()
    suites = [
        Told(name=suite, title=plan.title, question=plan.question, runs=int(counts.get(suite, 0)))
        for suite, plan in frames.plans.items()
    ]
    machines = tuple(sorted(set(frames.runs["machine"])))
    newest = str(frames.runs["started_at"].max())
    return Published(name=name, newest=newest, machines=machines, suites=tuple(suites))
