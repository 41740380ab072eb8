"""The pages of a report: one part a suite, in the templates."""

from __future__ import annotations

from jinja2 import Environment

from ..errors import UserError
from ..registry import Registry, load_registry
from ..results.frame import Frames
from ..version import __version__
from . import appendix, head
from .builder import Builder
from .content import Data, Figure, Part, Table
from .jinja import environment
from .scripts.rows import rows_script
from .sections import SECTIONS


def build(frames: Frames) -> tuple[dict[str, str], Data]:
    """The report's pages and scripts: path in its folder -> text; and its data: path below data/ ->
    table."""
    builders = [Builder(frames, suite, _registry()) for suite in frames.plans]
    parts = [_part(builder) for builder in builders]
    data = {name: table for builder in builders for name, table in builder.data.items()}
    templates = _with_parts()
    scripts = [table for part in parts for table in part.tables() if table.script]
    files = {table.script: rows_script(table) for table in scripts}
    files["run.html"] = templates.get_template("run.html").render(version=__version__)
    page = templates.get_template("page.html")
    files["index.html"] = page.render(parts=parts, version=__version__)
    return files, data


def _part(builder: Builder) -> Part:
    plan = builder.frames.plans[builder.suite]
    warnings, chips = head.warnings(builder), head.chips(builder)
    found = [section for make in SECTIONS if not (section := make(builder)).is_empty]
    runs = appendix.table(builder)
    return Part(builder.suite, plan.title, plan.question, warnings, chips, found, runs)


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
