"""How a process is set up for a run: threads, default dtype, determinism, precision."""

from __future__ import annotations

import os

import keras
import tensorflow as tf
from gradrace.spec import RunSpec


def prepare(run: RunSpec) -> None:
    """Sets the process up for the run; `policy` says the same."""
    _set_threads(run.threads)
    keras.config.set_floatx(run.dtype)
    # float32 means float32: by default a GPU may multiply matrices with the 10 bits of
    # TensorFloat-32. `verify` asks for them by the environment, to show what they change.
    tf.config.experimental.enable_tensor_float_32_execution(_tf32())
    if run.device == "gpu":
        tf.config.experimental.enable_op_determinism()


def _tf32() -> bool:
    return os.environ.get("NVIDIA_TF32_OVERRIDE") == "1"


def visible_device() -> str:
    """For pieces that no run places, as TensorFlow places them by itself."""
    return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"


def _set_threads(threads: int) -> None:
    """ValueError if TensorFlow already runs with another number of threads."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        # 0 if a layer was differentiated before any session: the environment has set the number.
        running = tf.config.threading.get_intra_op_parallelism_threads() or os.environ.get(
            "TF_NUM_INTRAOP_THREADS", 0
        )
        if int(running) != threads:
            raise ValueError(
                f"TensorFlow runs with {running} threads in this process, not with {threads}"
            ) from None


def accelerator() -> dict[str, str]:
    """The CUDA that this build has and sees; see gradrace.adapter."""
    about = tf.sysconfig.get_build_info()
    install = "pip uninstall tensorflow-cpu, then pip install 'tensorflow[and-cuda]'"
    found = {"CUDA": about.get("cuda_version", ""), "install": install}
    if not found["CUDA"]:
        return found
    found["cuDNN"] = about.get("cudnn_version", "")
    cards = tf.config.list_physical_devices("GPU")
    if not cards:
        return found | {"no GPU": "its log says why, when it lists its physical devices"}
    for number, card in enumerate(cards):
        details = tf.config.experimental.get_device_details(card)
        capability = ".".join(map(str, details.get("compute_capability", ("unknown",))))
        name = details.get("device_name", card.name)
        found[f"GPU {number}"] = f"{name}, compute capability {capability}"
    return found


def policy(run: RunSpec) -> dict[str, str]:
    threading = dict.fromkeys(
        ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads"),
        str(run.threads),
    )
    # On a CPU, kernels repeat their bits for a fixed number of threads; the switch would only slow
    # tf.data down.
    return {
        "tf.config.experimental.enable_op_determinism": (
            "called" if run.device == "gpu" else "not called"
        ),
        "tf.config.experimental.enable_tensor_float_32_execution": str(_tf32()),
        **{f"tf.config.threading.{name}": threads for name, threads in threading.items()},
        "keras.config.set_floatx": run.dtype,
        "tf.function(jit_compile)": str(run.mode == "xla"),
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "unset"),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "unset"),
    }
