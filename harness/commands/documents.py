"""The page that a command leaves beside the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from ..output.terminal import say

if TYPE_CHECKING:
    from ..report.documents.document import Document


def leave(output: Path, make: Callable[[], Document], quiet: bool = False) -> None:
    """Writes the page of a document into OUTPUT/html, and says on standard error where it is."""
    from ..report.documents.pages import html

    document = make()
    leave_html(output, document.file, html(document), quiet)


def leave_html(output: Path, name: str, text: str, quiet: bool = False) -> None:
    """The same for a page that is made. One that cannot be written costs the command nothing
    else."""
    from ..report.documents.pages import write

    try:
        file = write(output, name, text)
    except UserError as error:
        say(f"gradrace: no page was written: {error}", err=True)
        return
    if not quiet:
        say(f"page: {file}", err=True)
