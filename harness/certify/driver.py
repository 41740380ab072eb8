"""Certifies implementations: rules and behaviour in one process, training in another."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from ..errors import ExitCode, UserError
from ..executor.environment import environment
from ..importpath import is_import_path
from ..machine import this_machine
from ..registry import Registry
from ..verify.driver import some_run
from ..version import __version__
from .certificate import PARTS, Certificate, CertificateFile
from .finding import Part
from .lane import MODULE, Lane, LaneResult, Means, in_order
from .request import Request
from .subjects import Named, claimed, named

# Seconds of one implementation. Shares of them: all processes (the rest is for the driver itself),
# a process's start, a single check.
TIMEOUT_S = 60.0
_WORKERS, _START, _CHECK = 0.92, 0.7, 1 / 3
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class CertifyOptions:
    """What is asked of an implementation.

    like: another one, that it shall equal. rule: the rule that it claims. hyper: arguments of its
    class, or our hyperparameters of a known name. frameworks: of a known name. timeout_s: of each
    implementation. interpreters: framework -> its Python. worker: arguments of the worker's Python,
    for tests. command: the words that the user typed, for the certificate."""

    like: str = ""
    rule: str = ""
    hyper: Mapping[str, Any] = field(default_factory=dict)
    frameworks: tuple[str, ...] = ()
    timeout_s: float = TIMEOUT_S
    interpreters: Mapping[str, str] = field(default_factory=dict)
    worker: tuple[str, ...] = MODULE
    command: tuple[str, ...] = ()


def certify(
    registry: Registry, text: str, options: CertifyOptions, tell: Tell = lambda line: None
) -> CertificateFile:
    """The certificates of an import path, or of each library's class of a known name.

    tell: hears one line a check. UserError for bad input; ExitCode.NOTHING_MEASURED in it if
    nothing could be checked."""
    began = datetime.now(UTC)
    wanted = named(text, registry, options.frameworks)
    if options.rule:
        claimed(options.rule, registry)
    with tempfile.TemporaryDirectory(prefix="gradrace-certify-") as folder:
        place = _Place(registry, options, tell, Path(folder))
        like = place.like()
        certificates = tuple(place.certificate(each, like) for each in wanted)
    if all(each.result == "nothing checked" for each in certificates):
        reasons = "; ".join(dict.fromkeys(each.reason or _nothing(each) for each in certificates))
        raise UserError(f"{text}: {reasons}", ExitCode.NOTHING_MEASURED)
    return CertificateFile(
        gradrace=__version__,
        started_at=began.isoformat(timespec="seconds"),
        command=options.command,
        machine=this_machine(),
        certificates=certificates,
    )


def _nothing(certificate: Certificate) -> str:
    """Why no check came to an end."""
    said = dict.fromkeys(each.text for each in certificate.findings)
    return f"nothing could be checked: {next(iter(said), 'there are no checks')}"


@dataclass(frozen=True)
class _Place:
    """Where certificates are made. folder: for files that go between workers."""

    registry: Registry
    options: CertifyOptions
    tell: Tell
    folder: Path

    def certificate(self, wanted: Named, like: dict[str, str]) -> Certificate:
        """UserError for bad input. What is not installed is the certificate's reason.

        like: fields of the request, see Request."""
        began = time.monotonic()
        if reason := self._absent(wanted):
            return self._without(wanted, reason)
        parts: tuple[tuple[Part, ...], ...] = (("rule", "battery"), ("training",))
        results = self._in_lanes(wanted, [{**like, "parts": own} for own in parts])
        refused = next((each.refused for each in results if each.refused), None)
        if refused and refused.absent:
            return self._without(wanted, refused.reason)
        if refused:
            raise UserError(f"{wanted.path}: {refused.reason}")
        findings = [finding for each in results for finding in each.findings]
        return Certificate(
            asked=str(wanted.path),
            framework=wanted.path.framework,
            rule=self.options.rule or wanted.known,
            like=self.options.like,
            subject=results[0].subject,
            versions=results[0].versions,
            seconds=round(time.monotonic() - began, 1),
            notes=results[0].notes,
            findings=in_order(findings, tuple(PARTS)),
        )

    def like(self) -> dict[str, str]:
        """The other implementation, for requests; one by import path is stepped here.

        UserError if it cannot be."""
        text = self.options.like
        if not text or not is_import_path(text):
            return {"like": claimed(text, self.registry, "--like").name} if text else {}
        (other,) = named(text, self.registry)
        file = self.folder / "like.json"
        if not (reason := self._absent(other)):
            (result,) = self._in_lanes(other, [{"probes_to": str(file), "hyper": {}, "rule": ""}])
            failed = [each.text for each in result.findings if each.outcome != "passed"]
            reason = result.refused.reason if result.refused else "; ".join(failed)
        if reason or not file.exists():
            raise UserError(f"--like {text}: {reason}")
        return {"like": text, "like_probes": str(file)}

    def _absent(self, wanted: Named) -> str:
        framework = self.registry.frameworks[wanted.path.framework]
        elsewhere = framework.name in self.options.interpreters
        gone = not elsewhere and framework.versions() is None
        return f"not installed: {framework.title}" if gone else ""

    def _without(self, wanted: Named, reason: str) -> Certificate:
        return Certificate(asked=str(wanted.path), framework=wanted.path.framework, reason=reason)

    def _in_lanes(self, wanted: Named, requests: Sequence[dict[str, Any]]) -> list[LaneResult]:
        """Each in a process of its own, side by side."""
        deadline = time.monotonic() + self.options.timeout_s * _WORKERS
        means = self._means(wanted)

        def told(check: str) -> None:
            self.tell(f"{wanted.path.name}: {check}")

        lanes = [Lane(self._request(wanted, own), means, deadline, told) for own in requests]
        with ThreadPoolExecutor(len(lanes)) as pool:
            futures = [pool.submit(lane.run) for lane in lanes]
            try:
                return [future.result() for future in futures]
            except BaseException:
                for lane in lanes:
                    lane.stop()
                raise

    def _request(self, wanted: Named, own: dict[str, Any]) -> Request:
        path = str(wanted.path.resolve())
        plugins = [str(each.resolve()) for each in self.registry.plugins]
        own_path = () if wanted.known else (path,)
        fields = {
            "path": path,
            "plugins": tuple(dict.fromkeys([*plugins, *own_path])),
            "known": wanted.known,
            "rule": self.options.rule,
            "hyper": dict(self.options.hyper),
            "budget_s": self.options.timeout_s,
        }
        return Request(**{**fields, **own})

    def _means(self, wanted: Named) -> Means:
        framework = self.registry.frameworks[wanted.path.framework]
        python = self.options.interpreters.get(framework.name, sys.executable)
        start_s, check_s = (share * self.options.timeout_s for share in (_START, _CHECK))
        variables = environment(some_run(framework))
        return Means(variables, start_s, check_s, python, arguments=self.options.worker)


assert tuple(PARTS) == get_args(Part), "every part has a title"
