"""`gradrace bisect`: which commit, or release, made it slower or changed the losses?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from ..errors import ExitCode, UserError, nearest
from ..output.terminal import print_table, say, teller
from . import documents, options
from .failures import fail
from .numbers import BUDGET_S, number

if TYPE_CHECKING:
    from ..bisect import Bisection, Question
    from ..bisect.line import Row
    from ..bisect.run import Job
    from ..paired import Quantity

_GOOD = "The older end: a commit, or with --releases a version."
_BAD = "The newer end, in which the cell has changed."
_SUITE = "The suite whose cells are run: its name or the path of a TOML file."
_RELEASES = "Bisect released versions of this distribution instead of commits: torch, jax."
_LOSSES = "Compare losses bit by bit instead of step times."
_THRESHOLD = (
    "The change of GOOD to BAD that must not go unnoticed: 0.05 is 5%, the default but for first"
    " calls (10%)."
)
_MEASURE = "The quantity that is compared."
_ALPHA = "Error rate of the search."
_RESUME = "Go on with the bisection of this log."
_PAGE = "Write OUTPUT/html/bisect.html."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """good, bad: refs of commits, or versions of the distribution `releases`."""

    good: Annotated[str, Argument(help=_GOOD)]
    bad: Annotated[str, Argument(help=_BAD)]
    suite: Annotated[str, Option("quick", help=_SUITE)]
    keyword: options.Keyword
    releases: Annotated[str, Option("", metavar="NAME", help=_RELEASES)]
    losses: Annotated[bool, Option(False, "--losses", help=_LOSSES)]
    measure: Annotated[
        str,
        Option("step", "--measure", metavar="step|first_call|memory|energy", help=_MEASURE),
    ]
    threshold: Annotated[float | None, Option(None, parser=number(0.001, 0.999), help=_THRESHOLD)]
    alpha: Annotated[float, Option(0.05, parser=number(0.0001, 0.49), help=_ALPHA)]
    budget_s: Annotated[
        float,
        Option(3600.0, "--budget", parser=BUDGET_S, help="Seconds after which nothing new begins."),
    ]
    launches: options.Launches
    resume: Annotated[Path | None, Option(None, metavar="FILE", help=_RESUME)]
    load: options.Load
    output: options.Output
    timeout_s: options.Timeout
    report: Annotated[bool, Option(True, "--report/--no-report", help=_PAGE)]
    quiet: options.Quiet
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Name the commit, or the release of a framework, that changed a cell.

    GOOD and BAD are compared first: if they do not differ, there is nothing to bisect. Each commit
    in between is then timed in turns with GOOD, in as few launches as tell it from both ends, and
    what is found is timed again against the commit before it. If -k chooses several cells, the one
    that changed most is followed. Versions that cannot be run are stepped around. With --losses no
    clock is asked: the commit is named from which on losses differ, bit by bit.

    Every launch goes to a log, OUTPUT/bisect/*.jsonl, at once; --resume FILE goes on after Ctrl-C,
    a kill, or the end of the budget. Exit code 0: a change was found, and found again; 5: GOOD and
    BAD do not differ; 6: not finished, or not found again; 3: nothing could be measured."""
    from ..bisect import text

    job, run = _job(args)
    try:
        result = run(job)
    except KeyboardInterrupt:
        fail(f"interrupted; go on with --resume {job.log.file}", ExitCode.INTERRUPTED)
    if args.as_json:
        say(json.dumps(result.to_json(), indent=1))
    else:
        _print(result)
    if args.report:
        from ..report.documents.bisected import document

        documents.leave(args.output, lambda: document(result), args.quiet)
    raise typer.Exit(text.exit_code(result))


def _print(result: Bisection) -> None:
    from ..bisect import text

    for title, rows in (
        ("Versions tested", text.tested_rows(result)),
        ("Changes", text.change_rows(result)),
    ):
        if rows:
            shown = [name for name in rows[0] if any(row[name] for row in rows)]
            print_table(title, [{name: row[name] for name in shown} for row in rows])
    for sentence in text.sentences(result):
        say(sentence)
    say(f"bisect {result.cell}: {text.answer(result)}" if result.cell else text.answer(result))


def _job(args: Arguments) -> tuple[Job, Any]:
    """The bisection, and the function that runs it. UserError before anything is measured."""
    from datetime import UTC, datetime
    from functools import partial

    from ..bisect import run
    from ..bisect.log import Log

    watch = teller(args.quiet or args.as_json)
    _quantity(args)
    cells, frameworks, go = _cells(args)
    row = _row(args, frameworks, watch)
    question = _question(args, row, cells, frameworks)
    moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    file = args.resume or run.default_log(args.output, question, moment)
    log = Log(file, question, resume=args.resume is not None)
    job = run.Job(question=question, row=row, log=log, budget_s=args.budget_s, watch=watch)
    return job, partial(_called, go)


def _called(go: Any, job: Job) -> Bisection:
    return go(job)


def _cells(args: Arguments) -> tuple[tuple[str, ...], tuple[str, ...], Any]:
    """Names of the cells, their frameworks, and the function that bisects them."""
    from ..bisect import run

    if args.losses:
        from ..gate.traces import converging, select
        from ..sweep import Options

        wanted = Options(output=args.output, keyword=args.keyword, timeout_s=args.timeout_s)
        sweep = select(args.suite, args.load, wanted)
        specs = [planned.spec for planned in converging(sweep)]
        if not specs:
            raise UserError(
                f"no run of {args.suite} with losses matches {args.keyword!r}",
                ExitCode.NOTHING_MATCHED,
            )
        names = tuple(spec.id for spec in specs)
        return names, _each(specs), lambda job: run.by_losses(job, sweep)
    from ..paired import choose, quantities

    part = choose.SuiteFilter(args.suite, args.keyword)
    pairs = choose.same_cells(choose.registry_of(args.load, part), part)
    quantities.check(_quantity(args), pairs)
    return (
        tuple(pair.name for pair in pairs),
        _each([pair.a for pair in pairs]),
        lambda job: run.by_clock(job, pairs),
    )


def _quantity(args: Arguments) -> Quantity:
    """UserError for a quantity that there is not, or beside --losses."""
    from ..paired.quantities import QUANTITIES

    for known in QUANTITIES:
        if args.measure == known:
            if args.losses and known != "step":
                raise UserError(f"--losses and --measure {known}: choose one of them")
            return known
    raise UserError(f"--measure {args.measure}: not a quantity{nearest(args.measure, QUANTITIES)}")


def _each(specs: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(spec.framework for spec in specs))


def _versions(frameworks: tuple[str, ...]) -> dict[str, str]:
    """Distribution -> version of the frameworks that are installed here."""
    from ..registry import load_registry

    known = load_registry().frameworks
    found: dict[str, str] = {}
    for name in frameworks:
        found |= (known[name].versions() or {}) if name in known else {}
    return found


def _row(args: Arguments, frameworks: tuple[str, ...], watch: Any) -> Row:
    if not args.releases:
        from ..bisect.line import Commits

        return Commits(args.good, args.bad, args.load)
    from ..bisect.releases import Releases

    folder = args.output / "bisect" / "environments"
    # pip keeps those that fit the release, and replaces the others.
    companions = tuple(_versions(frameworks))
    ends = (args.good, args.bad)
    return Releases(args.releases, ends, folder, args.load, companions, watch)


def _question(
    args: Arguments, row: Row, cells: tuple[str, ...], frameworks: tuple[str, ...]
) -> Question:
    import platform

    from ..bisect import Question
    from ..machine.place import machine_type
    from ..paired.quantities import THRESHOLDS
    from ..version import __version__

    # The part after the plus is of changes that are not committed.
    own = {"gradrace": __version__.partition("+")[0], "python": platform.python_version()}
    libraries = {} if args.releases else _versions(frameworks)
    quantity = _quantity(args)
    threshold = THRESHOLDS[quantity] if args.threshold is None else args.threshold
    rule = {"threshold": threshold, "alpha": args.alpha, "launches": float(args.launches)}
    return Question(
        good=row.ids[0],
        bad=row.ids[-1],
        releases=args.releases,
        losses=args.losses,
        measure=quantity,
        suite=args.suite,
        cells=cells,
        load=tuple(map(str, args.load)),
        rule={} if args.losses else rule,
        versions={**own, **libraries},
        machine=machine_type("cpu"),
    )
