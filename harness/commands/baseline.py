"""`gradrace baseline`: the losses that a gate compares with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer import Argument

from ..errors import ExitCode, UserError, nearest
from ..output.terminal import say
from . import options

_ACTION = "update: compute the suite's losses and write the baseline."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace baseline` takes."""

    action: Annotated[str, Argument(help=_ACTION)]
    suite: options.Suite = "gate"
    keyword: options.Keyword
    load: options.Load
    output: options.Output
    timeout_s: options.Timeout
    quiet: options.Quiet


def main(args: Arguments) -> None:
    """Write the losses that `gradrace gate` compares with: a small text, to be committed.

    OUTPUT/baselines/SUITE.json gets all convergence runs, computed afresh and once more in float64,
    which shows how far rounding alone carries each. With -k the other runs keep their lines. Exit
    code 1 if runs failed; those that finished are written."""
    from ..gate.converge import update
    from ..gate.traces import select
    from ..sweep import Options
    from ..sweep.progress import Watch

    if args.action != "update":
        raise UserError(
            f"nothing called {args.action!r} to do with a baseline"
            f"{nearest(args.action, ['update'])}"
        )
    wanted = Options(output=args.output, keyword=args.keyword, timeout_s=args.timeout_s)
    sweep = select(args.suite, args.load, wanted)
    with Watch(args.quiet) as watch:
        file, written, computed = update(sweep, watch)
    say(f"{file}: {len(written.runs)} runs, {len(computed.finished)} of them computed now")
    failed = [each for each in computed.records.values() if each.status in ("failed", "timeout")]
    for record in failed:
        say(f"failed: {record.spec.id}: {record.reason}", err=True)
    if failed:
        raise typer.Exit(ExitCode.RUNS_FAILED)
