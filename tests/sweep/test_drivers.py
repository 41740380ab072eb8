"""Drivers of one folder: who is alive, who has a claim, and when a claim is free."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.executor import Job, PlannedRun
from gradrace.machine import this_machine
from gradrace.process import alive
from gradrace.record import Curve, RunRecord, RunResult
from gradrace.sweep import sharing
from gradrace.sweep.drivers import heartbeat
from gradrace.sweep.drivers.claims import Claims
from gradrace.sweep.drivers.heartbeat import Driver
from gradrace.sweep.drivers.quiet import Quiet
from gradrace.sweep.sharing import Sharing, check_agrees
from gradrace.sweep.store import PlanFile, Store
from waiting import wait_for

DIGESTS = [f"{i:024x}" for i in range(6)]


@contextlib.contextmanager
def driver(folder: Path, alone: bool = False) -> Iterator[tuple[Driver, Claims]]:
    made = Driver(folder, alone)
    made.register()
    claims = Claims(folder, made)
    try:
        yield made, claims
    finally:
        claims.leave()
        made.leave()


def die(made: Driver) -> None:
    """Its heart stops; nothing is tidied up."""
    made._stop.set()
    assert made._heart
    made._heart.join()


def silent_for(folder: Path, made: Driver, seconds: float) -> None:
    """The driver's last heartbeat is so old."""
    die(made)
    then = time.time() - seconds
    os.utime(folder / "drivers" / f"{made.name}.json", (then, then))


def test_a_claim_has_one_holder_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with driver(tmp_path) as (_, one), driver(tmp_path) as (second, other):
        assert one.take(DIGESTS[:3]) == DIGESTS[:3]
        assert other.take(DIGESTS) == DIGESTS[3:], "the rest is free"
        assert one.take(DIGESTS[:4]) == DIGESTS[:3], "its own are granted again"
        holders = one.holders(DIGESTS)
        assert holders == dict.fromkeys(DIGESTS[3:], second.name)
        one.release(DIGESTS[:1])
        assert other.take(DIGESTS[:2]) == DIGESTS[:1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("silent_s", "free"), [(0.0, False), (50.0, False), (70.0, True)])
def test_a_claim_of_a_silent_driver_is_free_after_a_minute(
    tmp_path: Path, silent_s: float, free: bool
) -> None:
    with driver(tmp_path) as (_, claims):
        other = Driver(tmp_path, alone=False)
        other.register()
        assert Claims(tmp_path, other).take(DIGESTS[:1])
        silent_for(tmp_path, other, silent_s)
        assert (other.name not in claims._driver.living()) is free
        assert claims.take(DIGESTS[:1]) == (DIGESTS[:1] if free else [])
        assert claims.held == ({DIGESTS[0]: 1} if free else {}), "a later generation"


def test_the_lease_is_the_holders_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(heartbeat.LEASE_VARIABLE, "600")
    other = Driver(tmp_path, alone=False)
    other.register()
    monkeypatch.delenv(heartbeat.LEASE_VARIABLE)
    silent_for(tmp_path, other, 300.0)
    with driver(tmp_path) as (made, _):
        assert made.look(other.name)
        silent_for(tmp_path, other, 700.0)
        assert made.look(other.name) is None


@pytest.mark.parametrize("text", ["0", "-5", "soon", "1e9", "nan"])
def test_a_lease_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(heartbeat.LEASE_VARIABLE, text)
    with pytest.raises(UserError, match="GRADRACE_LEASE_S=.*expected seconds from 1 to 86400"):
        Driver(tmp_path, alone=False)


def test_a_killed_process_of_this_machine_is_dead_at_once(tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from gradrace.sweep.drivers.heartbeat import Driver;"
        " from gradrace.sweep.drivers.claims import Claims\n"
        f"d = Driver(Path({str(tmp_path)!r}), False); d.register();"
        f" Claims(Path({str(tmp_path)!r}), d).take({DIGESTS[:2]!r}); print(d.name, flush=True);"
        " sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    name = process.stdout.readline().strip()
    with driver(tmp_path) as (made, claims):
        assert made.look(name) and not claims.take(DIGESTS[:2])
        process.kill()
        process.wait()
        assert made.look(name) is None
        assert claims.take(DIGESTS[:2]) == DIGESTS[:2]


def test_who_was_taken_for_dead_loses_its_claims_and_keeps_no_result(
    tmp_path: Path, made_result: Callable[[str], RunResult]
) -> None:
    with Store(tmp_path, "s", shared=True) as slow, Store(tmp_path, "s", shared=True) as quick:
        assert slow.claims.take(DIGESTS[:2]) == DIGESTS[:2]
        silent_for(slow.folder, slow.driver, 70.0)
        slow.driver._last = time.time() - 70.0
        assert quick.claims.take(DIGESTS[:1]) == DIGESTS[:1]
        slow.write(made_result(DIGESTS[0]))
        slow.write_many([made_result(digest) for digest in DIGESTS[:2]])
        assert not (slow.folder / DIGESTS[0]).exists(), "the run is another driver's"
        quick.look_again([])
        assert quick._stored.digests() == [DIGESTS[1]], "the other claim is still its own"
        quick.write(made_result(DIGESTS[0]))
        assert (slow.folder / DIGESTS[0] / "run.json").exists()


def test_a_heart_that_was_tidied_away_beats_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(heartbeat.LEASE_VARIABLE, "1")
    with driver(tmp_path) as (made, _), driver(tmp_path) as (other, _):
        file = tmp_path / "drivers" / f"{made.name}.json"
        file.unlink()
        wait_for(lambda: other.look(made.name) is not None)


def test_a_heart_that_cannot_beat_ends_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(heartbeat.LEASE_VARIABLE, "1")
    made = Driver(tmp_path / "s", alone=False)
    (tmp_path / "s").mkdir()
    made.register()
    (tmp_path / "s").rename(tmp_path / "elsewhere")
    wait_for(lambda: made._problem != "")
    made._last = time.time() - 5.0
    with pytest.raises(UserError, match="no heartbeat can be written"):
        assert made.lapsed
    die(made)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"../../etc", b"nobody-1-00000000"])
def test_a_claim_that_says_nothing_useful_is_free(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "claims").mkdir()
    file = tmp_path / "claims" / f"{DIGESTS[0]}.0"
    file.write_bytes(content)
    with driver(tmp_path) as (_, claims):
        fresh = not content
        assert (claims.take(DIGESTS[:1]) == []) is fresh, "its maker may be about to write its name"
        os.utime(file, (1e9, 1e9))
        assert claims.take(DIGESTS[:1]) == DIGESTS[:1]


def test_what_is_no_claim_and_no_driver_stands_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret")
    for folder in ("claims", "drivers"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "notes.txt").write_text("mine")
        (tmp_path / folder / f"{DIGESTS[1]}.0").mkdir()
        (tmp_path / folder / "vm-1-0123abcd.json").symlink_to(tmp_path / "secret")
    (tmp_path / "claims" / f"{DIGESTS[2]}.0").symlink_to(tmp_path / "secret")
    (tmp_path / "drivers" / "vm-2-0123abcd.json").write_text('{"schema": 99}')
    with driver(tmp_path) as (made, claims):
        assert made.living() == {}
        assert claims.take(DIGESTS) == DIGESTS
        made.sweep_up([])
        claims.sweep_up()
        assert len(list((tmp_path / "drivers").iterdir())) == 1
        assert len(list((tmp_path / "claims").iterdir())) == len(DIGESTS)
    assert (tmp_path / "secret").read_text() == "a secret"


def test_many_claimants_share_everything_out(tmp_path: Path) -> None:
    wanted = [f"{i:024x}" for i in range(200)]
    got: list[list[str]] = []

    def go() -> None:
        with driver(tmp_path) as (_, claims):
            own = []
            for first in range(0, len(wanted), 8):
                own += claims.take(wanted[first : first + 8])
            got.append(own)
            barrier.wait()

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(digest for own in got for digest in own) == wanted


# -- a store and its drivers


@pytest.fixture
def made_result(make_run) -> Callable[[str], RunResult]:  # type: ignore[no-untyped-def]
    def result(digest: str, status: str = "ok") -> RunResult:
        run = make_run(seed=int(digest, 16))
        return RunResult(
            RunRecord(
                digest=digest,
                spec=run,
                status=status,  # type: ignore[arg-type]
                started_at="2026-01-01T00:00:00+00:00",
                machine=this_machine(),
            ),
            Curve(np.ones(3), np.array([0]), np.ones(1), np.ones(1)),
        )

    return result


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [(True, True, False), (True, False, True), (False, True, True), (False, False, True)],
)
def test_who_must_be_alone_is_alone(
    tmp_path: Path, first: bool, second: bool, refused: bool
) -> None:
    with Store(tmp_path, "s", shared=first) as one:
        if first:
            with one.entering():
                pass
        expected = pytest.raises(UserError, match=r"another gradrace.*process \d+ on")
        with (
            expected if refused else contextlib.nullcontext(),
            Store(tmp_path, "s", shared=second) as other,
            other.entering(),
        ):
            pass
    assert list((tmp_path / "runs" / "s").iterdir()) == []


def test_unfinished_runs_stay_while_another_driver_is_at_work(tmp_path: Path) -> None:
    with Store(tmp_path, "s", shared=True) as one:
        with one.entering() as others:
            assert others == ()
        log = one.shared_log(DIGESTS)
        log.write_text("said")
        with Store(tmp_path, "s", shared=True) as other, other.entering() as others:
            assert [each.place.pid for each in others] == [os.getpid()]
        assert log.exists()
        assert other.shared_log(DIGESTS) != log, "each has a log of its own"


PLAN = PlanFile(suite="s", title="S", question="", digests=tuple(DIGESTS[:2]))


@pytest.mark.parametrize(
    ("digests", "versions", "sources", "message"),
    [
        (DIGESTS[:2], {"jax": "1"}, {"mine": "a"}, None),
        (DIGESTS[:4], {"jax": "2"}, {"mine": "a"}, None),
        (DIGESTS[:1], {"jax": "1"}, {"mine": "b"}, "the file of mine is another one there"),
        (DIGESTS[2:], {"jax": "2"}, {"mine": "a"}, "jax is 1 there and 2 here"),
        (DIGESTS[2:], {"jax": "1", "new": "3"}, {}, "new is absent there and 3 here"),
        (DIGESTS[:1], {"jax": "1"}, {"mine": "a", "data x": "1"}, "data x is another one there"),
        (DIGESTS[:1], {"jax": "1"}, {"mine": "a"}, "its tasks, seeds or settings are others"),
    ],
)
def test_drivers_must_agree_upon_the_runs(
    tmp_path: Path, digests, versions, sources, message
) -> None:
    plan = PLAN.model_copy(update={"digests": tuple(digests)})
    with driver(tmp_path) as (other, _):
        other.enter({"jax": "1"}, {"mine": "a"})
        others = [other._about]
        check_agrees(plan, None, others, versions, sources)
        check_agrees(plan, PLAN, [], versions, sources)
        with pytest.raises(UserError, match=message) if message else contextlib.nullcontext():
            check_agrees(plan, PLAN, others, versions, sources)


@pytest.mark.parametrize(
    ("before", "now", "done"),
    [
        (None, "ok", True),
        (None, "diverged", True),
        (None, "failed", True),
        (None, "skipped", False),
        ("failed", "failed", False),
    ],
)
def test_a_run_that_another_driver_has_done_meanwhile_is_not_done_again(
    tmp_path: Path, made_result, before, now, done
) -> None:
    result = made_result(DIGESTS[0], now)
    run = PlannedRun(result.record.spec, DIGESTS[0], {}, {}, Path())
    with Store(tmp_path, "s", shared=True) as one, Store(tmp_path, "s", shared=True) as other:
        if before:
            one.write(made_result(DIGESTS[0], before))
        records = one.records([run])
        share = Sharing(one, Quiet(tmp_path), records, sharded=False)
        if before is None:
            other.write(result)
        granted = share.claim(Job((run,)))
        assert (granted.runs == ()) is done
        assert [each.digest for each, _ in share.outcomes([run])] == [DIGESTS[0]] * done
        assert (DIGESTS[0] in one.claims.held) is not done
        if before:
            again = replace(result, record=result.record.model_copy(update={"reason": "again"}))
            other.write(again)
            assert share.outcome(run).reason == "again", "another try counts"


def test_runs_are_granted_again_with_their_log(tmp_path: Path, make_run) -> None:
    runs = tuple(PlannedRun(make_run(), digest, {}, {}, Path()) for digest in DIGESTS[:2])
    with Store(tmp_path, "s", shared=True) as store:
        share = Sharing(store, Quiet(tmp_path), {}, sharded=False)
        first = share.claim(Job(runs))
        assert [run.log.name for run in first.runs] == ["log.txt"] * 2
        first.runs[0].log.write_text("said before the crash")
        assert share.claim(Job(first.runs)) == first
        assert first.runs[0].log.read_text() == "said before the crash"


def test_one_machine_times_all_runs_unless_the_user_shared_them_out(
    tmp_path: Path, make_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = PlannedRun(make_run(measure="memory"), DIGESTS[0], {}, {}, Path())
    monkeypatch.setattr(alive.platform, "node", lambda: "far")
    alive._place_of.cache_clear()
    there = Store(tmp_path, "s", shared=True)
    there.__enter__()
    monkeypatch.undo()
    alive._place_of.cache_clear()
    with Store(tmp_path, "s", shared=True) as here:
        assert there.claims.take([sharing._TIMING])
        share = Sharing(here, Quiet(tmp_path), {}, sharded=False)
        assert share.claim(Job((timed,), alone=True)).runs == ()
        assert share.others_have([timed]) == {DIGESTS[0]: f"process {os.getpid()} on far"}
        with Quiet(tmp_path) as quiet:
            own = Sharing(here, quiet, {}, sharded=True)
            assert own.claim(Job((timed,), alone=True)).runs and not own.others_have([timed])
        here.claims.release([DIGESTS[0]])
        silent_for(here.folder, there.driver, 70.0)
        assert share.claim(Job((timed,), alone=True)).runs, "that machine is gone"


def test_timing_waits_for_training_on_this_machine_and_the_other_way_round(tmp_path: Path) -> None:
    held: list[str] = []

    def hold(name: str, alone: bool) -> Quiet:
        made = Quiet(tmp_path)

        def go() -> None:
            made.hold(alone)
            held.append(name)

        threading.Thread(target=go, daemon=True).start()
        return made

    with Quiet(tmp_path) as trains, Quiet(tmp_path) as trains_too:
        trains.hold(alone=False)
        trains_too.hold(alone=False)
        times = hold("times", alone=True)
        trains.release()
        time.sleep(0.3)
        assert held == []
        trains_too.release()
        wait_for(lambda: held == ["times"])
        later = hold("trains", alone=False)
        time.sleep(0.3)
        assert held == ["times"]
        times.release()
        wait_for(lambda: held == ["times", "trains"])
        later.release()


def test_a_drivers_file_is_small_and_plain(tmp_path: Path) -> None:
    with driver(tmp_path) as (made, _):
        made.enter({"jax": "1"}, {"mine.py": "abc"})
        content = json.loads((tmp_path / "drivers" / f"{made.name}.json").read_text())
    assert content["entered"] and content["place"]["pid"] == os.getpid()
    assert content["versions"] == {"jax": "1"} and content["schema"] == 1


def test_who_comes_while_another_tidies_up_is_not_refused(tmp_path: Path) -> None:
    """The first driver removes what dead ones left, and the file that another is just making."""
    ended = threading.Event()
    with driver(tmp_path) as (first, _):

        def tidy() -> None:
            while not ended.is_set():
                first.sweep_up(())

        tidier = threading.Thread(target=tidy)
        tidier.start()
        try:
            for _ in range(300):
                with driver(tmp_path) as (late, _):
                    assert late.name != first.name
        finally:
            ended.set()
            tidier.join()
