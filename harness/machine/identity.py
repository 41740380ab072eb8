"""Which runs were computed on one machine. Times of different machines are never pooled, and no
ratio is formed between them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from ..output.escaping import one_line
from ..record import Machine, RunRecord
from . import this_machine


class MachineType(NamedTuple):
    """What machines of one type share: their hosts, memory and releases of the system differ."""

    processor: str
    logical_cores: int
    system: str
    gpu: str


class Identity(NamedTuple):
    """Equal for two runs if one machine computed both; interpreters may differ on it.

    host: "" in records of earlier versions: then the other fields tell machines apart. memory_gib:
    rounded, since the system reports some KiB more or less after a restart. gpu: the card of a GPU
    run, as in RunRecord; "" of other runs, and if it is not known."""

    host: str
    processor: str
    logical_cores: int
    memory_gib: int
    system: str
    gpu: str

    @property
    def whole(self) -> Identity:
        """The machine, whichever of its cards computed the run."""
        return self._replace(gpu="")

    @property
    def near(self) -> Identity:
        """The same for cards of one model: their indices are left out."""
        return self._replace(gpu=_model(self.gpu))

    @property
    def type(self) -> MachineType:
        """The type of the machine."""
        system = self.system.partition(" ")[0]
        return MachineType(self.processor, self.logical_cores, system, _model(self.gpu))


def identity(record: RunRecord) -> Identity:
    """The machine that computed a run."""
    return _identity(record.machine, record.gpu)


def is_here(record: RunRecord) -> bool:
    """Whether this machine computed the run, on whichever of its cards. A record without a host is
    taken for this machine's if all else is equal."""
    here, there = _identity(this_machine()), identity(record).whole
    return there in (here, here._replace(host=""))


def identities(records: Collection[RunRecord]) -> dict[str, Identity]:
    """Digest -> machine. A GPU run that failed does not know its card: it has that of the other
    runs of its machine, if these have one card only."""
    found = {record.digest: identity(record) for record in records}
    cards = defaultdict[Identity, set[Identity]](set)
    for each in found.values():
        if each.gpu:
            cards[each.whole].add(each)
    only = {whole: next(iter(known)) for whole, known in cards.items() if len(known) == 1}
    on_gpu = {record.digest for record in records if record.spec.device == "gpu"}
    return {
        digest: only.get(each, each) if digest in on_gpu else each for digest, each in found.items()
    }


def names(machines: Iterable[Identity]) -> dict[Identity, str]:
    """A short name of each: 'a1: EPYC 7B13, 2 cores'. Memory and system are added if two machines
    would have one name."""
    found = list(dict.fromkeys(machines))
    alike = Counter(map(_short, found))
    named: dict[Identity, str] = {}
    taken = set[str]()
    for each in found:
        name = _short(each) if alike[_short(each)] == 1 else _long(each)
        while name in taken:
            name += " (another)"
        taken.add(name)
        named[each] = name
    return named


def _identity(machine: Machine, gpu: str = "") -> Identity:
    memory = round(machine.memory_bytes / 2**30)
    of = (machine.host, machine.processor, machine.logical_cores, memory, machine.system, gpu)
    return Identity(*of)


def _model(gpu: str) -> str:
    """'NVIDIA H100' of 'NVIDIA H100, index 1'."""
    return re.sub(r", index \d+$", "", gpu)


def _short(of: Identity, more: str = "") -> str:
    host = f"{of.host}: " if of.host else ""
    cores = f"{of.logical_cores} core{'' if of.logical_cores == 1 else 's'}"
    card = f", {of.gpu}" if of.gpu else ""
    return one_line(f"{host}{of.processor}, {cores}{more}{card}")


def _long(of: Identity) -> str:
    return _short(of, f", {of.memory_gib} GiB, {of.system}")
