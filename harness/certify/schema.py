"""`python -m gradrace.certify.schema` prints docs/certify.schema.json, of `certify --json`."""

from __future__ import annotations

import json

from .certificate import json_schema

if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
