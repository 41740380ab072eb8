"""The process of one implementation: `python -m gradrace.certify.worker IN OUT`, two descriptors.

One JSON line comes in on IN, a Request; Messages go out on OUT. Standard output and error are the
driver's log. The code that is checked runs here, and may do anything."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from ..errors import UserError
from ..plugins.absent import missing_package
from ..plugins.places import said
from ..spec import Frozen
from ..stepping.instance import NotApplicable
from .check import Check, Prepared
from .finding import Finding
from .noticed import Notes, noticed
from .request import Begin, CheckName, End, Found, Ready, Refused, Request


def serve(incoming: Iterable[bytes], out: BinaryIO, prepare: Callable[[Request], Prepared]) -> None:
    """Does the one request that comes in."""

    def send(message: Frozen) -> None:
        out.write(json.dumps(message.model_dump(mode="json")).encode() + b"\n")
        out.flush()

    request = Request.model_validate(json.loads(next(iter(incoming))))
    deadline = time.monotonic() + request.budget_s
    notes = Notes()
    try:
        with noticed(notes):
            prepared = prepare(request)
    except KeyboardInterrupt:
        raise
    # A package may call sys.exit where it is imported.
    except BaseException as error:
        traceback.print_exc()
        return send(_refused(error, notes))
    checks = [each for each in prepared.checks if _name(each) not in request.skip]
    send(
        Ready(
            subject=prepared.subject,
            versions=prepared.versions,
            notes=notes.lines(),
            checks=tuple(map(_name, checks)),
        )
    )
    for check in checks:
        send(Begin(about=_name(check)))
        for finding in findings(check, deadline - time.monotonic()):
            send(Found(finding=finding))
    send(End())


def _name(check: Check) -> CheckName:
    return CheckName(part=check.part, check=check.name)


def findings(check: Check, left_s: float) -> Iterator[Finding]:
    """What a check finds; what it raises is a finding too."""

    def found(outcome: str, text: str) -> Finding:
        return Finding.model_validate(
            {"part": check.part, "check": check.name, "outcome": outcome, "text": text}
        )

    if left_s <= 0:
        yield found("not applicable", "no time left: it did not begin")
        return
    try:
        yield from check.find(left_s)
    except KeyboardInterrupt:
        raise
    except NotApplicable as error:
        yield found("not applicable", str(error))
    except BaseException as error:
        traceback.print_exc()
        yield found("failed", f"it raised {said(error)}")


def _refused(error: BaseException, notes: Notes) -> Refused:
    """Why nothing can be checked."""
    package = missing_package(error)
    if isinstance(error, UserError):
        reason = str(error)
    elif package:
        reason = f"not installed: {package} (pip install {package})"
    else:
        reason = f"it cannot be imported and made: {said(error)}"
    return Refused(reason="; ".join([reason, *notes.lines()]), absent=package is not None)


def main(prepare: Callable[[Request], Prepared]) -> None:
    """Serves on the command line's descriptors."""
    with (
        os.fdopen(int(sys.argv[1]), "rb") as incoming,
        os.fdopen(int(sys.argv[2]), "wb") as outgoing,
    ):
        serve(incoming, outgoing, prepare)


if __name__ == "__main__":
    from .checks import prepared

    main(prepared)
