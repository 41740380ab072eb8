"""Verdicts on disk: <output>/verify.json, replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError
from ..jsonfile import read_model, replace_text, writing
from ..registry import Registry
from ..turns import turn
from .current import current
from .verdict import SCHEMA, VerifyFile

# Options of a run that leaves something out; partial: some of its verdicts no longer hold.
_PARTIAL = ("quick", "keyword", "frameworks", "loaded", "cells", "partial")


def file_in(output: Path) -> Path:
    """The file in a folder of results."""
    return output / "verify.json"


def read(output: Path) -> VerifyFile | None:
    """The verdicts kept there, or None. UserError names a file that is not ours."""
    file = file_in(output)
    if not file.exists():
        return None
    mend = "remove it and run `gradrace verify` again"
    return read_model(VerifyFile, file, SCHEMA, "gradrace's verdicts", mend)


def write(output: Path, found: VerifyFile, registry: Registry | None = None) -> VerifyFile:
    """Keeps the verdicts, joined to the earlier ones that still hold; gives the whole.

    registry: what `found` was computed with; without it, earlier verdicts hold only together, if no
    version and no source has changed."""
    file = file_in(output)
    with writing(file):
        output.mkdir(parents=True, exist_ok=True)
    with turn(file):
        try:
            earlier = read(output)
        except UserError:
            earlier = None  # an unreadable file is replaced
        if earlier and registry:
            earlier = current(earlier, registry, found.versions, found.sources)
        whole = joined(earlier, found) if earlier else found
        with writing(file):
            replace_text(file, text(whole))
    return whole


def text(found: VerifyFile) -> str:
    """JSON with one verdict a line, so that differences between two files can be read."""
    content = found.to_json()
    verdicts = content.pop("verdicts")
    head = json.dumps(content, indent=1)[:-2]
    lines = ",\n".join(f"  {json.dumps(verdict)}" for verdict in verdicts)
    return f'{head},\n "verdicts": [\n{lines}\n ]\n}}\n'


def joined(earlier: VerifyFile, found: VerifyFile) -> VerifyFile:
    """The newer verdicts over the earlier ones; the newer alone if their makers have changed."""
    # The sources decide, not gradrace's version: that changes with every commit.
    alike = _agree(earlier.versions, found.versions)
    if not (alike and _agree(earlier.sources, found.sources)):
        return found
    verdicts = {verdict.key: verdict for verdict in (*earlier.verdicts, *found.verdicts)}
    # A part that is verified again leaves an earlier full run full.
    whole = next((run for run in (earlier, found) if is_full(run)), None)
    left_out = whole.left_out if whole else dict.fromkeys((*earlier.left_out, *found.left_out))
    return found.model_copy(
        update={
            "versions": {**earlier.versions, **found.versions},
            "sources": {**earlier.sources, **found.sources},
            "verdicts": tuple(verdicts.values()),
            "options": (whole or found).options,
            "left_out": tuple(left_out),
            "costs": {**earlier.costs, **found.costs},
        }
    )


def _agree(earlier: Mapping[str, object], found: Mapping[str, object]) -> bool:
    """Equal values under all shared keys."""
    return all(earlier[key] == found[key] for key in earlier.keys() & found.keys())


def is_full(found: VerifyFile) -> bool:
    """Whether the run left nothing out."""
    partial = any(found.options.get(name) for name in _PARTIAL)
    return not partial and found.options.get("device", "cpu") == "cpu"
