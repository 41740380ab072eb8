"""The user's repository: commits, changes, and a commit's files in a temporary folder.

Everything goes through the `git` of the machine; nothing of a repository is changed, but for a
worktree that is removed again."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ExitCode, UserError

# How to get a commit that a shallow clone lacks.
DEEPEN = "git fetch --unshallow, or in GitHub Actions `fetch-depth: 0` of actions/checkout"
_NAMED_FILES = 5


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A finished call of git in that folder, whatever its exit code. UserError without git."""
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True
        )
    except FileNotFoundError:
        raise UserError(
            "git is not installed, and comparing commits needs it; compare stored results instead"
        ) from None


def repository(option: str = "--base") -> Path:
    """The top folder of the current directory's repository. UserError names the option that needs
    one."""
    here = Path.cwd()
    found = git(here, "rev-parse", "--show-toplevel")
    if found.returncode:
        raise UserError(
            f"{here}: not in a git repository (or not one that git trusts), so {option} has no"
            " meaning here"
        )
    return Path(found.stdout.rstrip("\n")).resolve()


def commit(folder: Path, ref: str, option: str = "--base") -> str:
    """The full hash of the commit that `ref` names. UserError if there is none of that name."""
    found = git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode == 0:
        return found.stdout.strip()
    deepen = f"this clone is shallow, fetch more of it: {DEEPEN}"
    hint = deepen if is_shallow(folder) else "`git log --oneline` lists commits"
    raise UserError(f"{option} {ref}: no commit of that name in {folder}; {hint}")


def is_shallow(folder: Path) -> bool:
    """Whether the clone lacks old commits."""
    return git(folder, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def changed(folder: Path) -> list[str]:
    """Files that git follows and that differ from the commit."""
    lines = git(folder, "status", "--porcelain", "--untracked-files=no").stdout.splitlines()
    return [line[3:] for line in lines]


def refuse_dirty(folder: Path) -> None:
    """UserError if files that git follows differ from the commit."""
    if files := changed(folder):
        named = ", ".join(files[:_NAMED_FILES]) + (", ..." if len(files) > _NAMED_FILES else "")
        raise UserError(
            f"{folder}: changes that are not committed would be measured as if they were the"
            f" commit's: {named}; commit or stash them, or say --allow-dirty"
        )


def state(folder: Path) -> dict[str, str]:
    """The commit that is checked out, and whether there are changes."""
    head = git(folder, "rev-parse", "HEAD").stdout.strip()
    return {"commit": head + (" with changes" if changed(folder) else "")}


@contextmanager
def worktree(folder: Path, commit: str) -> Iterator[Path]:
    """The commit's files in a temporary folder, with git's hooks off: those are the user's own.

    UserError (exit code 3) if git cannot check it out."""
    with tempfile.TemporaryDirectory(prefix="gradrace-base-", ignore_cleanup_errors=True) as place:
        path = Path(place).resolve() / "worktree"
        try:
            hooks = ("-c", f"core.hooksPath={os.devnull}")
            add = ("worktree", "add", "--detach", "--force", str(path), commit)
            made = git(folder, *hooks, *add)
            if made.returncode:
                raise UserError(
                    f"git cannot check {commit[:12]} out: {made.stderr.strip()}",
                    ExitCode.NOTHING_MEASURED,
                )
            yield path
        finally:
            git(folder, "worktree", "remove", "--force", str(path))
            shutil.rmtree(path, ignore_errors=True)
            git(folder, "worktree", "prune")
