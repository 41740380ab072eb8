"""How often a paired comparison of one cell, digits_mlp with Adam, raises an alarm on this machine.

    python tests/benchmarks/gates.py --gates 40    equal sides: each alarm is a false one
    ... --gates 20 --slowdown 0.05                 every step of B is made 5% longer
    ... --gates 20 --slowdown 0.05 --in-optimizer  by an optimizer file that spins in step()

With --in-optimizer the time to spin is worked out once, before the first gate, as this share of a
step. Prints a line a gate as it ends, then the counts. Nothing is asserted.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradrace.paired import Pair, PairedResult, Side, StopRule
from gradrace.paired.measure import Launch, Launcher
from gradrace.paired.run import compare_pairs
from gradrace.registry import Registry, load_registry
from gradrace.spec import OptimizerSpec, RunSpec, ScheduleSpec, TimingSpec

# torch.optim.Adam, and the same with a step that keeps the core busy for a while longer.
FILE = """
import time
from gradrace import Binding, Optimizer

def for_torch():
    import torch

    class SlowedAdam(torch.optim.Adam):
        def step(self, closure=None):
            found = super().step(closure)
            end = time.thread_time_ns() + {spin_ns}
            while time.thread_time_ns() < end:
                pass
            return found

    return SlowedAdam if {spin_ns} else torch.optim.Adam

OPTIMIZER = Optimizer(
    name="gated_adam", title="Adam, gated", paper="Kingma & Ba (2015)", learning_rate=1e-3,
    hyper={{}}, bindings={{"torch": Binding(for_torch)}},
)
"""


def cell(registry: Registry, framework: str, optimizer: str) -> Pair:
    """digits_mlp in the framework's first mode, with the library's own class if it has one."""
    known = registry.frameworks[framework]
    reference = not any(framework in o.bindings for o in registry.optimizers.values())
    hyper = registry.optimizers[optimizer].hypers({}) if reference else {}
    rule = "canonical" if reference else "native"
    run = RunSpec(
        measure="timing",
        timing=TimingSpec(),
        task=registry.tasks["digits_mlp"],
        optimizer=OptimizerSpec(name=optimizer, rule=rule, hyper=hyper),
        schedule=ScheduleSpec(kind="constant", base_lr=1e-3),
        framework=framework,
        mode=known.modes[0],
        dtype="float64" if reference else "float32",
    )
    return Pair(f"digits_mlp/{framework}-{known.modes[0]}/{optimizer}", run, run)


@contextmanager
def contest(given: Namespace) -> Iterator[tuple[Pair, Side, Side]]:
    """The cell, and both sides."""
    if not given.in_optimizer:
        sides = Side("a", sys.executable), Side("b", sys.executable, slowdown=given.slowdown)
        yield cell(load_registry(), given.framework, "adam"), *sides
        return
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.py" for name in "ab"]
        for file in files:
            file.write_text(FILE.format(spin_ns=0))
        pair = cell(load_registry(files[:1]), "torch", "gated_adam")
        a, b = (Side(file.stem, sys.executable, plugins=(file,)) for file in files)
        launch = Launcher([pair], a, b, blocks=24)([0])[0]
        assert isinstance(launch, Launch), launch
        spin_ns = round(given.slowdown * launch.a_value * 1e9)
        files[1].write_text(FILE.format(spin_ns=spin_ns))
        spins = f"the optimizer of B spins for {spin_ns} ns of it"
        print(f"a step takes {launch.a_value * 1e6:.1f} us; {spins}", flush=True)
        yield pair, a, b


def line(number: int, result: PairedResult) -> str:
    """One gate."""
    (found,) = result.cells
    if found.ratio is None:
        return f"{number:3} {found.decision}: {found.reason}"
    squares = sum((x - math.log(found.ratio)) ** 2 for x in found.log_ratios)
    spread = math.sqrt(squares / (len(found.log_ratios) - 1))
    limits = f"ratio {found.ratio:.4f} [{found.low:.4f}, {found.high:.4f}]"
    taken = f"{result.seconds:5.1f} s  {found.launches} launches, {found.looks} looks"
    seen = f"apart by {spread:.2%}, detectable {found.detectable:.1%}"
    note = "  contended" if found.contended else ""
    return f"{number:3} {found.decision:12} {limits}  {taken}, {seen}{note}"


def main() -> None:
    """Runs the gates one after the other."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=20)
    parser.add_argument("--slowdown", type=float, default=0.0, help="as a fraction of a step")
    parser.add_argument("--framework", default="torch")
    said = "slowed by the step of a user's optimizer file (torch)"
    parser.add_argument("--in-optimizer", action="store_true", help=said)
    parser.add_argument("--threshold", type=float, default=StopRule().threshold)
    parser.add_argument("--budget", type=float, default=StopRule().budget_s)
    given = parser.parse_args()
    rule = StopRule(threshold=given.threshold, budget_s=given.budget)
    counts, began = Counter[str](), time.monotonic()
    with contest(given) as (pair, a, b):
        slowed = f"slowdown {given.slowdown:.0%}{' in the optimizer' if given.in_optimizer else ''}"
        limits = f"threshold {rule.threshold:.0%}, {slowed}, budget {rule.budget_s:g} s"
        print(f"{pair.name}, {limits}", flush=True)
        for number in range(1, given.gates + 1):
            result = compare_pairs([pair], a, b, rule)
            counts[result.cells[0].decision] += 1
            print(line(number, result), flush=True)
    told = ", ".join(f"{count} {decision}" for decision, count in counts.most_common())
    print(f"{given.gates} gates in {time.monotonic() - began:.0f} s: {told}")


if __name__ == "__main__":
    main()
