"""A known optimizer's class, corrected as runs correct it, against the NumPy rule of its paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..adapter import Adapter
from ..optimizer import Optimizer
from ..registry import Framework, Registry, import_adapter
from ..verify.cases import UpdateCase, everything
from ..verify.compute import Unavailable, compute
from ..verify.judge import Answer, judge
from ..verify.odd import describe
from ..verify.verdict import REFEREE, Side, Verdict
from .finding import Finding, Outcome

NAME = "canonical rule"
_OUTCOMES: dict[str, Outcome] = {"equal": "passed", "FAILED": "failed"}


def canonical(
    registry: Registry, adapter: Adapter, framework: Framework, optimizer: Optimizer
) -> Iterator[Finding]:
    """One finding for each kind of schedule that `gradrace verify` proves updates with."""
    referee = registry.frameworks[REFEREE]
    judged = import_adapter(referee)
    # Import paths have no rule to prove.
    ours = {name: each for name, each in registry.optimizers.items() if not each.imported}
    for case in everything(replace(registry, optimizers=ours)):
        if not isinstance(case, UpdateCase) or case.optimizer != optimizer.name:
            continue
        if case.rule == "canonical":
            sides = [
                (Side(framework=each.name), _answer(case, of, each, registry))
                for each, of in ((framework, adapter), (referee, judged))
            ]
            for verdict in judge(case, sides, registry.optimizers):
                yield _finding(case, verdict, _corrected(optimizer, framework))


def _answer(case: UpdateCase, adapter: Adapter, framework: Framework, registry: Registry) -> Answer:
    try:
        return Answer(compute(case, adapter, framework, "", registry.optimizers))
    except Unavailable as error:
        return Answer(unavailable=str(error))


def _corrected(optimizer: Optimizer, framework: Framework) -> str:
    names = [each.name for each in optimizer.bindings[framework.name].corrections]
    return f", corrected by gradrace ({', '.join(names)})" if names else ""


def _finding(case: UpdateCase, verdict: Verdict, corrected: str) -> Finding:
    outcome = _OUTCOMES.get(verdict.verdict, "not applicable")
    about = f"under a {case.schedule.kind} learning rate, {case.steps} steps"
    if outcome == "passed":
        size = f"{verdict.worst:.1e} at most, {verdict.tolerance:.0e} allowed"
        text = f"the class{corrected} equals the rule of its paper {about}: {size}"
    else:
        text = f"{about}{corrected}: {describe(verdict)}"
    return Finding(part="rule", check=NAME, outcome=outcome, text=text, size=verdict.worst)
