"""The files beside the runs. Verdicts are the folder's if all agree, and times of lanes are kept
for each type of machine. Gates (calibration.json) and reports are of one machine or are made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..sweep.lanes import Measured, complete_measured, read_measured
from ..verify import file as verify_file
from ..verify.verdict import VerifyFile


@dataclass(frozen=True)
class Files:
    """What is to be added; told: as of outcome.Merged.files."""

    verified: VerifyFile | None
    measured: tuple[Measured, ...]
    told: tuple[str, ...]


def prepare(sources: Sequence[Path], output: Path) -> Files:
    """Reads the files of all folders. UserError: one of them is not ours."""
    verified, of_verdicts = _verdicts(sources, output)
    measured, of_lanes = _lanes(sources, output)
    return Files(verified, measured, (*of_verdicts, *of_lanes))


def write(files: Files, output: Path) -> None:
    """UserError: the target cannot be written."""
    if files.verified:
        verify_file.write(output, files.verified)
    if files.measured:
        complete_measured(output, files.measured)


def _verdicts(sources: Sequence[Path], output: Path) -> tuple[VerifyFile | None, list[str]]:
    own = verify_file.read(output)
    found = {source: kept for source in sources if (kept := verify_file.read(source))}
    first = next(iter(found.values()), None)
    if first is None or (own and all(kept == own for kept in found.values())):
        return None, []
    if own:
        return None, [f"verify.json: {output} keeps its own verdicts; those of others are left out"]
    if all(kept == first for kept in found.values()):
        return first, [f"verify.json: from {next(iter(found))}"]
    names = ", ".join(map(str, found))
    return None, [
        f"verify.json: left out, as {names} have different verdicts; run `gradrace verify --output"
        f" {output}`"
    ]


def _lanes(sources: Sequence[Path], output: Path) -> tuple[tuple[Measured, ...], list[str]]:
    """The first folder's figure counts if two measured the same on one type of machine."""
    known = {each.of for each in read_measured(output).measured}
    found: dict[tuple[str, str], Measured] = {}
    for source in sources:
        for each in read_measured(source).measured:
            if each.of not in known:
                found.setdefault(each.of, each)
    added = tuple(found.values())
    return added, [f"lanes.json: {len(added)} times of lanes added"] if added else []
