"""Which folders may be merged into which: sources are only read, and each is read once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UserError
from ..jsonfile import shown, there
from ..sweep.store import suite_folder, suites_in


def check(sources: Sequence[Path], output: Path) -> dict[str, list[Path]]:
    """Suite -> the sources that have results of it, in their order.

    UserError: a source is no results folder, was given twice, holds a link where its results should
    be, or lies where the target would be written."""
    if there(output) and not output.is_dir():
        raise UserError(f"--output {shown(output)}: not a folder")
    for number, source in enumerate(sources):
        _check_apart(source, output)
        for other in sources[:number]:
            if other.resolve() == source.resolve() or other.samefile(source):
                raise UserError(f"{other} and {source} are the same folder; name it once")
    suites: dict[str, list[Path]] = {}
    for source in sources:
        for suite in _suites(source):
            suites.setdefault(suite, []).append(source)
    return suites


def _check_apart(source: Path, output: Path) -> None:
    if not there(source):
        raise UserError(f"{shown(source)}: no such folder")
    inner, outer = source.resolve(), output.resolve()
    if inner == outer or (output.exists() and output.samefile(source)):
        raise UserError(
            f"{source}: both a source and --output, whose results take part anyway; name the other"
            " folders only"
        )
    if outer.is_relative_to(inner):
        raise UserError(
            f"--output {output}: lies in {source}, and sources are only read; choose another folder"
        )
    if inner.is_relative_to(outer / "runs"):
        raise UserError(f"{source}: lies among the results of --output {output}; move it away")


def _suites(source: Path) -> tuple[str, ...]:
    """The suites with results there. UserError: there are none, or they cannot be trusted."""
    if (source / "runs").is_symlink():
        raise UserError(f"{source / 'runs'}: a link, which is not followed; copy the folder itself")
    names = suites_in(source)
    for name in names:
        if suite_folder(source, name).is_symlink():
            raise UserError(
                f"{suite_folder(source, name)}: a link, which is not followed; copy the folder"
                " itself"
            )
    return names
