"""Children that answer, die, hang, speak at length, have children of their own: real processes."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from gradrace.process import Child, ChildDied, guard
from processes import running, until_gone

FDS = Path("/proc/self/fd")
PRELUDE = """
import json, os, signal, subprocess, sys, time
incoming, out = os.fdopen(int(sys.argv[1]), "rb"), os.fdopen(int(sys.argv[2]), "wb", buffering=0)
def take(): return json.loads(incoming.readline())
def give(**message): os.write(out.fileno(), json.dumps(message).encode() + b"\\n")
"""


@pytest.fixture
def start():
    """Starts `python -c` with a body that has take() and give(); whatever is left is killed."""
    started = []

    def start(body, env=os.environ, **how):
        child = Child([sys.executable, "-c", PRELUDE + textwrap.dedent(body)], env, **how)
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()


def test_messages_go_both_ways_in_order(start):
    child = start("for _ in range(3): give(answer=2 * take()['n'])")
    for n in (1, 2, 3):
        child.send({"n": n})
    assert [child.receive(30) for _ in range(3)] == [{"answer": 2}, {"answer": 4}, {"answer": 6}]
    with pytest.raises(ChildDied, match="^exit code 0$"):
        child.receive(30)
    assert child.ended


def test_read_gives_what_has_come_and_then_the_end(start):
    child = start(
        'out.write(b\'{"n": 1}\\n{"n": 2}\\n{"n"\'); take(); out.write(b\': 3}\\n{"n": 4\')'
    )
    assert child.read() == [{"n": 1}, {"n": 2}] and not child.ended
    child.send({})
    assert child.read() == [{"n": 3}]
    while not child.ended:
        assert child.read() == [], "a line cut off by the end is no message"


def test_what_receive_left_is_read_next(start):
    child = start('out.write(b\'{"n": 1}\\n{"n": 2}\\n\'); take()')
    assert child.receive(30) == {"n": 1}
    assert child.read() == [{"n": 2}]


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("os._exit(3)", "exit code 3"),
        (
            "print('first', flush=True); os.write(2, b'out of memory\\n\\n'); os.abort()",
            "SIGABRT; out of memory",
        ),
        ("os.kill(os.getpid(), 40)", "signal 40"),
        ("raise KeyError('x')", "exit code 1; KeyError: 'x'"),
    ],
)
def test_how_it_ended_is_told_after_the_last_message(start, body, how):
    child = start(f"give(n=1)\n{body}")
    assert child.receive(30) == {"n": 1}
    with pytest.raises(ChildDied) as death:
        child.receive(30)
    assert str(death.value) == child.how_it_ended() == how
    assert child.exit_status() == how.partition(";")[0]


def test_silence_is_told_from_death(start):
    child = start("take(); give(n=1); take()")
    began = time.monotonic()
    assert child.receive(0.2) is None and 0.2 <= time.monotonic() - began < 10
    child.send({})
    assert child.receive(30) == {"n": 1}


def test_half_a_message_does_not_hold_the_timeout_up(start):
    child = start("out.write(b'{\"n\": '); take(); out.write(b'1}\\n')")
    assert child.receive(1.0) is None
    child.send({})
    assert child.receive(30) == {"n": 1}


def test_messages_may_be_longer_than_a_pipe(start):
    child = start("m = take(); give(length=len(m['text'])); give(text=m['text'])")
    text = "x" * (5 << 20)
    child.send({"text": text})
    assert child.receive(30) == {"length": len(text)}
    assert child.receive(30) == {"text": text}


def test_a_dead_child_takes_nothing_and_says_so_when_read(start):
    child = start("os._exit(4)")
    assert child.exit_status() == "exit code 4"
    child.send({"text": "x" * (1 << 20)})
    with pytest.raises(ChildDied, match="exit code 4"):
        child.receive(30)


def test_what_it_printed_can_be_read_while_it_prints(start):
    child = start("""
        for n in range(200):
            print("line", n, flush=True)
        give(done=True)
        take()
        print("last", flush=True)
        give(done=True)
        take()
    """)
    whole = "".join(f"line {n}\n" for n in range(200))
    while child.receive(0.0) is None:
        assert whole.startswith(child.output())
    child.send({})
    child.receive(30)
    assert child.output() == whole + "last\n"
    child.kill()
    assert child.output().endswith("last\n") and child.how_it_ended() == "SIGKILL; last"


def test_kill_reaches_grandchildren(start):
    child = start("""
        command = [sys.executable, "-c", "import time; time.sleep(300)"]
        subprocess.Popen(command, pass_fds=[out.fileno()])
        give(n=1)
        take()
    """)
    assert child.receive(30) == {"n": 1}
    # The pipe ends when the last process that holds it for writing is gone.
    pipe = os.dup(child.descriptor)
    assert not select.select([pipe], [], [], 0)[0]
    child.kill()
    assert select.select([pipe], [], [], 30)[0] and os.read(pipe, 1) == b""
    os.close(pipe)


def test_kill_ends_a_child_that_heeds_no_signal_and_may_be_called_again(start):
    child = start("signal.signal(signal.SIGTERM, signal.SIG_IGN); give(n=1); time.sleep(300)")
    assert child.receive(30) == {"n": 1}
    descriptor = child.descriptor
    child.kill()
    # Whoever is given the number next must not lose it to a second call, nor get what was meant for
    # the child.
    reused = os.open(os.devnull, os.O_RDONLY)
    child.kill()
    child.send({"n": 2})
    os.close(reused)
    assert reused <= descriptor and child.exit_status() == "SIGKILL"
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)


def test_abort_lets_the_reader_come_to_the_end(start):
    child = start("give(n=1); time.sleep(300)")
    assert child.receive(30) == {"n": 1}
    child.abort()
    with pytest.raises(ChildDied, match="SIGKILL"):
        child.receive(30)


def test_environment_and_folder_are_those_given(start, tmp_path):
    child = start(
        "give(folder=os.getcwd(), given=os.environ.get('GIVEN'))",
        {**os.environ, "GIVEN": "x"},
        cwd=tmp_path,
    )
    assert child.receive(30) == {"folder": str(tmp_path.resolve()), "given": "x"}


@pytest.mark.skipif(not FDS.exists(), reason="needs /proc")
def test_what_cannot_be_started_leaves_nothing_open(tmp_path):
    guard.mark()
    before = len(list(FDS.iterdir()))
    with pytest.raises(FileNotFoundError):
        Child([str(tmp_path / "nonesuch")], os.environ)
    assert len(list(FDS.iterdir())) == before


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("os.write(out.fileno(), b'hello\\n')", "hello"),
        ("os.write(out.fileno(), b'[1, 2]\\n')", "[1, 2]"),
        ("os.write(out.fileno(), b'\\xff\\x00{}\\n')", "xff"),
        ("os.write(out.fileno(), b'{\"event\": 3}\\n')", "event"),
        ("os.write(out.fileno(), b'[' * 50000 + b'\\n')", "[[["),
        ("os.write(out.fileno(), b'1' * 5000 + b'\\n')", "111"),
    ],
    ids=["words", "list", "bytes", "event", "deep", "long number"],
)
def test_garbage_on_the_pipe_is_the_end(start, body, shown):
    child = start(f"give(n=1)\n{body}\ntime.sleep(300)")
    assert child.receive(30) == {"n": 1}
    with pytest.raises(
        ChildDied, match="to the pipe that only gradrace's messages go through"
    ) as death:
        child.receive(30)
    assert shown in str(death.value) and len(str(death.value)) < 300
    assert not child.signalled, "it was ended by us"


def test_a_message_without_end_is_garbage(start, monkeypatch):
    monkeypatch.setattr("gradrace.process._LONGEST_MESSAGE", 1 << 20)
    child = start("while True: os.write(out.fileno(), b'x' * 65536)")
    with pytest.raises(ChildDied, match="xxx"):
        child.receive(30)


def test_a_child_that_closes_its_pipe_and_lives_on_is_killed(start, monkeypatch):
    monkeypatch.setattr("gradrace.process._EXIT_TIMEOUT_S", 0.1)
    child = start("os.close(out.fileno()); time.sleep(300)")
    with pytest.raises(ChildDied, match="it closed its pipe without ending"):
        child.receive(30)
    assert not child.signalled and child.exit_status() == "it closed its pipe without ending"


def test_a_child_that_reads_nothing_is_given_up(start, monkeypatch):
    monkeypatch.setattr("gradrace.process._SEND_TIMEOUT_S", 0.2)
    child = start("time.sleep(300)")
    child.send({"text": "x" * (8 << 20)})
    with pytest.raises(ChildDied, match="SIGKILL"):
        child.receive(30)


APART = "apart = subprocess.Popen(['sleep', '300'], start_new_session=True)"


@pytest.mark.skipif(not FDS.exists(), reason="needs /proc")
def test_kill_reaches_grandchildren_in_a_session_of_their_own(start):
    child = start(f"{APART}; give(pid=apart.pid); take()")
    pid = child.receive(30)["pid"]
    assert running(pid)
    child.kill()
    until_gone(pid)


@pytest.mark.skipif(not FDS.exists(), reason="needs /proc")
def test_a_killed_driver_leaves_nothing_behind(tmp_path):
    """Not a child that holds the interpreter in C, nor its own child: neither sees a pipe's end."""
    holds = "import re; re.match('(a+)+$', 'a' * 64 + 'b')"
    body = f"{PRELUDE}\n{APART}\ngive(pids=[os.getpid(), apart.pid])\n{holds}"
    driver = f"""
import os, sys, time
from gradrace.process import Child
child = Child([sys.executable, "-c", {body!r}], os.environ)
print(*child.receive(60)["pids"], flush=True)
time.sleep(300)
"""
    process = subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2 and all(map(running, pids))
    process.kill()
    process.wait()
    process.stdout.close()
    until_gone(*pids)
