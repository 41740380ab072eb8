"""A small git repository that is followed with asv, for tests of its benchmarks and exports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from gradrace.suites.benchmarks import race
from paths import ROOT
from tiny import toml


class Project:
    """A repository of its own with the real benchmarks and the real configuration of asv."""

    def __init__(self, folder: Path, suite: dict[str, Any]) -> None:
        self.folder = folder / "project"
        self._fill()
        (self.folder / "followed.toml").write_text(toml(suite))
        # asv describes the machine in a file of the home folder; git reads its author there, among
        # other things.
        (folder / ".gitconfig").write_text(
            "[user]\n\tname = Someone\n\temail = someone@example.org\n"
        )
        self.environment = os.environ | {
            "HOME": str(folder),
            "USERPROFILE": str(folder),
            race.SUITE_VARIABLE: "followed.toml",
        }
        self.call("git", "init", "--quiet")
        self.asv("machine", "--yes")

    def _fill(self) -> None:
        shutil.copytree(ROOT / "suites" / "benchmarks", self.folder / "suites" / "benchmarks")
        shutil.copy(ROOT / "asv.conf.json", self.folder)
        (self.folder / ".gitignore").write_text("results/\n.asv/\n__pycache__/\n")

    def call(self, *command: str, code: int = 0) -> str:
        """What the command wrote, once it has ended with this exit code."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def asv(self, *arguments: str, code: int = 0) -> str:
        return self.call(sys.executable, "-m", "asv", *arguments, code=code)

    def commit(self, message: str) -> str:
        """A commit of everything; its hash."""
        self.call("git", "add", "--all")
        self.call("git", "commit", "--quiet", "--allow-empty", "--message", message)
        return self.call("git", "rev-parse", "HEAD").strip()

    def gradrace(self, *arguments: str, code: int = 0) -> str:
        return self.call(sys.executable, "-m", "gradrace", *arguments, code=code)

    def run(self, commit: str, *options: str, code: int = 0) -> str:
        """As `make asv` does it."""
        given = ("--python=same", "--record-samples", "--show-stderr", "--set-commit-hash", commit)
        return self.asv("run", *given, *options, code=code)

    def results(self, commit: str) -> Any:
        """What asv kept of this commit, read by asv itself."""
        from asv.results import iter_results

        (found,) = [
            r for r in iter_results(str(self.folder / "results" / "asv")) if r.commit_hash == commit
        ]
        return found

    def publish(self) -> set[str]:
        """The benchmarks of which asv draws a history."""
        self.asv("publish")
        pages = self.folder / "results" / "asv-html"
        assert (pages / "index.html").exists()
        return {file.stem for file in (pages / "graphs" / "summary").glob("*.json")}
