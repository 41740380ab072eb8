"""Two to six runs side by side, for a terminal: what differs first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from ..output.terminal import plain
from .record_text import Found, lines


def tables(found: Sequence[Found]) -> Iterator[Table]:
    """What differs, and what is the same."""
    pairs = [_joined(lines(each)) for each in found]
    names = dict.fromkeys(name for each in pairs for name in each)
    rows = {name: [each.get(name, "-") for each in pairs] for name in names}
    heads = [each.record.digest[:10] for each in found]
    differ = {name: of for name, of in rows.items() if len(set(of)) > 1}
    yield _table("different", heads, differ)
    yield _table("the same", ["all"], {n: of[:1] for n, of in rows.items() if n not in differ})


def _joined(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Several of one name in several lines; outcome and versions with a row for each figure."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in ("outcome", "versions"):
            parts = [part.partition("=") for part in value.split(", ")]
            found |= {f"{name}: {key}": of for key, _, of in parts}
        else:
            found[name] = f"{found[name]}\n{value}" if name in found else value
    return found


def _table(title: str, heads: Sequence[str], rows: dict[str, list[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in (title, *heads):
        table.add_column(plain(head), overflow="fold")
    for name, values in rows.items():
        table.add_row(plain(name), *map(plain, values))
    return table
