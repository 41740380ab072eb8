"""Certificates on disk: the JSON text, and a folder with the scripts of what failed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from ..jsonfile import replace_text, writing
from .certificate import Certificate, CertificateFile
from .finding import Finding

_UNFIT = re.compile(r"[^A-Za-z0-9_.-]+")


def text(found: CertificateFile) -> str:
    """JSON, as `--json` prints it."""
    return json.dumps(found.to_json(), indent=1) + "\n"


def folder_in(output: Path, certificate: Certificate) -> Path:
    """The folder of one implementation in a folder of results."""
    return output / "certify" / _slug(certificate.asked)


def scripts(certificate: Certificate) -> Iterator[tuple[str, Finding]]:
    """File name and finding of each failure that has a script; equal checks are numbered."""
    taken: set[str] = set()
    for finding in certificate.findings:
        if finding.outcome == "failed" and finding.script:
            stem, number = _slug(finding.check), 2
            name = stem
            while name in taken:
                name, number = f"{stem}_{number}", number + 1
            taken.add(name)
            yield f"{name}.py", finding


def write(output: Path, found: CertificateFile) -> None:
    """<output>/certify/<name>/certificate.json and scripts, in place of earlier ones.

    UserError if the folder cannot be written."""
    for certificate in found.certificates:
        folder = folder_in(output, certificate)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob("*.py"):
                old.unlink()
            for name, finding in scripts(certificate):
                replace_text(folder / name, _commented(certificate, finding))
            alone = found.model_copy(update={"certificates": (certificate,)})
            replace_text(folder / "certificate.json", text(alone))


def _commented(certificate: Certificate, finding: Finding) -> str:
    """The script below what it shows, and with which versions."""
    versions = ", ".join(f"{name} {version}" for name, version in certificate.versions.items())
    said = [f"{certificate.asked}, {finding.check}: {finding.text}", versions]
    head = "".join(f"# {line}\n" for each in said for line in each.splitlines())
    return f"{head}\n{finding.script.rstrip()}\n"


def _slug(text: str) -> str:
    return _UNFIT.sub("_", text.rsplit("/", 1)[-1]).strip("._") or "unnamed"
