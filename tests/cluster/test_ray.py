"""The executor on Ray, on real clusters of two nodes on this machine, against the local one."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import tiny
from gradrace.errors import UserError
from gradrace.executor import Finished
from gradrace.executor.cluster import connection, nodes
from gradrace.executor.cluster import executor as cluster_executor
from gradrace.executor.cluster.executor import ClusterExecutor
from gradrace.sweep import Options
from gradrace.sweep.store import read_records
from processes import running, until_gone
from tiny import TINY, toml
from waiting import finished, wait_for

pytest.importorskip("ray")
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


@contextmanager
def a_cluster(**second):
    """A head and a second node, each a CPU by Ray's count."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        made.second = made.add_node(**{**NODE, **second})
        yield made
    finally:
        made.shutdown()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Its nodes find no published data."""
    empty = str(tmp_path_factory.mktemp("empty"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        for name in ("KERAS_HOME", "TORCH_HOME", "XDG_CACHE_HOME", "XDG_DATA_DIRS"):
            patch.setenv(name, empty)
        patch.delenv("RAY_ADDRESS", raising=False)
        with a_cluster() as made:
            yield made


def raylets(cluster):
    return [
        process.process.pid
        for node in cluster.list_all_nodes()
        for process in node.all_processes["raylet"]
    ]


def ours(pids):
    """Actors, workers and guards below these raylets, wherever they stand in the tree."""
    marks = {f"RAY_RAYLET_PID={pid}" for pid in pids}
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if "Supervisor" in command or "gradrace.worker" in command or "guard.py" in command:
            try:
                environment = Path(f"/proc/{process.pid}/environ").read_text(errors="replace")
            except OSError:
                continue
            if marks & set(environment.split("\0")) and running(process.pid):
                found.append(process.pid)
    return found


@pytest.fixture(autouse=True)
def nothing_is_left(request):
    """After each test no process of ours is left on the shared cluster."""
    yield
    if "cluster" in request.fixturenames:
        until_gone(*ours(raylets(request.getfixturevalue("cluster"))))


def swept(output, cluster, plugins=(), **changes):
    """The tiny suite's records by name and its curves, on the cluster, or here without one."""
    options = {"timeout_s": 60.0, "population": "off", **changes.pop("options", {})}
    place = {"executor": "ray", "address": cluster.address} if cluster else {}
    wanted = Options(output=output, **options, **place)
    outcome, frames = tiny.swept(output, plugins, wanted, **changes)
    records = {record.spec.id: record for record in read_records(output, "tiny")}
    assert len(records) == len(frames.runs)
    return outcome, records, frames


def assert_equal(one, other):
    """Two sweeps have the same runs with the same ends and, bit for bit, the same curves."""
    (_, records, frames), (_, others, other_frames) = one, other
    ends = [
        {name: (r.digest, r.status, r.summary, r.lanes, r.state_bytes) for name, r in each.items()}
        for each in (records, others)
    ]
    assert ends[0] == ends[1]
    curves = [
        f.curves.sort_values(list(f.curves)).reset_index(drop=True) for f in (frames, other_frames)
    ]
    assert len(curves[0]) and curves[0].equals(curves[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": 1, "options": {"interpreters": {"numpy": sys.executable}}},
        {"frameworks": ["torch"], "seeds": 4, "options": {"population": 4}},
    ],
    ids=["numpy, other python", "torch, populations"],
)
def test_a_sweep_equals_a_local_one(tmp_path, cluster, changes):
    local = swept(tmp_path / "local", None, **{**changes})
    there = swept(tmp_path / "ray", cluster, **{**changes})
    assert set(there[0].counts) == {"ok"}
    assert_equal(local, there)


def test_a_killed_node_costs_nothing_but_time(tmp_path, cluster, monkeypatch, capfd):
    lost = []
    real = ClusterExecutor._lost

    def noted(self, remote, reason):
        lost.append((remote.node.id, remote.waiting()))
        return real(self, remote, reason)

    monkeypatch.setattr(ClusterExecutor, "_lost", noted)
    third = cluster.add_node(**NODE)
    suite = {"seeds": 60, "steps": 40}
    local = swept(tmp_path / "local", None, **suite)
    options = Options(
        output=tmp_path / "ray",
        executor="ray",
        address=cluster.address,
        workers=3,
        population="off",
    )
    sweep = tiny.planned(tmp_path / "ray", (), options, **suite)
    place = {}

    def watch(event, done, total):
        if isinstance(event, Finished) and not place:
            at_work = [r for r in executors[0]._remotes if r.node.id == third.node_id and r.job]
            if at_work:
                place["killed"] = done
                cluster.remove_node(third, allow_graceful=False)

    executors = []
    made = ClusterExecutor.__init__

    def kept(self, *args, **kwargs):
        executors.append(self)
        made(self, *args, **kwargs)

    monkeypatch.setattr(ClusterExecutor, "__init__", kept)
    capfd.readouterr()
    outcome = tiny.sweep.execute(sweep, watch)
    assert capfd.readouterr() == ("", "")
    assert place and place["killed"] < 120
    assert [node for node, job in lost if job] == [third.node_id]
    assert outcome.counts == {"ok": 120}
    records = {record.spec.id: record for record in read_records(tmp_path / "ray", "tiny")}
    assert_equal(local, (outcome, records, tiny.frame.load(tmp_path / "ray")))


RULES = """
import os
import numpy as np
from gradrace import Optimizer, ReferenceRule
import beside

def rule(act):
    def update(p, g, state, lr, t, hyper):
        act(t)
        return p - beside.FACTOR * lr * g, state
    return ReferenceRule(init=lambda p, hyper: {}, update=update)

def raising(t):
    if t == 12: raise ValueError("cannot go on")
def dying(t):
    if t == 12: os.kill(os.getpid(), 11)
def chatting(t):
    if t == 1: print("from", beside.__file__)
def orphaned(t):
    if t == 12: os.kill(os.getppid(), 9)

def make(name, act):
    fields = {"title": name, "paper": "-", "learning_rate": 0.1, "hyper": {}, "bindings": {}}
    return Optimizer(name=name, rule=rule(act), **fields)
a = make("raising", raising)
b = make("dying", dying)
c = make("chatting", chatting)
d = make("orphaned", orphaned)
"""


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "beside.py").write_text("FACTOR = 0.5\n")
    file = tmp_path / "code" / "mine.py"
    file.write_text(RULES)
    return file


@pytest.mark.parametrize("carried", [False, True], ids=["found there", "carried"])
def test_a_users_files_and_logs_travel(tmp_path, cluster, plugin, monkeypatch, carried):
    suite = {"optimizers": ["sgd", "chatting"], "seeds": 1}
    local = swept(tmp_path / "local", None, [plugin], **suite)
    if carried:
        monkeypatch.setattr(nodes.Nodes, "have_files", lambda self, node: False)
    there = swept(tmp_path / "ray", cluster, [plugin], **suite)
    assert_equal(local, there)
    (digest,) = [r.digest for r in there[1].values() if r.spec.optimizer.name == "chatting"]
    logs = [
        Path(tmp_path / place / "runs" / "tiny" / digest / "log.txt").read_text()
        for place in ("local", "ray")
    ]
    source = f"from {plugin.parent / 'beside.py'}"
    assert logs[0].startswith(source)
    assert logs[1].startswith("from /") and (not logs[1].startswith(source)) == carried
    assert logs[1].count("\n") == logs[0].count("\n")


def test_what_a_users_code_breaks_is_told_as_locally(tmp_path, cluster, plugin):
    suite = {"optimizers": ["sgd", "raising", "dying"], "seeds": 1}
    local = swept(tmp_path / "local", None, [plugin], **suite)
    there = swept(tmp_path / "ray", cluster, [plugin], **suite)
    told = [{name: (r.status, r.reason) for name, r in each[1].items()} for each in (local, there)]
    assert told[0] == told[1]
    assert there[0].counts == {"ok": 1, "failed": 2}
    assert_equal(local, there)


def test_a_run_whose_actor_dies_each_time_is_given_up(tmp_path, cluster, plugin):
    suite = {"optimizers": ["sgd", "orphaned"], "seeds": 1}
    outcome, records, _ = swept(tmp_path, cluster, [plugin], **suite)
    assert outcome.counts == {"ok": 1, "failed": 1}
    (reason,) = [r.reason for r in records.values() if r.status == "failed"]
    assert f"begun {cluster_executor.TRIES} times" in reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": "gpu", "frameworks": ["torch"], "dtype": "float32"}, "it has no GPU"),
        ({"threads": 2}, "2 threads need as many CPUs, it has 1"),
        ({"timing": TINY["timing"], "convergence": False}, "another Ray node is on its machine"),
        ({"tasks": ["mnist_mlp"], "dtype": "float32"}, "the data set mnist is not there"),
    ],
    ids=["gpu", "threads", "timing", "data"],
)
def test_what_no_node_can_do_is_skipped_at_once(tmp_path, cluster, monkeypatch, changes, reason):
    monkeypatch.setenv("GRADRACE_DATA", str(tmp_path / "empty"))
    outcome, records, _ = swept(tmp_path / "out", cluster, seeds=1, **changes)
    skipped = [r.reason for r in records.values() if r.status == "skipped"]
    assert outcome.counts["skipped"] == len(skipped) and set(outcome.counts) <= {"ok", "skipped"}
    assert all(text.startswith("no node of the Ray cluster can do it: ") for text in skipped)
    assert all(reason in text for text in skipped)


def test_runs_are_timed_on_one_node_that_is_held_alone(tmp_path, cluster, monkeypatch):
    # Two nodes on one machine are never left alone: only here they are said to be.
    monkeypatch.setattr(nodes, "_whole", lambda node, others: "")
    held = []
    begin = cluster_executor.Remote.begin
    monkeypatch.setattr(
        cluster_executor.Remote,
        "begin",
        lambda self, job: (held.append((self.node.id, self.cpus, job.alone)), begin(self, job))[1],
    )
    outcome, records, _ = swept(
        tmp_path,
        cluster,
        seeds=1,
        timing={**TINY["timing"], "launches": 2},
        options={"clock_only": True},
    )
    assert outcome.counts == {"ok": 4} and len(held) == 2
    assert len({node for node, _, _ in held}) == 1 and all(alone for *_, alone in held)
    assert all(len(record.cores) == 1 for record in records.values())


def test_a_study_is_the_same_as_locally(tmp_path, cluster, gradrace):
    tune = (
        *("tune", "--task", "digits_mlp", "--optimizer", "momentum", "--framework", "numpy"),
        *("--dtype", "float64", "--steps", "12", "--budget", "6", "--fresh-seeds", "2"),
        *("--sampler", "tpe", "-j", "2", "--name", "study", "--json", "--no-report", "--quiet"),
    )
    local = gradrace(*tune, "--output", "local")
    there = gradrace(*tune, "--output", "ray", "--executor", "ray", "--address", cluster.address)
    assert (local.returncode, there.returncode) == (0, 0), there.stderr
    assert json.loads(local.stdout) == json.loads(there.stdout)
    assert there.stderr == local.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_driver_that_ends_leaves_no_process(tmp_path, cluster, how):
    suite = {**TINY, "timing": False, "seeds": 200, "steps": 400, "eval_every": 20}
    (tmp_path / "long.toml").write_text(toml(suite))
    command = [sys.executable, "-m", "gradrace", "run", "long.toml", "--output", "out"]
    command += ["--executor", "ray", "--address", cluster.address, "-j", "2", "--no-report"]
    with (tmp_path / "printed").open("w") as printed:
        driver = subprocess.Popen(command, cwd=tmp_path, stderr=printed, start_new_session=True)
    pids = raylets(cluster)
    try:
        wait_for(lambda: len(finished(tmp_path)) > 3, 240)
        # Two actors, their workers and their guards.
        wait_for(lambda: len(ours(pids)) >= 6, 240)
    finally:
        driver.send_signal(how)
        code = driver.wait(120)
    assert code == (130 if how == signal.SIGINT else -how)
    wait_for(lambda: not ours(pids), 120)
    if how == signal.SIGINT:
        last = (tmp_path / "printed").read_text().strip().splitlines()[-1]
        assert (
            last == "gradrace: interrupted; finished runs are kept, the same command goes on"
            " from there"
        )


def fake_distribution(folder, name, version):
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return {"PYTHONPATH": str(folder)}


def test_other_versions_on_a_node_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    variables = fake_distribution(tmp_path / "fake", "numpy", "0.1")
    with a_cluster(env_vars=variables) as other:
        with pytest.raises(UserError) as refused:
            swept(tmp_path / "out", other)
        pids = raylets(other)
        until_gone(*ours(pids))
    assert "numpy 0.1, here " + np.__version__ in str(refused.value)
    assert socket.gethostname() in str(refused.value) and refused.value.exit_code == 2
    assert not list((tmp_path / "out").rglob("run.json"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"python": "3.9.1"}, "Python 3.9.1, here "),
        ({"sources": {"gradrace/spec.py": "other"}}, "with other sources than here: "),
    ],
)
def test_another_python_or_gradrace_is_refused(tmp_path, cluster, monkeypatch, change, reason):
    real = nodes.ask

    def ask(*args):
        answers = real(*args)
        last = list(answers)[-1]
        answers[last][0] = json.dumps(json.loads(answers[last][0]) | change)
        return answers

    monkeypatch.setattr(nodes, "ask", ask)
    with pytest.raises(UserError, match=reason):
        swept(tmp_path, cluster)


@pytest.mark.parametrize("lacking", [1, 2])
def test_a_node_without_a_framework_is_not_used(tmp_path, cluster, monkeypatch, lacking):
    real = nodes.ask

    def ask(*args):
        answers = real(*args)
        for answer in list(answers.values())[:lacking]:
            facts = json.loads(answer[0])
            del facts["distributions"]["numpy"]
            answer[0] = json.dumps(facts)
        return answers

    used = []
    start = cluster_executor.Remote.__init__
    monkeypatch.setattr(nodes, "ask", ask)
    monkeypatch.setattr(
        cluster_executor.Remote,
        "__init__",
        lambda self, key, node, *args: (used.append(node.id), start(self, key, node, *args))[1],
    )
    options = {"workers": 2}
    outcome, records, _ = swept(tmp_path, cluster, seeds=4, optimizers=["sgd"], options=options)
    if lacking == 1:
        assert outcome.counts == {"ok": 4} and len(set(used)) == 1
    else:
        assert outcome.counts == {"skipped": 4} and not used
        assert all("not installed: numpy" in record.reason for record in records.values())


@contextmanager
def something_else():
    """An address at which something listens that is not Ray."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            try:
                taken, _ = server.accept()
            except OSError:
                return
            with taken:
                taken.recv(100)
                taken.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_without_a_cluster_is_refused_quickly(tmp_path, gradrace, scheme):
    (tmp_path / "tiny.toml").write_text(toml({**TINY, "timing": False}))
    with something_else() as address:
        for given, reason in (
            (address, "no Ray"),
            ("127.0.0.1:1", "Connection refused"),
            ("nowhere", "expected auto, HOST:PORT or ray://HOST:PORT"),
        ):
            done = gradrace(
                "run", "tiny.toml", "--executor", "ray", "--address", scheme + given, timeout=60
            )
            assert done.returncode == 2 and not done.stdout
            (line,) = done.stderr.strip().splitlines()
            assert line.startswith(f"gradrace: no Ray cluster at '{scheme}{given}': ")
            assert reason in line and "ray start --head" in line


def test_a_machine_outside_of_the_cluster_is_refused_at_once(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr("ray._private.services.find_node_ids", lambda: [])
    with pytest.raises(UserError, match="no node of it runs on this machine.*ray start --address"):
        swept(tmp_path, cluster)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--executor", "rai"), "--executor 'rai': no such executor (did you mean 'ray'?)"),
        (("--address", "auto"), "--address 'auto': only with --executor ray"),
    ],
)
@pytest.mark.parametrize("command", ["run", "time"])
def test_wrong_options_are_refused(tmp_path, gradrace, command, options, reason):
    (tmp_path / "tiny.toml").write_text(toml(TINY))
    done = gradrace(command, "tiny.toml", *options)
    assert done.returncode == 2 and reason in done.stderr


def test_without_ray_it_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setattr(connection.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed: ray \\(pip install gradrace\\[ray\\]\\)"):
        connection.check_installed()
