"""The row of versions from GOOD to BAD, and the row of a repository's commits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from .. import git
from ..errors import UserError
from ..importpath import Plugin
from ..paired import Side
from ..paired.sides import of_commits

OPTIONS = ("GOOD", "BAD")
_HASH = 10


class Row(Protocol):
    """Versions in order. ids: full names, GOOD first, BAD last; they stand in logs."""

    ids: Sequence[str]

    def label(self, index: int) -> str:
        """The version, short, for people."""

    def about(self, index: int) -> str:
        """A line about the version: a commit's subject."""

    def hint(self, index: int) -> str:
        """How to look further into this version, or ''."""

    def sides(self, older: int, newer: int) -> AbstractContextManager[tuple[Side, Side]]:
        """Both versions ready to run. UserError (exit code 3) if one cannot be."""


class Commits:
    """Commits of the current directory's repository, along first parents from BAD to GOOD.

    Along first parents a branch is a row of states that people worked with, and a pull request is
    one step of it, its merge. git bisect goes into merged branches too."""

    def __init__(self, good: str, bad: str, plugins: Sequence[Plugin]) -> None:
        """UserError: no repository, no such commit, GOOD is not on BAD's first-parent line."""
        self._folder = git.repository("GOOD BAD")
        self._plugins = tuple(plugins)
        first, last = (
            git.commit(self._folder, ref, option)
            for ref, option in zip((good, bad), OPTIONS, strict=True)
        )
        _check_order(self._folder, (good, first), (bad, last))
        line = git.git(self._folder, "rev-list", "--first-parent", "--reverse", f"{first}..{last}")
        self.ids: Sequence[str] = (first, *line.stdout.split())
        parent = git.git(self._folder, "rev-parse", "--verify", "--quiet", f"{self.ids[1]}^")
        if parent.stdout.strip() != first:
            raise UserError(
                f"GOOD {good}: {bad} contains it by a merge only, and bisect follows first parents;"
                f" choose the merge: git log --first-parent --merges {bad}"
            )

    def label(self, index: int) -> str:
        return self.ids[index][:_HASH]

    def about(self, index: int) -> str:
        shown = git.git(self._folder, "show", "--no-patch", "--format=%s", self.ids[index])
        return shown.stdout.strip()

    def hint(self, index: int) -> str:
        """How to go on inside a merge; '' for an ordinary commit."""
        parents = git.git(self._folder, "rev-parse", f"{self.ids[index]}^@").stdout.split()
        if len(parents) < 2:
            return ""
        base = git.git(self._folder, "merge-base", *parents[:2]).stdout.strip()
        return (
            f"{self.label(index)} is a merge; inside its branch: gradrace bisect {base[:_HASH]}"
            f" {parents[1][:_HASH]}"
        )

    @contextmanager
    def sides(self, older: int, newer: int) -> Iterator[tuple[Side, Side]]:
        """Two worktrees, for as long as the context lasts."""
        with ExitStack() as stack:
            made = of_commits(self.ids[older], self.ids[newer], self._plugins, OPTIONS)
            try:
                a, b = stack.enter_context(made)
            except UserError as error:
                raise UserError(self._shortened(str(error)), error.exit_code) from None
            yield replace(a, label=self.label(older)), replace(b, label=self.label(newer))

    def _shortened(self, text: str) -> str:
        """With hashes as people read them."""
        return re.sub(r"\b[0-9a-f]{40}\b", lambda found: found[0][:_HASH], text)


def _check_order(folder: Path, good: tuple[str, str], bad: tuple[str, str]) -> None:
    """Each is a ref and its hash. UserError unless good is an ancestor of bad."""
    (old, first), (new, last) = good, bad
    if first == last:
        raise UserError(f"GOOD {old} and BAD {new} are one commit: there is nothing to bisect")
    if git.git(folder, "merge-base", "--is-ancestor", first, last).returncode == 0:
        return
    if git.git(folder, "merge-base", "--is-ancestor", last, first).returncode == 0:
        raise UserError(
            f"GOOD {old} is newer than BAD {new}: swap them; a change is found in either direction"
        )
    hint = f"this clone is shallow: {git.DEEPEN}" if git.is_shallow(folder) else "they share none"
    if base := git.git(folder, "merge-base", first, last).stdout.strip():
        hint = f"begin at their merge base, {base[:_HASH]}, if that is good"
    raise UserError(f"GOOD {old} is no ancestor of BAD {new}; {hint}")
