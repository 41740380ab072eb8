"""Interpreters that are none, and systems that start no worker: one clear line, at once."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest
from gradrace import cli
from gradrace.errors import UserError
from gradrace.process import NoAnswer, ask
from gradrace.suite import make_suite
from gradrace.sweep import Options, prepare
from processes import until_gone


def script(folder, text: str):
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


NO_PYTHON = [
    ("echo '[1]'", "it printed '[1]"),
    ("echo hello", "it printed 'hello"),
    ("true", "it printed ''"),
    ("printf '\\377\\376'", "it printed"),
    ("exit 7", "exit code 7"),
    ("echo no module named x >&2; exit 1", "no module named x"),
    ("kill -9 $$", "SIGKILL"),
    ("echo 1111111111; printf '1%.0s' $(seq 5000)", "it printed"),
]


@pytest.mark.parametrize(("text", "words"), NO_PYTHON)
def test_what_is_no_python_is_refused(tmp_path, text, words):
    with pytest.raises(NoAnswer) as refused:
        ask([str(script(tmp_path, text)), "-c", ""], os.environ, timeout_s=30)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_one_that_hangs_is_given_up(tmp_path):
    with pytest.raises(NoAnswer, match=r"gave no answer within 0\.2 s"):
        ask([str(script(tmp_path, "exec sleep 100"))], os.environ, timeout_s=0.2)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_what_it_started_ends_with_it(tmp_path):
    text = f"sleep 300 & echo $! > {tmp_path / 'pid'}; wait"
    with pytest.raises(NoAnswer, match="gave no answer"):
        ask([str(script(tmp_path, text))], os.environ, timeout_s=1.0)
    until_gone(int((tmp_path / "pid").read_text()))


def test_what_cannot_be_started_is_refused(tmp_path):
    (tmp_path / "text").write_text("x")
    for path, words in (
        ("none", "No such file"),
        (".", "Permission denied"),
        ("text", "Permission denied"),
        ("\0", "null byte"),
    ):
        with pytest.raises(NoAnswer, match=words):
            ask([str(tmp_path / path)], os.environ, timeout_s=30)


def test_a_python_answers():
    command = [
        sys.executable,
        "-c",
        "import json; print('first'); print(json.dumps({'said': input()}))",
    ]
    assert ask(command, os.environ, timeout_s=60, given="hello") == {"said": "hello"}


@pytest.mark.parametrize("option", ["--python", "--a-python"])
def test_options_name_the_interpreter_that_is_none(tmp_path, option, gradrace):
    liar = script(tmp_path, "echo '[1]'")
    sides = ("compare", option, liar, "--b-python", liar)
    arguments = sides if option == "--a-python" else ("run", "quick", option, f"jax={liar}")
    done = gradrace(*arguments, "-k", "digits_mlp jax adam")
    assert done.returncode == (3 if option == "--a-python" else 2)
    assert (
        "is no Python that can be asked: it printed '[1]" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_windows_is_told_what_works_there(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UserError, match="Windows: no worker can be started there.*WSL"):
        prepare("quick", options=Options(keyword="numpy"))
    monkeypatch.setattr(sys, "argv", ["gradrace", "list", "suites"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0 and "quick" in capsys.readouterr().out


def test_the_digest_names_what_the_other_python_has(tmp_path):
    """Not what this one has: another NumPy, or another Python, computes other numbers."""
    has = '{"gradrace": "0", "python": "3.99.1", "numpy": "9.9.9", "jax": "0.9", "jaxlib": "0.9"'
    other = script(tmp_path, f"""echo '{has}, "flax": "0.1", "optax": "0.2"}}'""")
    suite = make_suite("s", {"title": "S", "question": "Q", "tasks": ["digits_mlp"]} | ONE)
    own = prepare(suite, options=Options(output=tmp_path)).plan[0]
    there = prepare(suite, options=Options(output=tmp_path, interpreters={"jax": str(other)})).plan[
        0
    ]
    found = {"python": "3.99.1", "numpy": "9.9.9", "scikit-learn": "not installed", "jax": "0.9"}
    assert {name: there.versions[name] for name in found} == found
    assert own.versions["python"] == platform.python_version()
    assert own.versions.keys() == there.versions.keys() and own.digest != there.digest


ONE = {"frameworks": ["jax"], "optimizers": ["sgd"], "steps": 10, "eval_every": 5, "seeds": 1}
