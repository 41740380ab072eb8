"""Verdicts on disk: <output>/verify.json, replaced as a whole, so that what can be read is
complete.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import UserError
from ..jsonfile import read_model, replace_text, writing
from .verdict import SCHEMA, VerifyFile


def file_in(output: Path) -> Path:
    """Where the verdicts of a folder of results lie."""
    return output / "verify.json"


def read(output: Path) -> VerifyFile | None:
    """The verdicts kept there; None where `gradrace verify` was never run. UserError names a file
    that is not ours.
    """
    file = file_in(output)
    if not file.exists():
        return None
    mend = "remove it and run `gradrace verify` again"
    return read_model(VerifyFile, file, SCHEMA, "gradrace's verdicts", mend)


def write(output: Path, found: VerifyFile) -> VerifyFile:
    """Keeps what was found, joined to what an earlier run found with the same versions and sources;
    gives the whole.
    """
    try:
        earlier = read(output)
    except UserError:
        earlier = None  # what cannot be read is replaced
    whole = joined(earlier, found) if earlier else found
    with writing(file_in(output)):
        output.mkdir(parents=True, exist_ok=True)
        replace_text(file_in(output), text(whole))
    return whole


def text(found: VerifyFile) -> str:
    """JSON with one verdict a line, so that differences between two files can be read."""
    content = found.to_json()
    verdicts = content.pop("verdicts")
    head = json.dumps(content, indent=1)[:-2]
    lines = ",\n".join(f"  {json.dumps(verdict)}" for verdict in verdicts)
    return f'{head},\n "verdicts": [\n{lines}\n ]\n}}\n'


def joined(earlier: VerifyFile, found: VerifyFile) -> VerifyFile:
    """The newer verdicts over the earlier ones; the newer alone where anything that computes them
    has changed.
    """
    shared = earlier.versions.keys() & found.versions.keys()
    same = all(earlier.versions[name] == found.versions[name] for name in shared)
    known = earlier.sources.keys() & found.sources.keys()
    if (
        not same
        or any(earlier.sources[name] != found.sources[name] for name in known)
        or earlier.gradrace != found.gradrace
    ):
        return found
    verdicts = {verdict.key: verdict for verdict in (*earlier.verdicts, *found.verdicts)}
    # An earlier run of everything leaves out no more than before when a part is looked at again.
    whole = next((run for run in (earlier, found) if is_full(run)), None)
    return found.model_copy(
        update={
            "versions": {**earlier.versions, **found.versions},
            "sources": {**earlier.sources, **found.sources},
            "verdicts": tuple(verdicts.values()),
            "options": (whole or found).options,
            "left_out": (
                whole.left_out
                if whole
                else tuple(dict.fromkeys((*earlier.left_out, *found.left_out)))
            ),
        }
    )


def is_full(found: VerifyFile) -> bool:
    """Whether the run looked at everything."""
    return not any(found.options.get(name) for name in ("quick", "keyword", "frameworks", "loaded"))
