"""Runs as runs of MLflow, in a database of its own beside the results: no server, no network."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..jsonfile import writing
from .runs import ToldRun
from .words import Done, environment, needed

_SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
DIGEST, STARTED = "gradrace.digest", "gradrace.started"
# MLflow takes this many metrics, and this many params or tags, at once.
_METRICS, _LONGEST = 1000, 5000


def write(runs: Iterable[ToldRun], to: Path) -> Done:
    """Writes `to`/mlflow.db: a suite is an experiment, a run a run, known by its digest in a tag.

    A run that is there, whole and with its time of start, is kept; one that was computed anew
    replaces the earlier one, which MLflow then lists as deleted. The database holds infinity as the
    largest float. See `key` for names."""
    with writing(to):
        to.mkdir(parents=True, exist_ok=True)
    with environment(_SETTINGS):
        with needed("mlflow"):
            import alembic  # noqa: F401
            import sqlalchemy  # noqa: F401
            from mlflow import MlflowClient
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        client = MlflowClient(f"sqlite:///{to.absolute() / 'mlflow.db'}")
        known: dict[str, _Experiment] = {}
        written, kept = 0, 0
        for run in runs:
            if run.suite not in known:
                known[run.suite] = _Experiment(client, run.suite, to)
            added = known[run.suite].add(run)
            written, kept = written + added, kept + (not added)
    return Done(written, kept)


def key(name: str) -> str:
    """The name as MLflow's key: other signs than letters, digits and _-./ become '_'."""
    return re.sub(r"[^A-Za-z0-9_./-]", "_", name)[:250]


class _Experiment:
    """The runs of one suite."""

    def __init__(self, client: Any, suite: str, to: Path) -> None:
        self._client = client
        found = client.get_experiment_by_name(suite)
        if found is None:
            place = (to.absolute() / "artifacts").as_uri()
            self._id = client.create_experiment(suite, artifact_location=place)
        else:
            self._id = found.experiment_id
            if found.lifecycle_stage != "active":
                client.restore_experiment(self._id)
        self._there = {run.data.tags.get(DIGEST, ""): run for run in self._runs()}

    def _runs(self) -> Iterable[Any]:
        token = None
        while True:
            page = self._client.search_runs([self._id], max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def add(self, run: ToldRun) -> bool:
        """Whether it was written; else it is there already."""
        known = self._there.get(run.digest)
        if known is not None:
            whole = known.info.status in ("FINISHED", "FAILED")
            if whole and known.data.tags.get(STARTED) == repr(run.began):
                return False
            self._client.delete_run(known.info.run_id)
        self._write(run)
        return True

    def _write(self, run: ToldRun) -> None:
        from mlflow.entities import Metric, Param

        began = round(run.began * 1000)
        tags = {
            **{DIGEST: run.digest, STARTED: repr(run.began), "gradrace.status": run.status},
            **{"gradrace.suites": ", ".join(run.suites), "gradrace.reason": run.reason},
            **{key(f"gradrace.version.{name}"): text for name, text in run.libraries.items()},
        }
        cut = {name: text[:_LONGEST] for name, text in tags.items()}
        made = self._client.create_run(self._id, began, cut, run.name)
        metrics = [
            Metric(key(name), value, began, step)
            for name, (steps, values) in run.curves.items()
            for step, value in zip(steps.tolist(), values.tolist(), strict=True)
        ]
        metrics += [Metric(key(k), v, began, run.last_step) for k, v in run.figures.items()]
        params = [Param(key(k), str(v)[:_LONGEST]) for k, v in run.settings.items()]
        number = made.info.run_id
        for some in _parts(params, 100):
            self._client.log_batch(number, params=some)
        for some in _parts(metrics, _METRICS):
            self._client.log_batch(number, metrics=some)
        end = "FINISHED" if run.ended_well else "FAILED"
        self._client.set_terminated(number, end, round((run.began + run.seconds) * 1000))


def _parts(whole: Sequence[Any], length: int) -> Iterable[Sequence[Any]]:
    return (whole[first : first + length] for first in range(0, len(whole), length))
