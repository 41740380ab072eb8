"""What goes between a driver and an actor, without Ray: messages, logs, files, facts."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gradrace.executor import Finished, FinishedTogether, Job, PlannedRun, Progress, Started
from gradrace.executor.cluster import facts, messages
from gradrace.executor.cluster.messages import NewText, event_out, events_in, job_in, job_out
from gradrace.executor.cluster.travel import luggage, moved, unpack
from gradrace.executor.local import unfinished
from gradrace.record import Curve

EMPTY = np.zeros(0)


@pytest.fixture
def job(make_run, tmp_path):
    """Two runs that are trained together."""
    specs = [make_run(seed=seed) for seed in (0, 1)]
    runs = [PlannedRun(s, f"{s.seed:024x}", {"numpy": "1"}, {}, tmp_path / "log") for s in specs]
    return Job(tuple(runs), lanes=2)


def ended(run):
    points = {"validation_metrics": np.array([0.5]), "points": EMPTY, "learning_rates": EMPTY}
    columns = {name: points.get(name, np.array([1.0])) for name in Curve.DTYPES}
    curve = Curve(**{name: v.astype(Curve.DTYPES[name]) for name, v in columns.items()})
    return Finished(run, unfinished(run, "failed", "as a test wants it", curve))


def heard(event, job, log=b""):
    """The event as it comes out at the other end, and its logs."""
    message = json.loads(json.dumps(event_out(event, job, lambda run: log)))
    ((found, logs),) = events_in(message, job, [0, 1])
    return found, logs


def test_a_job_arrives_with_logs_of_the_nodes_own(job, tmp_path):
    found = job_in(job_out(job), tmp_path / "there")
    assert found == job.of([replace(run, log=tmp_path / "there" / "0.txt") for run in job.runs])


def test_events_arrive_as_they_were(job):
    first, second = job.runs
    for event in (Started(job), Progress(second, 10)):
        assert heard(event, job) == (event, [])
    single, logs = heard(ended(second), job, b"\xff printed")
    assert logs == [b"\xff printed"] and single.run == second
    assert single.result.record == ended(second).result.record.model_copy(
        update={"started_at": single.result.record.started_at}
    )
    assert np.array_equal(single.result.curve.validation_losses, [1.0])
    together, _ = heard(FinishedTogether((ended(first), ended(second))), job)
    assert [end.run for end in together.runs] == [first, second]


def changed(**changes):
    return lambda message: message | changes


WRONG = {
    "no such run": changed(indices=[2]),
    "an ended run": changed(indices=[0]),
    "no number": changed(indices=[True]),
    "no runs": changed(indices=[]),
    "a run twice": changed(indices=[1, 1]),
    "no such event": changed(event="rest"),
    "no text": changed(event=["finished"]),
    "no logs": changed(logs=[]),
    "logs that are none": changed(logs=["%%"]),
    "no records": changed(records=[]),
    "another digest": changed(head={}, records=[{"digest": "f" * 24}]),
    "nothing": lambda message: {},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_what_is_no_event_is_refused(job, change):
    message = json.loads(json.dumps(event_out(ended(job.runs[1]), job, lambda run: b"")))
    assert list(events_in(message, job, [1]))
    with pytest.raises((ValueError, TypeError, LookupError)):
        list(events_in(change(message), job, [1]))


@pytest.mark.parametrize("step", [-1, 21, 1.0, None, "1", True])
def test_a_step_beyond_the_run_is_refused(job, step):
    message = event_out(Progress(job.runs[0], 1), job, lambda run: b"") | {"step": step}
    with pytest.raises(ValueError, match="of 20"):
        list(events_in(message, job, [0, 1]))


def test_a_log_is_read_on_and_a_long_one_cut_in_its_middle(tmp_path, monkeypatch):
    file, new = tmp_path / "log.txt", NewText()
    assert new.of(file) == b""
    file.write_bytes(b"one")
    assert new.of(file) == b"one" and new.of(file) == b""
    with file.open("ab") as opened:
        opened.write(b"two")
    assert new.of(file) == b"two"
    monkeypatch.setattr(messages, "LOG_BYTES", 8)
    with file.open("ab") as opened:
        opened.write(b"begin, much more, end.")
    assert new.of(file) == b"begi\n[14 bytes left out]\nend."


def test_files_that_a_plugin_leads_to_travel_in_their_layout(tmp_path, monkeypatch):
    code, library = tmp_path / "code", tmp_path / "library"
    for folder in (code / "data", library):
        folder.mkdir(parents=True)
    texts = {
        code / "mine.py": "import beside, far\nfrom pathlib import Path\n"
        "T = (Path(__file__).parent / 'data' / 'table.csv').read_text()\n",
        code / "beside.py": "",
        code / "data" / "table.csv": "1,2\n",
        library / "far.py": "",
    }
    for file, text in texts.items():
        file.write_text(text)
    (code / "unused.py").write_text("")
    monkeypatch.syspath_prepend(library)
    monkeypatch.chdir(code)
    bag = luggage([Path("mine.py")])
    assert {Path(path) for path in bag.files} == set(texts)
    assert bag.search == (str(library),) and bag.here == str(code)
    unpack(bag, tmp_path / "there")
    for file, text in texts.items():
        assert moved(str(file), tmp_path / "there").read_text() == text
    assert moved(bag.here, tmp_path / "there").is_dir()


def test_another_python_tells_the_same_facts(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("A = 1\n")
    for name in ("KERAS_HOME", "TORCH_HOME", "XDG_CACHE_HOME", "XDG_DATA_DIRS"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    request = {
        "distributions": ["numpy", "no-such-thing"],
        "files": [str(tmp_path / "mine.py"), str(tmp_path / "absent.py")],
        "data": ["digits", "mnist", "a users own"],
        "folder": str(tmp_path / "empty"),
    }
    done = subprocess.run(
        [sys.executable, "-c", Path(facts.__file__).read_text()],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    found = json.loads(done.stdout)
    assert found["gradrace"] == importlib.metadata.version("gradrace")
    assert found["sources"] == facts.sources()
    assert found["distributions"] == {"numpy": [np.__version__, np.__version__]}
    assert list(found["files"]) == [str(tmp_path / "mine.py")]
    assert found["data"]["digits"] == "" and "mnist is not there" in found["data"]["mnist"]
    assert set(found["data"]) == {"digits", "mnist"}
