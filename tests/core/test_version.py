"""The version of a checkout, a copy, an installed package and of sources without a name."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib

import pytest
from gradrace import version
from gradrace.version import UNKNOWN, from_description, of_checkout
from paths import ROOT
from repositories import commit, git

NODE = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (f"v0.2.0-0-g{NODE}", "0.2.0"),
        (f"v1.0.0rc1-0-g{NODE}", "1.0.0rc1"),
        (f"v0.2.0-5-g{NODE}", "0.2.0.post1.dev5+g1a2b3c4d5"),
        (f"v0.2.0-0-g{NODE}-dirty", "0.2.0.post1.dev0+g1a2b3c4d5.d20260102"),
        (f"v1-5-g{NODE}", "1.post1.dev5+g1a2b3c4d5"),
        ("fatal: not a git repository", ""),
        ("v0.2.0", ""),
        ("", ""),
    ],
)
def test_a_version_of_a_description(told: str, expected: str) -> None:
    assert from_description(told, "20260102") == expected


def test_a_checkout_says_its_tag_and_how_far_it_has_come(tmp_path) -> None:
    assert of_checkout(tmp_path) == ""
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    commit(tmp_path, "first")
    assert of_checkout(tmp_path).startswith("0.0.0.post1.dev1+g")
    git(tmp_path, "tag", "v0.2.0")
    # Names the newest release to users of the action; says nothing of a version.
    git(tmp_path, "tag", "v1")
    assert of_checkout(tmp_path) == "0.2.0"
    (tmp_path / "a").write_text("2")
    assert ".d20" in of_checkout(tmp_path)
    commit(tmp_path, "second")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert of_checkout(tmp_path) == f"0.2.0.post1.dev1+g{head[:9]}"


def test_a_copy_of_the_sources_does_not_take_the_installed_version(tmp_path) -> None:
    """The environment of these tests has metadata of a gradrace, but not of this copy."""
    (tmp_path / "gradrace").mkdir()
    shutil.copy(ROOT / "harness" / "version.py", tmp_path / "gradrace")
    (tmp_path / "gradrace" / "__init__.py").write_text("")

    def told() -> str:
        code = "from gradrace.version import version; print(version())"
        environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-c", code]
        return subprocess.check_output(command, env=environment, text=True).strip()

    assert told() == UNKNOWN
    (tmp_path / "gradrace-3.2.1.dist-info").mkdir()
    assert told() == "3.2.1"
    (tmp_path / "gradrace" / version.COPIED).write_text("1.2.3\n")
    assert told() == "1.2.3"


def test_the_citation_has_what_its_format_asks_for() -> None:
    """https://github.com/citation-file-format, version 1.2.0: four keys are required."""
    yaml = pytest.importorskip("yaml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert told["cff-version"] == "1.2.0" and told["type"] == "software"
    assert told["message"] and told["title"].startswith("gradrace") and told["authors"]
    assert all(author.keys() == {"name"} for author in told["authors"])
    assert told["license"] == project["license"]
    # The version is the tag's, so that no file says another one.
    assert "version" not in told
