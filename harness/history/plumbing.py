"""Commits on a branch that is not checked out, by git's plumbing.

Neither the working tree nor the index of the user is touched: trees are built in an index of their
own, in a temporary folder."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError

# A push or fetch that takes longer hangs: a history is small.
_TIMEOUT_S = 300.0
# An author for machines that have none configured, as CI's.
_NOBODY = {"NAME": "gradrace history", "EMAIL": "gradrace@localhost"}
_REGULAR = (b"100644", b"100755")


class Refused(Exception):
    """git's answer to a call that failed: its last words, in one line."""


def call(
    repository: Path,
    *arguments: str,
    content: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """The output of git, with hooks off and without questions for passwords. Refused if it
    fails."""
    command = ["git", "-C", str(repository), "-c", f"core.hooksPath={os.devnull}", *arguments]
    given = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(environment or {})}
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, env=given, timeout=_TIMEOUT_S
        )
    except FileNotFoundError:
        raise UserError("git is not installed; a history on a branch needs it") from None
    except subprocess.TimeoutExpired:
        raise Refused(f"git {arguments[0]} did not end in {_TIMEOUT_S:g} s") from None
    if done.returncode:
        raise Refused(_last_words(done.stderr) or f"git {arguments[0]} failed")
    return done.stdout


def _last_words(errors: bytes) -> str:
    """The line that says why; hints and the summary of a push say less."""
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "remote:", "!", "ERROR"))]
    return (telling or lines or [""])[0].removesuffix(".")


def tip(repository: Path, ref: str) -> str:
    """The commit of a reference by its full name, "" if there is none."""
    try:
        return (
            call(repository, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
            .decode()
            .strip()
        )
    except Refused:
        return ""


def blobs(repository: Path, commit: str) -> dict[str, str]:
    """Path -> hash of every regular file of the commit."""
    listed = call(repository, "ls-tree", "-r", "-z", "--full-tree", commit)
    found = {}
    for entry in filter(None, listed.split(b"\0")):
        about, _, path = entry.partition(b"\t")
        mode, _, name = about.split(b" ")
        if mode in _REGULAR:
            found[os.fsdecode(path)] = name.decode()
    return found


def contents(repository: Path, hashes: Sequence[str]) -> Iterator[bytes]:
    """The files of these hashes, in their order, by one process."""
    asked = "".join(f"{name}\n" for name in hashes).encode()
    answer = call(repository, "cat-file", "--batch", content=asked)
    place = 0
    for _ in hashes:
        end = answer.index(b"\n", place)
        size = int(answer[place:end].rsplit(b" ", 1)[1])
        yield answer[end + 1 : end + 1 + size]
        place = end + 2 + size


def store(repository: Path, content: bytes) -> str:
    """The hash of this content, now in the repository."""
    return call(repository, "hash-object", "-w", "--stdin", content=content).decode().strip()


def commit(repository: Path, files: Mapping[str, str], parents: Sequence[str], message: str) -> str:
    """A commit of the first parent's tree and these files (path -> hash); no reference is moved."""
    entries = b"".join(
        f"100644 {name}\t".encode() + os.fsencode(path) + b"\0" for path, name in files.items()
    )
    with _index() as environment:
        if parents:
            call(repository, "read-tree", parents[0], environment=environment)
        update = ("update-index", "--add", "-z", "--index-info")
        call(repository, *update, content=entries, environment=environment)
        tree = call(repository, "write-tree", environment=environment).decode().strip()
    named = [part for parent in parents for part in ("-p", parent)]
    made = call(
        repository,
        *("commit-tree", "--no-gpg-sign", tree, *named, "-F", "-"),
        content=message.encode(),
        environment=identity(repository),
    )
    return made.decode().strip()


@contextmanager
def _index() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="gradrace-index-") as folder:
        yield {"GIT_INDEX_FILE": str(Path(folder) / "index")}


def identity(repository: Path) -> dict[str, str]:
    """Variables that name an author and a committer, if git knows none."""
    given: dict[str, str] = {}
    for who in ("AUTHOR", "COMMITTER"):
        try:
            call(repository, "-c", "user.useConfigOnly=true", "var", f"GIT_{who}_IDENT")
        except Refused:
            given |= {f"GIT_{who}_{part}": value for part, value in _NOBODY.items()}
    return given


def move(repository: Path, ref: str, new: str, old: str) -> None:
    """The reference from `old` ("" if it is new) to `new`. Refused if it is elsewhere by now."""
    call(repository, "update-ref", "-m", "gradrace history", ref, new, old or "0" * len(new))


def is_ancestor(repository: Path, one: str, other: str) -> bool:
    """Whether everything in `one` is in `other`."""
    try:
        call(repository, "merge-base", "--is-ancestor", one, other)
    except Refused:
        return False
    return True
