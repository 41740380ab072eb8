"""One offline page with certificates, in the looks of the report."""

from __future__ import annotations

from ..certify.certificate import PARTS, Certificate, CertificateFile
from ..certify.finding import Finding, Outcome, Part
from ..certify.text import made, sentence
from .jinja import environment

# The classes of style.css that colour an outcome.
_FLAGS: dict[Outcome, str] = {"passed": "ok", "failed": "failed", "not applicable": "missing"}


def page(found: CertificateFile) -> str:
    """The page's HTML."""
    template = environment().get_template("certificate.html")
    return template.render(
        found=found,
        certificates=[_Shown(f"c{number}", each) for number, each in enumerate(found.certificates)],
        version=found.gradrace,
    )


class _Shown:
    """A certificate as the template draws it. anchor: its id in the page."""

    def __init__(self, anchor: str, certificate: Certificate) -> None:
        self.anchor, self.certificate = anchor, certificate
        self.sentence = sentence(certificate)
        self.made = made(certificate.subject) if certificate.subject else ""

    @property
    def chips(self) -> list[tuple[str, str]]:
        """Class and label: how many checks have which outcome."""
        counts = self.certificate.counts()
        return [(_FLAGS[kind], f"{count} {kind}") for kind, count in counts.items() if count]

    @property
    def parts(self) -> list[tuple[Part, str, list[tuple[str, Finding]]]]:
        """Part, title, and its findings with the class of their outcome."""
        found = []
        for part, title in PARTS.items():
            rows = [(_FLAGS[f.outcome], f) for f in self.certificate.findings if f.part == part]
            if rows:
                found.append((part, title, rows))
        return found
