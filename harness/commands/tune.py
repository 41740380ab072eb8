"""`gradrace tune`: search under a budget, then score the winners on fresh seeds and test data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from .. import limits
from ..errors import ExitCode
from ..output.terminal import print_table, say
from . import completion, options, reporting, sweeping
from .arguments import fill
from .failures import resumable
from .numbers import count

if TYPE_CHECKING:
    from ..tune.prepare import PreparedStudy, StudyRequest
    from ..tune.results import SearchResult
    from ..tune.search import StudyPlace
    from ..tune.study import StudyFile

_TASK = "What is trained. Several by comma."
_OPTIMIZER = (
    "What is tuned: a name, an import path such as torch:schedulefree.AdamWScheduleFree, or"
    " mine.py:NAME of your own file. Several by comma."
)
_FRAMEWORK = "Which frameworks; the first that is installed by default. Several by comma."
_BUDGET = "Trials of every search, those that fail included."
_SPACE = (
    "Other ranges: 'learning_rate=1e-4..1e-1,log;beta1=0.8..0.99' or adam.epsilon=1e-8; or a TOML"
    " file of whole spaces. May be repeated."
)
_SEED = "Seed of the search; the training seeds follow from it."
_SEEDS = "Training seeds of a trial, whose scores are averaged."
_FRESH = "Other seeds, on which the winner and the defaults are scored."
_NESTED = "OUTERxINNER folds, such as 5x3: inner ones choose, outer ones score."
_SCHEDULE = "The schedule whose learning rate is searched."
_STEPS = "Steps of a run instead of the task's."
_BATCH = "Batch size instead of the task's."
_NAME = "Name of the study's folder under OUTPUT/runs; made of task and sampler by default."
# Fields of the study's file that are options of the same names.
STUDY = (
    *("sampler", "budget", "seed", "seeds", "fresh_seeds", "schedule", "steps", "batch_size"),
    *("threads", "device", "dtype"),
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Those in STUDY are fields of tune.study.StudyFile."""

    task: Annotated[str, Option(help=_TASK, autocompletion=completion.named("tasks"))]
    optimizer: Annotated[
        str, Option(help=_OPTIMIZER, autocompletion=completion.named("optimizers"))
    ]
    framework: Annotated[str, Option("", help=_FRAMEWORK)]
    budget: Annotated[int, Option(50, parser=count(high=limits.TRIALS), help=_BUDGET)]
    sampler: Annotated[str, Option("random", help="random, qmc, grid, tpe or gp.")]
    space: Annotated[tuple[str, ...], Option((), help=_SPACE)]
    seed: Annotated[int, Option(0, parser=count(high=2**31 - 1), help=_SEED)]
    seeds: Annotated[int, Option(1, parser=count(high=limits.SEEDS), help=_SEEDS)]
    fresh_seeds: Annotated[int, Option(5, parser=count(high=limits.SEEDS), help=_FRESH)]
    nested_cv: Annotated[str | None, Option(None, help=_NESTED)]
    schedule: Annotated[str, Option("constant", help=_SCHEDULE)]
    steps: Annotated[int | None, Option(None, parser=count(high=limits.STEPS), help=_STEPS)]
    batch_size: Annotated[int | None, Option(None, parser=count(), help=_BATCH)]
    name: Annotated[str | None, Option(None, help=_NAME)]
    workers: options.Workers
    executor: options.Executor
    address: options.Address
    population: options.Population
    threads: Annotated[
        int, Option(1, parser=count(high=limits.THREADS), help="Threads of a worker.")
    ]
    device: options.Device = "cpu"
    dtype: options.Dtype = "float32"
    timeout_s: options.Timeout
    output: options.Output
    load: options.Load
    python: options.Pythons
    data_dir: options.DataDir
    dry_run: options.DryRun
    report: options.Report
    quiet: options.Quiet
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Search optimizers' settings under a budget, each in the space of its own file.

    Trials are scored by the validation metric at the end of their steps. The best settings and the
    optimizer's defaults are then run on fresh seeds and scored on test data. The same command goes
    on after a kill with the same trials."""
    from ..data import use_folder
    from ..sweep.store import read_records
    from ..tune import results
    from ..tune.prepare import prepare
    from ..tune.search import StudyPlace

    use_folder(args.data_dir)
    pythons = sweeping.interpreters(args.python)
    ready = prepare(_wish(args, pythons))
    name = study_name(ready.study) if args.name is None else args.name
    means = {"interpreters": pythons, "population": sweeping.population(args.population)}
    place = fill(StudyPlace, args, name=name, registry=ready.registry, **means)
    if args.dry_run:
        _print_plan(ready, place, args.as_json)
        return
    study = _carry_out(ready, place, args.quiet)
    found = results.found(study, read_records(place.output, place.name))
    if args.as_json:
        from ..tune.as_json import to_json

        say(json.dumps({"study": place.name, **to_json(study, found)}))
    else:
        _print(study, found)
    if args.report:
        reporting.refresh(args.output, place.name)
        reporting.tell_page(args.output, args.as_json)
    raise typer.Exit(_exit_code(found))


def _wish(args: Arguments, pythons: Mapping[str, str]) -> StudyRequest:
    from ..tune.prepare import StudyRequest

    return StudyRequest(
        tasks=_split(args.task),
        optimizers=_split(args.optimizer),
        frameworks=_split(args.framework),
        spaces=args.space,
        nested=args.nested_cv,
        load=args.load,
        others={name: getattr(args, name) for name in STUDY},
        interpreters=pythons,
    )


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def study_name(study: StudyFile) -> str:
    """The same for the same question, so that the same command finds what it began."""
    folds = "cv{}x{}-".format(*study.nested) if study.nested else ""
    return f"tune-{folds}{'-'.join(study.tasks)}-{study.sampler}"[:80]


def _carry_out(ready: PreparedStudy, place: StudyPlace, quiet: bool) -> StudyFile:
    from ..sweep.progress import Watch
    from ..tune.search import execute

    with resumable("trials"), Watch(quiet) as watch:
        return execute(ready.study, ready.combinations, place, watch)


def _print(study: StudyFile, found: list[SearchResult]) -> None:
    from ..tune import text
    from ..tune.results import rows

    table = rows(found)
    title = (
        f"{study.budget} trials a search ({study.sampler}); scores on test data over"
        f" {study.fresh_seeds} fresh seeds"
    )
    print_table(title, text.result_rows(table))
    say(text.intervals_note(table))
    if study.nested:
        print_table("Scores of the outer folds", text.fold_rows(table))
    else:
        print_table("Best settings", text.settings_rows(table))
    if checks := text.inclusion_rows(study, table):
        print_table("Inclusion: is the more general optimizer, tuned, shown to be worse?", checks)
    for note in text.notes(study, found):
        say(note)


def _exit_code(found: list[SearchResult]) -> ExitCode:
    """1 if runs failed or timed out, 3 if no trial ended ok."""
    states = {trial.state for search in found for trial in search.trials}
    scored = {record.status for search in found for record in (*search.tuned, *search.default)}
    if "failed" in states or scored & {"failed", "timeout"}:
        return ExitCode.RUNS_FAILED
    return ExitCode.OK if "ok" in states else ExitCode.NOTHING_MEASURED


def _print_plan(ready: PreparedStudy, place: StudyPlace, as_json: bool) -> None:
    """What is searched and how many runs that takes; suggestions are made as outcomes come."""
    from ..sweep.store import stored
    from ..tune.samplers import trials
    from ..tune.text import space_lines

    study = ready.study
    kept = stored(place.output, place.name)
    searches = [(each, trials(each.search(study))) for each in ready.combinations]
    runs = sum(many * study.runs_a_trial + 2 * study.fresh_seeds for _, many in searches)
    begun = len(kept.digests())
    if as_json:
        asked = study.model_dump(mode="json", by_alias=True)
        say(json.dumps({"study": place.name, "asked": asked, "runs": runs, "records": begun}))
        return
    for cell, many in searches:
        fold = "" if cell.fold is None else f", outer fold {cell.fold}"
        say(f"{cell.task.name}, {cell.optimizer.name}, {cell.framework.name}{fold}: {many} trials")
    for line in space_lines(study):
        say(line)
    say(
        f"{runs} runs at most; {kept.folder} holds {begun} records, which are used if they fit",
        err=True,
    )
