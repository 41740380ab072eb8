"""The version of this very copy of gradrace, found when it is first asked for.

A wheel's version comes from the repository's tags. A checkout may be at another commit than on the
day of its installation, so it is asked itself. A copy of the sources says its version in a file.
"""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

# Of sources that nobody can place: copied by hand, say.
UNKNOWN = "0.0.0+unknown"
# In a copy of the package that `compare` or `gate` makes: a file with the version.
COPIED = "VERSION"
_GIT_TIMEOUT_S = 20.0
# As pyproject.toml has it. A tag such as v1, which moves from release to release, is no version.
_DESCRIBE = (
    *("describe", "--dirty", "--tags", "--long", "--abbrev=40"),
    *("--match", "v[0-9]*.[0-9]*"),
)

if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def version() -> str:
    """By PEP 440: '0.2.0', '0.2.0.post1.dev5+g1a2b3c4d5' five commits later, or UNKNOWN."""
    return installation()[0]


@cache
def installation() -> tuple[str, str]:
    """(version, origin in a few words) of the package that this file belongs to."""
    package = Path(__file__).resolve().parent
    if found := _copied(package) or _installed(package):
        return found
    checkout = package.parent
    if told := of_checkout(checkout):
        return told, f"from the checkout {checkout}"
    return _editable(checkout) or (UNKNOWN, f"from the folder {package}")


def of_checkout(folder: Path) -> str:
    """The version of the git checkout whose top folder this is, as a build of it would have; ''."""
    if not (folder / ".git").exists():
        return ""
    told = _git(folder, *_DESCRIBE)
    if told is None:
        commit, count = _git(folder, "rev-parse", "HEAD"), _git(folder, "rev-list", "--count", "@")
        dirty = "-dirty" * bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
        told = f"v0.0.0-{count}-g{commit}{dirty}" if commit and count else ""
    return from_description(told)


def from_description(told: str, today: str = "") -> str:
    """A version of git's long description 'v0.2.0-5-g<hash>[-dirty]'; '' if it is none.

    today: YYYYMMDD, of a checkout with changes; by default the date in UTC. The same rule as
    setuptools-scm's "no-guess-dev" with "node-and-date"."""
    read = re.fullmatch(r"v(\d[\w.!+]*)-(\d+)-g([0-9a-f]{9})[0-9a-f]*(-dirty)?", told)
    if read is None:
        return ""
    tag, count, node, dirty = read.groups()
    if count == "0" and not dirty:
        return tag
    changed = f".d{today or datetime.now(UTC).strftime('%Y%m%d')}" if dirty else ""
    return f"{tag}.post1.dev{count}+g{node}{changed}"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None if it has no answer."""
    with suppress(OSError, subprocess.SubprocessError, UnicodeDecodeError):
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
        )
        return done.stdout.strip() if done.returncode == 0 else None
    return None


def _copied(package: Path) -> tuple[str, str] | None:
    with suppress(OSError, UnicodeDecodeError):
        return (package / COPIED).read_text(encoding="utf-8").strip() or UNKNOWN, "a copy"
    return None


def _installed(package: Path) -> tuple[str, str] | None:
    """Of a wheel: its metadata lie beside the package."""
    for about in package.parent.glob("gradrace-*.dist-info"):
        return about.name.removeprefix("gradrace-").removesuffix(".dist-info"), _source(about)
    return None


def _source(about: Path) -> str:
    """Where pip took an installed package from."""
    with suppress(OSError, ValueError, AttributeError):
        told = json.loads((about / "direct_url.json").read_text(encoding="utf-8"))
        commit = told.get("vcs_info", {}).get("commit_id", "")
        name = "git" if commit else Path(urlsplit(told["url"]).path).name or "a folder"
        return f"installed from {name}" + f", commit {commit[:12]}" * bool(commit)
    return "installed from an index"


def _editable(checkout: Path) -> tuple[str, str] | None:
    """Of sources without git, such as an unpacked archive: their metadata name the folder."""
    import importlib.metadata

    with suppress(importlib.metadata.PackageNotFoundError, OSError, ValueError, KeyError):
        found = importlib.metadata.distribution("gradrace")
        told = json.loads(found.read_text("direct_url.json") or "{}")
        if Path(unquote(urlsplit(told["url"]).path)).resolve() == checkout:
            return found.version, f"from the folder {checkout}"
    return None
