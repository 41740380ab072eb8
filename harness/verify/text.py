"""Verdicts for people: a table a level, failures and differences, a closing sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from rich import box
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from ..output.terminal import plain, print_rich, progress_console
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
    _show_unavailable([v for v in found.verdicts if v.verdict == "unavailable"])
    for verdict in (v for v in found.verdicts if v.verdict == "FAILED"):
        print_rich(plain(f"FAILED  {describe(verdict)}", "bold red"))
    for left_out in found.left_out:
        print_rich(plain(f"Not looked at: {left_out}."))
    print_rich(plain(sentence(found)))


def describe(verdict: Verdict) -> str:
    """A verdict that is not equal, in one line: first step and tensor that part, and how far."""
    line = f"{verdict.level}/{verdict.case}: {verdict.a.label} and {verdict.b.label}"
    if verdict.place:
        place = verdict.place
        step = f"step {place.step}, " if place.step is not None else ""
        entry = f"[{', '.join(map(str, place.entry))}]" if place.entry else ""
        line += f" part first at {step}{place.tensor}{entry}: {place.a} and {place.b}"
    if verdict.worst is not None:
        line += f"; worst difference {verdict.worst:.1e}, allowed {verdict.tolerance:.0e}"
    return f"{line}. {verdict.reason}" if verdict.reason else line


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
    table = _empty(title, "between", *_NUMBERS[:2], "at", *_NUMBERS[2:])
    for pair in dict.fromkeys(_pair(v) for v in verdicts):
        table.add_row(*_row([v for v in verdicts if _pair(v) == pair], pair))
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


def _row(verdicts: Sequence[Verdict], pair: str) -> Iterable[Text]:
    counts = Counter(v.verdict for v in verdicts)
    equal, *others, failed = (
        f"{counts[kind]:,}" if counts[kind] else "-" for kind in get_args(Outcome)
    )
    worst = max((v for v in verdicts if v.verdict == "equal"), key=_size, default=None)
    bitwise = all(v.tolerance == 0.0 for v in verdicts)
    size = "" if worst is None or worst.worst is None else f"{worst.worst:.1e}"
    cells = [
        pair,
        equal,
        "bit for bit" if size and bitwise else size,
        worst.case if worst and worst.worst else "",
        "" if bitwise else f"{max(v.tolerance for v in verdicts):.0e}",
        *others,
    ]
    return [*map(plain, cells), plain(failed, "bold red" if counts["FAILED"] else "")]


def _size(verdict: Verdict) -> float:
    return verdict.worst or 0.0


def _pair(verdict: Verdict) -> str:
    return f"{verdict.a.label} — {verdict.b.label}"


def _show_differing(verdicts: Sequence[Verdict]) -> None:
    """By optimizer and rule: the sizes of the differences, and why."""
    if not verdicts:
        return
    table = _empty("Differs by definition", "optimizer", "rule", "between", "by", "why")
    for optimizer, rule in dict.fromkeys((v.optimizer, v.rule) for v in verdicts):
        chosen = [v for v in verdicts if (v.optimizer, v.rule) == (optimizer, rule)]
        for pair in dict.fromkeys(_frameworks(v) for v in chosen):
            of_pair = [v for v in chosen if _frameworks(v) == pair]
            sizes = sorted(v.worst for v in of_pair if v.worst is not None)
            ends = sizes if len(sizes) < 2 else (sizes[0], sizes[-1])
            spread = " to ".join(f"{size:.1e}" for size in ends)
            why = of_pair[0].reason if rule == "canonical" else ""
            table.add_row(*map(plain, (optimizer, rule, pair, spread, why)))
    print_rich(table)


def _frameworks(verdict: Verdict) -> str:
    return f"{verdict.a.framework} — {verdict.b.framework}"


def _show_unavailable(verdicts: Sequence[Verdict]) -> None:
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
        print_rich(plain(f"Unavailable in {framework}: {', '.join(dict.fromkeys(optimizers))}"))
    for reason, count in other.items():
        print_rich(plain(f"Unavailable ({count:,}): {reason}"))


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
