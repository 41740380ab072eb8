"""Which driver does what in a suite's folder: a file for each claim.

    <suite>/claims/<what>.<generation>   holds the name of the driver; the last generation counts

A claim is a file that only one process can make (O_EXCL, also on NFS from version 3). If its driver
is dead, whoever makes the next generation has it: no claim is ever removed by anybody but its
holder, so that none can take the place of a newer one. Whoever has a claim looks again if there is
still something to do: its last holder may have ended in between."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ...errors import UserError
from ...jsonfile import reading
from .heartbeat import LEASE_S, Driver, empty_folder, make_folder, remove_if_empty

FOLDER = "claims"
_CLAIM = re.compile(r"([0-9a-z]{1,40})\.([0-9]{1,6})")
_NEW = "a driver that has just come"
# Longer than any name of a driver.
_MOST_BYTES = 200


class Claims:
    """The claims of one driver upon runs (their digests), or upon a word for something else.

    OSError: see jsonfile.writing."""

    def __init__(self, suite: Path, driver: Driver) -> None:
        self._folder = suite / FOLDER
        self._driver = driver
        # What is claimed -> generation.
        self.held: dict[str, int] = {}

    def take(self, wanted: Sequence[str]) -> list[str]:
        """Those of them that are this driver's from now on, or were before."""
        make_folder(self._folder)
        there = self._there()
        taken = self._taken(wanted, there)
        new = [what for what in wanted if what not in self.held and what not in taken]
        made = [what for what in new if self._make(what, there.get(what, -1) + 1)]
        if made:
            there = self._there()
            self.release([what for what in made if there.get(what, 0) > self.held[what]])
        return [what for what in wanted if what in self.held]

    def release(self, whats: Collection[str]) -> None:
        """Gives claims up. Leftovers of dead holders go first, the own claim last."""
        for what in [what for what in whats if what in self.held]:
            own = self.held.pop(what)
            for generation in range(max(0, own - 20), own + 1):
                self._file(what, generation).unlink(missing_ok=True)

    def lost(self, what: str) -> bool:
        """Whether another driver has taken over a claim of this one."""
        if what not in self.held or not self._driver.lapsed:
            return False
        return self._there().get(what, -1) != self.held[what]

    def holders(self, whats: Collection[str]) -> dict[str, str]:
        """What is claimed by another living driver -> its name."""
        return self._taken(whats, self._there())

    def leave(self) -> None:
        """Gives everything up; the last driver removes the folder."""
        self.release([*self.held])
        remove_if_empty(self._folder)

    def sweep_up(self) -> None:
        """Removes all claims but the own ones: all other drivers are dead."""
        own = {f"{what}.{generation}" for what, generation in self.held.items()}
        empty_folder(self._folder, own)

    def _there(self) -> dict[str, int]:
        """What is claimed -> the last generation. Listed anew, as NFS remembers single files."""
        found: dict[str, int] = {}
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                if claim := _CLAIM.fullmatch(entry.name):
                    what, generation = claim[1], int(claim[2])
                    found[what] = max(found.get(what, 0), generation)
        return found

    def _taken(self, whats: Collection[str], there: Mapping[str, int]) -> dict[str, str]:
        """See `holders`; there: the last generation of each claim."""
        claimed = (what for what in whats if what in there and what not in self.held)
        holders = {what: self._holder(self._file(what, there[what])) for what in claimed}
        alive = {name for name in {*holders.values()} if name == _NEW or self._driver.look(name)}
        return {what: name for what, name in holders.items() if name in alive}

    def _make(self, what: str, generation: int) -> bool:
        """Claims this; False if another one was quicker."""
        file = self._file(what, generation)
        try:
            with file.open("x", encoding="utf-8") as made:
                made.write(self._driver.name)
        except FileExistsError:
            return False
        except FileNotFoundError:
            # Another driver has just left, and removed the folder.
            make_folder(self._folder)
            return self._make(what, generation)
        self.held[what] = generation
        return True

    def _holder(self, file: Path) -> str:
        """The driver's name as the file states it; _NEW if its maker is about to write it."""
        try:
            with reading(file) as opened:
                text = opened.read(_MOST_BYTES)
            return text.decode() or (_NEW if self._driver.age_s(file) <= LEASE_S else "")
        except (UserError, UnicodeDecodeError, OSError):
            return ""

    def _file(self, what: str, generation: int) -> Path:
        return self._folder / f"{what}.{generation}"
