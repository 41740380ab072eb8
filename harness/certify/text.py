"""Certificates for people: one line a check, the verdict, and the scripts of what failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.table import Table

from ..output.terminal import plain, print_rich
from .certificate import PARTS, Certificate, CertificateFile, Result, Subject
from .file import folder_in, scripts
from .finding import Finding, Outcome

_STYLES: dict[Outcome, str] = {"passed": "green", "failed": "bold red", "not applicable": "dim"}
_WORDS: dict[Outcome, str] = {"passed": "passed", "failed": "FAILED", "not applicable": "n/a"}
_VERDICTS: dict[Result, str] = {
    "passed": "It passed",
    "failed": "It FAILED",
    "nothing checked": "Nothing could be checked",
}


def show(found: CertificateFile, output: Path) -> None:
    """Prints everything to standard output. output: the folder that the scripts were written to."""
    for certificate in found.certificates:
        for line in head(certificate):
            print_rich(plain(line))
        for part, title in PARTS.items():
            if findings := [each for each in certificate.findings if each.part == part]:
                print_rich(plain(f"\n{title}", "bold"), _table(findings))
        print_rich(plain(f"\n{sentence(certificate)}", _style(certificate)))
        for name, finding in scripts(certificate):
            print_rich(plain(f"  {finding.check}: {folder_in(output, certificate) / name}"))
        print_rich(plain(""))
    print_rich(plain(f"gradrace {found.gradrace}, {found.started_at}: {found.command_text}"))


def head(certificate: Certificate) -> Iterator[str]:
    """What was checked, with versions; and what it did on the side."""
    yield certificate.asked
    if subject := certificate.subject:
        versions = ", ".join(f"{key} {each}" for key, each in certificate.versions.items())
        yield f"{subject.label}; {versions}"
        yield made(subject)
    if certificate.rule:
        yield f"It claims to be {certificate.rule}."
    if certificate.like:
        yield f"It shall equal {certificate.like}."
    yield from (f"Note: {note}" for note in certificate.notes)


def made(subject: Subject) -> str:
    """How the class was made and stepped."""
    given = ", ".join(f"{key}={value}" for key, value in subject.arguments.items())
    rate = subject.rate_argument or "no learning rate of its own"
    inner = f", around {subject.inner}" if subject.inner else ""
    return f"Made with {', '.join(filter(None, (rate, given)))}{inner}; driven by {subject.drive}."


def sentence(certificate: Certificate) -> str:
    """The verdict with its counts."""
    if certificate.reason:
        return f"Nothing could be checked: {certificate.reason}."
    counts = certificate.counts()
    listed = (
        f"{counts['passed']} passed, {counts['failed']} failed,"
        f" {counts['not applicable']} not applicable"
    )
    return f"{_VERDICTS[certificate.result]}: {listed}, in {certificate.seconds:.0f} s."


def _style(certificate: Certificate) -> str:
    return "bold red" if certificate.result == "failed" else "bold"


def _table(findings: list[Finding]) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", min_width=18)
    table.add_column(overflow="fold")
    for finding in findings:
        word = plain(_WORDS[finding.outcome], _STYLES[finding.outcome])
        table.add_row(word, plain(finding.check), plain(finding.text))
    return table
