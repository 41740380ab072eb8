"""A gate's outcome as rows of a table, JUnit XML and Markdown."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Sequence

from ..errors import ExitCode
from ..output.escaping import for_markdown, for_xml
from ..paired import Decision, PairedResult, PairVerdict, Quantity
from ..paired.text import by_reason, figures, skipped
from ..paired.words import WORDS
from . import Check, Convergence, GateResult, Verdict

# Longer tables are cut: a comment on GitHub holds 65536 characters.
MOST_ROWS = 80


def head(result: GateResult) -> str:
    """The verdict, in a few words."""
    code = ExitCode(result.exit_code)
    unsettled = code in (ExitCode.OK, ExitCode.INCONCLUSIVE)
    if unsettled and result.timing and result.timing.of("suspected"):
        return "suspected, not confirmed"
    return _HEADS[code]


# -- rows


def check_row(check: Check) -> dict[str, str]:
    """One check; '' in columns without a value."""
    return {
        "run": check.id.removeprefix("convergence/"),
        "what": check.what,
        "verdict": check.verdict,
        "first step": "" if check.step is None else str(check.step),
        "was": _digits(check.before),
        "is": _digits(check.after),
        "apart": _small(check.relative),
        "allowed": "0" if check.allowed == 0 else _small(check.allowed),
        "note": check.reason,
    }


def cell_row(cell: PairVerdict, quantity: Quantity = "step") -> dict[str, str]:
    """One timing cell."""
    notes = ", found twice" * cell.confirmed + ", contended" * cell.contended
    verdict = f"{cell.decision}{notes}"
    return {"cell": cell.cell, "verdict": verdict, **figures(cell, quantity), "note": cell.reason}


def changed_checks(convergence: Convergence) -> tuple[Check, ...]:
    """The checks to look at, worst first."""
    worst_first: tuple[Verdict, ...] = ("differs", "failed", "changed")
    return tuple(check for verdict in worst_first for check in convergence.of(verdict))


def quiet_checks(convergence: Convergence) -> tuple[Check, ...]:
    """The checks that found nothing."""
    return convergence.of("same", "within")


def unchecked(convergence: Convergence) -> list[str]:
    """The runs that could not be compared, a line for each reason."""
    runs = (
        (check.id.removeprefix("convergence/"), check.reason)
        for check in convergence.of("unchecked")
    )
    return by_reason(runs, "runs")


def changed_cells(timing: PairedResult) -> tuple[PairVerdict, ...]:
    """The cells to look at, worst first."""
    return tuple(cell for decision in _CHANGED for cell in timing.of(decision))


def quiet_cells(timing: PairedResult) -> tuple[PairVerdict, ...]:
    """The cells in which no difference was found, those that show nothing first."""
    return (*timing.of("inconclusive"), *timing.of("ok"))


_CHANGED: tuple[Decision, ...] = ("regression", "failed", "suspected", "improvement")
_WORST_FIRST: tuple[Decision, ...] = (*_CHANGED, "inconclusive", "ok", "skipped")


def sentence_on_losses(convergence: Convergence) -> str:
    """Counts by verdict, and the other side."""
    counts: Counter[str] = Counter(check.verdict for check in convergence.checks)
    named = ", ".join(
        f"{counts[verdict]} {words}" for verdict, words in _WORDS.items() if counts[verdict]
    )
    return f"{named}, against {convergence.against}"


_WORDS = {
    "differs": "differ",
    "failed": "failed",
    "changed": "not the baseline's run",
    "unchecked": "not checked",
    "same": "bit for bit the same",
    "within": "within the rounding band",
}


def sentence_on_times(timing: PairedResult) -> str:
    """Counts by decision, worst first, and both sides."""
    counts = {decision: len(timing.of(decision)) for decision in _WORST_FIRST}
    named = ", ".join(f"{count} {decision}" for decision, count in counts.items() if count)
    sides = f"b = {timing.b['label']} against a = {timing.a['label']}"
    return f"{named}; {sides}, threshold {timing.rule.threshold:.1%}"


# -- JUnit


def junit(result: GateResult) -> str:
    """JUnit XML, a suite for each part.

    failure: a regression. error: it failed, is not the baseline's run, or could not be measured.
    skipped: not checked, suspected, inconclusive, or not requested."""
    root = ET.Element("testsuites", name="gradrace gate")
    losses, times = result.convergence, result.timing
    checks = [_check_case(check) for check in losses.checks] if losses else []
    _suite(root, "convergence", checks, result, result.convergence_reason)
    cells = [_cell_case(cell, times.quantity) for cell in times.cells] if times else []
    _suite(root, "timing", cells, result, result.timing_reason)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(
    root: ET.Element, name: str, cases: list[ET.Element], result: GateResult, reason: str
) -> None:
    if not cases or (name in result.unmeasured and reason):
        kind = "error" if name in result.unmeasured else "skipped"
        cases = [_case(f"gradrace.{name}", name, kind, reason)]
    seconds = result.timing.seconds if name == "timing" and result.timing else 0.0
    suite = ET.SubElement(
        root, "testsuite", name=f"gradrace.{name}", tests=str(len(cases)), time=f"{seconds:.3f}"
    )
    suite.set("timestamp", for_xml(result.started_at[:19]))
    for kind, counted in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        suite.set(counted, str(sum(case.find(kind) is not None for case in cases)))
    suite.extend(cases)


def _check_case(check: Check) -> ET.Element:
    name = check.id if check.what == "losses" else f"{check.id}: {check.what}"
    group = f"gradrace.convergence.{check.framework}.{check.task}"
    return _case(group, name, _KINDS.get(check.verdict, ""), explained(check))


def _cell_case(cell: PairVerdict, quantity: Quantity) -> ET.Element:
    row, message = cell_row(cell, quantity), cell.reason
    if cell.ratio is not None:
        message = f"{row['verdict']}: b / a {row['b / a']} {row['note']}"
    return _case("gradrace.timing", cell.cell, _KINDS.get(cell.decision, ""), message)


# Verdict or decision -> element of JUnit; the others passed.
_KINDS = {
    **dict.fromkeys(("differs", "regression"), "failure"),
    **dict.fromkeys(("failed", "changed"), "error"),
    **dict.fromkeys(("unchecked", "suspected", "inconclusive", "skipped"), "skipped"),
}


def _case(classname: str, name: str, kind: str, message: str) -> ET.Element:
    message = for_xml(message)
    case = ET.Element("testcase", classname=for_xml(classname), name=for_xml(name))
    if kind:
        problem = ET.SubElement(case, kind, message=message)
        problem.text = message
        if kind != "skipped":
            problem.set("type", kind)
    return case


def explained(check: Check) -> str:
    """A check in a sentence: subject, first step that differs, both values, distance."""
    if check.verdict in ("same", "within"):
        return ""
    if check.after is None and check.before is None:
        return check.reason
    subject = f"{check.framework}, {check.task}, {check.optimizer}: {check.what}"
    step = "" if check.step is None else f" first differ at step {check.step}"
    after, before = (_digits(value) or "none" for value in (check.after, check.before))
    apart = "" if check.relative is None else f", apart by {_small(check.relative)} relative"
    allowed = f" ({_small(check.allowed)} allowed)" if check.allowed else ""
    note = f"; {check.reason}" if check.reason else ""
    return f"{subject}{step}: {after}, was {before}{apart}{allowed}{note}"


# -- Markdown


def markdown(result: GateResult) -> str:
    """What changed, then all else folded away."""
    title = head(result)
    listed = "\n".join(f"- {for_markdown(line)}" for line in environment(result))
    said = result.outcome.removeprefix(f"{title}: ") if result.outcome != title else ""
    reliability = f"Reliability of the timing part: {for_markdown(result.calibration)}."
    parts = [
        f"## gradrace gate {for_markdown(result.suite)}: {title}",
        for_markdown(said),
        *_losses(result),
        *_times(result),
        reliability if result.timing else "",
        _folded("Versions and machine", listed),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_HEADS = {
    ExitCode.OK: "ok",
    ExitCode.REGRESSION: "regression",
    ExitCode.INCONCLUSIVE: "inconclusive",
    ExitCode.RUNS_FAILED: "a run failed",
    ExitCode.USAGE: "the baseline needs an update",
    ExitCode.NOTHING_MEASURED: "could not measure (not a verdict on the change)",
}


def _losses(result: GateResult) -> list[str]:
    found = result.convergence
    if found is None:
        return [f"**Losses**: not checked: {for_markdown(result.convergence_reason)}"]
    modes = "\n".join(
        f"- {for_markdown(how.framework)}: {for_markdown(how.reason)}" for how in found.frameworks
    )
    quiet = [check_row(check) for check in quiet_checks(found)]
    return [
        f"**Losses**: {for_markdown(sentence_on_losses(found))}.",
        _table([check_row(check) for check in changed_checks(found)]),
        *(f"Not checked: {for_markdown(line)}" for line in unchecked(found)),
        _folded("How losses were compared", modes),
        _folded(f"Runs without a finding ({len(quiet)})", _table(quiet)),
    ]


def _times(result: GateResult) -> list[str]:
    found = result.timing
    if found is None:
        return [f"**Timing**: not measured: {for_markdown(result.timing_reason)}"]
    quiet = [cell_row(cell, found.quantity) for cell in quiet_cells(found)]
    return [
        f"**{WORDS[found.quantity].title}**: {for_markdown(sentence_on_times(found))}.",
        _table([cell_row(cell, found.quantity) for cell in changed_cells(found)]),
        *(f"Skipped: {for_markdown(line)}" for line in skipped(found)),
        _folded(f"Cells without a finding ({len(quiet)})", _table(quiet)),
    ]


def environment(result: GateResult) -> tuple[str, ...]:
    """Versions and machine, in lines."""
    machine, began = result.machine, result.started_at[:19]
    cores = f"{machine.logical_cores} cores"
    lines = [
        f"gradrace {result.gradrace}, suite {result.suite}, {began} UTC, {result.seconds:.0f} s",
        f"{machine.processor}, {cores}, {machine.system}, Python {machine.python}",
    ]
    for how in result.convergence.frameworks if result.convergence else ():
        lines.append(f"{how.framework}: {_listed(how.versions)}")
    for name, side in (("a", result.timing.a), ("b", result.timing.b)) if result.timing else ():
        lines.append(f"timing, {name} = {side['label']}: {_listed(side.get('versions') or {})}")
    return tuple(lines)


def _table(rows: Sequence[dict[str, str]]) -> str:
    """Without the columns that are empty in every row."""
    if not rows:
        return ""
    names = [name for name in rows[0] if any(row[name] for row in rows)]
    lines = [_joined(names), _joined("---" for _ in names)]
    lines += [_joined(for_markdown(row[name]) for name in names) for row in rows[:MOST_ROWS]]
    more = len(rows) - MOST_ROWS
    return "\n".join(lines) + (f"\n\n{more} more are in the JSON file." if more > 0 else "")


def _joined(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>" if body else ""


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "not known"


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"


def _small(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
