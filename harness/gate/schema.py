"""`python -m gradrace.gate.schema` prints docs/gate.schema.json, of `gradrace gate --json`."""

from __future__ import annotations

import json

from . import json_schema

if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
