"""asv's own commands over two commits of gradrace: docs/asv.md has them in a table.

Built and measured with the NumPy reference. Only exact figures are compared."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from asv_project import Project
from checkout import copied
from tiny import TINY
from waiting import wait_for

pytest.importorskip("asv")

SUITE = TINY | {"optimizers": ["sgd"], "seeds": 1, "convergence": False}
STATE = "race.followed.track_state_bytes"
CELL = f"{STATE}('digits_mlp', 'numpy-reference', 'sgd')"
EXACT = ("--bench", "track_state_bytes")


class Whole(Project):
    """All of gradrace, so that asv can build its commits."""

    def _fill(self) -> None:
        copied(self.folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Whole:
    """Two commits, compared by `asv continuous`, which stores the figures of both."""
    project = Whole(tmp_path_factory.mktemp("asv"), SUITE)
    project.commit("one")
    (project.folder / "harness" / "version.py").open("a").write("\n# Another commit.\n")
    project.commit("two")
    said = project.asv("continuous", *EXACT, "HEAD~1", "HEAD")
    assert said.count("Building") == 2 and "NOT SIGNIFICANTLY CHANGED" in said
    return project


def test_only_gradrace_is_built(project):
    (site,) = (project.folder / ".asv" / "env").glob("*/lib/python*/site-packages")
    own = {path.name.partition("-")[0] for path in site.glob("*.dist-info")}
    assert own - {"pip", "setuptools"} == {"gradrace"}
    (python,) = (project.folder / ".asv" / "env").glob("*/bin/python")
    code = "import gradrace, numpy, sys; print(gradrace.__file__, numpy.__file__)"
    ours, library = project.call(str(python), "-c", code).split()
    assert Path(ours).is_relative_to(site) and not Path(library).is_relative_to(site)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["run", "HEAD^!", *EXACT], 0, "digits_mlp"),
        (["run", "-E", "existing", *EXACT], 0, "digits_mlp"),
        (["run", "--python=same", *EXACT], 0, "digits_mlp"),
        (["run", "-E", "existing", "HEAD^!"], 1, "No range spec"),
        (["continuous", "-E", "existing", "HEAD~1", "HEAD"], 1, "No range spec"),
        (["run", "-E", "shared:2.7"], 1, "No environments selected"),
        (["compare", "HEAD~1", "HEAD"], 0, CELL),
        (["show", "HEAD"], 0, STATE),
        (["check"], 0, "No problems found"),
        (["check", "-E", "existing"], 0, "No problems found"),
        (["profile", re.escape(CELL), "-E", "existing"], 0, "look_up"),
        (["find", "HEAD~1..HEAD", STATE], 0, "Greatest regression found"),
        (["machine", "--yes"], 0, ""),
        (["publish"], 0, "Writing index"),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_a_command_does_what_the_table_says(project, command, code, said):
    assert said in project.asv(*command, code=code)


def test_preview_serves_the_pages(project):
    project.asv("publish")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "asv", "preview", "--port", str(port)]
    where = {"cwd": project.folder, "env": project.environment}
    server = subprocess.Popen(command, **where, stdout=subprocess.DEVNULL)
    found: list[bytes] = []

    def asked() -> bool:
        assert server.poll() is None
        with suppress(OSError):
            found.append(urllib.request.urlopen(f"http://127.0.0.1:{port}/index.json").read())
        return bool(found)

    try:
        wait_for(asked)
    finally:
        server.kill()
        server.wait()
    assert STATE in json.loads(found[0])["benchmarks"]


def test_rm_removes_a_figure_of_all_commits(project):
    """The last of the file: the others read that figure."""
    project.asv("rm", "-y", f"benchmark={STATE}")
    assert STATE not in project.asv("show", "HEAD", code=0)
