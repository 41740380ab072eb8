"""Two stored results side by side: per cell the change of step time, final loss and steps to
target. The step times are not paired: the ratio holds the machine's noise between the two times. It
never holds the difference of two types of machine."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from ..errors import ExitCode, UserError
from ..machine.identity import Identity, identities, names
from ..spec import number_text
from ..statistics.arrivals import median_time
from ..statistics.intervals import FEWEST_LAUNCHES
from .columns import CELL
from .frame import Frames

# same: equal figures. within the threshold: they differ by no more than it. contended: other
# processes held the core, so no difference can be told. not comparable: one side has no figure.
Verdict = Literal["better", "worse", "same", "within the threshold", "contended", "not comparable"]
NOT_COMPARED: tuple[Verdict, ...] = ("contended", "not comparable")

# Runs that tried the target: one that diverged or ran out of time missed it.
_TRIED = ("ok", "diverged", "timeout")


class Comparison(NamedTuple):
    """rows: one per cell and figure with a, b, change, verdict and note; alone: cells that only one
    side has.

    change: b / a - 1; of a loss that is not above 0, the difference over the larger magnitude, and
    the note says so. NaN if there is none. a, b: infinite steps mean that the target was missed."""

    rows: pd.DataFrame
    alone: pd.DataFrame

    def count(self, *verdicts: Verdict) -> int:
        """How many figures have one of these verdicts."""
        return int(self.rows["verdict"].isin(verdicts).sum())

    @property
    def worse(self) -> int:
        """How many figures are worse than the threshold allows."""
        return self.count("worse")

    def exit_code(self, strict: bool) -> ExitCode:
        """4 if a figure is worse, 3 if none could be compared, 6 if `strict` and one could not."""
        if self.worse:
            return ExitCode.REGRESSION
        open_ = self.count(*NOT_COMPARED)
        if open_ == len(self.rows):
            return ExitCode.NOTHING_MEASURED
        return ExitCode.INCONCLUSIVE if strict and open_ else ExitCode.OK


@dataclass(frozen=True)
class Change:
    """The comparison of one figure of a cell."""

    figure: str
    a: float | str
    b: float | str
    change: float
    verdict: Verdict
    note: str = ""


def compare(a: Frames, b: Frames, threshold: float) -> Comparison:
    """Compares cells with equal CELL columns; `threshold` 0.25 allows b to be 25% above a, and
    calls b better if a is more than 25% above b: with the sides swapped the verdicts are the mirror
    image.

    Convergence cells are compared over the seeds that both sides have. Times and memory are
    compared within each machine that both sides have; without one, between two machines of one
    type, which the note says; otherwise not. UserError (exit code 5) if no cell is on both
    sides."""
    cells_a, cells_b = _cells(a), _cells(b)
    every = list(dict.fromkeys([*cells_a, *cells_b]))
    named = dict(zip(every, _names(every), strict=True))
    rows: list[dict[str, Any]] = []
    alone: list[tuple[str, str]] = []
    for cell, name in named.items():
        if cell in cells_a and cell in cells_b:
            found = _rows(str(cell[0]), cells_a[cell], cells_b[cell], threshold)
            rows += [{"cell": name, **vars(row)} for row in found]
        else:
            alone.append((name, "A" if cell in cells_a else "B"))
    if not rows:
        raise UserError(
            "nothing is comparable: no cell (task, framework, mode, optimizer, ...) is in both"
            " results",
            ExitCode.NOTHING_MATCHED,
        )
    return Comparison(pd.DataFrame(rows), pd.DataFrame(alone, columns=["cell", "only in"]))


def _cells(frames: Frames) -> dict[tuple[object, ...], pd.DataFrame]:
    finished = frames.runs[frames.runs["status"] != "skipped"]
    if "digest" in finished:
        machines = identities(list(frames.records.values()))
        where = [machines[digest] for digest in finished["digest"]]
        finished = finished.assign(where=pd.Series(where, finished.index, dtype="object"))
    keys = [column for column in CELL if column in finished]
    return {tuple(key): group for key, group in finished.groupby(keys, sort=False, dropna=False)}


def _rows(measure: str, a: pd.DataFrame, b: pd.DataFrame, threshold: float) -> list[Change]:
    if measure == "convergence":
        return _of_seeds(a, b, threshold)
    figure, noisy = ("step_p25_s", "contended") if measure == "timing" else ("peak_bytes", "")
    return _of_launches(figure, a, b, threshold, noisy)


# -- convergence: over the seeds of both sides


def _of_seeds(a: pd.DataFrame, b: pd.DataFrame, threshold: float) -> list[Change]:
    a, b = (side.drop_duplicates("seed").set_index("seed") for side in (a, b))
    shared, union = a.index.intersection(b.index).sort_values(), a.index.union(b.index)
    if not len(shared):
        reason = f"no seed is on both sides (A has {_listed(a.index)}, B {_listed(b.index)})"
        return [_nothing(figure, reason) for figure in ("final_validation_loss", "steps_to_target")]
    whole = len(shared) == len(union)
    seeds = _counted(len(shared), "seed") if whole else f"{len(shared)} of {len(union)} seeds"
    a, b = a.loc[shared], b.loc[shared]
    return [*_statuses(a, b, seeds), _loss(a, b, threshold, seeds), _steps(a, b, threshold, seeds)]


def _statuses(a: pd.DataFrame, b: pd.DataFrame, runs: str) -> list[Change]:
    """A row if a run of one side was lost on the other; both sides have the same index."""
    ok_a, ok_b = a["status"] == "ok", b["status"] == "ok"
    lost, gained = int((ok_a & ~ok_b).sum()), int((ok_b & ~ok_a).sum())
    if not lost and not gained:
        return []
    verdict: Verdict = "worse" if lost > gained else "better" if gained > lost else "not comparable"
    note = f"{runs}: {lost} ended ok in A alone, {gained} in B alone"
    return [Change("status", _said(a), _said(b), math.nan, verdict, note)]


def _loss(a: pd.DataFrame, b: pd.DataFrame, threshold: float, seeds: str) -> Change:
    """Median over the seeds that ended ok on both sides."""
    figure = "final_validation_loss"
    both = (a["status"] == "ok") & (b["status"] == "ok")
    left_out = _left_out(a, b, both)
    if not both.any():
        return _nothing(figure, f"no seed ended ok on both sides ({left_out})")
    x, y = (side.loc[both, figure].astype("float64") for side in (a, b))
    known = x.notna() & y.notna()
    if not known.any():
        return _nothing(figure, "no seed has a loss on both sides")
    unknown = "" if known.all() else f"{int((~known).sum())} without a loss"
    note = "; ".join(filter(None, (seeds, left_out, unknown)))
    return _judged(figure, float(x[known].median()), float(y[known].median()), threshold, note)


def _steps(a: pd.DataFrame, b: pd.DataFrame, threshold: float, seeds: str) -> Change:
    """The median over the seeds that tried on both sides; a run that missed the target is censored
    at its budget."""
    figure = "steps_to_target"
    both = a["status"].isin(_TRIED) & b["status"].isin(_TRIED)
    if not both.any():
        return _nothing(figure, f"no seed tried on both sides ({_left_out(a, b, both)})")
    (before, arrived_a), (after, arrived_b) = (_arrival(side[both]) for side in (a, b))
    reached_by = f"the target is reached by {arrived_a} in A and {arrived_b} in B"
    if math.isinf(before) and math.isinf(after):
        same = arrived_a == arrived_b
        verdict: Verdict = "same" if same else "not comparable"
        said = "the target is missed by both" if same else f"both medians miss it: {reached_by}"
        return Change(figure, before, after, math.nan, verdict, f"{seeds}; {said}")
    missed = f"; {reached_by}" if math.isinf(before) or math.isinf(after) else ""
    return _judged(figure, before, after, threshold, f"{seeds}{missed}")


def _arrival(runs: pd.DataFrame) -> tuple[float, int]:
    """The median of censored steps to target, and how many runs arrived."""
    steps = runs["steps_to_target"]
    reached = steps.notna()
    budget = runs["steps"].astype("float64") if "steps" in runs else steps.max()
    median = median_time(steps.where(reached, budget).to_numpy(), reached.to_numpy())
    return median, int(reached.sum())


def _left_out(a: pd.DataFrame, b: pd.DataFrame, both: pd.Series) -> str:
    """'1 diverged on both sides, 1 ok in A and failed in B left out': the seeds that a figure
    leaves out."""
    counts: Counter[str] = Counter()
    for x, y in zip(a.loc[~both, "status"], b.loc[~both, "status"], strict=True):
        counts[f"{x} on both sides" if x == y else f"{x} in A and {y} in B"] += 1
    said = ", ".join(f"{count} {ended}" for ended, count in counts.items())
    return f"{said} left out" if counts and both.any() else said


# -- timing and memory: over the launches of each side, machine by machine


def _of_launches(
    figure: str, a: pd.DataFrame, b: pd.DataFrame, threshold: float, noisy: str
) -> list[Change]:
    # A run that stands in two suites is one run.
    a, b = (side.drop_duplicates("digest") if "digest" in side else side for side in (a, b))
    ended_a, ended_b = (side[side["status"] == "ok"] for side in (a, b))
    rows: list[Change] = []
    if len(ended_a) < len(a) or len(ended_b) < len(b):
        lost_a, lost_b = (len(a) - len(ended_a)) * len(b), (len(b) - len(ended_b)) * len(a)
        verdict: Verdict = "worse" if lost_b > lost_a else "better" if lost_b < lost_a else "same"
        rows.append(Change("status", _said(a), _said(b), math.nan, verdict))
    known_a, known_b = (side[side[figure].notna()] for side in (ended_a, ended_b))
    if known_a.empty or known_b.empty:
        lacking = " and ".join(n for n, side in (("A", known_a), ("B", known_b)) if side.empty)
        return [*rows, _nothing(figure, f"no launch of {lacking} ended ok with this figure")]
    pairs = _machines(known_a, known_b)
    if not pairs:
        said = _named(known_a["where"].iloc[0], known_b["where"].iloc[0])
        return [*rows, _nothing(figure, f"on different types of machine: {said}")]
    several = len(set(known_a["where"]) | set(known_b["where"])) > 1
    for x, y in pairs:
        sides = (_on(known_a, x), _on(known_b, y))
        where = _where(x, y) if several else ""
        rows.append(_of_machines(sides, figure, threshold, noisy, where))
    return rows


def _of_machines(
    sides: tuple[pd.DataFrame, pd.DataFrame], figure: str, threshold: float, noisy: str, where: str
) -> Change:
    """The launches of one machine on each side."""
    a, b = sides
    x, y = (side[figure].astype("float64") for side in sides)
    note = f"{len(a)} and {len(b)} launches{where}{_interval(x, y)}"
    row = _judged(figure, float(x.median()), float(y.median()), threshold, note)
    held = _contended(sides) if noisy else ""
    if held:
        note = f"{row.note}; other processes held the core: {held}"
        row = replace(row, verdict="contended", note=note)
    return row


def _on(side: pd.DataFrame, machine: Identity) -> pd.DataFrame:
    # Compared one by one: pandas takes a tuple for a column.
    return side[[each == machine for each in side["where"]]]


def _machines(a: pd.DataFrame, b: pd.DataFrame) -> list[tuple[Identity, Identity]]:
    """The machines that both sides have; without one, a pair of one type, that with most launches.
    Launches of different machines are never pooled."""
    on_a, on_b = Counter(a["where"]), Counter(b["where"])
    if both := [(machine, machine) for machine in on_a if machine in on_b]:
        return both
    alike = [(x, y) for x in on_a for y in on_b if x.type == y.type]

    def launches(pair: tuple[Identity, Identity]) -> tuple[object, ...]:
        counts = (on_a[pair[0]], on_b[pair[1]])
        # The last breaks ties, alike if the sides are swapped.
        return min(counts), max(counts), sorted(pair)

    return [max(alike, key=launches)] if alike else []


def _where(x: Identity, y: Identity) -> str:
    if x == y:
        return f" on {names([x])[x]}"
    return f"; on two machines of one type, so the change may be theirs: {_named(x, y)}"


def _named(x: Identity, y: Identity) -> str:
    named = names([x, y])
    return f"A on {named[x]}, B on {named[y]}"


def _contended(sides: Sequence[pd.DataFrame]) -> str:
    """'1 of 3 launches of A'; empty if none was disturbed."""
    said = []
    for name, side in zip("AB", sides, strict=True):
        held = int(side["contended"].fillna(False).astype(bool).sum())
        launches = _counted(len(side), "launch", "launches")
        said += [f"{held} of {launches} of {name}"] if held else []
    return ", ".join(said)


def _interval(a: pd.Series, b: pd.Series) -> str:
    """The 95% interval of b / a over launches (Welch 1947, on the logarithms), if each side has
    three or more."""
    if min(len(a), len(b)) < FEWEST_LAUNCHES or min(a.min(), b.min()) <= 0:
        return ""
    from ..statistics.comparisons import welch

    low, high = welch(np.log(b.to_numpy()), np.log(a.to_numpy()), 0.95)
    return f"; b / a between {math.exp(low):.3f} and {math.exp(high):.3f} (95%, these launches)"


# -- verdicts


def _judged(figure: str, a: float, b: float, threshold: float, note: str) -> Change:
    """The verdict of two figures, the lower the better. By their ratio; if one is not above 0, by
    the difference."""
    if a == b and math.isfinite(a):
        return Change(figure, a, b, 0.0, "same", note)
    if not (math.isfinite(a) or math.isfinite(b)) or math.isnan(a) or math.isnan(b):
        note = f"{note}; no finite figure on either side"
        return Change(figure, a, b, math.nan, "not comparable", note)
    verdict: Verdict = "worse" if b > a else "better"
    if math.isinf(a) or math.isinf(b):
        return Change(figure, a, b, math.nan, verdict, note)
    if min(a, b) > 0:
        change, rise = b / a - 1, max(a, b) / min(a, b) - 1
    else:
        change = (b - a) / max(abs(a), abs(b))
        rise = abs(change)
        note = f"{note}; change: difference over the larger magnitude, as not both are above 0"
    verdict = "within the threshold" if rise <= threshold else verdict
    return Change(figure, a, b, change, verdict, note)


def _nothing(figure: str, reason: str) -> Change:
    return Change(figure, math.nan, math.nan, math.nan, "not comparable", reason)


# -- words


def _said(side: pd.DataFrame) -> str:
    return ", ".join(f"{count} {status}" for status, count in side["status"].value_counts().items())


def _counted(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or f'{one}s'}"


def _listed(seeds: pd.Index) -> str:
    shown = ", ".join(map(str, seeds[:5]))
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {shown}{', …' if len(seeds) > 5 else ''}"


def _names(cells: Sequence[tuple[object, ...]]) -> list[str]:
    """Names of cells; columns that tell apart cells of one name are added to it."""
    named = [dict(zip(CELL, cell, strict=False)) for cell in cells]
    groups: dict[str, list[int]] = {}
    for number, one in enumerate(named):
        groups.setdefault(_name(one), []).append(number)
    found = [""] * len(cells)
    for name, numbers in groups.items():
        varied = [c for c in CELL if len({str(named[n].get(c)) for n in numbers}) > 1]
        for number in numbers:
            told = [
                f"{c}={value if str(value := named[number].get(c)) else 'default'}" for c in varied
            ]
            found[number] = " ".join([name, *told]).strip()
    return found


def _name(named: Mapping[str, Any]) -> str:
    words = [named["task"], f"{named['framework']}-{named['mode']}"]
    words.append(f"{named['optimizer']}-{named['rule']}")
    if named["measure"] != "timing":
        words.append(named["schedule"])
        words += [f"({params})"] if (params := named.get("schedule_params")) else []
        words.append(f"lr={number_text(named['learning_rate'])}")
    return " ".join([*words, *([named["variation"]] if named["variation"] else [])])
