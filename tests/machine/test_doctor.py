"""Doctor's answers about CUDA, from made-up cards, frameworks and installed libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gradrace.commands import doctor as command
from gradrace.machine import cuda, doctor
from gradrace.machine.cuda import Library
from gradrace.process import NoAnswer

CARD = {
    **{"index": "0", "name": "NVIDIA H100 80GB HBM3", "driver": "580.65.06"},
    **{"memory_mib": "81559", "free_mib": "80995", "capability": "9.0"},
}


def framework(name: str, cuda: str = "", gpu: bool = False, **about: str) -> dict[str, Any]:
    """What doctor knows of a framework that loads."""
    devices = ["cpu", "gpu"] if gpu else ["cpu"]
    accelerator = {"CUDA": cuda, "install": f"install {name} anew", **about}
    return {"name": name, "devices": devices, "versions": {"a": "1"}, "accelerator": accelerator}


BROKEN = {"name": "jax", "devices": [], "versions": {}, "accelerator": {}}
REFEREE = {"name": "numpy", "devices": ["cpu"], "versions": {"numpy": "2"}, "accelerator": {}}
OLD = "The NVIDIA driver on your system is too old"
PAIR = "nvidia-cudnn-cu12 and nvidia-cudnn-cu13"
# Frameworks, cards, clashes, whether the driver's files are there; a part of each problem.
PROBLEMS: list[tuple[Any, Any, Any, bool, list[tuple[str, str]]]] = [
    ([framework("torch"), framework("jax"), REFEREE], [], [], False, []),
    ([framework("torch", "13.0", True), framework("jax", "13", True)], [CARD], [], True, []),
    (
        [framework("torch", "13.0", True), framework("jax"), REFEREE],
        [],
        [],
        True,
        [("jax: a build without CUDA, but a GPU is here", "install jax anew")],
    ),
    (
        [framework("torch", "13.0", **{"no GPU": OLD})],
        [CARD],
        [],
        True,
        [(f"torch: built for CUDA 13.0, but sees no GPU: {OLD}", "(here 580.65.06)")],
    ),
    (
        [framework("torch", "13.0"), BROKEN],
        [],
        [],
        True,
        [("device files are here", "--gpus all")],
    ),
    # A container for CPUs on a machine with GPUs is no mistake.
    ([framework("torch"), BROKEN], [], [], True, []),
    ([framework("torch", "13.0", **{"no GPU": "no driver"})], [], [], False, []),
    (
        [framework("torch", "13.0", True), framework("tensorflow", "12.5", True)],
        [CARD],
        [PAIR],
        True,
        [(f"{PAIR} are both installed", "--python ")],
    ),
    (
        [
            *(framework("torch", "13.0", True), framework("jax", "13", True)),
            framework("tensorflow", "12.5", True),
        ],
        [CARD],
        [PAIR],
        True,
        [("overwrote", "--python tensorflow=PATH")],
    ),
]


@pytest.mark.parametrize(("frameworks", "cards", "clashes", "files", "expected"), PROBLEMS)
def test_what_keeps_a_framework_from_a_gpu(frameworks, cards, clashes, files, expected):
    found = cuda.problems(frameworks, cards, clashes, files)
    assert len(found) == len(expected)
    for (problem, mend), (of_problem, of_mend) in zip(found, expected, strict=True):
        assert of_problem in problem and of_mend in mend


SHARING = [
    ([("torch", ""), ("jax", "")], [], ""),
    ([("torch", "13.0"), ("jax", "13")], [], "one environment serves both"),
    ([("torch", "13.0"), ("jax", "13"), ("tensorflow", "13.1")], [], "serves all"),
    ([("torch", "13.0"), ("tensorflow", "12.5")], [], "libraries of its own"),
    ([("torch", "13.0"), ("tensorflow", "12.5")], [PAIR], "cannot share"),
]


@pytest.mark.parametrize(("built", "clashes", "said"), SHARING)
def test_whether_frameworks_share_an_environment(built, clashes, said):
    told = cuda.sharing([framework(*each) for each in built], clashes)
    assert said in told and bool(told) == bool(said)


def installed(root: Path, name: str, *files: str) -> None:
    """A distribution as pip leaves it."""
    about = root / f"{name.replace('-', '_')}-9.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.1\n")
    (about / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    # Some versions of importlib.metadata leave out files that are not there.
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def test_libraries_that_overwrote_each_other_are_found(tmp_path):
    installed(tmp_path, "nvidia-cudnn-cu12", "nvidia/cudnn/lib/libcudnn.so.9", "a/__init__.py")
    installed(tmp_path, "nvidia-cudnn-cu13", "nvidia/cudnn/lib/libcudnn.so.9", "a/__init__.py")
    installed(tmp_path, "nvidia-cublas-cu12", "nvidia/cublas/lib/libcublas.so.12", "b/__init__.py")
    installed(tmp_path, "nvidia-cublas", "nvidia/cu13/lib/libcublas.so.13", "b/__init__.py")
    installed(tmp_path, "numpy", "numpy/core.so")
    found = cuda.libraries([str(tmp_path)])
    assert {library.name for library in found} == {"cudnn", "cublas"}
    (clash,) = cuda.clashes(found)
    assert set(clash.split(" and ")) == {"nvidia-cudnn-cu12", "nvidia-cudnn-cu13"}
    assert cuda.clashes([Library("nvidia-nccl-cu13", "nccl", "2", frozenset("a"))]) == []


def test_cards_are_read_as_the_driver_tells_them(monkeypatch):
    monkeypatch.setattr(cuda, "gpu_properties", lambda *names: [[*CARD.values()], ["1", "short"]])
    order = [CARD[key] for key in ("index", "name", "driver", "memory_mib", "free_mib")]
    assert list(cuda.cards()[0].values())[:5] == order
    assert cuda.cards()[1] == {"index": "1", "name": "short"}


def told(monkeypatch, registry, capsys, tmp_path, answers, cards) -> str:
    """What doctor prints if frameworks answer so and the driver shows these cards."""

    def ask(command: Any, *_: Any, **__: Any) -> dict[str, Any]:
        answer = answers.get(command[-1], {"versions": {"x": "1"}, "devices": ["cpu"]})
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(doctor, "ask", ask)
    monkeypatch.setattr(doctor, "clock_noise", lambda: dict(doctor_clock()))
    monkeypatch.setattr(cuda, "cards", lambda: cards)
    monkeypatch.setattr(cuda, "libraries", list)
    monkeypatch.setattr(cuda, "lacks_gpu", lambda: not cards)
    command._print(doctor.diagnose(registry, tmp_path))
    return " ".join(capsys.readouterr().out.split())


def doctor_clock() -> dict[str, float]:
    return {"tick_ns": 50.0, "iqr": 0.01, "worst": 1.1, "cpu_share": 1.0}


def test_doctor_says_plainly_that_there_is_no_gpu(monkeypatch, registry, capsys, tmp_path):
    said = told(monkeypatch, registry, capsys, tmp_path, {}, [])
    assert "gpu none; with --device gpu every cell is skipped" in said
    assert "share" not in said and "without CUDA" not in said
    assert "energy cpu:" in said and "energy gpu:" not in said


def test_doctor_on_a_machine_with_a_gpu(monkeypatch, registry, capsys, tmp_path):
    seen = {"CUDA": "13.0", "cuDNN": "9.19.0", "GPU 0": "NVIDIA H100, 79.2 GiB, 78.5 free"}
    answers = {
        "torch": {"versions": {"torch": "2.11"}, "devices": ["cpu", "gpu"], "accelerator": seen},
        "jax": {**framework("jax"), "versions": {"jax": "0.11"}},
        "tensorflow": NoAnswer("libcudnn.so.9: cannot open shared object file"),
    }
    said = told(monkeypatch, registry, capsys, tmp_path, answers, [CARD])
    card = "0: NVIDIA H100 80GB HBM3, 79.6 GiB, 79.1 free, compute capability 9.0, driver 580.65.06"
    assert f"gpu {card}" in said and "torch's GPU 0: NVIDIA H100, 79.2 GiB, 78.5 free" in said
    assert "13.0, cuDNN 9.19.0" in said and "torch (CUDA 13): one environment" in said
    assert "jax: a build without CUDA, but a GPU is here mend install jax anew" in said
    assert "tensorflow: does not load: libcudnn.so.9" in said
    assert "energy gpu:" in said
    odd = told(monkeypatch, registry, capsys, tmp_path, {}, [{**CARD, "memory_mib": "[N/A]"}])
    assert "unknown GiB, 79.1 free" in odd


# Of each framework: what a GPU machine's library would answer; a build without a card.
TORCH = """
import torch
torch.version.cuda, torch.backends.cudnn.version = "13.0", lambda: 91900
torch.cuda.init, torch.cuda.device_count = lambda: None, lambda: 1
torch.cuda.get_device_properties = lambda n: N(name="H100", major=9, minor=0)
torch.cuda.mem_get_info = lambda n: (70 * 2**30, 80 * 2**30)
"""
NO_DRIVER = """
def init():
    raise RuntimeError("Found no NVIDIA driver on your system.\\nPlease check")
torch.cuda.init = init
"""
JAX = """
import importlib.util, jax
importlib.util.find_spec = lambda name: "cuda13" in name or None
card = N(device_kind="H100", compute_capability="9.0", client=N(platform_version=VERSION))
jax.devices = lambda kind: [card]
"""
NO_JAX_GPU = """
def devices(kind):
    raise RuntimeError("Unknown backend: 'gpu' requested")
jax.devices = devices
"""
TENSORFLOW = """
import tensorflow as tf
tf.sysconfig.get_build_info = lambda: {"cuda_version": "12.5.1", "cudnn_version": "9"}
tf.config.list_physical_devices = lambda kind: CARDS
about = {"device_name": "H100", "compute_capability": (9, 0)}
tf.config.experimental.get_device_details = lambda card: about
"""
ANSWERS: list[tuple[str, list[tuple[str, dict[str, str]]]]] = [
    (
        "torch",
        [
            ("import torch", {"CUDA": ""}),
            (
                TORCH,
                {
                    **{"CUDA": "13.0", "cuDNN": "9.19.0"},
                    "GPU 0": "H100, compute capability 9.0, 80.0 GiB, 70.0 free",
                },
            ),
            (NO_DRIVER, {"CUDA": "13.0", "no GPU": "Found no NVIDIA driver on your system."}),
        ],
    ),
    (
        "jax",
        [
            ("import jax", {"CUDA": ""}),
            (
                f"VERSION = 'PJRT C API\\ncuda 12090'{JAX}",
                {"CUDA": "12.9", "GPU 0": "H100, compute capability 9.0"},
            ),
            (f"VERSION = ''{JAX}", {"CUDA": "13"}),
            (NO_JAX_GPU, {"CUDA": "13", "no GPU": "Unknown backend: 'gpu' requested"}),
        ],
    ),
    (
        "tensorflow",
        [
            (
                f"CARDS = [N(name='a')]{TENSORFLOW}",
                {"CUDA": "12.5.1", "cuDNN": "9", "GPU 0": "H100, compute capability 9.0"},
            ),
            ("CARDS = []", {"CUDA": "12.5.1"}),
        ],
    ),
]


@pytest.mark.parametrize(("name", "cases"), ANSWERS, ids=[name for name, _ in ANSWERS])
def test_an_adapter_tells_what_of_cuda_its_framework_has_and_sees(name, cases):
    """In one process, in which the library answers as it would on the machine of each case."""
    lines = ["import json", "from types import SimpleNamespace as N"]
    for setting, _ in cases:
        lines += [setting, f"from gradrace.adapters.{name} import ADAPTER"]
        lines += ["print('told', json.dumps(ADAPTER.accelerator()))"]
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    told = [line for line in done.stdout.splitlines() if line.startswith("told ")]
    for line, (_, expected) in zip(told, cases, strict=True):
        about = json.loads(line.removeprefix("told "))
        assert about.items() >= expected.items() and about["install"].startswith("pip ")
