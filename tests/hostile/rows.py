"""Tables of wrong input as text."""

from __future__ import annotations

from collections.abc import Iterator


def rows(table: str) -> Iterator[tuple[str, str]]:
    """Pairs of an input and the words that its message must hold, one line `a | b -> words` each.

    A line `[x $ y]` begins a section: its inputs stand in place of the `$`.
    """
    pattern = "$"
    for line in table.strip().split("\n"):
        inputs, arrow, words = line.partition(" -> ")
        if not arrow:
            pattern = line.removeprefix("[").removesuffix("]")
            continue
        for given in inputs.split(" | "):
            yield pattern.replace("$", given), words
