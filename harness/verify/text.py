"""Verdicts for people: a table a level, failures and differences, a closing sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import get_args

from rich import box
from rich.console import JustifyMethod
from rich.table import Table

from ..output.terminal import plain, print_rich, progress_console
from .odd import failures
from .verdict import FLOAT32_NOTE, LEVELS, Outcome, Verdict, VerifyFile


def show(found: VerifyFile) -> None:
    """Prints everything to standard output."""
    for level, title in LEVELS.items():
        verdicts = [v for v in found.verdicts if v.level == level]
        if verdicts:
            print_rich(_table(title, verdicts))
            if level == "float32":
                print_rich(plain(FLOAT32_NOTE + "\n"))
    _show_differing([v for v in found.verdicts if v.verdict == "differs by definition"])
    for line in unavailable([v for v in found.verdicts if v.verdict == "unavailable"]):
        print_rich(plain(line))
    for failure in failures(found.verdicts):
        print_rich(plain(f"FAILED  {failure}", "bold red"))
    for left_out in found.left_out:
        print_rich(plain(f"Not looked at: {left_out}."))
    print_rich(plain(sentence(found)))


def sentence(found: VerifyFile) -> str:
    """Counts of verdicts by kind, and the conclusion."""
    counts = found.counts()
    listed = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
    if counts["FAILED"]:
        says = "The comparison is NOT fair: see what failed."
    elif counts["equal"]:
        says = "Every pair that is to agree agrees."
    else:
        says = "Nothing could be compared."
    return f"{listed}, in {found.seconds:.0f} s. {says}"


def _table(title: str, verdicts: Sequence[Verdict]) -> Table:
    rows = level_rows(verdicts)
    table = _empty(title, *rows[0])
    for row in rows:
        red = "bold red" if row["FAILED"] != "-" else ""
        shown = [plain(of, red if name == "FAILED" else "") for name, of in row.items()]
        table.add_row(*shown)
    return table


_NUMBERS = ("equal", "worst of these", "allowed", *get_args(Outcome)[1:])


def _empty(title: str, *headings: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for heading in headings:
        justify: JustifyMethod = "right" if heading in _NUMBERS else "left"
        table.add_column(heading, justify=justify, overflow="fold")
    return table


def level_rows(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    """A row for each pair of sides in a level: how many verdicts of which kind, and the worst
    difference of those that are equal."""
    pairs = dict.fromkeys(map(_pair, verdicts))
    return [_row([v for v in verdicts if _pair(v) == pair], pair) for pair in pairs]


def _row(verdicts: Sequence[Verdict], pair: str) -> dict[str, str]:
    counts = Counter(v.verdict for v in verdicts)
    equal, *others = (f"{counts[kind]:,}" if counts[kind] else "-" for kind in get_args(Outcome))
    worst = max((v for v in verdicts if v.verdict == "equal"), key=_size, default=None)
    bitwise = all(v.tolerance == 0.0 for v in verdicts)
    size = "" if worst is None or worst.worst is None else f"{worst.worst:.1e}"
    return {
        "between": pair,
        "equal": equal,
        "worst of these": "bit for bit" if size and bitwise else size,
        "at": worst.case if worst and worst.worst else "",
        "allowed": "" if bitwise else f"{max(v.tolerance for v in verdicts):.0e}",
        **dict(zip(get_args(Outcome)[1:], others, strict=True)),
    }


def _size(verdict: Verdict) -> float:
    return verdict.worst or 0.0


def _pair(verdict: Verdict) -> str:
    return f"{verdict.a.label} — {verdict.b.label}"


def _show_differing(verdicts: Sequence[Verdict]) -> None:
    if rows := differing_rows(verdicts):
        table = _empty("Differs by definition", *rows[0])
        for row in rows:
            table.add_row(*map(plain, row.values()))
        print_rich(table)


def differing_rows(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    """By optimizer, rule and pair of frameworks: the sizes of the differences, and why."""
    rows = []
    for key in dict.fromkeys((v.optimizer, v.rule, _frameworks(v)) for v in verdicts):
        chosen = [v for v in verdicts if (v.optimizer, v.rule, _frameworks(v)) == key]
        sizes = sorted(v.worst for v in chosen if v.worst is not None)
        ends = sizes if len(sizes) < 2 else (sizes[0], sizes[-1])
        spread = " to ".join(f"{size:.1e}" for size in ends)
        why = chosen[0].reason if key[1] == "canonical" else ""
        named = dict(zip(("optimizer", "rule", "between"), key, strict=True))
        rows.append({**named, "by": spread, "why": why})
    return rows


def _frameworks(verdict: Verdict) -> str:
    return f"{verdict.a.framework} — {verdict.b.framework}"


def unavailable(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Optimizers that a library does not ship, by framework; then every other reason."""
    missing: dict[str, list[str]] = {}
    other: Counter[str] = Counter()
    for verdict in verdicts:
        side, _, reason = verdict.reason.partition(": ")
        framework = side.partition(" ")[0]
        if reason == f"{verdict.optimizer} is not available in {framework}":
            missing.setdefault(framework, []).append(verdict.optimizer)
        else:
            other[reason] += 1
    for framework, optimizers in missing.items():
        yield f"Unavailable in {framework}: {', '.join(dict.fromkeys(optimizers))}"
    for reason, count in other.items():
        yield f"Unavailable ({count:,}): {reason}"


class Progress:
    """Tells on standard error how far each framework is, in a few lines."""

    def __init__(self, quiet: bool = False) -> None:
        self._console = progress_console(quiet)
        self._said: dict[str, int] = {}

    def __call__(self, framework: str, done: int, total: int) -> None:
        quarter = 4 * done // total
        if quarter != self._said.get(framework, 0) or done == 1:
            self._said[framework] = quarter
            self._console.print(f"{framework:>12}  {done:>5} of {total:,}")
