"""`gradrace why` names first what was planted: four causes, in commits of gradrace and in a user's
file, each profiled for real by torch's profiler."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from gradrace.paired import PairVerdict, Side, choose
from gradrace.registry import load_registry
from gradrace.why import WhyResult
from gradrace.why.measure import folder_name, profiler_file, take_profiles
from gradrace.why.run import explained
from paths import ROOT
from repositories import commit, git
from tiny import TINY, toml

# An update through torch.compile; `tag` is a constant of the program.
COMPILED = """
from gradrace import Binding, Optimizer

def for_torch():
    import torch
    torch._dynamo.config.recompile_limit = 10_000
    torch._dynamo.config.accumulated_recompile_limit = 10_000

    @torch.compile(backend="eager")
    def move(p, g, rate, tag):
        return p.sub_(rate * g) if tag else p

    class Mine(torch.optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": torch.tensor(lr)})
            self.steps = 0

        @torch.no_grad()
        def step(self, closure=None):
            self.steps += 1
            for p in self.param_groups[0]["params"][:1]:
                move(p, p.grad, torch.tensor(0.1), TAG)
    return Mine

MINE = Optimizer(name="mine", title="Mine", paper="-", learning_rate=0.1, hyper={},
                 bindings={"torch": Binding(for_torch, lambda hyper: {})})
"""


class Planted(NamedTuple):
    """text is replaced by `by` in a file of gradrace; mode and optimizer: of the cell."""

    kind: str
    file: str
    text: str
    by: str
    mode: str
    optimizer: str
    says: str


UPDATE = "            update(step)\n            keep(loss.detach())\n"
PLANTED = [
    Planted(
        "synchronisation",
        "adapters/torch/session.py",
        UPDATE,
        UPDATE.replace("keep(", "assert bool(torch.isfinite(loss)), step\n            keep("),
        "eager",
        "sgd",
        "waits for a value of the device 1 times a step (at session.py:",
    ),
    Planted(
        "unfused update",
        "adapters/torch/modes.py",
        '"eager-fused": Mode(fused=True)',
        '"eager-fused": Mode(fused=False)',
        "eager-fused",
        "adam",
        "(aten::_fused_adam_): it is not fused",
    ),
    Planted(
        "copy",
        "adapters/torch/session.py",
        "            loss = loss_of(x, y)\n            loss.backward()\n",
        "            loss = loss_of(x.clone(), y)\n            loss.backward()\n",
        "eager",
        "sgd",
        "(8.19 kB more) (at session.py:",
    ),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A copy of gradrace that no plant has touched."""
    folder = tmp_path_factory.mktemp("base") / "gradrace"
    shutil.copytree(ROOT / "harness", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("adapters", "suites"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder.parent


def why(tmp_path, a: Side, b: Side, mode: str, optimizer: str):
    registry = load_registry(a.plugins)
    chosen, part = {"mode": mode}, choose.SuiteFilter("quick", f"digits_mlp torch {optimizer}-")
    (pair,) = choose.against_each_other(registry, part, chosen, chosen)
    file = profiler_file(registry.frameworks["torch"])
    found = take_profiles(pair, (a, b), (file, file), 1, tmp_path / folder_name(pair.name))
    assert found.failure is None
    verdict = PairVerdict(cell=pair.name, a=pair.a.id, b=pair.b.id, decision="inconclusive")
    return explained(verdict, found, tmp_path / folder_name(pair.name))


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.kind)
def test_a_planted_cause_is_named_first(tmp_path, base, planted):
    changed = tmp_path / "changed"
    shutil.copytree(base, changed)
    file = changed / "gradrace" / planted.file
    assert file.read_text().count(planted.text) == 1
    file.write_text(file.read_text().replace(planted.text, planted.by))
    a, b = (Side(root.name, sys.executable, root) for root in (base, changed))
    found = why(tmp_path, a, b, planted.mode, planted.optimizer)
    first = found.causes[0]
    assert (first.kind, first.side) == (planted.kind, "B") and planted.says in first.says
    for file in (*found.a_traces, *found.b_traces):
        assert json.loads(gzip.decompress(Path(file).read_bytes()))["traceEvents"]
    assert len(found.a_traces) == len(found.b_traces) == 1


def test_a_program_that_is_compiled_every_ten_steps_is_named_first(tmp_path):
    sides = []
    for name, tag in (("once", "True"), ("again", "str(self.steps // 10)")):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "mine.py"
        file.write_text(COMPILED.replace("TAG", tag))
        sides.append(Side(name, sys.executable, None, (file,)))
    found = why(tmp_path, *sides, "eager", "mine")
    first = found.causes[0]
    assert (first.kind, first.side) == ("compilation", "B")
    assert "compiles a program every 10 steps" in first.says
    assert any("torch.compile says why" in note for note in found.notes)


SLOWER = """
import numpy as np
from gradrace import Optimizer, ReferenceRule

def spread(g):
    {body}

def update(p, g, state, lr, t, hyper):
    return p - lr * spread(g), state

MINE = Optimizer(name="mine", title="Mine", paper="-", learning_rate=0.1, hyper={{}}, bindings={{}},
                 rule=ReferenceRule(init=lambda p, hyper: {{}}, update=update))
"""


def test_the_command_explains_two_commits_of_a_user_s_repository(tmp_path):
    git(tmp_path, "init", "-q")
    timing = {**TINY["timing"], "rule": "canonical", "warmup_steps": 5}
    (tmp_path / "tiny.toml").write_text(toml({**TINY, "optimizers": ["sgd"], "timing": timing}))
    for body in ("return g", "return np.sort(g.ravel(), kind='stable')[::-1].reshape(g.shape)"):
        (tmp_path / "mine.py").write_text(SLOWER.format(body=body))
        commit(tmp_path, body)
    words = "why HEAD~1 HEAD --load mine.py --suite tiny.toml -k mine --launches 3 --budget 30"
    command = [sys.executable, "-m", "gradrace", *words.split(), "--profiles", "3", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    result = WhyResult.model_validate_json(done.stdout)
    (cell,) = result.cells
    assert cell.launches == 3 and cell.verdict.ratio is not None and cell.verdict.ratio > 1.1
    # Other work on the core may put another function of the update before it.
    names = " ".join(name for change in cell.changes[:3] for name in (*change.b, change.source))
    assert "sort" in names or "spread" in names, cell.changes[:5]
    page = (tmp_path / "results" / "html" / "why.html").read_text()
    assert "gradrace why" in page and "largest changes" in page
    assert all((tmp_path / file).is_file() for file in (*cell.a_traces, *cell.b_traces))
