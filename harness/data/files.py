"""Published files, downloaded once or placed by hand.

They lie in <folder>/<data set>/<file>; the folder is that of --data-dir, else $GRADRACE_DATA, else
the user's cache. Nothing is read that does not have the published sha256 sum."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

VARIABLE = "GRADRACE_DATA"
_CHUNK = 1 << 20
_TIMEOUT_S = 30.0


class DataMissing(UserError):
    """A data set's files are not there: a run that needs them is skipped."""


class DataBroken(UserError):
    """A data set's file is not what it should be; nothing of it was used."""


@dataclass(frozen=True)
class RemoteFile:
    """`<data set>/<name>` under the data folder; its sha256 sum; its addresses, tried in order."""

    data_set: str
    name: str
    sha256: str
    urls: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it lies, or belongs."""
        return data_folder() / self.data_set / self.name

    def read(self) -> bytes:
        """The whole content. DataMissing if the file is not there, DataBroken if it is another."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            raise DataMissing(missing_files([self])) from None
        except OSError as error:
            raise DataBroken(f"{self.path}: cannot be read: {error.strerror}") from None
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise DataBroken(
                f"{self.path}: its sha256 sum is {found}, not {self.sha256}: truncated, or another"
                f" file. Remove it and run `gradrace fetch {self.data_set}`"
            )
        return content


def _home_in(folder: Path) -> Path:
    """The path with its ~ replaced by the home folder. UserError if there is no such user."""
    try:
        return folder.expanduser()
    except RuntimeError:
        raise UserError(f"{folder}: no such user; give the data folder as a whole path") from None


def data_folder() -> Path:
    """$GRADRACE_DATA, else the folder for caches of this user and system."""
    given = os.environ.get(VARIABLE)
    if given:
        return _home_in(Path(given))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gradrace"
    if sys.platform == "win32":
        return (
            Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
            / "gradrace"
            / "Cache"
        )
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradrace"


def use_folder(folder: Path | None) -> None:
    """Sets the data folder of this process and of its workers; None leaves it as it is."""
    if folder:
        os.environ[VARIABLE] = str(_home_in(folder).resolve())


def missing_files(files: Iterable[RemoteFile]) -> str:
    """Which of these files are not there and how to get them, in one line; "" if all are."""
    lost = [file for file in files if not file.path.is_file()]
    if not lost:
        return ""
    names = ", ".join(file.name for file in lost)
    return (
        f"the data set {lost[0].data_set} is not there: {names} missing in {lost[0].path.parent}; "
        f"`gradrace fetch {lost[0].data_set}` downloads it, or says what to place there by hand"
    )


def fetch(files: Iterable[RemoteFile]) -> list[Path]:
    """Downloads missing and broken files; their paths. Nothing half-downloaded is left behind.

    DataMissing names place, addresses and sha256 sum of each file that cannot be downloaded."""
    wanted = [file for file in files if not _good(file)]
    for number, file in enumerate(wanted):
        problems = _download(file)
        if problems:
            raise DataMissing(_by_hand(wanted[number:], problems))
    return [file.path for file in wanted]


def _good(file: RemoteFile) -> bool:
    try:
        file.read()
    except (DataMissing, DataBroken):
        return False
    return True


def _download(file: RemoteFile) -> list[str]:
    """Tries every address; the problem of each if none serves, else nothing."""
    problems = []
    for url in file.urls:
        problem = _download_from(url, file)
        if not problem:
            return []
        problems.append(f"{url}: {problem}")
    return problems


def _download_from(url: str, file: RemoteFile) -> str:
    """Downloads beside the place, and moves there if the sum is right; else the problem."""
    import tempfile
    import urllib.request
    from http.client import HTTPException

    partial: Path | None = None
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer,
            tempfile.NamedTemporaryFile(
                dir=file.path.parent, prefix=f".{file.name}.", delete=False
            ) as target,
        ):
            partial, total = Path(target.name), hashlib.sha256()
            while piece := answer.read(_CHUNK):
                target.write(piece)
                total.update(piece)
        if total.hexdigest() != file.sha256:
            return f"what came has the sha256 sum {total.hexdigest()}"
        # tempfile makes files that only this user can read.
        partial.chmod(0o644)
        os.replace(partial, file.path)
        return ""
    except (OSError, HTTPException, ValueError) as error:
        return str(error) or type(error).__name__
    finally:
        if partial:
            partial.unlink(missing_ok=True)


def _by_hand(files: list[RemoteFile], problems: list[str]) -> str:
    lines = [f"{files[0].data_set}: {files[0].name} could not be downloaded"]
    lines += [f"  {problem}" for problem in problems]
    lines.append("Without a network, place by hand:")
    for file in files:
        lines += [
            f"  {file.path}",
            f"    from   {' or '.join(file.urls)}",
            f"    sha256 {file.sha256}",
        ]
    return "\n".join(lines)
