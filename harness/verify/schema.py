"""`python -m gradrace.verify.schema` prints docs/verify.schema.json, of `verify --json`."""

from __future__ import annotations

import json

from .verdict import json_schema

if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
