"""Steps of the commands that run a suite."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..output.terminal import say
from .failures import resumable

if TYPE_CHECKING:
    from ..sweep import Outcome, Sweep

# If planning takes longer than these seconds, it says how far it is, and again after as many.
_SILENT_S = 2.0


def planning(quiet: bool) -> Callable[[str, int], None]:
    """Says on standard error how many runs are planned, if that takes long."""
    said = time.monotonic()

    def tell(what: str, count: int) -> None:
        nonlocal said
        if not quiet and time.monotonic() - said > _SILENT_S:
            said = time.monotonic()
            say(f"{what}: {count:,} runs so far", err=True)

    return tell


def carry_out(sweep: Sweep, quiet: bool) -> Outcome:
    """Does what is not finished, with progress."""
    from ..sweep import execute, shared_cores
    from ..sweep.progress import Watch

    if not quiet and (slow := shared_cores(sweep)):
        say(f"gradrace: {slow}", err=True)
    with resumable("runs"), Watch(quiet) as watch:
        outcome = execute(sweep, watch)
    for digest, problem in outcome.unsound.items():
        say(f"gradrace: stored run {digest}: {problem}; it was done anew", err=True)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(outcome.counts.items()))
    say(f"{sweep.suite.name}: {counts} ({outcome.cached} cached)", err=True)
    return outcome


def head(sweep: Sweep, outcome: Outcome) -> dict[str, Any]:
    """How a sweep ended, for --json."""
    return {
        "suite": sweep.suite.name,
        "cached": outcome.cached,
        "counts": dict(outcome.counts),
        "exit_code": int(outcome.exit_code),
    }


def print_plan(sweep: Sweep, as_json: bool) -> None:
    """What would be run, how long that would take, and how much memory."""
    from ..sweep.estimate import estimate
    from ..sweep.needs import needs, sentences

    plan, memory = estimate(sweep), needs(sweep)
    if as_json:
        bytes_of = {need.framework: need.bytes for need in memory}
        say(json.dumps({**plan.to_json(), "memory_bytes": bytes_of}))
        return
    for row in plan.runs:
        say(f"{'cached' if row['cached'] else 'to run'}  {row['id']}")
    for sentence in (plan.sentence, *sentences(memory, sweep)):
        say(sentence, err=True)


def population(text: str) -> str | int:
    """The choice of --population. UserError unless it is one."""
    from ..sweep.lanes import check_population

    choice = int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text, re.ASCII) else text
    check_population(choice)
    return choice


def interpreters(texts: Sequence[str]) -> dict[str, str]:
    """Framework -> Python, from texts FRAMEWORK=INTERPRETER. UserError for another form."""
    pairs = {}
    for text in texts:
        name, equals, python = text.partition("=")
        if not equals or not python:
            expected = "FRAMEWORK=INTERPRETER, such as jax=/opt/jax/bin/python"
            raise UserError(f"--python {text}: expected {expected}")
        pairs[name] = python
    return pairs
