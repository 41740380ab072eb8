"""A results folder of asv's: its machine, its benchmarks, and a file of results an environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import UserError
from ...jsonfile import writing
from ...record import Machine
from .benchmarks import Result

_MACHINE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]{0,99}")


class Environment(NamedTuple):
    """One set of versions, on one device, with one number of threads."""

    versions: tuple[tuple[str, str], ...]
    device: str
    threads: int

    @property
    def params(self) -> dict[str, str]:
        """What asv's pages offer to choose by, beside the versions."""
        return {"device": self.device, "threads": str(self.threads)}

    @property
    def ending(self) -> str:
        """The end of asv's name of it."""
        return f"-{self.device}-threads{self.threads}"


class Paired(NamedTuple):
    """The versions at HEAD, of ratios that were measured in pairs."""

    versions: tuple[tuple[str, str], ...]

    @property
    def params(self) -> dict[str, str]:
        """As of Environment."""
        return {}

    @property
    def ending(self) -> str:
        """As of Environment."""
        return "-paired"


class Commit(NamedTuple):
    """A full hash, and the author's date as asv takes it."""

    hash: str
    date_ms: int


class Folder:
    """A results folder of asv's. UserError if it is something else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Any] = {}
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: not a folder; --to names asv's results_dir")
        if (path / "benchmarks.json").exists():
            self._known = self._read(path / "benchmarks.json", _benchmarks_version())
        elif path.exists() and any(path.iterdir()) and not any(path.glob("*/machine.json")):
            raise UserError(
                f"{path}: not a results folder of asv's (no benchmarks.json); --to names another"
            )

    def machine(self, measured_on: Machine, here: bool, name: str | None) -> dict[str, str]:
        """asv's description of the machine, from its file there or made anew.

        here: it is this machine, which asv may know already. name: by default asv's own for it, or
        the host of another machine. UserError for the name of a machine with other cores, and if
        the host is not known or no name for asv."""
        from asv.machine import Machine as AsvMachine

        if name is None and not here:
            if not _MACHINE.fullmatch(measured_on.host):
                raise UserError(
                    f"these results are of another machine ({measured_on.processor}), whose host is"
                    " not known or no name for asv; --machine gives it a name in asv"
                )
            name = measured_on.host
        if name is not None and not _MACHINE.fullmatch(name):
            raise UserError(
                f"--machine {name!r}: the name becomes a folder's: letters, digits, spaces, '-',"
                " '_' and '.' only"
            )
        described = _as_asv(measured_on, here, name)
        file = self._no_link(self._path / described["machine"] / "machine.json")
        if file.exists():
            kept = self._read(file, AsvMachine.api_version)
            if kept.get("num_cpu") != described["num_cpu"]:
                raise UserError(
                    f"{file}: describes a machine of {kept.get('num_cpu')} cores, the results are"
                    f" of one with {described['num_cpu']} ({measured_on.processor}); --machine"
                    " gives it another name"
                )
            return kept
        return described

    def add(self, machine: Mapping[str, str]) -> None:
        """Writes the description of a machine, unless it is there."""
        from asv.machine import Machine as AsvMachine

        file = self._no_link(self._path / machine["machine"] / "machine.json")
        if file.exists():
            return
        new = AsvMachine()
        new.__dict__.update(machine)
        with writing(file):
            new.save(str(self._path))

    def describe(self, benchmarks: Mapping[str, Mapping[str, Any]]) -> None:
        """Adds these to benchmarks.json, in place of those of their names."""
        from asv.util import write_json

        file = self._no_link(self._path / "benchmarks.json")
        with writing(file):
            write_json(str(file), {**self._known, **benchmarks}, _benchmarks_version())

    def write(
        self,
        environment: Environment | Paired,
        at: Commit,
        machine: Mapping[str, str],
        results: Iterable[Result],
    ) -> Path:
        """The results of one environment at one commit; its file keeps those of other suites."""
        from asv.environment import get_env_name
        from asv.results import Results
        from asv.util import UserError as AsvError

        libraries = dict(environment.versions)
        python = libraries.pop("python", "")
        params = {**machine, "python": python, **libraries, **environment.params}
        name = get_env_name("gradrace", python, libraries, {}) + environment.ending
        kept = Results(params, libraries, at.hash, at.date_ms, python, name, {})
        file = self._no_link(self._path / kept._filename)
        try:
            kept.load_data(str(self._path))
        except (AsvError, ValueError, TypeError, AttributeError) as error:
            raise UserError(f"{file}: not a result file of asv's ({error}); move it away") from None
        for benchmark, result, began, seconds in results:
            kept.add_result(benchmark, result, began, seconds, record_samples=True)
        with writing(file):
            kept.save(str(self._path))
        return file

    def _no_link(self, file: Path) -> Path:
        """The file; UserError if it, or the folder of its machine, is a link: asv would follow
        it."""
        for each in (file, *({file.parent} - {self._path})):
            if each.is_symlink():
                raise UserError(
                    f"{each}: a link, through which nothing is written; remove it, or name another"
                    " folder with --to"
                )
        return file

    def _read(self, file: Path, api_version: int) -> dict[str, Any]:
        from asv.util import UserError as AsvError
        from asv.util import load_json

        try:
            content: dict[str, Any] = load_json(str(file), api_version)
        except (AsvError, OSError, TypeError) as error:
            raise UserError(
                f"{file}: not a file that this asv reads ({error}); --to names asv's results_dir"
            ) from None
        return content


def _benchmarks_version() -> int:
    from asv.benchmarks import Benchmarks

    number: int = Benchmarks.api_version
    return number


def _as_asv(measured_on: Machine, here: bool, name: str | None) -> dict[str, str]:
    """A machine as asv writes it; this one in asv's own words, under its own name."""
    from asv.machine import Machine as AsvMachine
    from asv.machine import MachineCollection
    from asv.util import UserError as AsvError

    if not here:
        return {
            "machine": str(name),
            "os": measured_on.system,
            "arch": "",
            "cpu": measured_on.processor,
            "num_cpu": str(measured_on.logical_cores),
            "ram": str(measured_on.memory_bytes),
        }
    try:
        known: dict[str, str] = dict(MachineCollection.load(AsvMachine.get_unique_machine_name()))
    except (AsvError, OSError):
        known = AsvMachine.get_defaults()
    return {**known, "machine": name} if name else known
