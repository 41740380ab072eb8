#!/usr/bin/env bash
# Everything of gradrace that needs a card, in at most 8 minutes: bash tests/device/run.sh FOLDER
#
# Writes FOLDER/device.json and FOLDER/*.log; exit code 1 if a step failed. Needs no network and no
# installation: a Python ($PYTHON, python3 by default) with PyTorch or JAX/Flax/Optax, and the
# packages that it names if they are missing. DEVICE=cpu tries all commands on tiny sizes.
set -euo pipefail

folder=${1:?usage: bash tests/device/run.sh FOLDER}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-python3}
if [ -n "$(ls -A "$folder" 2>/dev/null)" ] && [ ! -d "$folder/source" ]; then
  echo "run.sh: $folder holds other files; choose another folder" >&2
  exit 2
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

"$python" - <<'PYTHON'
import importlib.util
import sys

if sys.version_info < (3, 11):
    sys.exit(f"run.sh: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")
needed = {"sklearn": "scikit-learn"} | {
    name: name for name in "numpy pandas psutil pyarrow pydantic rich scipy typer".split()
}
missing = [package for name, package in needed.items() if not importlib.util.find_spec(name)]
if missing:
    sys.exit(f"run.sh: {sys.executable} lacks {' '.join(missing)}; pip install them")
if not any(map(importlib.util.find_spec, ("torch", "jax"))):
    sys.exit(f"run.sh: {sys.executable} has neither torch nor jax")
PYTHON

# The package as an installation would lay it out, so that none is needed.
rm -rf "$folder/source" "$folder/device.json"
mkdir -p "$folder/source"
cp -R "$here/harness" "$folder/source/gradrace"
cp -R "$here/adapters" "$here/suites" "$folder/source/gradrace/"
export PYTHONPATH="$folder/source${PYTHONPATH:+:$PYTHONPATH}"
cd "$here"
exec "$python" tests/device/steps.py "$folder"
