"""A stand-in for SLURM on one machine: job arrays, requeued as SLURM does; `srun`, `scontrol`.

It knows the few `#SBATCH` lines that examples/slurm.sh has, and refuses others."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_IGNORED = {"job-name", "ntasks", "time", "open-mode", "signal"}
_KNOWN = {"array", "cpus-per-task", "output", "requeue", *_IGNORED}
_SRUN = '#!/bin/bash\nwhile [[ ${1-} == --* ]]; do shift; done\nexec "$@"\n'
# It leaves a note, which is read when the task has ended.
_SCONTROL = '#!/bin/bash\n[ "$1" = requeue ] && touch "$SLURM_STANDIN/requeue-$2"\n'
_ARRAY = "13"


def directives(script: Path) -> dict[str, str]:
    """The script's `#SBATCH` lines. ValueError: one that is not known here."""
    lines = re.findall(r"^#SBATCH --(\S+)$", script.read_text(), re.MULTILINE)
    found = {name: value for name, _, value in (line.partition("=") for line in lines)}
    if strange := found.keys() - _KNOWN:
        raise ValueError(f"what is {strange}?")
    return found


def indices(text: str) -> list[int]:
    """Of `--array`: 0-3, 1-7:2, 1,4,9."""
    found: list[int] = []
    for each in text.split(","):
        first, last, step = re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", each).groups()  # type: ignore[union-attr]
        found += range(int(first), int(last or first) + 1, int(step or 1))
    return found


@dataclass
class Task:
    """One task of an array. starts: how often it was started."""

    job: str
    index: int
    process: subprocess.Popen[bytes]
    starts: int = 1


class Array:
    """A job array, all of whose tasks run at once."""

    def __init__(
        self, script: Path, folder: Path, words: Sequence[str], env: Mapping[str, str], array: str
    ) -> None:
        """array: as `sbatch --array`; "" for that of the script."""
        self._script, self._folder, self._words = script, folder, words
        self._told = directives(script) | ({"array": array} if array else {})
        self._env = {**os.environ, **env, "SLURM_STANDIN": str(folder)}
        self._env["PATH"] = f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        (folder / "bin").mkdir(exist_ok=True)
        for name, text in (("srun", _SRUN), ("scontrol", _SCONTROL)):
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        found = indices(self._told["array"])
        self.tasks = [
            Task(str(100 + index), index, self._start(index, found, 0)) for index in found
        ]

    def _start(self, index: int, found: Sequence[int], restarts: int) -> subprocess.Popen[bytes]:
        steps = {later - index for index, later in itertools.pairwise(found)}
        told = {
            "SLURM_JOB_ID": str(100 + index),
            "SLURM_ARRAY_JOB_ID": _ARRAY,
            "SLURM_ARRAY_TASK_ID": str(index),
            "SLURM_ARRAY_TASK_COUNT": str(len(found)),
            "SLURM_ARRAY_TASK_MIN": str(min(found)),
            "SLURM_ARRAY_TASK_MAX": str(max(found)),
            "SLURM_ARRAY_TASK_STEP": str(steps.pop() if len(steps) == 1 else 1),
            "SLURM_CPUS_PER_TASK": self._told["cpus-per-task"],
            **({"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}),
        }
        name = self._told["output"].replace("%A", _ARRAY).replace("%a", str(index))
        with (self._folder / name).open("ab") as log:
            return subprocess.Popen(
                ["bash", str(self._script), *self._words],
                cwd=self._folder,
                env={**self._env, **told},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def fail(self, task: Task) -> None:
        """Its node fails: all its processes are gone."""
        os.killpg(task.process.pid, signal.SIGKILL)

    def cancel(self, task: Task) -> None:
        """Its steps are told to end, as a minute before the time limit."""
        pid = str(task.process.pid)
        steps = subprocess.run(["pgrep", "-P", pid], capture_output=True, text=True).stdout
        for step in steps.split():
            os.kill(int(step), signal.SIGTERM)

    def wait(self, seconds: float) -> dict[int, int]:
        """Until all tasks have ended, those requeued as well: index -> exit code."""
        end = time.monotonic() + seconds
        codes: dict[int, int] = {}
        while len(codes) < len(self.tasks):
            assert time.monotonic() < end, f"only {sorted(codes)} ended: {self.logs()}"
            for task in self.tasks:
                code = task.process.poll()
                if code is None or task.index in codes:
                    continue
                if self._requeued(task, code):
                    found = [each.index for each in self.tasks]
                    task.process = self._start(task.index, found, task.starts)
                    task.starts += 1
                else:
                    codes[task.index] = code
            time.sleep(0.05)
        return codes

    def _requeued(self, task: Task, code: int) -> bool:
        note = self._folder / f"requeue-{task.job}"
        if note.exists():
            note.unlink()
            return True
        return code == -signal.SIGKILL and "requeue" in self._told

    def logs(self) -> str:
        """What all tasks have printed."""
        return "\n".join(log.read_text() for log in sorted(self._folder.glob("*.log")))

    def stop(self) -> None:
        """Ends what still runs."""
        for task in self.tasks:
            if task.process.poll() is None:
                self.fail(task)
            task.process.wait()


def submit(
    script: Path, folder: Path, *words: str, array: str = "", env: Mapping[str, str] | None = None
) -> Array:
    """`sbatch SCRIPT WORDS`, in this folder."""
    return Array(script, folder, words, env or {}, array)


def shell(command: str, folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """`sbatch --wrap COMMAND`: one job, run to its end."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, **env},
        capture_output=True,
        text=True,
    )
