"""The page of `gradrace verify`: whether the comparison is fair, who differs, and every level."""

from __future__ import annotations

from ...verify import text
from ...verify.odd import failures
from ...verify.verdict import LEVELS, Outcome, Verdict, VerifyFile, list_versions
from .document import Chapter, Document, grid

_CHIPS: dict[Outcome, str] = {
    "equal": "ok",
    "differs by definition": "skipped",
    "unavailable": "missing",
    "FAILED": "failed",
}


def document(found: VerifyFile) -> Document:
    """Of one verification."""
    counts = found.counts()
    failed = counts["FAILED"]
    title = "The comparison is NOT fair" if failed else "Every pair that is to agree agrees"
    if not (failed or counts["equal"]):
        title = "Nothing could be compared"
    says = (
        text.sentence(found),
        f"Verified on {found.started_at[:16].replace('T', ' ')} UTC:"
        f" {list_versions(found.versions)}; {found.machine.processor}.",
    )
    chips = tuple((_CHIPS[kind], f"{count:,} {kind}") for kind, count in counts.items() if count)
    missing = tuple(text.unavailable(_of(found, "unavailable")))
    chapters = [
        Chapter("failed", "What failed", tuple(failures(found.verdicts))),
        *_levels(found),
        Chapter(
            "differs",
            "Differs by definition",
            (),
            grid("", text.differing_rows(_of(found, "differs by definition"))),
            folded=True,
        ),
        Chapter("unavailable", "Unavailable", missing, folded=True),
        Chapter("left-out", "Not looked at", found.left_out, folded=True),
    ]
    shown = tuple(chapter for chapter in chapters if chapter.says or chapter.grids)
    return Document("verify.html", "gradrace verify", title, says, chips, shown)


def _of(found: VerifyFile, kind: Outcome) -> list[Verdict]:
    return [verdict for verdict in found.verdicts if verdict.verdict == kind]


def _levels(found: VerifyFile) -> list[Chapter]:
    levels = {level: [v for v in found.verdicts if v.level == level] for level in LEVELS}
    return [
        Chapter(level, LEVELS[level], (), grid("", text.level_rows(verdicts)))
        for level, verdicts in levels.items()
        if verdicts
    ]
