"""`gradrace calibrate`: how reliable is the gate on this machine?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typer import Option

from .. import limits
from ..errors import ExitCode, UserError
from ..output.terminal import print_table, say, teller
from . import options
from .failures import resumable
from .numbers import BUDGET_S, count

if TYPE_CHECKING:
    from ..sweep import Sweep
    from ..sweep.lanes import Measured

_GATES = "How many gates of equal sides, and of each slowdown."
_SLOWDOWNS = "Shares of a step's time by which one side is made slower; '' for none."
_LANES = "Measure instead whether so many lanes pay here, for each task and optimizer of the suite."
_THRESHOLDS = "Thresholds under which the same launches are judged."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """slowdowns, thresholds: numbers separated by blanks or commas."""

    suite: options.Suite = "gate"
    keyword: options.Keyword
    gates: Annotated[int, Option(20, parser=count(1, limits.LAUNCHES), help=_GATES)]
    slowdowns: Annotated[str, Option("0.05 0.1", help=_SLOWDOWNS)]
    thresholds: Annotated[str, Option("0.03 0.05 0.1", help=_THRESHOLDS)]
    budget_s: Annotated[
        float, Option(180.0, "--budget", parser=BUDGET_S, help="Seconds for one gate.")
    ]
    launches: options.Launches
    population: Annotated[int | None, Option(None, parser=count(1, limits.LANES), help=_LANES)]
    load: options.Load
    output: options.Output
    as_json: options.AsJson
    quiet: options.Quiet


def main(args: Arguments) -> None:
    """Measure how often the timing gate is wrong here: false alarms, missed slowdowns.

    Each gate has one cell, in turn over the suite's timing cells: first with the same code on both
    sides, then with every step of one side made longer. OUTPUT/calibration.json keeps each gate as
    it ends: Ctrl-C loses nothing, and a second call adds. With --population N, the suite's training
    runs are timed one by one and in N lanes instead; OUTPUT/lanes.json keeps what `run` and `tune`
    go by."""
    from ..gate import calibrate
    from ..gate.traces import select
    from ..paired import StopRule
    from ..sweep import Options

    shares = _fractions("--slowdowns", args.slowdowns)
    judged = _fractions("--thresholds", args.thresholds)
    if not judged:
        raise UserError("--thresholds: at least one is needed, such as 0.05")
    sweep = select(args.suite, args.load, Options(output=args.output, keyword=args.keyword))
    if args.population is not None:
        return _lanes(args, sweep, args.population)
    rule = StopRule(budget_s=args.budget_s, first_look=args.launches)
    # Refuses a file that cannot be added to, before anything is measured.
    calibrate.read(args.output)
    with resumable("gates"):
        calibrate.calibrate(sweep, args.gates, [0.0, *shares], judged, rule, teller(args.quiet))
    found = calibrate.rates(calibrate.here(args.output))
    if args.as_json:
        say(json.dumps([rate._asdict() for rate in found]))
    else:
        title = "Gates of one cell on this type of machine, all that were measured"
        print_table(title, calibrate.rows(found))
    if not found:
        raise UserError("no gate gave figures; see the reasons above", ExitCode.NOTHING_MEASURED)


def _lanes(args: Arguments, sweep: Sweep, lanes: int) -> None:
    from ..sweep.lanes import add_measured, read_measured
    from ..sweep.paying import measure

    # Refuses a file that cannot be added to, before anything is measured.
    read_measured(args.output)
    found = []
    with resumable("measurements"):
        for measured in measure(sweep, lanes, teller(args.quiet)):
            add_measured(args.output, measured)
            found.append(measured)
    if args.as_json:
        say(json.dumps([each.to_json() | {"pays": each.pays} for each in found]))
    elif found:
        title = f"Time in {lanes} lanes, as a share of that of single runs"
        print_table(title, [_lanes_row(each) for each in found])
    if not found:
        raise UserError("nothing was measured; see the reasons above", ExitCode.NOTHING_MEASURED)


def _lanes_row(found: Measured) -> dict[str, str]:
    return {
        "framework": found.framework,
        "task": found.task,
        "optimizer": found.optimizer,
        "runs": str(found.runs),
        "share": f"{found.share:.2f}",
        "--population auto": f"{found.lanes} lanes" if found.pays else "one by one",
    }


def _fractions(option: str, text: str) -> list[float]:
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = [0.0]
    if all(0 < value < 1 for value in values):
        return values
    raise UserError(f"{option} {text!r}: expected fractions between 0 and 1, such as '0.05 0.1'")
