"""The folders in which published data may lie already, in the order in which they are searched."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ..errors import UserError

VARIABLE = "GRADRACE_DATA"


def data_folder() -> Path:
    """$GRADRACE_DATA, else the folder for caches of this user and system."""
    given = os.environ.get(VARIABLE)
    return _home_in(Path(given)) if given else _cache()


def use_folder(folder: Path | None) -> None:
    """Sets the data folder of this process and of its workers; None leaves it as it is."""
    if folder:
        os.environ[VARIABLE] = str(_home_in(folder).resolve())


def roots() -> tuple[Path, ...]:
    """The data folder and our cache; then the folders of Keras and torch, ./data, and those of the
    system, such as /usr/share/datasets."""
    return tuple(dict.fromkeys((data_folder(), *_of_others())))


def _of_others() -> list[Path]:
    found = []
    try:
        found += [_cache(), _given("KERAS_HOME", Path.home() / ".keras") / "datasets"]
        torch = _given("TORCH_HOME", _given("XDG_CACHE_HOME", Path.home() / ".cache") / "torch")
        found += [torch, torch / "datasets"]
    # Users without a home folder have the others.
    except (RuntimeError, UserError):
        pass
    system = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    return [*found, Path("data"), *(Path(f) / "datasets" for f in system.split(":") if f)]


def _given(variable: str, otherwise: Path) -> Path:
    given = os.environ.get(variable)
    return _home_in(Path(given)) if given else otherwise


def _cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gradrace"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(local) / "gradrace" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradrace"


def _home_in(folder: Path) -> Path:
    """The path with its ~ replaced by the home folder. UserError if there is no such user."""
    try:
        return folder.expanduser()
    except RuntimeError:
        raise UserError(f"{folder}: no such user; give the data folder as a whole path") from None
