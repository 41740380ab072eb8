"""Writes the page of a command beside the report of a results folder."""

from __future__ import annotations

from pathlib import Path

from ...errors import UserError
from ...jsonfile import reading, replace_text, writing
from ...version import __version__
from .. import beside
from ..jinja import environment
from .document import Document

# In the head of every page of gradrace: nobody else's page is replaced.
_MARK = b'<meta name="generator" content="gradrace'


def html(document: Document) -> str:
    """The page's HTML."""
    template = environment().get_template("document.html")
    return template.render(document=document, version=__version__)


def write(output: Path, name: str, text: str) -> Path:
    """Writes OUTPUT/html/NAME and returns its path. UserError if it cannot be written, or if there
    is a file of that name that is not a page of gradrace."""
    file = output / "html" / name
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_symlink() or (file.exists() and not _is_ours(file)):
        raise UserError(f"{file}: not a page of gradrace; move it away")
    with writing(file):
        replace_text(file, text)
    beside.link(file.parent)
    return file


def _is_ours(file: Path) -> bool:
    with reading(file) as opened:
        return _MARK in opened.read(2**12)
