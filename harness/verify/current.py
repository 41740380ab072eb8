"""Which kept verdicts still hold, after libraries, sources or a user's files have changed.

A verdict depends on the versions of its two frameworks and on the modules that its frameworks, its
optimizer, its task and the verification itself import. What a user's files brought depends on all
of these files."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path

from ..registry import Registry
from ..sources import hashes, is_own
from .verdict import Verdict, VerifyFile

Versions = Mapping[str, Mapping[str, str]]


def current(
    earlier: VerifyFile, registry: Registry, versions: Versions, sources: Mapping[str, str]
) -> VerifyFile:
    """The verdicts that hold under these versions (of some frameworks) and sources; if some do not,
    the rest is a part."""
    renewed = {name for name, of in versions.items() if _differ(earlier.versions.get(name), of)}
    changed = {name for name, of in sources.items() if earlier.sources.get(name, of) != of}
    depends = _Depends(registry)
    kept = tuple(
        verdict
        for verdict in earlier.verdicts
        if not (depends.frameworks(verdict) & renewed or depends.on(verdict, changed))
    )
    if len(kept) == len(earlier.verdicts):
        return earlier
    dropped = len(earlier.verdicts) - len(kept)
    why = ", ".join(sorted(renewed | changed)[:4])
    left_out = f"{dropped:,} earlier verdicts no longer hold, since these changed: {why}"
    return earlier.model_copy(
        update={
            "verdicts": kept,
            "versions": {n: of for n, of in earlier.versions.items() if n not in renewed},
            "sources": {n: of for n, of in earlier.sources.items() if n not in changed},
            "options": {**earlier.options, "partial": True},
            "left_out": (*earlier.left_out, left_out),
        }
    )


def _differ(earlier: Mapping[str, str] | None, now: Mapping[str, str]) -> bool:
    """Whether a library's version changed, or the framework came or went."""
    if earlier is None:
        return False
    return bool(earlier) != bool(now) or any(earlier[k] != now[k] for k in earlier.keys() & now)


class _Depends:
    """What verdicts depend on: names as in VerifyFile.sources."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._own = _modules(Path(__file__).with_name("worker.py"))
        self._found: dict[Path, Set[str]] = {}

    def frameworks(self, verdict: Verdict) -> Set[str]:
        """Of both sides."""
        return {verdict.a.framework, verdict.b.framework}

    def on(self, verdict: Verdict, changed: Set[str]) -> bool:
        """Whether the verdict depends on one of these modules."""
        ours = {name for name in changed if name.startswith("gradrace.")}
        if changed - ours and self._is_users(verdict):
            return True
        return bool(ours & self._own) or any(
            ours & self._modules(file) for file in self._files(verdict)
        )

    def _files(self, verdict: Verdict) -> list[Path]:
        registry, optimizers = self._registry, self._registry.optimizer_files
        files = [
            registry.frameworks[name].file
            for name in self.frameworks(verdict)
            if name in registry.frameworks
        ]
        # Groups have optimizers of their own, and the others use plain steps.
        names = optimizers if "/groups/" in verdict.case else (verdict.optimizer or "sgd",)
        files += [optimizers[name] for name in names if name in optimizers]
        task = registry.task_files.get(_base(verdict))
        return [*files, task] if task else files

    def _is_users(self, verdict: Verdict) -> bool:
        registry = self._registry
        named = [
            *(
                registry.frameworks[n].file
                for n in self.frameworks(verdict) & {*registry.frameworks}
            ),
            registry.optimizer_files.get(verdict.optimizer),
            registry.task_files.get(_base(verdict)),
        ]
        if verdict.level == "rates":
            named.append(registry.schedule_files.get(verdict.case.partition("/")[0]))
        return any(file is not None and not is_own(file) for file in named)

    def _modules(self, file: Path) -> Set[str]:
        if file not in self._found:
            self._found[file] = _modules(file) if is_own(file) else frozenset()
        return self._found[file]


def _base(verdict: Verdict) -> str:
    """The task, or that which a variant varies."""
    return verdict.task.partition("+")[0]


def _modules(file: Path) -> Set[str]:
    return hashes([file]).keys()
