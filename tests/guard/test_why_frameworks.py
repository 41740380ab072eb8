"""`gradrace why` names first what was planted in the adapters of JAX and TensorFlow, each cause
profiled for real by the framework's own profiler."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from gradrace.paired import PairVerdict, Side, choose
from gradrace.registry import load_registry
from gradrace.why.measure import profiler_file, take_profiles
from gradrace.why.run import explained
from paths import ROOT


class Framework(NamedTuple):
    """A statement of its adapter that is done once a step, and in which mode."""

    mode: str
    file: str
    step: str


FRAMEWORKS = {
    "jax": Framework(
        "jit",
        "adapters/jax/session.py",
        """                held, loss = program(held, window, source, t)
                found.append(loss)
""",
    ),
    "tensorflow": Framework(
        "graph",
        "adapters/tensorflow/modes.py",
        """            self._losses.append(step(*batch))
""",
    ),
}
# framework, kind of the cause, and the step with it.
PLANTED = [
    (
        "jax",
        "synchronisation",
        """                held, loss = program(held, window, source, t)
                found.append(loss)
                loss.block_until_ready()
""",
    ),
    (
        "jax",
        "unfused update",
        """                from gradrace.adapters.jax.functional import numbers_at
                all_, numbers = self._programs, numbers_at(window, 0)[0]
                parameters, state, statistics = all_._carry(held)
                slope = all_._gradients((None, statistics), parameters, window, source, 0)
                moved = all_._updated(parameters, state, slope, numbers, {})
                held = jax.tree.leaves((*moved, statistics))
                found.append(t)
""",
    ),
    (
        "jax",
        "compilation",
        """                held, loss = program(held, window, source, t)
                found.append(loss)
                if len(found) % 10 == 0:
                    jax.jit(lambda loss: loss + 1)(loss)
""",
    ),
    (
        "jax",
        "copy",
        """                source = jax.tree.map(jnp.copy, source)
                held, loss = program(held, window, source, t)
                found.append(loss)
""",
    ),
    (
        "tensorflow",
        "synchronisation",
        """            self._losses.append(step(*batch))
            self._losses[-1].numpy()
""",
    ),
    (
        "tensorflow",
        "unfused update",
        """            loss, *gradients = self._program.batch_gradient(*batch)
            self._program.update(*gradients)
            self._losses.append(loss)
""",
    ),
    (
        "tensorflow",
        "compilation",
        """            self._losses.append(step(*batch))
            if len(self._losses) % 10 == 0:
                tf.function(lambda loss: loss + 1.0)(self._losses[-1])
""",
    ),
    (
        "tensorflow",
        "copy",
        """            x, *others = batch
            self._losses.append(step(tf.raw_ops.DeepCopy(x=x), *others))
""",
    ),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of gradrace that no plant has touched."""
    folder = tmp_path_factory.mktemp("base") / "gradrace"
    shutil.copytree(ROOT / "harness", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("adapters", "suites"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder.parent


def why(folder: Path, sides: tuple[Side, Side], framework: str) -> Any:
    registry, chosen = load_registry(), {"mode": FRAMEWORKS[framework].mode}
    part = choose.SuiteFilter("quick", f"digits_mlp {framework} adam-")
    (pair,) = choose.against_each_other(registry, part, chosen, chosen)
    file = profiler_file(registry.frameworks[framework])
    found = take_profiles(pair, sides, (file, file), 1, folder)
    assert found.failure is None
    verdict = PairVerdict(cell=pair.name, a=pair.a.id, b=pair.b.id, decision="inconclusive")
    return explained(verdict, found, folder)


@pytest.mark.parametrize(
    ("framework", "kind", "step"), PLANTED, ids=[f"{row[0]} {row[1]}" for row in PLANTED]
)
def test_a_planted_cause_is_named_first(tmp_path, base, framework, kind, step):
    if load_registry().frameworks[framework].versions() is None:
        pytest.skip(f"{framework} is not installed")
    changed = tmp_path / "changed"
    shutil.copytree(base, changed)
    file = changed / "gradrace" / FRAMEWORKS[framework].file
    assert file.read_text().count(FRAMEWORKS[framework].step) == 1
    file.write_text(file.read_text().replace(FRAMEWORKS[framework].step, step))
    sides = tuple(Side(root.name, sys.executable, root) for root in (base, changed))
    found = why(tmp_path / "out", sides, framework)
    assert found.causes, (found.counts, found.notes)
    assert (found.causes[0].kind, found.causes[0].side) == (kind, "B"), (
        found.causes,
        found.counts,
        found.changes[:12],
    )
    for trace in (*found.a_traces, *found.b_traces):
        assert json.loads(gzip.decompress(Path(trace).read_bytes()))["traceEvents"]
    assert len(found.a_traces) == len(found.b_traces) == 1
