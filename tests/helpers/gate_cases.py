"""A user's repository with one optimizer and a suite that takes a moment; made-up outcomes."""

from __future__ import annotations

import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from gradrace.gate import Check, Comparability, Convergence, GateResult
from gradrace.gate.judge import GateRequest, judge, unmeasured
from gradrace.paired import PairedResult, PairVerdict, StopRule
from records import MACHINE
from tiny import TINY, toml

SIDES = nullcontext()
OPTIMIZER = '''
"""Adam, written for its own repository."""
import numpy as np
from gradrace import Optimizer, ReferenceRule

EPSILON = 1e-8

def init(p, hyper):
    return {"m": np.zeros_like(p), "v": np.zeros_like(p)}

def update(p, g, state, lr, t, hyper):
    m, v = 0.9 * state["m"] + 0.1 * g, 0.999 * state["v"] + 0.001 * g * g
    step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + EPSILON)
    return p - lr * step, {"m": m, "v": v}

OPTIMIZER = Optimizer(
    name="mine", title="Mine", paper="none", learning_rate=0.003, hyper={}, bindings={},
    rule=ReferenceRule(init=init, update=update),
)
'''

TIMING = {"rule": "canonical", "warmup_steps": 2, "launches": 1, "blocks": 4, "block_steps": 5}
SUITE: dict[str, Any] = {**TINY, "optimizers": ["sgd"], "timing": {**TIMING, "optimizers": ["sgd"]}}


def git(folder: Path, *arguments: str) -> None:
    name = ("-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *name, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path, **files: str) -> None:
    """Writes the files (name without .py -> text) and commits everything."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-m", "a change")


def make_repository(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text("out/\n")
    write_suite(folder)
    commit(folder, mine=OPTIMIZER)
    return folder


def write_suite(folder: Path, **changes: Any) -> None:
    (folder / "tiny.toml").write_text(toml({**SUITE, **changes}))


# -- made-up outcomes

RUN = "convergence/digits_mlp/torch-eager/adam-canonical/constant-lr0.003/seed{}"


def make_check(verdict: str = "same", seed: int = 0, **changes: Any) -> Check:
    measured = {
        "differs": {"step": 1, "before": 2.5, "after": 2.5001, "relative": 4e-5, "allowed": 0.0}
    }.get(verdict, {})
    measured |= (
        {"reason": f"{verdict} for a reason"}
        if verdict in ("changed", "unchecked", "failed")
        else {}
    )
    fields = {
        "id": RUN.format(seed),
        "what": "losses",
        "framework": "torch",
        "verdict": verdict,
        "mode": "exact",
        **measured,
    }
    return Check(**{**fields, **changes})


def make_convergence(*verdicts: str) -> Convergence:
    how = Comparability(
        framework="torch", mode="exact", reason="same versions", versions={"torch": "2.13.0"}
    )
    checks = tuple(make_check(verdict, seed) for seed, verdict in enumerate(verdicts))
    return Convergence(
        against="results/baselines/gate.json",
        frameworks=(how,),
        checks=checks,
        machine_type="Linux, Test",
    )


def make_cell(decision: str = "ok", **changes: Any) -> PairVerdict:
    fields: dict[str, Any] = {
        "cell": f"digits_mlp/torch-eager/{decision}",
        "a": "x",
        "b": "x",
        "decision": decision,
    }
    if decision not in ("failed", "skipped"):
        ratio = {"regression": 1.1, "improvement": 0.9}.get(decision, 1.004)
        fields |= {
            "ratio": ratio,
            "low": ratio - 0.02,
            "high": ratio + 0.02,
            "detectable": 0.03,
            "a_value": 4e-4,
            "b_value": 4e-4 * ratio,
            "launches": 6,
            "looks": 1,
        }
    return PairVerdict(**{**fields, **changes})


def make_timing(*decisions: str, **changes: Any) -> PairedResult:
    sides = (
        {"label": label, "versions": {"torch": "2.13.0"}} for label in ("HEAD~1", "working tree")
    )
    a, b = sides
    cells = tuple(make_cell(decision, **changes) for decision in decisions)
    return PairedResult(
        started_at="2026-01-01T00:00:00",
        seconds=9.0,
        machine=MACHINE,
        rule=StopRule(),
        a=a,
        b=b,
        cells=cells,
    )


def make_result(convergence, timing, **changes):
    asked = GateRequest(SIDES)
    code, outcome = judge(convergence, timing, asked)
    fields = {
        "suite": "gate",
        "started_at": "2026-01-01T00:00:00.000+00:00",
        "seconds": 12.0,
        "gradrace": "0.1.0",
        "machine": MACHINE,
        "outcome": outcome,
        "exit_code": int(code),
        "convergence": convergence,
        "timing": timing,
        "unmeasured": tuple(unmeasured(convergence, timing, asked)),
        "calibration": "0 false alarms in 40 A/A gates",
    }
    return GateResult(**{**fields, **changes})
