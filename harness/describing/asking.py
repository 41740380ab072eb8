"""Asks a framework's process what optimizers' classes are; the driver imports none of them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import UserError
from ..importpath import Plugin, sources_of
from ..jsonfile import first_problem
from ..process import NoAnswer, ask
from .answer import Answer

# Of all classes of a framework together; a framework alone takes seconds to import.
_TIMEOUT_S = 120.0

Hypers = Mapping[str, Mapping[str, Any]]
# What was asked before in this process.
_KNOWN: dict[str, Answer] = {}


def ask_about(
    framework: str, hypers: Hypers, plugins: Sequence[Plugin], python: str | None = None
) -> dict[str, Answer]:
    """Name -> answer, for optimizers that a registry of these plug-ins has.

    hypers: name -> what a user sets of it; a function is called with it. python: the interpreter,
    by default this one. A class whose import ends the process or takes too long has a problem
    like any other; if it is one of several, it is found by asking one by one."""
    found, todo = {}, {}
    for name, hyper in hypers.items():
        key = _key(framework, name, hyper, plugins, python)
        if key in _KNOWN:
            found[name] = _KNOWN[key]
        else:
            todo[name] = dict(hyper)
    for name, answer in _answers(framework, todo, plugins, python).items():
        key = _key(framework, name, todo[name], plugins, python)
        found[name] = _KNOWN[key] = answer
    return {name: found[name] for name in hypers}


def _key(framework: str, name: str, hyper: Any, plugins: Sequence[Plugin], python: Any) -> str:
    """A file may be edited between two questions of one process."""
    files = sources_of(plugins)
    stamps = [(str(file), file.stat().st_mtime_ns if file.exists() else 0) for file in files]
    return repr((framework, name, sorted(hyper.items()), stamps, python, Path.cwd()))


def _answers(
    framework: str, hypers: Hypers, plugins: Sequence[Plugin], python: str | None
) -> dict[str, Answer]:
    if not hypers:
        return {}
    try:
        return _asked(framework, hypers, plugins, python)
    except NoAnswer as error:
        if len(hypers) > 1:
            each = ({name: hyper} for name, hyper in hypers.items())
            parts = [_answers(framework, one, plugins, python) for one in each]
            return {name: answer for part in parts for name, answer in part.items()}
        (name,) = hypers
        return {name: Answer(problem=f"it could not be looked at: {error}"[:600])}


def _asked(
    framework: str, hypers: Hypers, plugins: Sequence[Plugin], python: str | None
) -> dict[str, Answer]:
    """NoAnswer as of process.ask. UserError: the answer is of another form."""
    command = [python or sys.executable, "-m", "gradrace.describing", framework]
    texts = [str(plugin.resolve()) for plugin in plugins]
    request = json.dumps({"plugins": texts, "optimizers": hypers})
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "JAX_PLATFORMS": "cpu"}
    answers = ask(command, {**os.environ, **quiet}, _TIMEOUT_S, request)
    try:
        return {name: Answer.model_validate(answers[name]) for name in hypers}
    except KeyError as error:
        why = f"nothing on {error}"
    except ValidationError as error:
        why = first_problem(error)
    raise UserError(f"{command[0]} -m gradrace.describing {framework} gave no answer ({why})")
