"""What the commands that run a suite share: carrying it out in front of a person, and what is
understood alike.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer

from ..errors import ExitCode, UserError
from ..output.terminal import say

if TYPE_CHECKING:
    from ..sweep import Outcome, Sweep


def carry_out(sweep: Sweep, quiet: bool) -> Outcome:
    """Does what is not finished, with progress. Ctrl-C becomes a message and exit code 130;
    finished runs are kept.
    """
    from ..sweep import execute, shared_cores
    from ..sweep.progress import Watch

    if not quiet and (slow := shared_cores(sweep)):
        say(f"gradrace: {slow}", err=True)
    try:
        with Watch(quiet) as watch:
            outcome = execute(sweep, watch)
    except KeyboardInterrupt:
        say(
            "gradrace: interrupted; finished runs are kept, the same command goes on from there",
            err=True,
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    for digest, problem in outcome.unsound.items():
        say(f"gradrace: stored run {digest}: {problem}; it was done anew", err=True)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(outcome.counts.items()))
    say(f"{sweep.suite.name}: {counts} ({outcome.cached} cached)", err=True)
    return outcome


# A plan that takes longer than this many seconds says how far it is, and again after as many.
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


def print_plan(sweep: Sweep, as_json: bool) -> None:
    """What would be run, and how long that would take."""
    from ..sweep.estimate import estimate

    plan = estimate(sweep)
    if as_json:
        say(json.dumps(plan.to_json()))
        return
    for row in plan.runs:
        say(f"{'cached' if row['cached'] else 'to run'}  {row['id']}")
    say(plan.sentence, err=True)


def interpreters(given: Any) -> dict[str, str]:
    """Framework -> Python, from texts FRAMEWORK=INTERPRETER. UserError for another form."""
    pairs = {}
    for text in given or ():
        name, equals, python = text.partition("=")
        if not equals or not python:
            raise UserError(
                f"--python {text}: expected FRAMEWORK=INTERPRETER, such as jax=/opt/jax/bin/python"
            )
        pairs[name] = python
    return pairs
