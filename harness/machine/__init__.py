"""What machine this is."""

from __future__ import annotations

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
    """Ticks that a hypervisor took from these cores since the system started; 0 where that is not
    counted.

    A tick is 1 / os.sysconf("SC_CLK_TCK") seconds, 10 ms as a rule (Linux, proc_stat(5): the eighth
    figure of a core)."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return 0
    wanted = {f"cpu{core}" for core in cores}
    rows = (line.split() for line in lines)
    return sum(int(row[8]) for row in rows if len(row) > 8 and row[0] in wanted)


def lacks_gpu() -> bool:
    """Whether this machine certainly has no GPU that a framework could use: a Linux without any of
    the devices through which NVIDIA's (also under WSL) and AMD's drivers are reached. Elsewhere
    only the frameworks can say."""
    nodes = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
    return platform.system() == "Linux" and not any(Path(node).exists() for node in nodes)


_GAUGES = {
    "temperature.gpu": "temperature_c",
    "clocks.sm": "sm_mhz",
    "clocks.mem": "memory_mhz",
    "power.draw": "power_w",
}


def gpu_gauges() -> dict[str, float]:
    """What `nvidia-smi` reads of every GPU now, such as {"gpu0_temperature_c": 41.0}; empty where
    it cannot be asked.
    """
    rows = enumerate(gpu_properties(*_GAUGES))
    read = {
        f"gpu{i}_{name}": text
        for i, row in rows
        for name, text in zip(_GAUGES.values(), row, strict=False)
    }
    return {name: float(text) for name, text in read.items() if _is_number(text)}


def gpu_properties(*names: str) -> list[list[str]]:
    """These properties of every GPU, by the names of `nvidia-smi --help-query-gpu`; empty where it
    cannot be asked.
    """
    command = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [[text.strip() for text in line.split(",")] for line in answer.strip().splitlines()]


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
