"""Certifies many classes in one process, with the worker's own machinery: python FILE REQUESTS.

REQUESTS is a file of JSON: name -> {"request": fields of a Request, "only": names of checks}. The
last line of standard output is JSON: name -> {"refused": reason, "notes": [...], "found": {check:
[outcome, text, script], ...}}."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradrace.certify.check import Prepared
from gradrace.certify.checks import prepared
from gradrace.certify.request import Request
from gradrace.certify.worker import serve


def certified(fields: dict[str, Any], only: list[str]) -> dict[str, Any]:
    """What a worker says of one class."""

    def prepare(request: Request) -> Prepared:
        found = prepared(request)
        return replace(found, checks=[each for each in found.checks if each.name in only])

    path = fields["path"]
    request = {"plugins": [path], "parts": ["rule", "battery"], "budget_s": 600.0, **fields}
    out = io.BytesIO()
    serve([json.dumps(request).encode()], out, prepare)
    answer: dict[str, Any] = {"refused": "", "notes": [], "found": {}}
    at = ""
    for message in map(json.loads, out.getvalue().splitlines()):
        match message["event"]:
            case "refused":
                answer["refused"] = message["reason"]
            case "ready":
                answer["notes"] = message["notes"]
            case "begin":
                at = message["about"]["check"]
            case "found":
                finding = message["finding"]
                said = [finding["outcome"], finding["text"], finding["script"]]
                # Of several findings of a check the first that failed is kept.
                if answer["found"].get(at, ["passed"])[0] != "failed":
                    answer["found"][at] = said
    return answer


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = {name: certified(each["request"], each["only"]) for name, each in asked.items()}
    print(json.dumps(found))
