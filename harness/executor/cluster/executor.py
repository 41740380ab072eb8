"""Shares runs out among actors on the nodes of a Ray cluster.

An actor serves runs of one Key, so that its worker's programs serve many runs; it holds as many
CPUs as its runs have threads, and a whole GPU if they need one. Runs with a clock have a node to
themselves."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...data.places import VARIABLE
from ...errors import ExitCode, UserError
from ...importpath import Plugin
from ...record import Status
from .. import Claim, Event, Finished, Job, PlannedRun
from ..local import STARTS, unfinished
from ..queue import Group, Queue, best_for, side_by_side
from ..workers import too_few
from .connection import Connection
from .nodes import Node, Nodes, alive
from .remote import Nonsense, Refused, Remote
from .supervisor import Setup
from .travel import Luggage, luggage

# How often a run is begun, if its actor or node dies each time.
TRIES = 3
# For the end of actors, which takes milliseconds unless a node hangs.
_CLOSE_S = 30.0


class ClusterExecutor:
    """See gradrace.executor.Executor. address: as of --address; the others as of LocalExecutor.

    workers: of all nodes together; 0: as many as their CPUs allow. UserError if there is no
    cluster; the nodes are looked at before the first runs start."""

    def __init__(
        self,
        plugins: tuple[Plugin, ...],
        interpreters: Mapping[str, str],
        timeout_s: float,
        workers: int,
        address: str,
        claim: Claim,
    ) -> None:
        self._interpreters = dict(interpreters)
        self._timeout_s = timeout_s
        self._workers_wanted = workers
        self._claim = claim
        self._plugins = tuple(str(path.resolve()) for path in plugins)
        self._bag = luggage(plugins)
        self._connection = Connection(address)
        self._sent: dict[bool, Any] = {}
        self._nodes = Nodes(self._interpreters, self._bag.hashes())
        self._gone: set[str] = set()
        self._failed_starts: Counter[str] = Counter()
        self._why = ""
        self._submitted: list[Job] = []
        self._queue = Queue()
        self._places: dict[str, tuple[Node, ...]] = {}
        self._tries: Counter[str] = Counter()
        self._remotes: list[Remote] = []
        self._groups: dict[Remote, Group] = {}

    def submit(self, job: Job) -> None:
        self._submitted.append(job)

    def events(self) -> Iterator[Event]:
        while self._submitted or self._queue or self._busy():
            yield from self._hand_out()
            for remote in self._that_answered():
                yield from self._hear(remote)

    def close(self) -> None:
        self._submitted.clear()
        self._queue.clear()
        remotes, self._remotes = self._remotes, []
        try:
            _end(remotes)
        finally:
            self._connection.close()

    # -- what may be done, and where

    def _sort(self) -> Iterator[Event]:
        """Queues what was submitted; skips the runs that no node can do."""
        jobs, self._submitted = self._submitted, []
        self._nodes.learn(run for job in jobs for run in job.runs)
        for job in jobs:
            by_place: dict[tuple[Node, ...], list[PlannedRun]] = {}
            for run in job.runs:
                found = self._nodes.fitting(run)
                if isinstance(found, str):
                    yield from self._fail(self._claim(job.of([run])).runs, "skipped", found)
                    continue
                # Times of different machines are not comparable: all are taken on the first.
                found = found[:1] if job.alone else found
                by_place.setdefault(found, []).append(run)
                self._places[run.digest] = found
            for runs in by_place.values():
                self._queue.add(job.of(runs))

    def _living(self, group: Group) -> list[Node]:
        """The nodes that may do the group's runs and have not died."""
        return [n for n in self._places[group.runs[0].digest] if n.id not in self._gone]

    # -- handing out

    def _hand_out(self) -> Iterator[Event]:
        """Gives waiting runs to idle actors, and starts others as far as CPUs reach."""
        if self._submitted:
            yield from self._sort()
        while groups := self._queue.ready([remote.key for remote in self._busy()]):
            stranded = next((group for group in groups if not self._living(group)), None)
            if stranded:
                reason = f"the Ray nodes that can do it are gone: {self._why}"
                left = self._claim(Job(tuple(stranded.take_all())))
                yield from self._fail(left.runs, "failed", reason)
                continue
            idle = self._idle(groups)
            if idle is None:
                if not any(map(self._start, self._fewest_first(groups))):
                    return
                continue
            remote, fitting = idle
            taken = [self._groups[busy] for busy in self._busy()]
            group = best_for(remote.key, fitting, self._groups.get(remote), taken)
            self._groups[remote] = group
            job = self._claim(group.take(self._limit(group.key.threads)))
            if job.runs:
                remote.begin(job)

    def _idle(self, groups: Sequence[Group]) -> tuple[Remote, list[Group]] | None:
        """An actor without a job, and the groups that it may take runs of."""
        for remote in self._remotes:
            if remote.ready and not remote.job:
                fitting = [
                    group
                    for group in groups
                    if group.key == remote.key and remote.node in self._living(group)
                ]
                if fitting:
                    return remote, fitting
        return None

    def _fewest_first(self, groups: Sequence[Group]) -> list[Group]:
        keys = [remote.key for remote in self._remotes]
        return sorted(groups, key=lambda group: keys.count(group.key))

    def _start(self, group: Group) -> bool:
        """Starts an actor for the group, if it needs one more and there is room."""
        key = group.key
        living = self._living(group)
        same = [r for r in self._remotes if r.key == key and r.node in living]
        starting = sum(not remote.ready for remote in same)
        if starting >= self._queue.waiting(key) or (same and not self._worth_another(same)):
            return False
        at_work = [remote for remote in self._remotes if remote.job or not remote.ready]
        if len(at_work) >= self._limit(key.threads):
            return False
        node = self._room(group)
        if node is None:
            return False
        cpus = node.cpus if key.alone else key.threads
        self._remotes.append(Remote(key, node, cpus, self._setup(node, cpus), self._bag_for(node)))
        return True

    def _worth_another(self, same: Sequence[Remote]) -> bool:
        """If the user set the number, or the waiting runs take longer than its start."""
        return bool(self._workers_wanted) or too_few(same, self._queue.waiting(same[0].key))

    def _room(self, group: Group) -> Node | None:
        """The node with the most free CPUs that the group fits on. Ends idle actors for it."""
        for node in sorted(self._living(group), key=lambda node: -self._free(node)[0]):
            idle = [r for r in self._remotes if r.node == node and r.ready and not r.job]
            while not self._fits(group, node) and idle:
                self._drop(idle.pop())
            if self._fits(group, node):
                return node
        return None

    def _fits(self, group: Group, node: Node) -> bool:
        cpus, gpus = self._free(node)
        needed = node.cpus if group.key.alone else group.key.threads
        return cpus >= needed and gpus >= (group.key.device == "gpu")

    def _free(self, node: Node) -> tuple[int, int]:
        """CPUs and GPUs that no actor of ours holds. What others hold, Ray makes ours wait for."""
        mine = [remote for remote in self._remotes if remote.node == node]
        return node.cpus - sum(r.cpus for r in mine), node.gpus - sum(r.gpus for r in mine)

    def _limit(self, threads: int) -> int:
        nodes = (node for node in self._nodes if node.id not in self._gone)
        return self._workers_wanted or max(
            1, sum(side_by_side(node.cpus, threads) for node in nodes if node.cpus >= threads)
        )

    def _setup(self, node: Node, cpus: int) -> Setup:
        folder = os.environ.get(VARIABLE)
        return Setup(
            plugins=self._plugins,
            interpreters=self._interpreters,
            timeout_s=self._timeout_s,
            sharers=side_by_side(node.cpus, cpus),
            variables={VARIABLE: folder} if folder else {},
            carried=not self._nodes.have_files(node),
        )

    def _bag_for(self, node: Node) -> Any:
        """Ray's reference to what travels to the node."""
        import ray

        carried = not self._nodes.have_files(node)
        if carried not in self._sent:
            self._sent[carried] = ray.put(self._bag if carried else Luggage(here=self._bag.here))
        return self._sent[carried]

    # -- what actors say

    def _that_answered(self) -> list[Remote]:
        """Waits until one has answered its last call, or died."""
        import ray

        calls = {remote.call: remote for remote in self._remotes if remote.call is not None}
        if not calls:
            return []
        done, _ = ray.wait(list(calls), num_returns=1)
        more, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0)
        return [calls[call] for call in dict.fromkeys([*done, *more])]

    def _hear(self, remote: Remote) -> Iterator[Event]:
        import ray

        try:
            yield from remote.hear(ray.get(remote.call))
            self._failed_starts.pop(remote.node.id, None)
        except Refused as error:
            raise UserError(f"Ray node {remote.node.name}: {error}", ExitCode(error.code)) from None
        except Nonsense as error:
            yield from self._lost(remote, str(error))
        except ray.exceptions.RayError as error:
            yield from self._lost(remote, _reason(error))

    def _lost(self, remote: Remote, reason: str) -> Iterator[Event]:
        """An actor or its node died. Its runs go back; those in flight for the last time fail."""
        self._why = f"{remote.node.name}: {reason}"
        left = remote.waiting()
        self._drop(remote)
        if not remote.ready:
            self._failed_starts[remote.node.id] += 1
        if self._failed_starts[remote.node.id] >= STARTS or not _lives(remote.node):
            self._gone.add(remote.node.id)
        if left is None or not left.runs:
            return
        in_flight = len(left.runs) if left.alone or left.lanes else 1
        self._tries.update(run.digest for run in left.runs[:in_flight])
        given_up = [run for run in left.runs if self._tries[run.digest] >= TRIES]
        self._queue.put_back(left.of([run for run in left.runs if run not in given_up]))
        yield from self._fail(given_up, "failed", f"begun {TRIES} times, lost with {self._why}")

    def _fail(self, runs: Sequence[PlannedRun], status: Status, reason: str) -> Iterator[Event]:
        for run in runs:
            yield Finished(run, unfinished(run, status, reason))

    # -- bookkeeping

    def _busy(self) -> list[Remote]:
        return [remote for remote in self._remotes if remote.job]

    def _drop(self, remote: Remote) -> None:
        self._remotes.remove(remote)
        self._groups.pop(remote, None)
        _end([remote])


def _end(remotes: Sequence[Remote]) -> None:
    """Ends actors and their workers, and waits until they are gone."""
    import ray

    calls = [remote.actor.stop.remote() for remote in remotes if remote.ready]
    if calls:
        ray.wait(calls, num_returns=len(calls), timeout=_CLOSE_S)
    for remote in remotes:
        ray.kill(remote.actor)
    deadline = time.monotonic() + _CLOSE_S
    for remote in remotes:
        while time.monotonic() < deadline:
            try:
                ray.get(remote.actor.hello.remote(), timeout=1.0)
            except ray.exceptions.GetTimeoutError:
                continue
            except ray.exceptions.RayError:
                break


def _lives(node: Node) -> bool:
    return any(each["NodeID"] == node.id for each in alive())


def _reason(error: Exception) -> str:
    """The first sentence of Ray's reason that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300] if lines else ''}"
