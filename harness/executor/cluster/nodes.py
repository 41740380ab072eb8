"""The nodes of a cluster: their facts, and which of them may do a run."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...data.places import VARIABLE
from ...errors import UserError
from ...jsonfile import first_problem
from ...plugins.imports import NOT_INSTALLED
from ...strict import Strict
from .. import PlannedRun
from . import facts

_ANSWER_S = 120.0
_MEND = "install the same there: digests would differ"
# So many differences are listed.
_SHOWN = 3


class Facts(Strict):
    """What facts.py finds, in one Python of a node."""

    host: str
    boot: str
    python: str
    cores: int
    usable: int
    gradrace: str
    sources: dict[str, str]
    distributions: dict[str, list[str]]
    files: dict[str, str]
    data: dict[str, str]


@dataclass(frozen=True, eq=False)
class Node:
    """cpus, gpus: as Ray counts them. facts: of its own Python. others: framework -> facts of its
    other Python, or why that one cannot be used. whole: "", or why it cannot be held alone."""

    id: str
    address: str
    cpus: int
    gpus: int
    facts: Facts
    others: Mapping[str, Facts | str]
    whole: str = ""

    def __eq__(self, other: object) -> bool:
        """A node that is asked twice stays the same."""
        return isinstance(other, Node) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.facts.host} ({self.address})"

    def can_hold(self, run: PlannedRun) -> str:
        """ "", or which resources or data of the run it lacks."""
        spec, alone = run.spec, run.spec.measure != "convergence"
        if spec.device == "gpu" and not self.gpus:
            return "it has no GPU"
        if spec.threads > self.cpus:
            return f"{spec.threads} threads need as many CPUs, it has {self.cpus}"
        return (alone and self.whole) or self.facts.data.get(spec.task.data, "")

    def lacks(self, run: PlannedRun) -> str:
        """ "", or which distribution of the run's it has not. UserError if it has another version:
        the digest names this machine's."""
        other = self.others.get(run.spec.framework)
        if isinstance(other, str):
            return other
        for name, wanted in run.versions.items():
            if name == "python":
                continue
            found = [v for f in (other, self.facts) if f for v in f.distributions.get(name, ())]
            if not found and wanted != NOT_INSTALLED:
                return f"not installed: {name}"
            if found and wanted not in found:
                raise UserError(f"Ray node {self.name}: {name} {found[0]}, here {wanted}; {_MEND}")
        return ""


class Nodes:
    """Those of the cluster that this process is connected to, and that have gradrace.

    interpreters: framework -> its Python. files: path -> sha256 sum of users' files here."""

    def __init__(self, interpreters: Mapping[str, str], files: Mapping[str, str]) -> None:
        self._interpreters = interpreters
        self._files = files
        self._asked: tuple[set[str], set[str]] = set(), set()
        self._found: dict[str, Node] = {}
        self._fitting: dict[tuple[Any, ...], tuple[Node, ...] | str] = {}

    def __iter__(self) -> Iterator[Node]:
        return iter(self._found.values())

    def learn(self, runs: Iterable[PlannedRun]) -> None:
        """Asks the nodes for what these runs depend on, unless that is known. UserError if a node
        has another Python, gradrace or version of a distribution, or none has gradrace."""
        names, data = self._asked
        runs = list(runs)
        wanted = names | {name for run in runs for name in run.versions}
        sets = data | {run.spec.task.data for run in runs}
        if (wanted, sets) != (names, data):
            self._asked = wanted, sets
            self._found = {node.id: node for node in self._look(wanted, sets)}
            self._fitting.clear()

    def have_files(self, node: Node) -> bool:
        """Whether users' files lie on the node as they do here."""
        return node.facts.files == self._files

    def fitting(self, run: PlannedRun) -> tuple[Node, ...] | str:
        """The nodes that may do the run; or why none can, for its record."""
        spec = run.spec
        need = (spec.framework, tuple(run.versions.items()), spec.device, spec.threads)
        key = (*need, spec.measure, spec.task.data)
        if key not in self._fitting:
            lacks = {node: node.lacks(run) or node.can_hold(run) for node in self}
            able = tuple(node for node, lack in lacks.items() if not lack)
            self._fitting[key] = able or _nobody(lacks)
        return self._fitting[key]

    def _look(self, names: Iterable[str], data: Iterable[str]) -> list[Node]:
        request = {
            "distributions": sorted(names),
            "files": sorted(self._files),
            "data": sorted(data),
            "folder": os.environ.get(VARIABLE, ""),
        }
        living = [each for each in alive() if _count(each, "CPU") >= 1]
        if not living:
            raise UserError("the Ray cluster has no node with a CPU for actors")
        pythons = ["", *self._interpreters.values()]
        answers = ask([each["NodeID"] for each in living], pythons, json.dumps(request))
        if not answers:
            raise UserError(f"no node of the Ray cluster gave an answer within {_ANSWER_S:g} s")
        nodes = [
            self._node(each, answers[each["NodeID"]])
            for each in living
            if each["NodeID"] in answers
        ]
        ready = [node for node in nodes if node.facts.gradrace]
        if not ready:
            raise UserError(
                "no node of the Ray cluster has gradrace; install it there as well (pip install"
                " gradrace[ray])"
            )
        for node in ready:
            _check_same(node)
        return [replace(node, whole=_whole(node, nodes)) for node in ready]

    def _node(self, found: Mapping[str, Any], answers: Sequence[str]) -> Node:
        address, (own, *others) = found["NodeManagerAddress"], map(_facts_in, answers)
        if isinstance(own, str):
            raise UserError(f"Ray node {address}: its Python cannot be asked: {own}")
        by_framework = {
            name: f"{python} cannot be used: {other}" if isinstance(other, str) else other
            for (name, python), other in zip(self._interpreters.items(), others, strict=True)
        }
        cpus, gpus = int(_count(found, "CPU")), int(_count(found, "GPU"))
        return Node(found["NodeID"], address, cpus, gpus, own, by_framework)


def alive() -> list[dict[str, Any]]:
    """Ray's descriptions of the nodes that live, in a fixed order."""
    import ray

    return sorted(
        (node for node in ray.nodes() if node["Alive"]),
        key=lambda node: (node["NodeManagerHostname"], node["NodeID"]),
    )


def on(node_id: str) -> Any:
    """The strategy that places something on this node or nowhere."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def ask(nodes: Sequence[str], pythons: Sequence[str], request: str) -> dict[str, list[str]]:
    """Node -> for each of its Pythons, "" for its own: the JSON of its facts, or why none.

    A node that dies meanwhile, or does not answer in time, is left out."""
    import ray

    text = Path(facts.__file__).read_text(encoding="utf-8")
    task = ray.remote(num_cpus=0, max_retries=0)(_asked)
    calls = {
        task.options(scheduling_strategy=on(node)).remote(text, list(pythons), request): node
        for node in nodes
    }
    done, _ = ray.wait(list(calls), num_returns=len(calls), timeout=_ANSWER_S)
    answers = {}
    for call in done:
        try:
            answers[calls[call]] = ray.get(call)
        except ray.exceptions.RayError:
            continue
    return answers


def _asked(text: str, pythons: list[str], request: str) -> list[str]:
    """Runs on a node, which may have another gradrace or none."""
    import subprocess
    import sys

    answers = []
    for python in pythons:
        command = [python or sys.executable, "-c", text]
        try:
            done = subprocess.run(
                command, input=request, capture_output=True, encoding="utf-8", timeout=100
            )
            answer = (done.stdout if not done.returncode else done.stderr).strip()
            answers.append((answer.splitlines() or [f"exit code {done.returncode}"])[-1])
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            answers.append(str(error))
    return answers


# Ray then sends the function itself, not its name.
_asked.__module__ = "__main__"


def _facts_in(answer: str) -> Facts | str:
    """The facts, or why there are none."""
    try:
        return Facts.model_validate_json(answer)
    except ValidationError as error:
        return answer[:200] if not answer.startswith("{") else first_problem(error)


def _check_same(node: Node) -> None:
    """UserError if the node has another Python or gradrace."""
    found = node.facts
    if found.python != platform.python_version():
        here = f"Python {found.python}, here {platform.python_version()}"
        raise UserError(f"Ray node {node.name}: {here}; {_MEND}")
    # The sources decide: an editable installation keeps the version of its first day.
    mine = facts.sources()
    names = sorted(
        name for name in {*mine, *found.sources} if mine.get(name) != found.sources.get(name)
    )
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise UserError(
            f"Ray node {node.name}: gradrace {found.gradrace} with other sources than here:"
            f" {', '.join(names[:_SHOWN])}{more}; {_MEND}"
        )


def _whole(node: Node, nodes: Iterable[Node]) -> str:
    """ "", or why no actor can have the node's machine to itself."""
    if any(other.id != node.id and other.facts.boot == node.facts.boot for other in nodes):
        return "another Ray node is on its machine"
    cores = node.facts.cores
    if node.cpus != cores:
        return f"Ray counts {node.cpus} CPUs there, the machine has {cores} cores"
    if node.facts.usable not in (0, cores):
        return f"{node.facts.usable} of its {cores} cores can be used"
    return ""


def _nobody(lacks: Mapping[Node, str]) -> str:
    reasons: dict[str, list[str]] = {}
    for node, lack in lacks.items():
        reasons.setdefault(lack, []).append(node.name)
    told = "; ".join(f"{', '.join(names)}: {lack}" for lack, names in reasons.items())
    return f"no node of the Ray cluster can do it: {told}"


def _count(node: Mapping[str, Any], resource: str) -> float:
    return float(node["Resources"].get(resource, 0.0))
