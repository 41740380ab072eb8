"""The row of a distribution's releases, each installed by pip into an environment of its own.

An environment is a `python -m venv` that sees the packages of the running interpreter, and in which
pip installs the release, and what else that needs in another version. So nothing differs between
two releases but what must, and an environment takes little more room than the release. They lie in
OUTPUT/bisect/environments and are kept: a second bisection, or a resumed one, uses them again."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..errors import ExitCode, UserError
from ..importpath import Plugin
from ..jsonfile import writing
from ..paired import Side
from ..paired.sides import of_interpreters

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*")
_LISTED = "Available versions:"
# Written last: an environment without it was cut off.
_WHOLE = "gradrace.json"
_NEAR = 6
_MIB = 2**20


class Releases:
    """Releases of one distribution that pip's index offers, GOOD to BAD."""

    def __init__(
        self,
        name: str,
        ends: tuple[str, str],
        folder: Path,
        plugins: Sequence[Plugin] = (),
        companions: Sequence[str] = (),
        watch: Callable[[str], None] = lambda line: None,
    ) -> None:
        """folder: of the environments. companions: distributions that must fit the release, and are
        replaced if the installed ones do not.

        UserError: no pip, no such distribution, a version that is not on the index, ends in the
        wrong order."""
        if not _NAME.fullmatch(name):
            raise UserError(f"--releases {name}: not the name of a distribution, such as torch")
        self.name, self._folder, self._plugins = name, folder, tuple(plugins)
        self._companions, self._watch = tuple(companions), watch
        self.ids: Sequence[str] = _between(name, offered(name), ends)

    def label(self, index: int) -> str:
        return f"{self.name} {self.ids[index]}"

    def about(self, index: int) -> str:
        return ""

    def hint(self, index: int) -> str:
        return ""

    @contextmanager
    def sides(self, older: int, newer: int) -> Iterator[tuple[Side, Side]]:
        """Two interpreters; makes the environments that are missing, which takes minutes."""
        pythons = [str(self._environment(index)) for index in (older, newer)]
        with of_interpreters(pythons[0], pythons[1], self._plugins) as (a, b):
            yield (
                replace(a, label=self.label(older), details={"python": a.python}),
                replace(b, label=self.label(newer), details={"python": b.python}),
            )

    def _environment(self, index: int) -> Path:
        """The interpreter of a release's environment. UserError (3) with pip's reason if it cannot
        be installed."""
        version = self.ids[index]
        tag = f"py{sys.version_info.major}.{sys.version_info.minor}"
        place = (self._folder / f"{self.name}-{version}-{tag}").absolute()
        python = place / "bin" / "python"
        if (place / _WHOLE).is_file() and python.exists():
            return python
        self._watch(f"{self.label(index)}: installing into {place}")
        with writing(place):
            shutil.rmtree(place, ignore_errors=True)
            place.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._install(place, python, version)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        size = sum(file.lstat().st_size for file in place.rglob("*") if not file.is_dir())
        with writing(place):
            (place / _WHOLE).write_text(json.dumps({self.name: version, "bytes": size}) + "\n")
        self._watch(f"{self.label(index)}: {size / _MIB:.0f} MiB in {place}, kept")
        return python

    def _install(self, place: Path, python: Path, version: str) -> None:
        label = f"{self.name} {version}"
        _run([sys.executable, "-m", "venv", str(place)], f"{label}: no environment")
        shared = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        (library,) = place.glob("lib/python*/site-packages")
        (library / "gradrace_shared.pth").write_text("\n".join(shared) + "\n")
        others = [name for name in self._companions if name.lower() != self.name.lower()]
        # Wheels alone: to build a framework takes hours.
        pip = [str(python), "-m", "pip", "install", "--only-binary", ":all:", "--no-input"]
        wanted = f"{self.name}=={version}"
        _run([*pip, wanted, *others], f"{label} cannot be installed on this Python")
        asked = f"import importlib.metadata as m; print(m.version({self.name!r}))"
        found = _run([str(python), "-c", asked], f"{label}: not usable").strip()
        if found != version:
            raise UserError(f"{label}: pip installed {found}", ExitCode.NOTHING_MEASURED)


def offered(name: str) -> list[str]:
    """All releases of wheels and sources that pip's index has, oldest first, pre-releases left out.

    Those that want another Python are among them: to install one fails, with pip's reason."""
    pip = [sys.executable, "-m", "pip", "index", "versions", "--ignore-requires-python", name]
    told = _run(pip, f"--releases {name}: pip lists no releases", ExitCode.USAGE)
    listed = next((line for line in told.splitlines() if line.startswith(_LISTED)), _LISTED)
    versions = [text.strip() for text in listed.removeprefix(_LISTED).split(",")]
    return [text for text in reversed(versions) if _VERSION.fullmatch(text)]


def _between(name: str, known: Sequence[str], ends: tuple[str, str]) -> Sequence[str]:
    for option, version in zip(("GOOD", "BAD"), ends, strict=True):
        if version not in known:
            near = ", ".join(known[-_NEAR:]) or "none"
            raise UserError(
                f"{option} {version}: pip's index has no release {version} of {name} (the last:"
                f" {near})"
            )
    first, last = (known.index(version) for version in ends)
    if first == last:
        raise UserError(f"GOOD and BAD are both {name} {ends[0]}: there is nothing to bisect")
    if first > last:
        raise UserError(f"GOOD {ends[0]} is newer than BAD {ends[1]}: swap them")
    return known[first : last + 1]


def _run(command: Sequence[str], problem: str, code: ExitCode = ExitCode.NOTHING_MEASURED) -> str:
    """The output of a command. UserError with its last error line."""
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
    except OSError as error:
        raise UserError(f"{problem}: {command[0]}: {error.strerror}", code) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")]
        last = (errors or lines or [f"exit code {done.returncode}"])[-1]
        raise UserError(f"{problem}: {last.removeprefix('ERROR:').strip()[:300]}", code)
    return done.stdout
