"""Runs as offline runs of Weights & Biases: `wandb sync` sends them, if and when you call it.

Nothing is sent here: no account, no network."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..jsonfile import writing
from .runs import ToldRun
from .words import Done, environment, needed

# Silent, offline, no reports of errors, nothing about this machine and its folders.
_SETTINGS = {
    **{"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"},
    **{"WANDB_DISABLE_GIT": "true", "WANDB_DISABLE_CODE": "true", "WANDB_CONSOLE": "off"},
}
_FOLDERS = ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR")


def write(runs: Iterable[ToldRun], to: Path) -> Done:
    """Writes `to`/offline-run-<time of start>-<digest>: one folder a run, the suite is its project.

    A run that is there with its time of start is kept; one that was computed anew replaces the
    earlier one."""
    with writing(to):
        to.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".new-", dir=to) as work:
            return _write(runs, to, Path(work))


def _write(runs: Iterable[ToldRun], to: Path, work: Path) -> Done:
    written, kept = 0, 0
    with environment({**_SETTINGS, **dict.fromkeys(_FOLDERS, str(work))}):
        with needed("wandb"):
            import wandb
        try:
            for run in runs:
                folder = to / _name(run)
                if folder.exists():
                    kept += 1
                    continue
                made = _one(wandb, run, work)
                for earlier in to.glob(f"offline-run-*-{run.digest}"):
                    shutil.rmtree(earlier)
                made.replace(folder)
                written += 1
        finally:
            wandb.teardown()
    return Done(written, kept)


def _name(run: ToldRun) -> str:
    return f"offline-run-{datetime.fromtimestamp(run.began, UTC):%Y%m%d_%H%M%S}-{run.digest}"


def _one(wandb: Any, run: ToldRun, work: Path) -> Path:
    """The folder that wandb made of this run."""
    settings = wandb.Settings(
        **{"x_disable_stats": True, "x_disable_meta": True, "x_disable_machine_info": True},
        **{"x_save_requirements": False},
    )
    opened = wandb.init(
        **{"project": run.suite, "id": run.digest, "name": run.name[:128], "dir": str(work)},
        **{"group": str(run.settings["task"]), "job_type": str(run.settings["measure"])},
        **{"tags": [each[:64] for each in run.suites], "mode": "offline", "settings": settings},
        config={**run.settings, "digest": run.digest, "libraries": dict(run.libraries)},
        reinit="create_new",
    )
    at: dict[int, dict[str, float]] = {}
    for name, (steps, values) in run.curves.items():
        for step, value in zip(steps.tolist(), values.tolist(), strict=True):
            at.setdefault(step, {})[name] = value
    for step in sorted(at):
        opened.log(at[step], step=step)
    opened.summary.update({**run.figures, "status": run.status, "reason": run.reason})
    opened.finish(exit_code=0 if run.ended_well else 1)
    folder = Path(opened.settings.sync_dir)
    # Of wandb itself, with links into the working folder.
    for name in ("logs", "tmp"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return folder
