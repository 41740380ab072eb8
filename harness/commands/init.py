"""`gradrace init`: a repository's first workflow, suite and optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ..errors import UserError, nearest
from ..output.terminal import say
from . import options

_FOLDER = "The repository; the current folder by default."
_FRAMEWORK = "torch, jax, tensorflow or numpy; by default the first that is installed."
_OPTIMIZER = "The optimizer's name and its file's."
_ACTION = "The action's address in the workflow."
_SOURCE = "What pip installs gradrace from in the workflow; by default the action's own checkout."
_NIGHTLY = "Also a job that records a history every night."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace init` takes."""

    folder: Annotated[Path, Argument(help=_FOLDER)] = Path()
    framework: Annotated[
        str | None, Option(None, help=_FRAMEWORK, autocompletion=options.FRAMEWORK_NAMES)
    ]
    optimizer: Annotated[str, Option("my_optimizer", help=_OPTIMIZER)]
    action: Annotated[str, Option("OWNER/gradrace@v1", metavar="REPO@REF", help=_ACTION)]
    source: Annotated[str, Option("", help=_SOURCE)]
    nightly: Annotated[bool, Option(False, "--nightly", help=_NIGHTLY)]
    dry_run: Annotated[bool, Option(False, "--dry-run", help="Print the files; write nothing.")]


def main(args: Arguments) -> None:
    """Write a GitHub workflow, a suite and an optimizer to begin with into a repository.

    .github/workflows/gradrace.yml gates pull requests, gradrace.toml says what runs, and
    my_optimizer.py holds a working optimizer to replace by your own. Nothing that exists is
    replaced: exit code 2 names it. Prints the commands to go on with."""
    from ..starting import files

    if not args.folder.is_dir():
        raise UserError(f"{args.folder}: no such folder")
    asked = files.Beginning(
        framework=args.framework or _first_installed(),
        optimizer=args.optimizer,
        action=args.action,
        source=args.source,
        nightly=args.nightly,
    )
    if asked.framework not in files.FRAMEWORKS:
        hint = nearest(asked.framework, files.FRAMEWORKS)
        raise UserError(f"--framework: no framework {asked.framework!r}{hint}")
    files.check(asked)
    texts = files.contents(asked)
    if args.dry_run:
        for path, text in texts.items():
            say(f"# {path}\n\n{text}")
        return
    files.write(args.folder, texts)
    say("\n".join(["wrote", *(f"  {args.folder / path}" for path in texts), "next"]))
    for command in files.next_commands(asked):
        say(f"  {command}")
    if args.action == files.ACTION:
        say(f"  in {files.WORKFLOW}, replace OWNER by the account whose gradrace you use")


def _first_installed() -> str:
    from ..registry import load_registry
    from ..starting.files import FRAMEWORKS

    known = load_registry().frameworks
    return next(name for name in FRAMEWORKS if known[name].versions() is not None)
