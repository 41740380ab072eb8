"""Downloads of published files, for `gradrace fetch`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from .files import Download, Packing, Published, find
from .parts import DataBroken, DataMissing, Part

_CHUNK = 1 << 20
_TIMEOUT_S = 30.0


def fetch(known: Published) -> list[Path]:
    """Downloads missing and broken files; their paths, none if the data set lies somewhere already.
    Nothing half-downloaded is left behind.

    DataMissing names place, addresses and sha256 sum of each file that cannot be downloaded."""
    if find(known).folder:
        return []
    packing = known.packings[0]
    shares = [parts for _, parts in packing.shares(known.parts)]
    wanted = [
        (download, parts)
        for download, parts in zip(known.downloads, shares, strict=True)
        if _problem(packing, known.folder / download.name, parts)
    ]
    for number, (download, parts) in enumerate(wanted):
        problems = _download(known, download, parts)
        if problems:
            raise DataMissing(_by_hand(known, [d for d, _ in wanted[number:]], problems))
    return [known.folder / download.name for download, _ in wanted]


def _problem(packing: Packing, path: Path, parts: Sequence[Part]) -> str:
    """Why the file is not the published one; "" if it is."""
    try:
        for _ in packing.checked(path, parts):
            pass
    except DataBroken as error:
        return str(error)
    return ""


def _download(known: Published, download: Download, parts: Sequence[Part]) -> list[str]:
    """Tries every address; the problem of each if none serves, else nothing."""
    problems = []
    for url in download.urls:
        problem = _download_from(url, known.folder / download.name, known.packings[0], parts)
        if not problem:
            return []
        problems.append(f"{url}: {problem}")
    return problems


def _download_from(url: str, path: Path, packing: Packing, parts: Sequence[Part]) -> str:
    """Downloads beside the place, and moves there if the content is right; else the problem."""
    import tempfile
    import urllib.request
    from http.client import HTTPException

    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer,
            tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f".{path.name}.", delete=False
            ) as target,
        ):
            partial, total = Path(target.name), hashlib.sha256()
            while piece := answer.read(_CHUNK):
                target.write(piece)
                total.update(piece)
        if _problem(packing, partial, parts):
            return f"what came has the sha256 sum {total.hexdigest()} and another content"
        # tempfile makes files that only this user can read.
        partial.chmod(0o644)
        os.replace(partial, path)
        return ""
    except (OSError, HTTPException, ValueError) as error:
        return str(error) or type(error).__name__
    finally:
        if partial:
            partial.unlink(missing_ok=True)


def _by_hand(known: Published, files: Sequence[Download], problems: Sequence[str]) -> str:
    lines = [f"{known.name}: {files[0].name} could not be downloaded"]
    lines += [f"  {problem}" for problem in problems]
    lines.append("Without a network, place by hand (packed in any way; the content decides):")
    for file in files:
        lines += [
            f"  {known.folder / file.name}",
            f"    from   {' or '.join(file.urls)}",
            f"    sha256 {file.sha256}",
        ]
    if known.hint:
        lines.append(known.hint)
    return "\n".join(lines)
