"""`gradrace verify --device gpu` without a GPU: a fake says that it has one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gradrace.registry import load_registry
from gradrace.verify import VerifyOptions, verify
from gradrace.verify import file as verify_file
from gradrace.verify.cases import LayerCase, LossCase, Selection, TrajectoryCase, everything
from gradrace.verify.compute import CPU, GPU, TF32, settings
from gradrace.verify.verdict import Verdict, VerifyFile
from programs import printed

# Its losses are WRONG on its GPU, and those of its runs by a thousandth under TF32.
FAKE = """
import os
from gradrace.adapters.numpy import NumpyAdapter

FRAMEWORK = "fake"
TITLE = "A fake"
REQUIRES = ("numpy",)
MODES = ("plain",)
CONVERGENCE_MODE = "plain"
ON_GPU = "CUBLAS_WORKSPACE_CONFIG" in os.environ

def with_tf32():
    how = os.environ["NVIDIA_TF32_OVERRIDE"], os.environ["JAX_DEFAULT_MATMUL_PRECISION"]
    return {("0", "highest"): False, ("1", "tensorfloat32"): True}[how]

class Fake(NumpyAdapter):
    name = "fake"

    def devices(self):
        return {devices}

    def supports(self, run, optimizer):
        assert (run.device == "gpu") == ON_GPU
        assert ON_GPU == (os.environ["CUDA_VISIBLE_DEVICES"] != "")
        return super().supports(run.model_copy(update={"dtype": "float64"}), optimizer)

    def loss(self, task, *given):
        loss, gradient = super().loss(task, *given)
        return loss + {wrong} * ON_GPU, gradient

    def open(self, run, start, inputs):
        session = super().open(run, start, inputs)
        found = session.losses
        session.losses = lambda: found() * (1.0 + 1e-3 * with_tf32())
        return session

ADAPTER = Fake()
"""


@pytest.fixture
def found(tmp_path, monkeypatch) -> Callable[..., VerifyFile]:
    """The verdicts about a fake with these devices, that is so wrong on a GPU."""

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")

    def verdicts(keyword: str, wrong: float = 0.0, devices: str = '("cpu", "gpu")') -> VerifyFile:
        file = tmp_path / "fake.py"
        file.write_text(FAKE.replace("{wrong}", str(wrong)).replace("{devices}", devices))
        selection = Selection(keyword=keyword, frameworks=("fake",), device="gpu")
        return verify(load_registry([file]), VerifyOptions(selection))

    return verdicts


def pairs(verdicts: tuple[Verdict, ...]) -> set[frozenset[str]]:
    return {frozenset((verdict.a.label, verdict.b.label)) for verdict in verdicts}


def test_a_gpu_is_held_against_the_referee_and_its_own_cpu(found):
    verdicts = found("losses/huber").verdicts
    assert {v.verdict for v in verdicts} == {"equal"}
    assert pairs(verdicts) == {frozenset(("fake on gpu", other)) for other in ("fake", "numpy")}


def test_a_gpu_that_computes_something_else_fails_on_both_pairs(found):
    verdicts = found("losses/huber", wrong=1e-3).verdicts
    assert [v.verdict for v in verdicts] == ["FAILED"] * 2
    assert all("fake on gpu" in (v.a.label, v.b.label) for v in verdicts)


def test_every_level_computes_on_the_device(found):
    for keyword in (
        *("weights/digits_mlp !+", "layers/dense/square", "updates/sgd/canonical/constant"),
        *("trajectories/digits_mlp/sgd", "rates/constant/float64", "populations/digits_mlp/sgd"),
    ):
        whole = found(keyword)
        assert {v.verdict for v in whole.verdicts} == {"equal"}, keyword
        assert all("gpu" in (v.a.device, v.b.device) for v in whole.verdicts), keyword
    assert pairs(whole.verdicts) == {frozenset(("fake plain on gpu", "fake population on gpu"))}


def test_tf32_is_measured_and_not_judged(found):
    (verdict,) = found("float32/digits_mlp/adam/tf32").verdicts
    assert verdict.verdict == "differs by definition" and "not judged" in verdict.reason
    assert verdict.worst == pytest.approx(1e-3, rel=0.01)
    labels = {verdict.a.label, verdict.b.label}
    assert labels == {"fake plain on gpu", "fake plain on gpu with TF32"}


def test_without_a_gpu_everything_is_unavailable_with_the_reason(found):
    whole = found("losses/huber", devices='("cpu",)')
    assert {v.verdict for v in whole.verdicts} == {"unavailable"}
    assert any("no GPU that A fake can use" in v.reason for v in whole.verdicts)


def test_verdicts_of_a_gpu_stand_beside_those_of_the_cpu(found, tmp_path):
    on_gpu = found("losses/huber")
    for device in ("cpu", "gpu"):
        whole = on_gpu.model_copy(update={"options": {"device": device}})
        assert verify_file.is_full(whole) == (device == "cpu")
    on_cpu = lambda verdict: verdict.model_copy(
        update={
            name: getattr(verdict, name).model_copy(update={"device": "cpu"}) for name in ("a", "b")
        }
    )
    earlier = on_gpu.model_copy(update={"verdicts": tuple(map(on_cpu, on_gpu.verdicts))})
    verify_file.write(tmp_path, earlier)
    assert len(verify_file.write(tmp_path, on_gpu).verdicts) == 2 * len(on_gpu.verdicts)


def test_settings_of_a_case_follow_the_device_that_is_proven(registry):
    fake, referee = registry.frameworks["torch"], registry.frameworks["numpy"]
    for case in everything(registry, device="gpu"):
        assert settings(case, fake, "cpu") == (CPU,)
        own = settings(case, fake, "gpu")
        assert GPU in own
        assert (TF32 in own) == (isinstance(case, TrajectoryCase) and case.tf32)
        if isinstance(case, LayerCase | LossCase):
            assert own == (CPU, GPU) and settings(case, referee, "gpu") == (CPU,)
    assert not any(getattr(case, "tf32", False) for case in everything(registry))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("--device gqu", 2, "did you mean 'gpu'"),
        ("--device tpu", 2, "cpu or gpu"),
        ("--device gpu --load fake.py --framework fake -k losses/huber", 3, "--device gpu"),
    ],
)
def test_the_command_line_says_what_is_missing(gradrace, tmp_path, arguments, code, says):
    fake = FAKE.replace("{wrong}", "0.0").replace("{devices}", '("cpu",)')
    (tmp_path / "fake.py").write_text(fake)
    done = gradrace("verify", *arguments.split())
    assert done.returncode == code and says in done.stderr and "Traceback" not in done.stderr
    assert code != 3 or "no GPU that A fake can use" in done.stdout


# A tensor on torch's device "meta" has no values: all is as on a GPU until they are asked for.
ON_META = """
from unittest import mock
import torch
from gradrace.adapters import torch as adapter
from gradrace.verify.cases import LayerCase, layer_cases, loss_cases
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

class OneDevice(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        tensors = [t for t in tree_leaves((arguments, named)) if isinstance(t, torch.Tensor)]
        copies = function in (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)
        if len({tensor.device.type for tensor in tensors}) > 1 and not copies:
            print(case.id, function, "takes tensors of two devices")
        return function(*arguments, **(named or {}))

with mock.patch.object(adapter, "visible_device", lambda: torch.device("meta")), OneDevice():
    for case in [*layer_cases(), *loss_cases()]:
        given = case.draw()
        try:
            if isinstance(case, LayerCase):
                weights, x, upstream, mask = given
                given = case.built(), weights, x, upstream, case.training, mask
                adapter.ADAPTER.differentiate(*given)
            else:
                adapter.ADAPTER.loss(case.task, *given)
            print(case.id, "computed on the CPU")
        except (NotImplementedError, RuntimeError) as error:
            if "meta tensor" not in str(error):
                print(case.id, error)
with mock.patch("torch.cuda.is_available", lambda: True):
    assert adapter.visible_device().type == "cuda"
assert adapter.visible_device().type == "cpu"
"""
TF32_IN = {
    "torch": "import torch; print(torch.backends.cudnn.allow_tf32,"
    " torch.get_float32_matmul_precision() != 'highest')",
    "tensorflow": "import tensorflow as tf;"
    " print(*[tf.config.experimental.tensor_float_32_execution_enabled()] * 2)",
    "jax": "import jax; print(*[jax.config.jax_default_matmul_precision == 'tensorfloat32'] * 2)",
}
PREPARED = """
import numpy as np
from gradrace.registry import import_adapter, load_registry
from gradrace.verify.driver import some_run
registry = load_registry()
framework, sgd = registry.frameworks["{name}"], registry.optimizers["sgd"]
ones = {"0_dense.bias": np.ones(2)}
import_adapter(framework).updates(some_run(framework), sgd, ones, [ones], np.ones(1))
"""


def needs(name: str) -> pytest.MarkDecorator:
    missing = load_registry().frameworks[name].versions() is None
    return pytest.mark.skipif(missing, reason=f"needs {name}")


@pytest.mark.slow
@needs("torch")
def test_every_piece_of_torch_is_on_the_device():
    assert printed(ON_META) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in TF32_IN])
def test_the_environment_turns_tf32_on(name):
    script = PREPARED.replace("{name}", name) + TF32_IN[name]
    assert printed(script).split() == ["False", "False"]
    assert printed(script, **TF32.variables()).split() == ["True", "True"]
