"""Certifies implementations: rules and behaviour in one process, training in another."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_args

from ..errors import ExitCode, UserError
from ..executor.environment import environment
from ..machine import this_machine
from ..registry import Registry
from ..verify.driver import some_run
from ..version import __version__
from .certificate import PARTS, Certificate, CertificateFile
from .finding import Part
from .lane import MODULE, Lane, LaneResult, Means, in_order
from .request import Request
from .subjects import Named, claimed, named

# Seconds of one implementation, and the share that a single check may take.
TIMEOUT_S = 60.0
_SHARE = 1 / 3
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
    certificates = tuple(_Certifying(registry, each, options, tell).done() for each in wanted)
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


class _Certifying:
    """One implementation on its way to a certificate."""

    def __init__(
        self, registry: Registry, wanted: Named, options: CertifyOptions, tell: Tell
    ) -> None:
        self._registry, self._wanted, self._options = registry, wanted, options
        self._tell = tell
        self._began = time.monotonic()

    def done(self) -> Certificate:
        """UserError for bad input. What is not installed is the certificate's reason."""
        framework = self._registry.frameworks[self._wanted.path.framework]
        own_python = framework.name not in self._options.interpreters
        if own_python and framework.versions() is None:
            return self._without(f"not installed: {framework.title}")
        results = self._in_lanes(("rule", "battery"), ("training",))
        refused = next((each.refused for each in results if each.refused), None)
        if refused and refused.absent:
            return self._without(refused.reason)
        if refused:
            raise UserError(f"{self._wanted.path}: {refused.reason}")
        return self._certificate(results)

    def _without(self, reason: str) -> Certificate:
        return Certificate(
            asked=str(self._wanted.path), framework=self._wanted.path.framework, reason=reason
        )

    def _certificate(self, results: Sequence[LaneResult]) -> Certificate:
        first = results[0]
        findings = [finding for each in results for finding in each.findings]
        return Certificate(
            asked=str(self._wanted.path),
            framework=self._wanted.path.framework,
            rule=self._options.rule or self._wanted.known,
            like=self._options.like,
            subject=first.subject,
            versions=first.versions,
            seconds=round(time.monotonic() - self._began, 1),
            notes=first.notes,
            findings=in_order(findings, tuple(PARTS)),
        )

    def _in_lanes(self, *parts: tuple[Part, ...]) -> list[LaneResult]:
        """Each in a process of its own, side by side."""
        deadline = self._began + self._options.timeout_s
        lanes = [Lane(self._request(own), self._means(), deadline, self._told) for own in parts]
        with ThreadPoolExecutor(len(lanes)) as pool:
            futures = [pool.submit(lane.run) for lane in lanes]
            try:
                return [future.result() for future in futures]
            except BaseException:
                for lane in lanes:
                    lane.stop()
                raise

    def _told(self, check: str) -> None:
        self._tell(f"{self._wanted.path.name}: {check}")

    def _request(self, parts: tuple[Part, ...]) -> Request:
        path = str(self._wanted.path.resolve())
        plugins = [str(each.resolve()) for each in self._registry.plugins]
        return Request(
            path=path,
            plugins=tuple(dict.fromkeys([*plugins, path])),
            known=self._wanted.known,
            rule=self._options.rule,
            hyper=dict(self._options.hyper),
            parts=parts,
            budget_s=self._options.timeout_s,
        )

    def _means(self) -> Means:
        framework = self._registry.frameworks[self._wanted.path.framework]
        python = self._options.interpreters.get(framework.name, sys.executable)
        check_s = self._options.timeout_s * _SHARE
        return Means(
            environment(some_run(framework)), check_s, python, arguments=self._options.worker
        )


assert tuple(PARTS) == get_args(Part), "every part has a title"
