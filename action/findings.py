"""Annotations of a GitHub job, and the outputs of the step: findings.py FOLDER CODE NAME.

Reads FOLDER/gate.json, if the gate came as far as that. Annotations go to standard error, where the
runner reads them as well; the outputs, name=value, to standard output. The standard library alone.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

# GitHub shows ten annotations of a step and level.
MOST = 9
_HEADS = {
    0: ("notice", "no regression found"),
    1: ("error", "a run failed"),
    2: ("error", "a wrong command, or not the baseline's runs"),
    3: ("error", "could not measure: this is no verdict on the change"),
    4: ("error", "regression"),
    5: ("error", "nothing matched"),
    6: ("warning", "inconclusive"),
}


def main(folder: Path, code: int, name: str) -> None:
    """Prints both."""
    file = folder / "gate.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    level, head = _HEADS.get(code, ("error", f"stopped with exit code {code}"))
    verdict = str(found["outcome"]) if found else head
    lines = _findings(found) if found else []
    for text in lines[:MOST]:
        annotate("error", "gradrace", text)
    if suspected := [_slower(cell) for cell in _cells(found) if cell["decision"] == "suspected"]:
        level, head = (level if code else "warning"), "suspected, found once" if not code else head
        annotate("warning", "gradrace: suspected", "; ".join(suspected[:MOST]))
    more = f"; {len(lines) - MOST} more findings" if len(lines) > MOST else ""
    annotate(level, f"gradrace: {head}", f"{verdict}{more}; see the summary of this job")
    outputs = {
        "verdict": verdict,
        "exit-code": str(code),
        "name": re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-") or "gate",
        "json": str(file) if found else "",
        "markdown": str(folder / "gate.md") if (folder / "gate.md").is_file() else "",
    }
    for key, value in outputs.items():
        print(f"{key}={' '.join(value.split())}")


def annotate(level: str, title: str, text: str) -> None:
    """A line that the runner shows beside the job."""
    safe = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
    in_title = str.maketrans({":": "%3A", ",": "%2C"})
    where = title.translate(safe).translate(in_title)
    print(f"::{level} title={where}::{text.translate(safe)}", file=sys.stderr)


def _findings(found: dict[str, Any]) -> list[str]:
    """A sentence for each regression and each failure."""
    checks = (found.get("convergence") or {}).get("checks", ())
    cells = _cells(found)
    lines = [_slower(cell) for cell in cells if cell["decision"] == "regression"]
    lines += [_differs(check) for check in checks if check["verdict"] == "differs"]
    lines += [f"{c['cell']}: failed: {c['reason']}" for c in cells if c["decision"] == "failed"]
    lines += [f"{c['id']}: failed: {c['reason']}" for c in checks if c["verdict"] == "failed"]
    return lines


def _cells(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    return ((found or {}).get("timing") or {}).get("cells", [])


def _slower(cell: dict[str, Any]) -> str:
    size = f"{cell['ratio'] - 1:+.1%} [{cell['low'] - 1:+.1%}, {cell['high'] - 1:+.1%}]"
    return f"{cell['cell']}: {size}"


def _differs(check: dict[str, Any]) -> str:
    step = "" if check["step"] is None else f" from step {check['step']} on"
    return f"{check['id']}: {check['what']} differ{step}: {check['after']}, was {check['before']}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
