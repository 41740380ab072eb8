"""CUDA on this machine: cards, the frameworks' builds, and whether these builds get along."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from . import gpu_properties, lacks_gpu

# A problem, and how to mend it.
Problem = tuple[str, str]
_ASKED = {
    "index": "index",
    "name": "name",
    "driver_version": "driver",
    "memory.total": "memory_mib",
    "memory.free": "free_mib",
    "compute_cap": "capability",
}


class Library(NamedTuple):
    """An installed distribution of NVIDIA's: nvidia-cudnn-cu12 is the cudnn of CUDA 12."""

    distribution: str
    name: str
    version: str
    files: frozenset[str]


def cards() -> list[dict[str, str]]:
    """Every GPU as the driver sees it: index, name, driver, memory_mib, free_mib, capability."""
    return [dict(zip(_ASKED.values(), row, strict=False)) for row in gpu_properties(*_ASKED)]


def libraries(path: Sequence[str] | None = None) -> list[Library]:
    """NVIDIA's libraries that pip installed into this environment, or into these folders."""
    found = []
    for each in importlib.metadata.distributions(path=list(sys.path if path is None else path)):
        name = str(each.metadata["Name"] or "").lower()
        if name.startswith("nvidia-"):
            short = re.sub(r"^nvidia-|-cu\d+$", "", name)
            shared = (str(file) for file in each.files or () if ".so" in file.name)
            found.append(Library(name, short, each.version, frozenset(shared)))
    return found


def clashes(installed: Iterable[Library]) -> list[str]:
    """Of libraries that are there for two releases of CUDA: those that overwrote each other."""
    of_name = defaultdict[str, list[Library]](list)
    for library in installed:
        of_name[library.name].append(library)
    return [
        f"{first.distribution} and {second.distribution}"
        for several in of_name.values()
        for place, first in enumerate(several)
        for second in several[place + 1 :]
        if first.files & second.files
    ]


def major(framework: Mapping[str, Any]) -> str:
    """The release of CUDA that a framework was built for: '13'; '' without CUDA."""
    return str(framework["accelerator"].get("CUDA", "")).partition(".")[0]


def sharing(frameworks: Sequence[Mapping[str, Any]], overwritten: Sequence[str]) -> str:
    """Whether the frameworks with CUDA can live in this environment; '' if none has it."""
    built = [f"{each['name']} (CUDA {major(each)})" for each in frameworks if major(each)]
    if not built:
        return ""
    if overwritten:
        return f"{', '.join(built)} cannot share this environment"
    if len({major(each) for each in frameworks if major(each)}) > 1:
        return f"{', '.join(built)} share this environment, each with libraries of its own"
    return f"{', '.join(built)}: one environment serves {'both' if len(built) == 2 else 'all'}"


def problems(
    frameworks: Sequence[Mapping[str, Any]],
    cards: Sequence[Mapping[str, str]],
    overwritten: Sequence[str],
    device_files: bool | None = None,
) -> list[Problem]:
    """What keeps a framework from a GPU that is here. device_files: whether the driver's are there
    (None: look)."""
    seen = [each for each in frameworks if "gpu" in each["devices"]]
    there = not lacks_gpu() if device_files is None else device_files
    found: list[Problem] = []
    if there and not cards and not seen and any(major(each) for each in frameworks):
        found.append(
            (
                "a GPU's device files are here, but neither nvidia-smi nor a framework sees one",
                "install NVIDIA's driver, or start the container with its GPUs (--gpus all)",
            )
        )
    if cards or seen:
        blind = (each for each in frameworks if each["versions"] and "gpu" not in each["devices"])
        found += [_blind(each, cards) for each in blind if "install" in each["accelerator"]]
    return found + [_overwritten(frameworks, pair) for pair in overwritten]


def _blind(framework: Mapping[str, Any], cards: Sequence[Mapping[str, str]]) -> Problem:
    """A framework without the GPU that others or the driver see."""
    name, about = framework["name"], framework["accelerator"]
    if not major(framework):
        return f"{name}: a build without CUDA, but a GPU is here", about["install"]
    driver = next((card["driver"] for card in cards if "driver" in card), "")
    why = about.get("no GPU", "it does not say why")
    mend = f"CUDA {about['CUDA']} needs a driver that knows it" + (
        f" (here {driver})" if driver else ""
    )
    return f"{name}: built for CUDA {about['CUDA']}, but sees no GPU: {why}", mend


def _overwritten(frameworks: Sequence[Mapping[str, Any]], pair: str) -> Problem:
    built = {each["name"]: major(each) for each in frameworks if major(each)}
    # The one that stands alone moves out.
    of_release = list(built.values())
    odd = min(built, key=lambda name: of_release.count(built[name]), default="tensorflow")
    return (
        f"{pair} are both installed and hold the same files: the later one overwrote the other",
        f"give {odd} an environment of its own, and name it: --python {odd}=PATH/bin/python",
    )
