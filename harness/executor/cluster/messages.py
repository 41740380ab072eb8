"""The messages between a driver and its actors, as bytes of JSON: jobs go, events come back."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...spec import RunSpec
from ...worker.packed import packed, unpacked
from .. import Event, Finished, FinishedTogether, Job, PlannedRun, Progress, Started, one_by_one

# Bytes of one log that come back. More is left out in its middle.
LOG_BYTES = 1 << 24


def job_out(job: Job) -> bytes:
    """For `job_in`. Logs stay: their paths are the driver's. `logs` groups the runs of one log."""
    places = {log: number for number, log in enumerate(dict.fromkeys(r.log for r in job.runs))}
    runs = [
        {
            "spec": run.spec.to_json(),
            "digest": run.digest,
            "versions": run.versions,
            "sources": run.sources,
            "log": places[run.log],
        }
        for run in job.runs
    ]
    return json.dumps({"runs": runs, "alone": job.alone, "lanes": job.lanes}).encode()


def job_in(data: bytes, logs: Path) -> Job:
    """The job, with logs in this folder."""
    content = json.loads(data)
    runs = (
        PlannedRun(
            RunSpec.model_validate(run["spec"]),
            run["digest"],
            run["versions"],
            run["sources"],
            logs / f"{run['log']}.txt",
        )
        for run in content["runs"]
    )
    return Job(tuple(runs), content["alone"], content["lanes"])


def event_out(event: Event, job: Job, log: Callable[[PlannedRun], bytes]) -> dict[str, Any]:
    """JSON types for `events_in`. log: what is new in a run's log."""
    numbers = {run.digest: number for number, run in enumerate(job.runs)}
    match event:
        case Started():
            return {"event": "started", "indices": [numbers[r.digest] for r in event.job.runs]}
        case Progress():
            return {"event": "progress", "indices": [numbers[event.run.digest]], "step": event.step}
    ends = [each for each in one_by_one(event) if isinstance(each, Finished)]
    return {
        "event": "together" if isinstance(event, FinishedTogether) else "finished",
        "indices": [numbers[end.run.digest] for end in ends],
        "logs": [base64.b64encode(log(end.run)).decode() for end in ends],
        **packed([end.result for end in ends]),
    }


def events_in(
    message: Mapping[str, Any], job: Job, waiting: Sequence[int]
) -> Iterator[tuple[Event, list[bytes]]]:
    """The event, if it is one, and what is to be added to the logs of its runs.

    waiting: the places in the job of the runs that have not ended. ValueError, TypeError or
    LookupError if the message is no event of this job."""
    kind, indices = message["event"], message["indices"]
    if not indices or any(type(i) is not int or i not in waiting for i in indices):
        raise ValueError(f"runs {indices!r:.80} are not in flight")
    if len(set(indices)) < len(indices):
        raise ValueError("a run is named twice")
    runs = [job.runs[index] for index in indices]
    if kind == "started":
        yield Started(job.of(runs)), []
    elif kind == "progress":
        yield Progress(runs[0], _step(message["step"], runs[0])), []
    elif kind == "finished" or (kind == "together" and job.lanes):
        ends = tuple(map(Finished, runs, unpacked(message, runs)))
        logs = [base64.b64decode(text, validate=True) for text in message["logs"]]
        if len(logs) != len(ends) or (kind == "finished" and len(ends) != 1):
            raise ValueError("not one log a run, or several runs at once")
        yield FinishedTogether(ends) if kind == "together" else ends[0], logs
    else:
        raise ValueError(f"no such event: {kind!r:.80}")


def _step(step: Any, run: PlannedRun) -> int:
    if type(step) is not int or not 0 <= step <= run.spec.steps:
        raise ValueError(f"step {step!r:.80} of {run.spec.steps}")
    return step


class NewText:
    """Reads what was added to files since it was asked last."""

    def __init__(self) -> None:
        self._read: dict[Path, int] = {}

    def of(self, file: Path) -> bytes:
        """b"" if there is nothing new, or no such file. Long texts are cut in the middle."""
        try:
            with file.open("rb") as opened:
                size, begin = file.stat().st_size, self._read.get(file, 0)
                self._read[file] = size
                opened.seek(begin)
                if size - begin <= LOG_BYTES:
                    return opened.read(size - begin)
                half = LOG_BYTES // 2
                head = opened.read(half)
                opened.seek(size - half)
                cut = size - begin - 2 * half
                return head + f"\n[{cut} bytes left out]\n".encode() + opened.read(half)
        except FileNotFoundError:
            return b""
