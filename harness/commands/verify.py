"""`gradrace verify`: is the comparison fair?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from typer import Argument, Option

from ..errors import ExitCode, UserError, nearest
from ..importpath import paths_of
from ..output.terminal import say
from . import documents, options

if TYPE_CHECKING:
    from ..registry import Registry
    from ..spec import Device
    from ..verify.cases import Selection

_FILE = "The page that --document writes; docs/differences.md by default."
_QUICK = "A representative part, within a minute."
_LONG = "Also training runs of 1000 steps."
_FRAMEWORK = "Only these, beside the NumPy referee; may be repeated."
_DTYPE = "float64: everything; float32: the few steps that float32 can prove."
_DEVICE = "gpu: only pairs with a side on the GPU, beside the referee and the CPU."
_DOCUMENT = "Measure how the libraries differ at their defaults, and write the page."


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What `gradrace verify` takes."""

    file: Annotated[Path | None, Argument(None, help=_FILE)]
    keyword: options.Keyword
    quick: Annotated[bool, Option(False, "--quick", help=_QUICK)]
    long: Annotated[bool, Option(False, "--long", help=_LONG)]
    frameworks: Annotated[tuple[str, ...], Option((), "--framework", help=_FRAMEWORK)]
    dtype: Annotated[str, Option("float64", help=_DTYPE)]
    device: Annotated[str, Option("cpu", help=_DEVICE)]
    load: options.Load
    output: options.Output
    document: Annotated[bool, Option(False, "--document", help=_DOCUMENT)]
    quiet: options.Quiet
    as_json: options.AsJson


def main(args: Arguments) -> None:
    """Prove that the frameworks compute the same as each other and as a NumPy referee.

    Level by level, in float64: weights, layers, losses, update rules, whole training runs (the loss
    of each step), learning rates; then the first steps in float32, and populations against single
    runs. Every cell is `equal` with the
    worst difference, `differs by definition` with the reason and the measured size, `unavailable`,
    or `FAILED`. OUTPUT/verify.json keeps the verdicts, and the report shows them; this
    run's are the page OUTPUT/html/verify.html. With --load
    only what the files bring is verified. -k takes words such as 'updates adam !native'.
    Exit code 1 if a cell failed, 3 if no framework has the GPU that was asked for."""
    from ..report.documents.verified import document
    from ..verify import VerifyOptions, verify
    from ..verify import file as verify_file
    from ..verify.cases import Selection
    from ..verify.text import Progress, show

    registry = loadable(args.load)
    if args.document:
        from ..verify.document import write as write_document

        page = args.file or Path("docs/differences.md")
        say(write_document(registry, page, Progress(args.quiet)))
        return
    if args.file:
        raise UserError(
            f"{args.file}: only --document takes a file; choose what is verified with -k"
        )
    words = checked_words(args.keyword, args.dtype)
    device = checked_device(args.device)
    selection = Selection(words, args.quick, args.long, args.frameworks, device)
    if not args.quiet:
        _announce(registry, selection, args.output)
    found = verify(registry, VerifyOptions(selection), Progress(args.quiet))
    verify_file.write(args.output, found, registry)
    if args.as_json:
        say(verify_file.text(found), nl=False)
    else:
        show(found)
        say(f"kept in {verify_file.file_in(args.output)}", err=True)
    documents.leave(args.output, lambda: document(found), args.quiet)
    if found.counts()["FAILED"]:
        raise typer.Exit(ExitCode.RUNS_FAILED)
    if device == "gpu" and all(verdict.verdict == "unavailable" for verdict in found.verdicts):
        why = "nothing could be verified; `gradrace doctor` says what each framework found"
        raise UserError(f"--device gpu: {why}", ExitCode.NOTHING_MEASURED)


def _announce(registry: Registry, selection: Selection, output: Path) -> None:
    """How many cases are computed, and how long that takes."""
    from ..verify import estimate
    from ..verify import file as verify_file
    from ..verify.cases import table
    from ..verify.verdict import REFEREE

    try:
        kept = verify_file.read(output)
    except UserError:
        kept = None
    asked = {*(selection.frameworks or registry.frameworks), REFEREE}
    names = [name for name in registry.frameworks if name in asked]
    cases = table(registry, selection)
    if cases and selection.device == "cpu":
        seconds = estimate.seconds(cases, registry, names, kept.costs if kept else {})
        by = "an earlier verification" if kept and kept.costs else "another machine's times"
        say(f"{len(cases):,} cases, about {estimate.text(seconds)} by {by}", err=True)


def loadable(load: Sequence[Path]) -> Registry:
    """All there is, with the user's files. UserError for import paths, which have no rule."""
    from ..registry import load_registry

    for path in paths_of(load):
        raise UserError(
            f"--load {path}: an import path has no rule of its own to be verified against;"
            f" gradrace certify {path} says what it computes"
        )
    return load_registry(load)


def checked_device(name: str) -> Device:
    """The device of this name. UserError unless there is one."""
    from ..spec import Device

    devices = get_args(Device)
    if name not in devices:
        raise UserError(f"--device {name}: cpu or gpu{nearest(name, devices)}")
    return cast(Device, name)


def checked_words(keyword: str, dtype: str) -> str:
    """The keyword, narrowed to what can be verified in this dtype."""
    digits = {"float16": 3, "bfloat16": 2}
    if dtype in digits:
        raise UserError(
            f"--dtype {dtype}: nothing can be verified in it: it keeps {digits[dtype]} digits, so"
            " that one step's rounding is larger than the faults that are looked for. The rules are"
            " proven in float64 (the default)"
        )
    if dtype not in ("float32", "float64"):
        raise UserError(
            f"--dtype {dtype}: float64 or float32{nearest(dtype, ('float32', 'float64'))}"
        )
    return f"{keyword} float32".strip() if dtype == "float32" else keyword
