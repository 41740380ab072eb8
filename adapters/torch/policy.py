"""How a process is set up for a run: threads, default dtype, determinism, precision."""

from __future__ import annotations

import os

import torch
from gradrace.spec import RunSpec

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def prepare(run: RunSpec) -> torch.device:
    """Sets the process up for the run and gives its device.

    A GPU may use deterministic algorithms alone, and no TF32, so that every framework computes
    plain float32; `verify` asks for TF32 by the environment, to show what it changes. A CPU with a
    fixed number of threads needs neither to repeat its bits.
    """
    torch.set_num_threads(run.threads)
    # Optimizers make scalar state (NAdam's mu_product) in the default dtype; beside bfloat16
    # parameters that is float32, as for a user who converts the model.
    torch.set_default_dtype(torch.float64 if run.dtype == "float64" else torch.float32)
    # With Inductor's caches on disk, later first calls would look as if nothing were compiled.
    torch.compiler.config.force_disable_caches = run.measure != "convergence"
    torch.use_deterministic_algorithms(run.device == "gpu")
    # Else deterministic mode fills every empty tensor, to find reads of unwritten memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    tf32 = os.environ.get("NVIDIA_TF32_OVERRIDE") == "1"
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    return torch.device("cuda" if run.device == "gpu" else "cpu")


def visible_device() -> torch.device:
    """For pieces that no run places."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def accelerator() -> dict[str, str]:
    """The CUDA that this build has and sees; see gradrace.adapter."""
    found = {"CUDA": torch.version.cuda or "", "install": "pip install --force-reinstall torch"}
    if not torch.version.cuda:
        return found
    try:
        version = torch.backends.cudnn.version() or 0
        found["cuDNN"] = f"{version // 10000}.{version // 100 % 100}.{version % 100}"
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return found | {"no GPU": str(error).partition("\n")[0]}
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info(number))
        found[f"GPU {number}"] = (
            f"{about.name}, compute capability {about.major}.{about.minor},"
            f" {total:.1f} GiB, {free:.1f} free"
        )
    return found


def policy(run: RunSpec) -> dict[str, str]:
    """The settings that `prepare` makes for this run, read back from torch."""
    prepare(run)
    settings: dict[str, object] = {
        "torch.get_num_threads": torch.get_num_threads(),
        "torch.are_deterministic_algorithms_enabled": torch.are_deterministic_algorithms_enabled(),
        "torch.get_float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
    if run.device == "gpu":
        settings |= {
            "torch.backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
            "torch.backends.cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
            "torch.backends.cuda.matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
            "CUBLAS_WORKSPACE_CONFIG": os.environ.get("CUBLAS_WORKSPACE_CONFIG", "not set"),
        }
    if run.mode == "compile":
        settings["torch.compiler.config.force_disable_caches"] = (
            torch.compiler.config.force_disable_caches
        )
    return {name: str(value) for name, value in settings.items()}
