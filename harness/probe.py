"""Loads one framework and prints what it sees here, as JSON: `python -m gradrace.probe torch`."""

from __future__ import annotations

import json
import sys

from .registry import import_adapter, load_registry


def main() -> None:
    """Prints versions, devices and accelerator of the framework that is the argument."""
    adapter = import_adapter(load_registry().frameworks[sys.argv[1]])
    about: dict[str, str] = getattr(adapter, "accelerator", dict)()
    seen = {"versions": adapter.versions(), "devices": list(adapter.devices())}
    print(json.dumps({**seen, "accelerator": about}))


if __name__ == "__main__":
    main()
