"""Joules drawn while something runs: of the processor's packages (RAPL) or of one GPU (NVML).

A counter counts everything that runs on its device, and the power that the device draws at rest.
It knows nothing of processes. What cannot be read is absent, with the reason; nothing here raises.
"""

from __future__ import annotations

import importlib
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from ..record import Energy
from ..spec import Device

POWERCAP = Path("/sys/class/powercap")
# No package and no card draws so much: a larger figure is a counter that was reset.
_MOST_WATTS = 3000.0
# A figure needs so many ticks of its counter, else it may be wrong by more than a tenth.
_TICKS = 10


class Unreadable(Exception):
    """No figure; the message says why, for people."""


class Counter(Protocol):
    """Energy of one device.

    source: what is read, for people. tick_s: seconds between two values of the counter. every_s: it
    has to be read at least so often, inf if only at both ends."""

    source: str
    tick_s: float
    every_s: float

    def read(self) -> Sequence[float]:
        """Its present values; any error means that it cannot be read."""

    def joules(self, before: Sequence[float], after: Sequence[float], seconds: float) -> float:
        """Between two readings so many seconds apart. Unreadable if it was reset in between."""


class Rapl:
    """The packages of the processor, by Linux' power capping framework (powercap in its docs).

    Values are microjoules of each package; they start anew at `max_energy_range_uj`."""

    tick_s = 0.001
    # 65 kJ, the smallest range seen, last 130 s at 500 W.
    every_s = 20.0

    def __init__(self, folder: Path = POWERCAP) -> None:
        packages: dict[str, Path] = {}
        # A package may stand there twice, also as intel-rapl-mmio:0; its parts as intel-rapl:0:0.
        found = [*sorted(folder.glob("intel-rapl:*")), *sorted(folder.glob("intel-rapl-mmio:*"))]
        for domain in found:
            name = _text(domain / "name") if domain.name.count(":") == 1 else ""
            if name.startswith("package-"):
                packages.setdefault(name, domain)
        if not packages:
            raise Unreadable(f"no RAPL on this machine ({folder} has no package)")
        self._files = [domain / "energy_uj" for domain in packages.values()]
        self._ranges = [_range(domain / "max_energy_range_uj") for domain in packages.values()]
        self.source = f"RAPL {', '.join(packages)}"
        self.read()

    def read(self) -> list[float]:
        return [_microjoules(file) for file in self._files]

    def joules(self, before: Sequence[float], after: Sequence[float], seconds: float) -> float:
        drawn = [
            end - begin if end >= begin else end - begin + whole
            for begin, end, whole in zip(before, after, self._ranges, strict=True)
        ]
        if not all(0 <= each <= _MOST_WATTS * 1e6 * (seconds + 0.01) for each in drawn):
            raise Unreadable(f"{self.source}: the counter was reset meanwhile")
        return sum(drawn) * 1e-6


class _Gpu:
    """One GPU, asked by one of NVML's functions. If more processes hold it than `holders`, nobody
    can tell the run's share: then reading fails."""

    asks: str
    what: str
    tick_s = 0.1

    def __init__(self, nvml: Any, handle: Any, name: str, holders: int = 1) -> None:
        self._nvml, self._handle, self._name, self._holders = nvml, handle, name, holders
        self.source = f"NVML {self.what} of {name}"
        self._value()

    def read(self) -> list[float]:
        if self._processes() > self._holders:
            raise Unreadable(f"other processes used {self._name} meanwhile")
        return [self._value()]

    def _value(self) -> float:
        return _number(getattr(self._nvml, self.asks)(self._handle))

    def _processes(self) -> int:
        try:
            return len(self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle))
        except self._nvml.NVMLError:
            return 0


class GpuEnergy(_Gpu):
    """Its total energy counter, in millijoules since the driver was loaded."""

    asks = "nvmlDeviceGetTotalEnergyConsumption"
    what = "energy counter"
    every_s = math.inf

    def joules(self, before: Sequence[float], after: Sequence[float], seconds: float) -> float:
        drawn = (after[0] - before[0]) * 1e-3
        if not 0 <= drawn <= _MOST_WATTS * (seconds + self.tick_s):
            raise Unreadable(f"{self.source}: the counter was reset meanwhile")
        return drawn


class GpuPower(_Gpu):
    """Its power, in milliwatts: for cards without a counter of energy."""

    asks = "nvmlDeviceGetPowerUsage"
    what = "power, ten times a second,"
    every_s = 0.1

    def joules(self, before: Sequence[float], after: Sequence[float], seconds: float) -> float:
        return (before[0] + after[0]) / 2 * 1e-3 * seconds


class Meter:
    """Adds up what a counter counts, from now to the first `energy`, for so many runs; `counter`
    may be the reason why there is none."""

    def __init__(self, counter: Counter | str, runs: int = 1) -> None:
        self._counter = None if isinstance(counter, str) else counter
        self._reason = counter if isinstance(counter, str) else ""
        self._runs, self._joules = runs, 0.0
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._began = self._at = time.monotonic()
        self._last: Sequence[float] | None = None
        self._look()
        if self._counter and math.isfinite(self._counter.every_s):
            threading.Thread(target=self._watch, args=(self._counter.every_s,), daemon=True).start()

    def energy(self) -> Energy:
        """What was drawn, an equal share of it for each run; or why it is unknown."""
        self._look()
        self._ended.set()
        counter, seconds = self._counter, self._at - self._began
        if counter is None or self._reason:
            return Energy(reason=self._reason)
        if seconds < _TICKS * counter.tick_s:
            least = f"{_TICKS * counter.tick_s:g} s"
            return Energy(reason=f"took less than {least}, too short for the {counter.source}")
        return Energy(joules=self._joules / self._runs, source=counter.source, runs=self._runs)

    def _watch(self, every_s: float) -> None:
        while not self._ended.wait(every_s):
            self._look()

    def _look(self) -> None:
        counter = self._counter
        with self._lock:
            if counter is None or self._reason or self._ended.is_set():
                return
            try:
                values, now = counter.read(), time.monotonic()
                if self._last is not None:
                    self._joules += counter.joules(self._last, values, now - self._at)
            # A reading must not cost a run, whatever a driver or its library raises.
            except Exception as error:
                self._reason = _reason(error)
                return
            if self._last is None:
                self._began = now
            self._last, self._at = values, now


def meter(device: Device, beside: bool = False, runs: int = 1) -> Meter:
    """Begins to count what this device draws, for so many runs in one program. beside: others may
    use the device meanwhile, whose share nobody can tell: then there is no figure."""
    if beside:
        return Meter("other runs may have used the device meanwhile; -j 1 leaves it to one")
    return Meter(counter(device), runs)


@cache
def counter(device: Device) -> Counter | str:
    """The counter of this device in this process, or the reason why there is none."""
    return find(device)


def find(
    device: Device,
    powercap: Path = POWERCAP,
    environment: Mapping[str, str] = os.environ,
    holders: int = 1,
) -> Counter | str:
    """As `counter`, without memory, for this environment and folder. holders: processes that may
    use a GPU while it is read; what all of them draw is counted."""
    try:
        return Rapl(powercap) if device == "cpu" else _gpu(environment, holders)
    except Exception as error:
        return _reason(error)


def _gpu(environment: Mapping[str, str], holders: int) -> Counter:
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        raise Unreadable("nvidia-ml-py is not installed (pip install 'gradrace[energy]')") from None
    nvml.nvmlInit()
    handle = _first_visible(nvml, environment)
    name = nvml.nvmlDeviceGetName(handle)
    name = name.decode() if isinstance(name, bytes) else str(name)
    try:
        return GpuEnergy(nvml, handle, name, holders)
    except nvml.NVMLError:
        return GpuPower(nvml, handle, name, holders)


def _first_visible(nvml: Any, environment: Mapping[str, str]) -> Any:
    """NVML's handle of the first GPU that CUDA shows to this process: that which a run uses."""
    first = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if first.startswith("MIG-"):
        raise Unreadable("a MIG slice of a GPU has no counter of its own")
    if first.startswith("GPU-"):
        return nvml.nvmlDeviceGetHandleByUUID(first)
    # Of several cards CUDA counts the fastest first unless told otherwise, NVML goes by the bus.
    by_bus = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    if not by_bus and len({str(nvml.nvmlDeviceGetName(handle)) for handle in handles}) > 1:
        raise Unreadable("of GPUs of several kinds the numbers are known under PCI_BUS_ID alone")
    return handles[int(first or 0)]


def _reason(error: Exception) -> str:
    if isinstance(error, Unreadable):
        return str(error)
    if isinstance(error, PermissionError):
        return f"{error.filename}: only root may read it (chmod a+r allows all)"
    return f"{type(error).__name__}: {error}"[:200]


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _range(file: Path) -> float:
    """Without it a counter that starts anew counts as reset."""
    try:
        return _microjoules(file)
    except (OSError, Unreadable):
        return 0.0


def _microjoules(file: Path) -> float:
    return _number(file.read_text().strip(), str(file))


def _number(value: Any, what: str = "NVML") -> float:
    """A counter's value. Unreadable unless it is finite and not negative."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not (math.isfinite(found) and found >= 0):
        raise Unreadable(f"{what} gave {str(value)[:40]!r}, which is no count")
    return found
