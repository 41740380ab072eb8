"""Environment of a worker, set before it starts, since frameworks read it when they are imported.

One table serves all frameworks: each ignores the variables of the others."""

from __future__ import annotations

import os

from ..spec import RunSpec


def environment(run: RunSpec, gpu: str = "") -> dict[str, str]:
    """The driver's environment, with threads, devices and precision fixed for such runs.

    gpu: the one to use of several, as CUDA_VISIBLE_DEVICES names it; "" for all that there are."""
    threads = str(run.threads)
    fixed = {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "VECLIB_MAXIMUM_THREADS": threads,
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
        # XLA's thread pool (PjRt's CPU client) has NPROC threads, else one a core and 16 at least.
        fixed |= {
            "CUDA_VISIBLE_DEVICES": "",
            "JAX_PLATFORMS": "cpu",
            "NPROC": threads,
            "XLA_FLAGS": _xla_cpu(run.threads),
        }
    else:
        # Fixed order of sums: else equal runs differ on a GPU. TensorFlow's adapter calls for it.
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
        fixed |= {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "XLA_FLAGS": flags}
        # Indices as nvidia-smi counts them.
        fixed |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": gpu} if gpu else {}
    inherited = dict(os.environ)
    # With a cache on disk, first calls would not compile.
    inherited.pop("JAX_COMPILATION_CACHE_DIR", None)
    return {**inherited, **fixed}


def _xla_cpu(threads: int) -> str:
    flags = os.environ.get("XLA_FLAGS", "")
    if threads == 1:
        flags += " --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return flags.strip()
