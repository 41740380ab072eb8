"""The boundary to the frameworks: an adapter's interface, in our own types only.

An adapter module states, as literals at its top that are read without importing it:

    FRAMEWORK = "torch"            the name in specs
    TITLE = "PyTorch"              the name for people
    REQUIRES = ("torch",)          distributions it needs ("a|b": either); their versions enter the
                                   digest
    MODES = ("eager", "compile")   how it can be driven; the first is used for timing
    CONVERGENCE_MODE = "eager"     the fastest mode that keeps the numbers
    PROOF_MODES = ("eager",)       modes in which `verify` proves every piece; by default all
    LOOPED_MODES = ()              modes that compile all steps of a `train` call into one program;
                                   by default none
    ALONE_MODES = {"compile": "torch<2.13"}   modes of which a process can hold one session, for
                                   these versions of what it requires; by default none
    MEMORY_MIB = 250               what a process takes that has trained a small model, without its
                                   data and shared libraries; by default not known
    FIRST_RUN_S = (1.0, 0.1, 5e-4) seconds to import it, to prepare a program, and of a step, of
                                   small models: an estimate before anything was run; by default
                                   none
    ADAPTER = PytorchAdapter()     an Adapter

Everything else in it may import the framework at the top.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

from .layers import BuiltLayer
from .optimizer import Optimizer
from .plan import RunInputs, Weights
from .spec import Dtype, RunSpec, TaskSpec

# The parts of a step that can be timed apart; see Session.probe.
Part = Literal["forward", "gradient", "update"]


class Metrics(NamedTuple):
    """Over a whole split: the mean loss without penalties, and the task's metric, high is good."""

    loss: float
    metric: float


class Differentials(NamedTuple):
    """A layer on one batch: output, gradients of sum(output * upstream), state after a step.

    input_gradient: None if the input is integers. gradients holds trainable parameters, state the
    others; both by full names, in canonical layout."""

    output: np.ndarray
    input_gradient: np.ndarray | None
    gradients: Weights
    state: Weights


class Unsupported(Exception):
    """Raised by `open`, or by a session in its first steps, if only a try shows that the framework
    cannot do the run. The run is skipped; the message is the reason, for people."""


class Session(Protocol):
    """One model with one optimizer, in training. Takes steps 0, 1, … in order, each once."""

    def train(self, steps: range) -> None:
        """Enqueues these updates; need not wait for the device."""

    def sync(self) -> None:
        """Returns when the device has finished all that was enqueued."""

    def losses(self) -> np.ndarray:
        """float64[k]: the mean loss of each batch before its update, since the last call."""

    def evaluate(self, split: str) -> Metrics:
        """Loss and metric over 'train', 'validation' or 'test', of the present weights, or of those
        that the optimizer's binding evaluates instead. Changes no bit of the training."""

    def set_learning_rates(self, rates: np.ndarray) -> None:
        """Replaces the whole table float64[steps]; entries of steps taken are as before."""

    def weights(self) -> Weights:
        """The present weights, state such as running statistics included, canonical layout and
        names, run's dtype (bfloat16, which NumPy lacks, as float32)."""

    def gradients(self, step: int) -> Weights:
        """The gradient by every trainable parameter of the batch of this step at the present
        weights, penalties included, before clipping; canonical layout and names, the dtype of
        `weights`. Waits for the device. Nothing that is trained
        moves: training on gives the bits that it gives without."""

    def state_bytes(self) -> int | None:
        """Bytes of the optimizer's state arrays (moments, buffers), wherever it keeps them;
        counters and learning-rate tables left out. 0 only for a rule that has none; None if it
        cannot be known, as before a first step that makes the state."""

    def compilations(self) -> int:
        """How many programs were traced or compiled for this session so far. The clock refuses a
        timing during which it rises."""

    def parts(self) -> tuple[Part, ...]:
        """The parts of a step that `probe` takes; () if this mode cannot separate them."""

    def probe(self, part: Part, steps: range) -> None:
        """Enqueues this part alone of these steps, driven as `train` drives a whole step and just
        as asynchronously.

        forward: each batch's loss in training mode, penalties included. gradient: that and its
        gradients by all parameters. update: the optimizer's update with the gradients of some batch
        and a learning rate of 0. Results are kept so that nothing can be optimised away, `sync`
        waits for them, `losses` does not return them. Steps may be probed any number of times,
        before and after they are trained; trained weights stay what they are (the optimizer's state
        may move on). ValueError for a part that `parts` does not name."""

    def peak_bytes(self) -> int | None:
        """The framework's own count of the device's peak memory in this process, if it has one."""

    def close(self) -> None:
        """Frees the session's memory."""


class Adapter(Protocol):
    """A framework. `open` may keep compiled code; results never depend on earlier sessions."""

    name: str

    def versions(self) -> dict[str, str]:
        """Distribution -> version of all that computes, for the record."""

    def devices(self) -> tuple[str, ...]:
        """The devices it can use here: 'cpu', and 'gpu' if there is one."""

    # An adapter may also have `trains_groups = True`: its sessions follow `RunInputs.trainers`, so
    # that a run's parameter groups have optimizers of their own. Without, such runs are skipped.
    # It may have `accelerator(self) -> dict[str, str]`, for `gradrace doctor`. CUDA:
    # the release that its framework was built for, "" if none; cuDNN; GPU 0, GPU 1, ...: the cards
    # it sees; no GPU: why it sees none; install: how to get a build with CUDA.

    def policy(self, run: RunSpec) -> dict[str, str]:
        """Settings for determinism and precision, in the framework's names, for the record."""

    def supports(self, run: RunSpec, optimizer: Optimizer) -> str | None:
        """None, or the reason it cannot do this run with this optimizer."""

    def open(self, run: RunSpec, start: Weights, inputs: RunInputs) -> Session:
        """A session at step 0 with these weights (canonical layout, float64)."""

    # For `gradrace verify`: the pieces of a session, one by one. Those that no run places are
    # computed on the GPU if this process sees one, which its environment decides, else on the CPU.

    def differentiate(
        self,
        layer: BuiltLayer,
        weights: Weights,
        x: np.ndarray,
        upstream: np.ndarray,
        training: bool,
        mask: np.ndarray | None = None,
        dtype: Dtype = "float64",
        mode: str | None = None,
    ) -> Differentials:
        """One layer as a session would build it, on x[n, *input_shape] (canonical layout), with the
        gradient by its output upstream[n, *output_shape]. mask bool[n, *input_shape]: kept by a
        dropout that the harness drives."""

    def loss(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> tuple[float, np.ndarray]:
        """The task's loss of a model's outputs, as in a session, and its gradient by them."""

    def metric(
        self, task: TaskSpec, outputs: np.ndarray, y: np.ndarray, dtype: Dtype = "float64"
    ) -> float:
        """The task's metric of a model's outputs, as `Session.evaluate` computes it."""

    def updates(
        self,
        run: RunSpec,
        optimizer: Optimizer,
        start: Weights,
        gradients: Sequence[Weights],
        rates: np.ndarray,
    ) -> list[Weights]:
        """The framework's own optimizer, corrected as the run's rule wants it, on given gradients:
        the tensors after every step. The tensors' names are free; kernels have two or four
        dimensions (canonical layout)."""


class LanesImpossible(Exception):
    """A run cannot share a program with others; the message says why, for people."""


class Population(Protocol):
    """Runs of one shape in training side by side in one program, a lane each; see Session.

    A lane's numbers depend on its own run, weights and inputs alone, bit for bit: neither on the
    other lanes, nor on its place among them. They may depend, in the last bits, on the program's
    number of lanes. All methods raise MemoryError if the device cannot hold so many."""

    def train(self, steps: range) -> None:
        """Enqueues these updates of every lane; need not wait for the device."""

    def sync(self) -> None:
        """Returns when the device has finished all that was enqueued."""

    def losses(self) -> np.ndarray:
        """float64[runs, k]: the mean loss of each batch before its update, since the last call."""

    def evaluate(self, split: str) -> list[Metrics]:
        """Of every run, as `Session.evaluate`. Changes no bit of the training."""

    def set_learning_rates(self, lane: int, rates: np.ndarray) -> None:
        """Replaces one run's whole table float64[steps]; entries of steps taken are as before."""

    def weights(self, lane: int) -> Weights:
        """The present weights of one run, as `Session.weights`."""

    def state_bytes(self) -> int | None:
        """Bytes of the optimizer's state arrays of one lane, as `Session.state_bytes`."""

    def close(self) -> None:
        """Frees the population's memory."""


class PopulationAdapter(Adapter, Protocol):
    """An adapter that can also train populations: runs of mode `population`.

    `supports` hears of such a run in the adapter's convergence mode, as it may end up there."""

    def lane_key(self, run: RunSpec, inputs: RunInputs) -> Hashable:
        """Equal for runs that one program can train side by side. Their steps, evaluations, data,
        dtype and device are known to be equal; the model's, the optimizer's and the penalties'
        numbers may differ. LanesImpossible if the run has to be trained by itself, for instance
        because its optimizer's update is no pure function of arrays; found by trying, if need be.
        """

    def open_population(
        self,
        runs: Sequence[RunSpec],
        starts: Sequence[Weights],
        inputs: Sequence[RunInputs],
        lanes: int,
    ) -> Population:
        """At step 0. The runs have one `lane_key`; there are 1 to `lanes` of them. The program has
        `lanes` lanes in any case: free ones are filled, so that the number of runs changes no bit.
        """
