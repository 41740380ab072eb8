"""How a process is set up for a run in PyTorch: threads, default dtype, determinism and precision."""

from __future__ import annotations

import os

import torch
from gradrace.spec import RunSpec

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


def prepare(run: RunSpec) -> torch.device:
    """Sets the process up for the run; gives its device.

    On a GPU deterministic algorithms alone are allowed and TF32 is off, so that every framework
    computes plain float32. A CPU with a fixed number of threads gives the same bits every time
    without."""
    torch.set_num_threads(run.threads)
    # Optimizers make their scalar state (NAdam's mu_product) in the default dtype whatever the
    # parameters have; beside bfloat16 parameters it is float32, as for a user who converts the
    # model.
    torch.set_default_dtype(torch.float64 if run.dtype == "float64" else torch.float32)
    # Inductor's caches on disk would make every first call but the first one look as if nothing
    # were compiled.
    torch.compiler.config.force_disable_caches = run.measure != "convergence"
    torch.use_deterministic_algorithms(run.device == "gpu")
    # Deterministic mode would also fill every empty tensor, which only helps to find reads of what
    # was never written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda" if run.device == "gpu" else "cpu")


def policy(run: RunSpec) -> dict[str, str]:
    """What `prepare` sets for this run, read back from torch; on a CPU without what concerns a GPU
    alone.
    """
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
