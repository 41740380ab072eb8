"""The process of one framework: `python -m gradrace.verify.worker IN OUT`, two file descriptors.

One JSON line comes in on IN: {framework, plugins, selection, device, cases, folder, skip}. JSON
lines go out on OUT: `ready`, with versions and devices, then for every case and mode `begin` and
one of `done` (with the .npz file of the arrays), `unavailable` or `failed` (with a reason).
Standard output and error are the driver's log."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import UserError
from ..importpath import plugin_of
from ..plugins.absent import missing_package
from ..plugins.places import said
from ..registry import import_adapter, load_registry
from .cases import Selection, known
from .compute import Unavailable, compute, modes


def main() -> None:
    """Serves the one request on the command line's descriptors."""
    with (
        os.fdopen(int(sys.argv[1]), "rb") as incoming,
        os.fdopen(int(sys.argv[2]), "wb") as outgoing,
    ):
        serve(json.loads(incoming.readline()), outgoing)


def serve(request: dict[str, Any], out: BinaryIO) -> None:
    """Computes the requested cases, in their order."""

    def send(event: str, **content: Any) -> None:
        out.write(json.dumps({"event": event, **content}).encode() + b"\n")
        out.flush()

    try:
        registry = load_registry([plugin_of(text) for text in request["plugins"]])
        framework = registry.frameworks[request["framework"]]
        adapter = import_adapter(framework)
    except Exception as error:
        traceback.print_exc()
        named = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        return send("broken", reason=f"{named}{error}")
    send("ready", versions=adapter.versions(), devices=list(adapter.devices()))
    selection, device = Selection(**request["selection"]), request["device"]
    cases = known(registry, selection)
    wanted = [(case, mode) for case in request["cases"] for mode in modes(cases[case], framework)]
    for number, (name, mode) in enumerate(wanted):
        if [name, mode] in request["skip"]:
            continue
        send("begin", case=name, mode=mode)
        try:
            arrays = compute(cases[name], adapter, framework, mode, registry.optimizers, device)
            file = Path(request["folder"]) / f"{number}.npz"
            stored: dict[str, Any] = {key: np.asarray(value) for key, value in arrays.items()}
            np.savez(file, **stored)
            send("done", case=name, mode=mode, file=str(file))
        except Unavailable as error:
            send("unavailable", case=name, mode=mode, reason=str(error))
        except Exception as error:
            if package := missing_package(error):
                send("unavailable", case=name, mode=mode, reason=f"not installed: {package}")
                continue
            traceback.print_exc()
            send("failed", case=name, mode=mode, reason=said(error))


if __name__ == "__main__":
    main()
