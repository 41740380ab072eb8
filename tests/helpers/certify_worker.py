"""A worker of certify without a framework: its checks do what an untrusted optimizer may do."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from gradrace.certify.certificate import Subject
from gradrace.certify.check import Check, Prepared
from gradrace.certify.finding import Finding
from gradrace.certify.request import Request
from gradrace.certify.worker import main
from gradrace.errors import UserError
from gradrace.stepping.instance import NotApplicable


def said(name: str, outcome: str, text: str, script: str = "") -> Finding:
    found = {"part": "battery", "check": name, "outcome": outcome, "text": text, "script": script}
    return Finding.model_validate(found)


def sound(left_s: float) -> Iterator[Finding]:
    yield said("sound", "passed", "all is well, twice <b>1e-16</b>")


def faulty(left_s: float) -> Iterator[Finding]:
    yield said("faulty", "failed", "it climbs: 1 became 1.01", "import torch\nprint('1.01')\n")


def raising(left_s: float) -> Iterator[Finding]:
    yield said("raising", "passed", "one thing before it raised")
    raise ValueError("no such\nluck")


def refusing(left_s: float) -> Iterator[Finding]:
    raise NotApplicable("it has no state")
    yield


def leaving(left_s: float) -> Iterator[Finding]:
    sys.exit(3)
    yield


def dying(left_s: float) -> Iterator[Finding]:
    os._exit(7)
    yield


def crashing(left_s: float) -> Iterator[Finding]:
    ctypes.string_at(0)
    yield


def hanging(left_s: float) -> Iterator[Finding]:
    threading.Event().wait()
    yield


def toiling(left_s: float) -> Iterator[Finding]:
    while True:
        sum(range(100_000))
    yield


def hogging(left_s: float) -> Iterator[Finding]:
    kept = b"x" * (1 << 28)
    threading.Event().wait()
    yield said("hogging", "passed", str(len(kept)))


def printing(left_s: float) -> Iterator[Finding]:
    print("step 1\n" * 1000)
    yield said("printing", "passed", "it prints")


def garbling(left_s: float) -> Iterator[Finding]:
    os.write(int(sys.argv[2]), json.dumps({"event": "found", "finding": 3}).encode() + b"\n")
    threading.Event().wait()
    yield


def forking(left_s: float) -> Iterator[Finding]:
    if os.fork() == 0:
        threading.Event().wait()
    yield said("forking", "passed", "it has a child")


CHECKS = {
    check.__name__: check
    for check in (
        *(sound, faulty, raising, refusing, leaving, dying, crashing, hanging, toiling),
        *(hogging, printing, garbling, forking),
    )
}


def prepare(request: Request) -> Prepared:
    """The path's last part says what happens: names of checks joined by `_and_`, or a mishap."""
    what = request.path.rpartition(".")[2]
    match what:
        case "refused":
            raise UserError("it is abstract; name a class that can be made")
        case "absent":
            raise ModuleNotFoundError("No module named 'nowhere'", name="nowhere")
        case "left":
            sys.exit("a licence is needed")
        case "died":
            os._exit(9)
        case "hung":
            time.sleep(3600)
        case "online":
            socket.create_connection(("example.org", 443))
    print(f"welcome to {what}")
    checks = [Check("battery", name, CHECKS[name]) for name in what.split("_and_")]
    if request.probes_to:
        Path(request.probes_to).write_text(f"the steps of {what}")
        return Prepared(Subject(label=what), {}, [])
    if request.like:
        theirs = Path(request.like_probes).read_text() if request.like_probes else "none"
        found = [said("like", "passed", f"{request.like}: {theirs}")]
        checks.append(Check("battery", "like", lambda left_s: found))
    chosen = [each for each in checks if each.part in request.parts]
    subject = Subject(label=what, distribution="fake 1.0", drive="step()")
    return Prepared(subject, {"fake": "1.0", "Python": "3"}, chosen)


if __name__ == "__main__":
    main(prepare)
