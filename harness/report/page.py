"""The pages of a report: an index of its suites, a page for each, and the page of any run."""

from __future__ import annotations

from jinja2 import Environment

from ..errors import UserError
from ..registry import Registry, load_registry
from ..results.frame import Frames
from ..version import __version__
from . import appendix, drawing, head, text
from .answer import answer
from .builder import Builder
from .content import Data, Figure, Part, Table
from .jinja import environment
from .kept import Kept
from .names import page_names
from .scripts.rows import rows_script
from .sections import SECTIONS

# The same for every report: the data of runs are loaded by the address.
_OF_RUNS = ("run.html", "compare.html")


def build(frames: Frames, kept: Kept | None = None) -> tuple[dict[str, str], Data]:
    """The report's pages and scripts: path in its folder -> text; and its data: path below data/ ->
    table. Figures that are kept are not drawn."""
    builders = [Builder(frames, suite, _registry()) for suite in frames.plans]
    names = page_names(frames.plans)
    parts = [_part(builder, names[builder.suite]) for builder in builders]
    drawing.draw([sketch for builder in builders for sketch in builder.sketches], kept)
    data = {name: table for builder in builders for name, table in builder.data.items()}
    scripts = [table for part in parts for table in part.tables() if table.script]
    return _pages(parts) | {table.script: rows_script(table) for table in scripts}, data


def _pages(parts: list[Part]) -> dict[str, str]:
    templates, version = _with_parts(), {"version": __version__}
    page = templates.get_template("page.html")
    files = {part.page: page.render(part=part, **version) for part in parts}
    files |= {name: templates.get_template(name).render(version) for name in _OF_RUNS}
    files["index.html"] = templates.get_template("index.html").render(parts=parts, **version)
    return files


def _part(builder: Builder, page: str) -> Part:
    plan = builder.frames.plans[builder.suite]
    first, chips = answer(builder), head.chips(builder)
    found = [section for make in SECTIONS if not (section := make(builder)).is_empty]
    runs, when = appendix.table(builder), max(builder.runs["started_at"], default="")
    said = plan.title, plan.question, first, chips
    return Part(builder.suite, page, *said, found, runs, text.minute(when))


def _with_parts() -> Environment:
    """The templates, which can tell a figure from a table."""
    templates = environment()
    templates.tests["figure"] = lambda part: isinstance(part, Figure)
    templates.tests["table"] = lambda part: isinstance(part, Table)
    return templates


def _registry() -> Registry | None:
    """For titles alone: a plug-in that cannot be loaded must not cost the report."""
    try:
        return load_registry()
    except UserError:
        return None
