"""The facts of a node, as far as digests and places depend on it: `python -c TEXT`, with this file.

Every Python that counts is asked, whatever it has installed: only the standard library is taken
for granted.

    request  {"distributions": [name], "files": [path], "data": [name], "folder": data folder or ""}
    answer   {"host": name, "boot": text, "python": version, "cores": number, "usable": number,
              "gradrace": version or "", "sources": {module: hash},
              "distributions": {name: [version, exact version]}, "files": {path: hash},
              "data": {name: what is missing}}

boot: the same for all that runs on one machine. A file that is not there has no hash."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_PACKAGES = ("gradrace", "gradrace.adapters", "gradrace.suites")


def facts(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request, see above."""
    if request["folder"]:
        os.environ["GRADRACE_DATA"] = request["folder"]
    return {
        "host": platform.node(),
        "boot": _boot(),
        "python": platform.python_version(),
        "cores": os.cpu_count() or 1,
        "usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "gradrace": (_versions(["gradrace"]).get("gradrace") or [""])[0],
        "sources": sources(),
        "distributions": _versions(request["distributions"]),
        "files": {path: found for path in request["files"] if (found := _hash(Path(path)))},
        "data": _missing(request["data"]),
    }


def sources() -> dict[str, str]:
    """File of gradrace -> hash; {} if it is not installed."""
    found = {}
    for package in _PACKAGES:
        with suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(package)
            places = spec.submodule_search_locations if spec else None
            for folder in map(Path, places or ()):
                for file in folder.rglob("*.py"):
                    name = f"{package.replace('.', '/')}/{file.relative_to(folder).as_posix()}"
                    found[name] = _hash(file)
    return found


def _boot() -> str:
    """Containers of one machine have names of their own, but its boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


def _versions(names: Iterable[str]) -> dict[str, list[str]]:
    found = {}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version(name)
            found[name] = [version, version]
            # An older gradrace, or none, lacks the function; then that is what counts.
            with suppress(ImportError, AttributeError):
                from gradrace.plugins import imports

                found[name][1] = imports.exact_version(importlib.metadata.distribution(name))
    return found


def _missing(names: Iterable[str]) -> dict[str, str]:
    """Why data sets cannot be read. A plug-in's are unknown here: it brings them."""
    found = {}
    for name in names:
        with suppress(ImportError, AttributeError, ValueError):
            from gradrace import data

            found[name] = data.missing(name)
    return found


def _hash(file: Path) -> str:
    """ "" if it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


if __name__ == "__main__":
    print(json.dumps(facts(json.load(sys.stdin))))
