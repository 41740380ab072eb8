"""The names of a report's pages."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

# Pages that `gradrace report` writes, and so may remove. A name of a suite has no dot.
OF_REPORT = re.compile(r"(index|run|compare|suite-[A-Za-z0-9_-]+(\.[0-9a-f]{8})?)\.html")


def page_names(suites: Iterable[str]) -> dict[str, str]:
    """Suite -> the file name of its page, suite-NAME.html. If names are alike but for case, a hash
    tells their files apart, since some file systems do not."""
    suites = list(suites)
    alike = Counter(suite.casefold() for suite in suites)
    return {suite: _name(suite, alike[suite.casefold()] > 1) for suite in suites}


def _name(suite: str, hashed: bool) -> str:
    tail = f".{hashlib.sha256(suite.encode()).hexdigest()[:8]}" if hashed else ""
    return f"suite-{suite}{tail}.html"
