"""The repository's folders. No folder of adapters is on sys.path: it would shadow a framework."""

from pathlib import Path

HELPERS = Path(__file__).parent
ROOT = HELPERS.parents[1]
