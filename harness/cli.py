"""The command line. Everything heavy is imported inside the commands, so that --help is instant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .commands import (
    AsJson,
    DataDir,
    Load,
    Output,
    app,
    command,
    comparing,
    exporting,
    gating,
    running,
    timing,
    tuning,
)
from .errors import ExitCode, UserError, nearest
from .output.terminal import prepare_streams, print_table, say
from .version import __version__

# Imported for the commands that they register.
_REGISTERED = (running, timing, tuning, comparing, gating, exporting)


def main() -> None:
    """Entry point of the `gradrace` script."""
    prepare_streams()
    app()


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        say(__version__)
        raise typer.Exit(0)


@command
def verify(
    file: Annotated[
        Path | None,
        typer.Argument(help="Where --document writes its page; docs/differences.md by default."),
    ] = None,
    keyword: Annotated[
        str,
        typer.Option(
            "-k",
            help=(
                "Only what is named by all these words, and by none after a '!': 'updates adam"
                " !native'."
            ),
        ),
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="A representative part, within a minute.")
    ] = False,
    long: Annotated[bool, typer.Option("--long", help="Also training runs of 1000 steps.")] = False,
    framework: Annotated[
        list[str] | None,
        typer.Option("--framework", help="Only these, beside the NumPy referee; may be repeated."),
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(help="float64: everything; float32: the few steps that float32 can prove."),
    ] = "float64",
    load: Load = None,
    output: Output = Path("results"),
    document: Annotated[
        bool,
        typer.Option(
            "--document",
            help="Measure how the libraries differ at their defaults, and write the page.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that the comparison is fair: every framework against the others and against a NumPy
    referee, in float64.

    Level by level: weights, layers, losses, update rules, whole training runs (the loss of each
    step), learning rates, and the first steps in float32. Every cell is `equal` with the worst
    difference, `differs by definition` with the reason and the measured size, `unavailable`, or
    `FAILED`. What is found is kept in OUTPUT/verify.json, and the report shows it. With --load and
    no -k, only what the files bring is verified. Exit code 1 when a cell failed."""
    from .registry import load_registry
    from .verify import Options
    from .verify import file as verify_file
    from .verify import verify as verify_all
    from .verify.cases import Selection
    from .verify.text import Progress, show

    registry = load_registry(load or [])
    if file and not document:
        raise UserError(f"{file}: only --document takes a file; choose what is verified with -k")
    if document:
        from .verify.document import write as write_document

        say(write_document(registry, file or Path("docs/differences.md"), Progress(quiet)))
        return
    words = _verified_words(keyword, dtype)
    found = verify_all(
        registry, Options(Selection(words, quick, long, tuple(framework or ()))), Progress(quiet)
    )
    verify_file.write(output, found)
    if as_json:
        say(verify_file.text(found), nl=False)
    else:
        show(found)
        say(f"kept in {verify_file.file_in(output)}", err=True)
    if found.counts()["FAILED"]:
        raise typer.Exit(ExitCode.RUNS_FAILED)


@command
def report(
    suites: Annotated[
        list[str] | None, typer.Argument(help="Which suites; all that have results by default.")
    ] = None,
    output: Output = Path("results"),
    html: Annotated[
        Path | None, typer.Option(help="Folder for the page; OUTPUT/html by default.")
    ] = None,
) -> None:
    """Write the HTML report: one folder that opens without a network, figures inline, data as CSV
    beside it.
    """
    from .report.writer import write
    from .results import frame

    page = write(frame.load(output, *(suites or ())), html or output / "html")
    say(page)


@command
def show(
    run: Annotated[
        str, typer.Argument(help="The first digits of a run's digest, or part of its id.")
    ],
    output: Output = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Show one run in full: specification, outcome, versions, machine and files."""
    from .report.record_text import find, lines

    found = find(output, run)
    if as_json:
        say(json.dumps(found.record.to_json(), indent=1))
        return
    for what, value in lines(found):
        say(f"{what:16} {value}")


@command
def list_(
    what: Annotated[
        str, typer.Argument(help="tasks, data, optimizers, schedules, frameworks, suites or all.")
    ] = "all",
    load: Load = None,
    as_json: AsJson = False,
) -> None:
    """List what there is to run, with your own files' tasks and optimizers (--load) among the
    built-in ones.
    """
    from .commands.catalogue import catalogue

    tables = catalogue(load or [])
    if what != "all" and what not in tables:
        raise UserError(f"nothing called {what!r} to list{nearest(what, [*tables, 'all'])}")
    chosen = tables if what == "all" else {what: tables[what]}
    if as_json:
        say(json.dumps(chosen, indent=1))
        return
    for title, rows in chosen.items():
        print_table(title, rows)


@command
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets, such as mnist; all by default.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Download data sets, check their sha256 sums, and keep them for later runs.

    Files that are there already and right are left alone. Without a network the message says which
    files to place where by hand. Runs on data that are not there are skipped.
    """
    from . import data

    data.use_folder(data_dir)
    for name in names or [name for name, known in data.SETS.items() if known.files]:
        if name not in data.SETS:
            raise UserError(f"no data set {name!r}{nearest(name, data.SETS)}")
        files = data.SETS[name].files
        if not files:
            say(f"{name}: comes with gradrace, nothing to download", err=True)
            continue
        came = data.fetch(files)
        say(
            f"{name}: {f'{len(came)} files downloaded to' if came else 'complete in'}"
            f" {files[0].path.parent}"
        )


@command
def doctor(output: Output = Path("results"), as_json: AsJson = False) -> None:
    """Say what this machine and installation can do: frameworks, versions, devices, cores, how
    steady the clock is.

    Ends with what is wrong and how to mend it. Exit code 3 when no framework at all can be used.
    """
    from .machine.doctor import diagnose
    from .registry import load_registry

    diagnosis = diagnose(load_registry(), output)
    if as_json:
        say(json.dumps(diagnosis.to_json(), indent=1))
    else:
        _print_diagnosis(diagnosis)
    if not any(
        f["installed"] and not f["problem"] for f in diagnosis.frameworks if f["name"] != "numpy"
    ):
        raise typer.Exit(ExitCode.NOTHING_MEASURED)


# -- helpers


def _verified_words(keyword: str, dtype: str) -> str:
    """The keyword, narrowed to what can be verified in this dtype."""
    if dtype in ("float16", "bfloat16"):
        raise UserError(
            f"--dtype {dtype}: nothing can be verified in it: it keeps"
            f" {3 if dtype == 'float16' else 2} digits, so that one step's rounding is larger than"
            " the faults that are looked for. The rules are proven in float64 (the default)"
        )
    if dtype not in ("float32", "float64"):
        raise UserError(
            f"--dtype {dtype}: float64 or float32{nearest(dtype, ('float32', 'float64'))}"
        )
    return f"{keyword} float32".strip() if dtype == "float32" else keyword


def _print_diagnosis(diagnosis: Any) -> None:
    machine, clock = diagnosis.machine, diagnosis.clock
    say(
        f"machine   {machine['processor']}, {machine['logical_cores']} cores"
        f" ({len(machine['usable_cores'])} usable)"
    )
    say(
        f"          {machine['memory_bytes'] / 2**30:.1f} GiB, {machine['system']}, Python"
        f" {machine['python']}"
    )
    say(f"load      {machine['load']:.2f}")
    say(
        f"clock     {clock['tick_ns']:.0f} ns a reading; equal work varies by {clock['iqr']:.1%}"
        f" (interquartile range), worst {clock['worst']:.2f} times the median;"
        f" {clock['cpu_share']:.0%} of a core is ours"
    )
    print_table(
        "frameworks",
        [
            {
                "framework": f["name"],
                "installed": "yes" if f["installed"] else "no",
                "versions": ", ".join(
                    f"{name} {version}" for name, version in f["versions"].items()
                ),
                "devices": ", ".join(f["devices"]),
                "modes": ", ".join(f["modes"]),
            }
            for f in diagnosis.frameworks
        ],
    )
    for problem, mend in diagnosis.problems:
        say(f"problem   {problem}\n  mend    {mend}")
    if not diagnosis.problems:
        say("no problems found")
