"""The `gradrace` command: the application, and what registers its commands."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from .commands.arguments import expanded
from .commands.failures import guarded
from .output.terminal import prepare_streams, say

# In the order of --help; each is a file in commands/.
COMMANDS = (
    *("run", "time", "tune", "compare", "why", "bisect", "gate", "baseline", "calibrate"),
    *("verify", "certify", "report", "show", "plot", "export", "publish", "merge", "list", "fetch"),
    *("doctor", "init"),
)
# Commands with commands of their own: each is a folder in commands/.
GROUPS = {"history": ("record", "show", "export")}
_GROUP_HELP = {"history": "Ratios of HEAD to a release, night after night: steps and drift."}


app = typer.Typer(
    name="gradrace",
    help=(
        "Which optimizer, in which framework, at what cost, and is the comparison fair?\n\ngradrace"
        " trains the same tasks with the same weights, batches and learning rates in PyTorch,"
        " TensorFlow/Keras and JAX/Flax/Optax, times every step, and writes a report.\n\nBegin with"
        " `gradrace doctor`, then `gradrace run quick`.\n\nExit codes: 0 fine; 1 some runs failed;"
        " 2 usage or configuration; 3 nothing could be measured, or an internal error; 4"
        " regression; 5 nothing matched; 6 suspected or inconclusive, under --strict only; 130"
        " interrupted."
    ),
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of the `gradrace` script."""
    prepare_streams()
    app()


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from .version import __version__

        say(__version__)
        raise typer.Exit(0)


for _name in COMMANDS:
    _module = importlib.import_module(f".commands.{_name}", __package__)
    app.command(_name)(guarded(expanded(_module.main)))

for _name, _own in GROUPS.items():
    _group = typer.Typer(help=_GROUP_HELP[_name], no_args_is_help=True, rich_markup_mode="markdown")
    for _each in _own:
        _module = importlib.import_module(f".commands.{_name}.{_each}", __package__)
        _group.command(_each)(guarded(expanded(_module.main)))
    app.add_typer(_group, name=_name, context_settings={"help_option_names": ["-h", "--help"]})
