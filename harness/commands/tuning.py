"""`gradrace tune`: search under a budget, then score what was found on fresh seeds and test data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import limits
from ..errors import ExitCode
from ..output.terminal import print_table, say
from . import (
    AsJson,
    DataDir,
    Device,
    DryRun,
    Dtype,
    Load,
    Output,
    Pythons,
    Quiet,
    Timeout,
    Workers,
    command,
)
from .numbers import count
from .sweeping import interpreters

if TYPE_CHECKING:
    from ..tune.prepare import Ready
    from ..tune.results import Found
    from ..tune.search import Place
    from ..tune.study import StudyFile

Several = "Several by comma."


@command
def tune(
    task: Annotated[str, typer.Option(help=f"What is trained. {Several}")],
    optimizer: Annotated[
        str,
        typer.Option(help=f"What is tuned: a name, or mine.py:NAME of your own file. {Several}"),
    ],
    framework: Annotated[
        str, typer.Option(help=f"Where; the first that is installed by default. {Several}")
    ] = "",
    budget: Annotated[
        int,
        typer.Option(
            parser=count(high=limits.TRIALS),
            help="Trials of every search, those that fail included.",
        ),
    ] = 50,
    sampler: Annotated[str, typer.Option(help="random, qmc, grid, tpe or gp.")] = "random",
    space: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "Other ranges: 'learning_rate=1e-4..1e-1,log;beta1=0.8..0.99' or adam.epsilon=1e-8;"
                " may be repeated."
            )
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            parser=count(high=2**31 - 1), help="Of the search; seeds of training follow from it."
        ),
    ] = 0,
    seeds: Annotated[
        int,
        typer.Option(
            parser=count(high=limits.SEEDS),
            help="Training seeds of a trial, whose scores are averaged.",
        ),
    ] = 1,
    fresh_seeds: Annotated[
        int,
        typer.Option(
            parser=count(high=limits.SEEDS),
            help="Other seeds, on which the winner and the defaults are scored.",
        ),
    ] = 5,
    nested_cv: Annotated[
        str | None,
        typer.Option(
            "--nested-cv",
            help="OUTERxINNER folds, such as 5x3: inner ones choose, outer ones score.",
        ),
    ] = None,
    schedule: Annotated[
        str, typer.Option(help="The schedule of the learning rate that is searched.")
    ] = "constant",
    steps: Annotated[
        int | None,
        typer.Option(parser=count(high=limits.STEPS), help="Steps of a run instead of the task's."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(parser=count(), help="Batch size instead of the task's.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the study's folder under OUTPUT/runs; made of task and sampler."),
    ] = None,
    workers: Workers = 0,
    threads: Annotated[
        int, typer.Option(parser=count(high=limits.THREADS), help="Threads of a worker.")
    ] = 1,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    timeout: Timeout = 600.0,
    output: Output = Path("results"),
    load: Load = None,
    python: Pythons = None,
    data_dir: DataDir = None,
    dry_run: DryRun = False,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write the HTML report.")
    ] = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Search settings of optimizers under a budget of trials, each optimizer in the space that its
    file publishes.

    Trials are scored by the validation metric at the end of their steps. The best settings and the
    optimizer's defaults are then run on fresh seeds and scored on test data. The same command goes
    on after a kill with the same trials."""
    from ..data import use_folder
    from ..tune.prepare import Wish, prepare
    from ..tune.search import Place

    use_folder(data_dir)
    others = {
        "sampler": sampler,
        "budget": budget,
        "seed": seed,
        "seeds": seeds,
        "fresh_seeds": fresh_seeds,
        "schedule": schedule,
        "steps": steps,
        "batch_size": batch_size,
        "threads": threads,
        "device": device,
        "dtype": dtype,
    }
    wish = Wish(
        _split(task),
        _split(optimizer),
        _split(framework),
        tuple(space or ()),
        nested_cv,
        tuple(load or ()),
        others,
    )
    ready = prepare(wish)
    place = Place(
        output,
        _name(ready.study) if name is None else name,
        ready.registry,
        interpreters(python),
        timeout,
        workers,
    )
    if dry_run:
        _print_plan(ready, place, as_json)
        return
    study = _carry_out(ready, place, quiet)
    found = _found(study, place)
    if as_json:
        from ..tune.plain import to_json

        say(json.dumps({"study": place.name, **to_json(study, found)}))
    else:
        _print(study, found)
    if report:
        _report(output, as_json)
    raise typer.Exit(_exit_code(found))


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _name(study: StudyFile) -> str:
    """The same for the same question, so that the same command finds what it began."""
    folds = "cv{}x{}-".format(*study.nested) if study.nested else ""
    return f"tune-{folds}{'-'.join(study.tasks)}-{study.sampler}"[:80]


def _carry_out(ready: Ready, place: Place, quiet: bool) -> StudyFile:
    from ..sweep.progress import Watch
    from ..tune.search import execute

    try:
        with Watch(quiet) as watch:
            return execute(ready.study, ready.cells, place, watch)
    except KeyboardInterrupt:
        say(
            "gradrace: interrupted; finished trials are kept, the same command goes on from there",
            err=True,
        )
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _found(study: StudyFile, place: Place) -> list[Found]:
    from ..sweep.store import read_records
    from ..tune.results import found

    return found(study, read_records(place.output, place.name))


def _print(study: StudyFile, found: list[Found]) -> None:
    from ..tune.results import rows
    from ..tune.text import (
        fold_rows,
        inclusion_rows,
        intervals_note,
        notes,
        result_rows,
        settings_rows,
    )

    table = rows(study, found)
    title = (
        f"{study.budget} trials a search ({study.sampler}); scores on test data over"
        f" {study.fresh_seeds} fresh seeds"
    )
    print_table(title, result_rows(table))
    say(intervals_note(table))
    if study.nested:
        print_table("Scores of the outer folds", fold_rows(table))
    else:
        print_table("Best settings", settings_rows(table))
    checks = inclusion_rows(study, table)
    if checks:
        print_table("Inclusion: is the more general optimizer, tuned, shown to be worse?", checks)
    for note in notes(study, found):
        say(note)


def _report(output: Path, as_json: bool) -> None:
    from ..report.writer import write
    from ..results import frame

    page = write(frame.load(output), output / "html")
    if not as_json:
        say(f"report: {page}")


def _exit_code(found: list[Found]) -> ExitCode:
    """1 where runs failed or timed out, 3 where no trial ended ok."""
    states = {trial.state for search in found for trial in search.trials}
    scored = {record.status for search in found for record in (*search.tuned, *search.default)}
    if "failed" in states or scored & {"failed", "timeout"}:
        return ExitCode.RUNS_FAILED
    return ExitCode.OK if "ok" in states else ExitCode.NOTHING_MEASURED


def _print_plan(ready: Ready, place: Place, as_json: bool) -> None:
    """What is searched and how many runs that takes; suggestions are made as outcomes come."""
    from ..sweep.store import suite_folder
    from ..tune.samplers import trials

    study = ready.study
    folder = suite_folder(place.output, place.name)
    searches = [(cell, trials(cell.search(study))) for cell in ready.cells]
    runs = sum(count * study.runs_a_trial + 2 * study.fresh_seeds for _, count in searches)
    begun = len(list(folder.glob("*/run.json")))
    if as_json:
        plan = {
            "study": place.name,
            "asked": study.model_dump(mode="json", by_alias=True),
            "runs": runs,
            "records": begun,
        }
        say(json.dumps(plan))
        return
    for cell, many in searches:
        fold = "" if cell.fold is None else f", outer fold {cell.fold}"
        say(f"{cell.task.name}, {cell.optimizer.name}, {cell.framework.name}{fold}: {many} trials")
    from ..tune.text import space_lines

    for line in space_lines(study):
        say(line)
    say(
        f"{runs} runs at most; {folder} holds {begun} records, which are used where they fit",
        err=True,
    )
