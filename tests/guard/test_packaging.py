"""What pip installs: a wheel, an sdist, a git address, and an archive without git's history.

Each is installed into an environment of its own, which borrows the dependencies, and runs in an
empty folder. A copy of the working tree is built, under a tag of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkout import copied, environment
from paths import ROOT
from repositories import git

VERSION = "9.8.7"
TRIES = (
    *("run", "gate", "--framework", "numpy", "--dtype", "float64", "-k", "digits_mlp sgd"),
    *("--seeds", "1", "--no-verify", "--no-report", "-q"),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """The files that git follows or would follow, as a repository of their own."""
    folder = copied(tmp_path_factory.mktemp("source"))
    git(folder, "tag", f"v{VERSION}")
    git(folder, "tag", "v9")
    return folder


@pytest.fixture(scope="module")
def built(source, tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source))
    return folder


def run(*command: str, cwd: Path | None = None) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Installed:
    """An environment with gradrace, and an empty folder to work in."""

    bin: Path
    empty: Path

    def gradrace(self, *arguments: str) -> str:
        return run(str(self.bin / "gradrace"), *arguments, cwd=self.empty)


@pytest.fixture
def install(tmp_path):
    """Installs what pip is given, with the network off."""

    def installed(*what: str) -> Installed:
        place, empty = environment(tmp_path / "env"), tmp_path / "empty"
        empty.mkdir()
        pip = (str(place / "python"), "-m", "pip")
        offline = ("install", "--no-index", "--no-deps", "--no-build-isolation", "--quiet")
        run(*pip, *offline, "--ignore-installed", *what)
        return Installed(place, empty)

    return installed


def test_the_wheel_holds_the_package_and_nothing_else(built) -> None:
    wheel = next(built.glob("*.whl"))
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert wheel.name == f"gradrace-{VERSION}-py3-none-any.whl"
    assert {name.split("/")[0] for name in names} == {"gradrace", f"gradrace-{VERSION}.dist-info"}
    for name in git(ROOT, "ls-files", "harness", "adapters", "suites").splitlines():
        place = "gradrace/" + name.removeprefix("harness/")
        assert place in names or "/tests/" in name, name


def test_the_sdist_holds_what_builds_tests_and_documents_it(built) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    tracked = set(git(ROOT, "ls-files").splitlines())
    assert tracked - names == set()


def test_a_wheel_runs_in_an_empty_folder(built, install) -> None:
    here = install(str(next(built.glob("*.whl"))))
    assert here.gradrace("--version").strip() == VERSION
    here.gradrace(*TRIES)
    assert list((here.empty / "results" / "runs" / "gate").glob("*/run.json"))
    assert origin(here) == f"{VERSION}, installed from gradrace-{VERSION}-py3-none-any.whl"


def test_an_sdist_runs_in_an_empty_folder(built, install) -> None:
    here = install(str(next(built.glob("*.tar.gz"))))
    assert here.gradrace("--version").strip() == VERSION
    assert "gate" in here.gradrace("list", "suites")


def test_a_git_address_runs_in_an_empty_folder(source, install) -> None:
    here = install(f"git+file://{source}@v{VERSION}")
    head = git(source, "rev-parse", "HEAD")
    assert origin(here) == f"{VERSION}, installed from git, commit {head[:12]}"
    assert "gate" in here.gradrace("list", "suites")


def test_an_archive_without_history_knows_its_version(source, install, tmp_path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    git(source, "archive", "-o", str(tmp_path / "all.tar"), "HEAD")
    run("tar", "-xf", str(tmp_path / "all.tar"), "-C", str(folder))
    here = install("--editable", str(folder))
    assert origin(here) == f"{VERSION}, from the folder {folder}"


def origin(here: Installed) -> str:
    """As `doctor` prints it."""
    code = "from gradrace.version import installation; print(*installation(), sep=', ')"
    return run(str(here.bin / "python"), "-c", code, cwd=here.empty).strip()


def test_a_checkout_says_the_version_that_its_build_would_have(source) -> None:
    (source / "README.md").write_text("changed")
    code = "import sys; from gradrace.version import of_checkout; from pathlib import Path;"
    told = run(sys.executable, "-c", f"{code} print(of_checkout(Path(sys.argv[1])))", str(source))
    built = run(sys.executable, "-m", "setuptools_scm", cwd=source)
    assert told.strip() == built.strip().splitlines()[-1]
    git(source, "checkout", "-q", "README.md")
