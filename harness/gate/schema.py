"""Prints the JSON Schema of `gradrace gate --json`: `python -m gradrace.gate.schema >
docs/gate.schema.json`.
"""

from __future__ import annotations

import json

from . import json_schema

if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
