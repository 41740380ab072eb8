"""The type of this machine, as far as arithmetic can depend on it; never its name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..spec import Device
from . import gpu_properties, this_machine

# The processor flags by which numerical libraries choose their code.
_VECTOR = "sse4_2 avx avx2 fma avx512f avx512_bf16 avx512_vnni avx512_fp16 amx_tile asimd sve sve2"


@cache
def machine_type(device: Device = "cpu", cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """System, processor, its family, model and vector instructions; for gpu runs the GPU."""
    machine = this_machine()
    fields = _first_processor(cpuinfo)
    model = "".join(
        f" {key.split()[-1]} {fields[key]}" for key in ("cpu family", "model") if key in fields
    )
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    vector = " ".join(name for name in _VECTOR.split() if name in flags)
    parts = [machine.system.split()[0], f"{machine.processor}{model}", vector]
    return ", ".join(part for part in [*parts, _gpu() if device == "gpu" else ""] if part)


def _first_processor(cpuinfo: Path) -> dict[str, str]:
    if not cpuinfo.exists():
        return {}
    block = cpuinfo.read_text().split("\n\n")[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _gpu() -> str:
    first = next(iter(gpu_properties("name", "driver_version")), ["unknown GPU"])
    return ", ".join(first)
