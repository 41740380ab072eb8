"""This machine: cores, memory, GPUs, stolen time. place: its type, without its name. identity:
which runs one machine computed. energy: joules of its processor and GPUs. cuda: the CUDA that is
here. doctor: what is wrong with it and with the installation."""

from __future__ import annotations

import itertools
import math
import os
import platform
import subprocess
from collections.abc import Collection
from functools import cache
from pathlib import Path

from ..record import Machine


@cache
def this_machine() -> Machine:
    """The machine of this process."""
    import psutil

    return Machine(
        host=platform.node(),
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        logical_cores=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        python=platform.python_version(),
    )


def usable_cores() -> tuple[int, ...]:
    """Logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def steal_ticks(cores: Collection[int]) -> int:
    """Ticks that a hypervisor took from these cores since the system started; 0 if not counted.

    A tick is 1 / os.sysconf("SC_CLK_TCK") seconds, usually 10 ms (proc_stat(5), eighth figure)."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return 0
    wanted = {f"cpu{core}" for core in cores}
    rows = (line.split() for line in lines)
    return sum(int(row[8]) for row in rows if len(row) > 8 and row[0] in wanted)


def lacks_gpu() -> bool:
    """Whether this is a Linux without the devices of NVIDIA's (also under WSL) and AMD's drivers.

    Elsewhere only the frameworks can tell."""
    nodes = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
    return platform.system() == "Linux" and not any(Path(node).exists() for node in nodes)


_GAUGES = {
    "temperature.gpu": "temperature_c",
    "clocks.sm": "sm_mhz",
    "clocks.mem": "memory_mhz",
    "power.draw": "power_w",
}


def gpu_gauges() -> dict[str, float]:
    """`nvidia-smi`'s readings of every GPU, such as {"gpu0_temperature_c": 41.0}; {} without it."""
    rows = enumerate(gpu_properties(*_GAUGES))
    read = {
        f"gpu{i}_{name}": text
        for i, row in rows
        for name, text in zip(_GAUGES.values(), row, strict=False)
    }
    return {name: float(text) for name, text in read.items() if _is_number(text)}


def gpu_properties(*names: str) -> list[list[str]]:
    """These properties of every GPU, named as in `nvidia-smi --help-query-gpu`; [] without it."""
    command = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return []
    lines = answer.stdout.strip().splitlines()
    return [[text.strip() for text in line.split(",")] for line in lines]


def visible_gpus() -> tuple[str, ...]:
    """Identifiers of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them: from it
    or, if it is not set, from `nvidia-smi`; () if neither tells."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return tuple(row[0] for row in gpu_properties("index"))
    # CUDA ends the list at the first that is none.
    found = itertools.takewhile(_is_gpu, (text.strip() for text in named.split(",")))
    return tuple(dict.fromkeys(found))


@cache
def gpu_label() -> str:
    """Name and index of the first GPU that this process may use: "NVIDIA H100, index 1"; "" if
    that cannot be told."""
    visible = visible_gpus()
    for index, uuid, *name in gpu_properties("index", "uuid", "name") if visible else ():
        if visible[0] == index or uuid.startswith(visible[0]):
            return f"{', '.join(name)}, index {index}"
    return ""


def _is_gpu(text: str) -> bool:
    return text.isdigit() or text.startswith(("GPU-", "MIG-"))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
