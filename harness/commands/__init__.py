"""The command line's common ground: the application, what several commands take, and how errors
reach the shell.

Each module of this package registers commands; everything heavy is imported inside them, so that
--help is instant."""

from __future__ import annotations

import errno
import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import limits
from ..errors import ExitCode, UserError, refused
from ..jsonfile import shown
from ..output.terminal import say
from .numbers import SECONDS, count

app = typer.Typer(
    name="gradrace",
    help=(
        "Which optimizer, in which framework, at what cost, and is the comparison fair?\n\ngradrace"
        " trains the same tasks with the same weights, batches and learning rates in PyTorch,"
        " TensorFlow/Keras and JAX/Flax/Optax, times every step, and writes a report.\n\nBegin with"
        " `gradrace doctor`, then `gradrace run quick`.\n\nExit codes: 0 fine; 1 some runs failed;"
        " 2 usage or configuration; 3 nothing could be measured, or an internal error; 4"
        " regression; 5 nothing matched; 6 inconclusive, under --strict only; 130 interrupted."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of results.", show_default=True)
]
Load = Annotated[
    list[Path] | None,
    typer.Option(
        "--load", help="A Python file with an optimizer or task of your own; may be repeated."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder of downloaded data; $GRADRACE_DATA or the user's cache by default.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on standard output.")]


Suite = Annotated[
    str, typer.Argument(help="A suite's name (`gradrace list suites`) or the path of a TOML file.")
]
Keyword = Annotated[
    str,
    typer.Option(
        "-k", help="Only runs whose id holds all these words, and none after a '!': 'adam !lstm'."
    ),
]
Frameworks = Annotated[
    list[str] | None,
    typer.Option("--framework", help="Instead of the suite's frameworks; may be repeated."),
]
Device = Annotated[str | None, typer.Option(help="cpu or gpu instead of the suite's.")]
Dtype = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or float64 instead of the suite's.")
]
Pythons = Annotated[
    list[str] | None,
    typer.Option(
        "--python", help="FRAMEWORK=INTERPRETER: run it in another Python; may be repeated."
    ),
]
Timeout = Annotated[
    float, typer.Option(parser=SECONDS, help="Seconds after which a run is given up.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="List the runs and what is cached; run nothing.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress; of failed runs, each reason once.")
]
Workers = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        parser=count(0, limits.THREADS),
        help="Workers that train side by side; 0: as many as the cores allow.",
    ),
]


# What the system says of a path that somebody gave wrongly.
_MISTAKES = (
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Registers a command whose errors become one clear message and an exit code."""

    @app.command(name=function.__name__.rstrip("_"))
    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except UserError as error:
            say(f"gradrace: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            say("gradrace: interrupted", err=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
                say(f"gradrace: {refused(error)}; what was finished is kept", err=True)
                raise typer.Exit(ExitCode.NOTHING_MEASURED) from None
            if isinstance(error, OSError) and error.errno in _MISTAKES and error.filename:
                say(f"gradrace: {shown(Path(str(error.filename)))}: {refused(error)}", err=True)
                raise typer.Exit(ExitCode.USAGE) from None
            say(traceback.format_exc(), err=True, nl=False)
            say(
                f"gradrace: internal error: {error!r}; please report it with the lines above",
                err=True,
            )
            raise typer.Exit(ExitCode.NOTHING_MEASURED) from None

    return guarded
