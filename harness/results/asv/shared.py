"""asv's environment type `shared`: libraries of the Python that runs asv, the project of a commit.

asv.conf.json names this module among its plug-ins and `shared` as its environment type. So `asv run
HEAD^!` and `asv continuous` build the project alone for each commit, in seconds and without a
network; asv's type `virtualenv` installs every framework anew, about 2 GB. A matrix of versions
needs that type: `asv run -E virtualenv`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from asv.environment import EnvironmentUnavailable
from asv.plugins.virtualenv import Virtualenv


class Shared(Virtualenv):  # type: ignore[misc]
    """A virtual environment that sees what is installed for the Python that runs asv.

    EnvironmentUnavailable for another version of Python, or if asv.conf.json asks for versions of
    libraries."""

    tool_name = "shared"

    def __init__(self, conf: Any, python: str, requirements: Any, tagged_env_vars: Any) -> None:
        if requirements:
            raise EnvironmentUnavailable(
                f"environment_type shared uses what is installed; {', '.join(requirements)} of the"
                " matrix needs environment_type virtualenv (asv run -E virtualenv)"
            )
        if not self.matches(python):
            raise EnvironmentUnavailable(
                f"environment_type shared has Python {_version()} alone, not {python}"
            )
        super().__init__(conf, python, requirements, tagged_env_vars)
        # asv's own commands fetch what builds the project, and all that it requires.
        self._build_command = [
            "python -mpip wheel --no-deps --no-build-isolation -w {build_cache_dir} {build_dir}"
        ]
        self._install_command = [
            "in-dir={env_dir} python -mpip install --no-deps --no-index --force-reinstall"
            " {wheel_file}"
        ]

    @classmethod
    def matches(cls, python: str) -> bool:
        """Of asv: whether it can make an environment of this version."""
        return bool(python == _version())

    def _setup(self) -> None:
        """Of asv: called once for an environment; each commit is then installed into it."""
        create = [sys.executable, "-m", "virtualenv", "--no-download", "--no-periodic-update"]
        subprocess.run(
            [*create, "-p", sys.executable, self._path], check=True, stdout=subprocess.DEVNULL
        )
        (own,) = Path(self._path).rglob("site-packages")
        shared = [path for path in sys.path if Path(path).name.endswith("-packages")]
        # A line each: its files of paths (.pth) are not followed, so an editable install of the
        # project stays out of sight.
        lines = "".join(f"{Path(path).absolute()}\n" for path in shared)
        (own / "shared.pth").write_text(lines)


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
