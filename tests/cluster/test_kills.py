"""Workers that are killed or talk nonsense: the reason is told, and the rest goes on."""

from __future__ import annotations

import random
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import psutil
import pytest
import tiny
from gradrace.sweep import Options
from processes import until_gone
from tiny import TINY, toml

IN_A_WORKER = "import sys; IN_A_WORKER = sys.argv[0].endswith('worker/__main__.py')\n"
RULE = textwrap.dedent("""
    import json, os, time
    from pathlib import Path
    from gradrace import Optimizer, ReferenceRule
    def act(t): pass
    {body}
    def update(p, g, state, lr, t, hyper):
        act(t)
        return p - lr * g, state
    O = Optimizer(
        name="mine", title="Mine", paper="-", learning_rate=0.1, hyper={{}}, bindings={{}},
        rule=ReferenceRule(init=lambda p, hyper: {{}}, update=update))
""")


def swept(folder: Path, body: str, timeout_s: float = 30, population="off", **changes):
    """A sweep of the NumPy reference with `mine`, beside sgd."""
    file = folder / "mine.py"
    file.write_text(IN_A_WORKER + RULE.format(body=textwrap.dedent(body)))
    options = Options(output=folder, timeout_s=timeout_s, workers=1, population=population)
    content = {"optimizers": ["sgd", "mine"], **changes}
    outcome, frames = tiny.swept(folder, [file], options, **content)
    return outcome, frames.runs.set_index("optimizer")


DIES_AT_IMPORT = """
count = Path(__file__).with_name("starts")
if IN_A_WORKER:
    starts = int(count.read_text()) if count.exists() else 0
    count.write_text(str(starts + 1))
    if starts < {deaths}: {how}
"""


KILL, GIVEN_UP = "os.kill(os.getpid(), 9)", "SIGKILL while it loaded, 3 times in a row"


@pytest.mark.parametrize(
    ("deaths", "how", "starts", "failed", "reason"),
    [
        (2, KILL, 3, 0, ""),
        (99, KILL, 3, 4, f"the worker died: {GIVEN_UP}"),
        (1, "os._exit(3)", 1, 4, "the worker died: exit code 3"),
    ],
    ids=["killed twice", "killed always", "ends itself"],
)
def test_a_worker_that_is_killed_while_it_loads_is_started_again(
    tmp_path, deaths, how, starts, failed, reason
):
    outcome, rows = swept(tmp_path, DIES_AT_IMPORT.format(deaths=deaths, how=how))
    assert outcome.counts.get("failed", 0) == failed
    assert all(reason in text for text in rows.loc[rows["status"] == "failed", "reason"])
    assert int((tmp_path / "starts").read_text()) == starts


FIND_PIPE = "pipe = int(sys.argv[2])"
SAYS = "os.write(pipe, json.dumps({%s}).encode() + b'\\n')"


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("os.write(pipe, b'hello\\n')", "it wrote b'hello' to the pipe"),
        ("os.close(pipe); time.sleep(1000)", "it closed its pipe without ending"),
        ("os.write(pipe, b'{}\\n')", "its message 'nothing' is none"),
        (SAYS % "'event': 'nonsense'", "its message 'nonsense' is none"),
        (SAYS % "'event': 'result', 'index': 7", "its message 'result' is none"),
        (SAYS % "'event': 'progress', 'index': 0, 'step': 1e9", "step"),
        (SAYS % "'event': 'result', 'index': 0, 'record': {}", "ValidationError"),
        (SAYS % "'event': 'chunk', 'step': 1", "its message 'chunk' is none"),
        (SAYS % "'event': 'results', 'indices': [0]", "its message 'results' is none"),
    ],
    ids=[
        *("garbage", "closed", "no event", "no such event", "no such run", "step", "no record"),
        *("chunk of no population", "results of no population"),
    ],
)
def test_nonsense_on_the_pipe_costs_the_run_that_wrote_it(tmp_path, monkeypatch, act, reason):
    costs_its_run(tmp_path, monkeypatch, act, reason)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("os.write(pipe, b'hello\\n')", "it wrote b'hello' to the pipe"),
        (SAYS % "'event': 'chunk', 'step': 10**6", "step 1000000"),
        (SAYS % "'event': 'results', 'indices': []", "of no runs"),
        (SAYS % "'event': 'results', 'indices': [0, 0]", "of one twice"),
        (SAYS % "'event': 'results', 'indices': [7]", "'results' is none"),
        (SAYS % "'event': 'results', 'indices': [0]", "'results' is none: KeyError"),
        (SAYS % "'event': 'results', 'indices': {}", "of no runs"),
    ],
    ids=["garbage", "step", "no runs", "twice", "no such run", "no records", "no list"],
)
def test_nonsense_of_a_population(tmp_path, monkeypatch, act, reason):
    costs_its_run(tmp_path, monkeypatch, act, reason, population=4)


def costs_its_run(folder, monkeypatch, act, reason, **options):
    monkeypatch.setattr("gradrace.process._EXIT_TIMEOUT_S", 0.5)
    body = f"if IN_A_WORKER: {FIND_PIPE}\ndef act(t):\n    if t == 5: {act}\n"
    outcome, rows = swept(folder, body, seeds=1, **options)
    assert rows.loc["sgd", "status"] == "ok" and rows.loc["mine", "status"] == "failed"
    assert reason in rows.loc["mine", "reason"]
    assert outcome.counts == {"ok": 1, "failed": 1}


class Killer(threading.Thread):
    """Kills workers of this process at random moments, import included, until it is stopped."""

    def __init__(self, most: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._left, self._random, self._stop_asked = most, random.Random(seed), threading.Event()
        self.kills = 0

    def run(self) -> None:
        seen: set[int] = set()
        while self._left and not self._stop_asked.wait(0.01):
            for process in psutil.Process().children():
                if process.pid not in seen and self._is_worker(process):
                    seen.add(process.pid)
                    # A start takes about half a second, so about half of the kills hit it.
                    self._stop_asked.wait(self._random.random())
                    self._kill(process)

    def stop(self) -> int:
        self._stop_asked.set()
        self.join()
        return self.kills

    def _is_worker(self, process: psutil.Process) -> bool:
        try:
            return "gradrace.worker" in process.cmdline()
        except psutil.Error:
            return False

    def _kill(self, process: psutil.Process) -> None:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            return
        self.kills += 1
        self._left -= 1


@pytest.mark.parametrize("seed", [0, 1])
def test_never_more_failed_runs_than_kills(tmp_path, monkeypatch, seed):
    """Give it as many starts as there are kills, since giving up is another matter."""
    monkeypatch.setattr("gradrace.executor.local.STARTS", 10)
    killer = Killer(6, seed)
    killer.start()
    outcome, rows = swept(tmp_path, "def act(t): time.sleep(0.002)", seeds=20)
    kills = killer.stop()
    assert kills and outcome.counts.get("failed", 0) <= kills
    assert len(rows) == 40 and set(rows["status"]) <= {"ok", "failed"}


def test_what_a_plug_in_started_ends_with_its_worker(tmp_path):
    body = """
    import subprocess
    if IN_A_WORKER:
        apart = subprocess.Popen(["sleep", "300"], start_new_session=True)
        Path(__file__).with_name("pid").write_text(str(apart.pid))
    """
    swept(tmp_path, body, seeds=1)
    until_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(sys.platform == "win32", reason="has no limit of open files to set")
def test_too_few_open_files_are_said(tmp_path):
    (tmp_path / "tiny.toml").write_text(toml({**TINY, "timing": False}))
    limited = """import resource
from gradrace.cli import main
resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))
main()
"""
    command = [sys.executable, "-c", limited, "run", "tiny.toml", "-o", "o", "--no-report"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3 and "Traceback" not in done.stderr
    assert "Too many open files; raise the limit of open files (ulimit -n)" in done.stderr
