"""Environment of a worker, set before it starts: frameworks read most of it once, when they are
imported.

One table serves every framework; each reads its own variables and ignores the others'.
"""

from __future__ import annotations

import os

from ..spec import RunSpec


def environment(run: RunSpec) -> dict[str, str]:
    """The driver's environment with threads, devices and precision fixed for workers of such runs."""
    threads = str(run.threads)
    fixed = {
        **dict.fromkeys(
            (
                "OMP_NUM_THREADS",
                "MKL_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "VECLIB_MAXIMUM_THREADS",
            ),
            threads,
        ),
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "KERAS_BACKEND": "tensorflow",
        "JAX_ENABLE_X64": "1" if run.dtype == "float64" else "0",
        # Plain float32 everywhere: TF32 would give the frameworks different arithmetic on a GPU.
        "NVIDIA_TF32_OVERRIDE": "0",
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }
    if run.device == "cpu":
        # XLA's thread pool has NPROC threads (PjRt's CPU client), by default one for each core and
        # 16 at least.
        fixed |= {
            "CUDA_VISIBLE_DEVICES": "",
            "JAX_PLATFORMS": "cpu",
            "NPROC": threads,
            "XLA_FLAGS": _xla_cpu(run.threads),
        }
    else:
        # Sums in one order: without these, equal runs differ on a GPU. TensorFlow has a call for
        # it, its adapter's.
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
        fixed |= {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "XLA_FLAGS": flags}
    # A compile cache on disk would make first calls look as if nothing were compiled.
    inherited = {
        name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"
    }
    return {**inherited, **fixed}


def _xla_cpu(threads: int) -> str:
    flags = os.environ.get("XLA_FLAGS", "")
    if threads == 1:
        flags += " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return flags.strip()
