"""The processes that write into one suite's folder: each has a file, and its heartbeat.

    <suite>/drivers/<name>.json   host and process; its time of modification is the last heartbeat

A driver is dead if its process is gone, or if its last heartbeat is older than its lease: 60
seconds, or GRADRACE_LEASE_S. A process on another machine is judged by its heartbeat alone. Both
moments compared come from the file system's clock: the machines' own clocks may differ."""

from __future__ import annotations

import math
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import Field, FiniteFloat

from ...errors import UserError, refused
from ...jsonfile import read_model, reading, replace_text
from ...process.alive import Place, here, is_gone
from ...spec import Frozen

LEASE_S = 60.0
LEASE_VARIABLE = "GRADRACE_LEASE_S"
FOLDER = "drivers"
_SCHEMA = 1
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}-[0-9]{1,10}-[0-9a-f]{8}")
# Heartbeats in a lease: a few may be late.
_BEATS = 6
# How often in a row a file of ours may vanish while it is made.
_TRIES = 100


class DriverFile(Frozen):
    """A driver, for the others.

    alone: it tolerates no other. entered: it has agreed with the others upon the plan, and may
    write. lease_s: it is dead if its heartbeat is older. versions, sources: of all its runs, as of
    PlannedRun, to say why two plans differ."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    place: Place
    alone: bool = False
    entered: bool = False
    lease_s: FiniteFloat = Field(default=LEASE_S, gt=0.0, le=86_400.0)
    versions: dict[str, str] = {}
    sources: dict[str, str] = {}

    @property
    def named(self) -> str:
        """For people."""
        return f"process {self.place.pid} on {self.place.host}"


class Driver:
    """This process in a suite's folder. Its heart beats from `register` to `leave`."""

    def __init__(self, suite: Path, alone: bool) -> None:
        host = re.sub(r"[^A-Za-z0-9_.-]", "_", here().host)[:80] or "host"
        self.name = f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
        self._folder = suite / FOLDER
        self._file = self._folder / f"{self.name}.json"
        self._about = DriverFile(place=here(), alone=alone, lease_s=_lease())
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None
        self._last = math.inf
        self._problem = ""
        self._lapsed = False

    def register(self) -> None:
        """Makes the file and starts the heart. OSError: see jsonfile.writing."""
        self._write()
        self._last = time.time()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._heart.start()

    def enter(self, versions: Mapping[str, str], sources: Mapping[str, str]) -> None:
        """Tells the others that this driver writes from now on."""
        found = {"entered": True, "versions": dict(versions), "sources": dict(sources)}
        self._about = self._about.model_copy(update=found)
        self._write()

    def leave(self) -> None:
        """Stops the heart and removes the file; the last one removes the folder."""
        self._stop.set()
        if self._heart:
            self._heart.join()
        self._file.unlink(missing_ok=True)
        remove_if_empty(self._folder)

    @property
    def host(self) -> str:
        """The name of this machine."""
        return self._about.place.host

    @property
    def lapsed(self) -> bool:
        """Whether the heart has paused for a whole lease: others may have taken this driver for
        dead. UserError if it cannot beat any more."""
        late = time.time() - self._last > self._about.lease_s
        if late and self._problem:
            raise UserError(f"{self._file}: no heartbeat can be written: {self._problem}")
        self._lapsed = self._lapsed or late
        return self._lapsed

    def living(self) -> dict[str, DriverFile]:
        """The other drivers that are alive, by name."""
        return {name: found for name in self._names() if (found := self.look(name))}

    def look(self, name: str) -> DriverFile | None:
        """Another driver, or this one; None if it is dead, or no driver's name."""
        if name == self.name:
            return self._about
        if not _NAME.fullmatch(name):
            return None
        file = self._folder / f"{name}.json"
        try:
            about = read_model(DriverFile, file, _SCHEMA, "a gradrace driver's file")
            silent_s = self.age_s(file)
        except (UserError, OSError):
            return None
        return about if silent_s <= about.lease_s and not is_gone(about.place) else None

    def age_s(self, file: Path) -> float:
        """Seconds since a file was written, by the clock of the file system. UserError, OSError."""
        self._touch()
        return _changed(self._file) - _changed(file)

    def sweep_up(self, living: Collection[str]) -> None:
        """Removes the files of all drivers but these and this one."""
        kept = {f"{name}.json" for name in (self.name, *living)}
        empty_folder(self._folder, kept)

    def _names(self) -> Iterator[str]:
        with os.scandir(self._folder) as entries:
            names = [entry.name for entry in entries]
        for name in sorted(names):
            stem, dot, end = name.rpartition(".")
            if dot and end == "json" and stem != self.name:
                yield stem

    def _write(self) -> None:
        text = self._about.model_dump_json(by_alias=True) + "\n"
        for _ in range(_TRIES):
            make_folder(self._folder)
            # Another driver that tidies up may remove the folder, or the file that is being made.
            with suppress(FileNotFoundError):
                return replace_text(self._file, text)
        replace_text(self._file, text)

    def _touch(self) -> None:
        try:
            os.utime(self._file)
        except FileNotFoundError:
            # Somebody took this driver for dead and tidied up.
            self._write()

    def _beat(self) -> None:
        while not self._stop.wait(self._about.lease_s / _BEATS):
            try:
                self._touch()
            except (OSError, UserError) as error:
                self._problem = refused(error) if isinstance(error, OSError) else str(error)
                continue
            self._lapsed = self._lapsed or time.time() - self._last > self._about.lease_s
            self._last = time.time()


def make_folder(folder: Path) -> None:
    """A folder within a suite's. UserError if a link of its name is there."""
    if folder.is_symlink():
        raise UserError(f"{folder}: a link, which no gradrace makes; remove it")
    folder.mkdir(exist_ok=True)


def empty_folder(folder: Path, kept: Collection[str]) -> None:
    """Removes whatever lies in a folder of ours, but for these names. UserError if it is a link."""
    make_folder(folder)
    with os.scandir(folder) as entries:
        doomed = [entry for entry in entries if entry.name not in kept]
    for entry in doomed:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            Path(entry.path).unlink(missing_ok=True)


def remove_if_empty(folder: Path) -> None:
    """Another driver may have put something there."""
    try:
        folder.rmdir()
    except OSError:
        return


def _lease() -> float:
    text = os.environ.get(LEASE_VARIABLE, "")
    try:
        lease_s = float(text or LEASE_S)
    except ValueError:
        lease_s = math.nan
    if not 1.0 <= lease_s <= 86_400.0:
        raise UserError(f"{LEASE_VARIABLE}={text}: expected seconds from 1 to 86400")
    return lease_s


def _changed(file: Path) -> float:
    """Opened, since NFS asks the server only then. UserError if it is no regular file."""
    with reading(file) as opened:
        return os.fstat(opened.fileno()).st_mtime
