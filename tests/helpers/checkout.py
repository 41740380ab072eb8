"""A copy of the working tree as a repository of its own, to be built and installed elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from paths import ROOT
from repositories import commit, git

# Where the packages are that an environment of these tests borrows.
SHARED = Path(np.__file__).parents[1]


def copied(folder: Path) -> Path:
    """The files that git follows or would follow, committed in `folder`."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    git(folder, "init", "-q")
    commit(folder, "all")
    return folder


def environment(folder: Path) -> Path:
    """A virtual environment with this one's packages, pip included; its folder bin/."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "shared.pth").write_text(f"{SHARED}\n")
    return folder / "bin"
