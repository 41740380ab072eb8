"""Where a history lies: a folder, or a branch of the current repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from ...output.terminal import say

if TYPE_CHECKING:
    from ...history.lines import Recorded

DEFAULT = Path("results/history")
_FOLDER = f"The history's folder; {DEFAULT} by default."
Folder = Annotated[Path | None, Option(None, help=_FOLDER)]
_READ = "Read the history from this branch, as it is here and as it was last fetched."
ReadBranch = Annotated[str | None, Option(None, "--branch", help=_READ)]


def read(folder: Path | None, branch: str | None) -> Recorded:
    """The history in the folder, or on the branch. If both are named, in both together.

    Lines that were left out are told on standard error."""
    from ... import git
    from ...history import branch as branches
    from ...history import lines

    found = []
    if branch is not None:
        found.append(branches.read(git.repository("--branch"), branch))
    if folder is not None or branch is None:
        found.append(lines.read(folder or DEFAULT))
    recorded = lines.joined(found)
    for note in recorded.notes:
        say(f"gradrace: {note}", err=True)
    return recorded
