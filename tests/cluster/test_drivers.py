"""Several drivers at once in one folder of results, as real processes: each run is done once."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from functools import partial
from itertools import combinations, product

import drivers
import pytest
from drivers import begun, check_done_once, end, start, together, until_begun
from gradrace.errors import UserError
from gradrace.results import frame
from gradrace.sweep.store import read_plan, read_records
from waiting import wait_for

RUNS = 48
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no driver runs there")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A folder with the suite, and with its results by one driver that nobody disturbed: calm."""
    folder = drivers.make_suite(tmp_path_factory.mktemp("suite"), RUNS)
    drivers.all_end([start(folder, folder / "calm")])
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_four_drivers_share_out_the_runs(suite, out):
    drivers.all_end(together(suite, out, [[]] * 4))
    check_done_once(out, RUNS)
    drivers.check_equal(out, suite / "calm")
    done = Counter(record.driver for record in read_records(out, "many"))
    assert len(done) == 4 and len({driver for driver, _ in begun(out)}) == 4
    assert not drivers.left_over(out)


def test_shards_at_the_same_time_are_one_report(suite, out):
    shards = [["--shard", f"{part}/3"] for part in (1, 2, 3)]
    drivers.all_end(together(suite, out, shards))
    check_done_once(out, RUNS)
    drivers.check_equal(out, suite / "calm")
    of = {rate: driver for driver, rate in begun(out)}
    assert {len({of[rate] for rate in sorted(of)[part::3]}) for part in range(3)} == {1}
    command = [sys.executable, "-m", "gradrace", "report", "-o", str(out)]
    assert subprocess.run(command, capture_output=True).returncode == 0
    pages = {page.stem for page in (out / "html/data/runs/many").glob("*.js")}
    assert pages == set(read_plan(out, "many").digests)


def test_what_two_killed_drivers_leave_the_others_do(suite, out):
    chance = random.Random(0)
    started = together(suite, out, [[]] * 4, PAUSE="0.02")
    victims = chance.sample(started, 2)
    for victim, runs in zip(victims, (6, 20), strict=True):
        until_begun(out, chance.randint(runs, runs + 12))
        victim.kill()
    ends = [end(driver) for driver in started]
    assert sorted(code for code, _ in ends) == [-9, -9, 0, 0], ends
    check_after_kills(suite, out, victims)


def test_one_more_run_ends_what_only_killed_drivers_began(suite, out):
    started = together(suite, out, [[], []], PAUSE="0.05")
    until_begun(out, 8, by=2)
    for driver in started:
        driver.kill()
    assert [end(driver)[0] for driver in started] == [-9, -9]
    assert 0 < len(begun(out)) < RUNS
    drivers.all_end(together(suite, out, [[]]))
    check_after_kills(suite, out, started)


def check_after_kills(suite, out, killed):
    """The next driver that comes alone has nothing to do, and removes the files of dead ones."""
    check_done_once(out, RUNS, [driver.pid for driver in killed])
    drivers.check_equal(out, suite / "calm")
    before = len(begun(out))
    drivers.all_end([start(suite, out, env={"RUNS": str(drivers.runs_file(out))})])
    assert len(begun(out)) == before and not drivers.left_over(out)


def test_a_driver_that_sleeps_past_its_lease_does_no_damage(suite, out):
    sleeper, other = together(suite, out, [[], []], PAUSE="0.02", GRADRACE_LEASE_S="3")
    drivers.until_written(out, by=2)
    sleeper.send_signal(signal.SIGSTOP)
    drivers.all_end([other])
    drivers.check_equal(out, suite / "calm")
    before = {file: file.read_bytes() for file in out.rglob("*.json") if file.is_file()}
    sleeper.send_signal(signal.SIGCONT)
    code, said = end(sleeper)
    assert code == 0 and f"{RUNS} ok" in said, said
    drivers.check_equal(out, suite / "calm")
    for file in out.rglob("run.json"):
        assert file.read_bytes() == before[file], "a run that another driver did is not replaced"


def test_another_plug_in_file_of_that_name_is_refused_while_a_driver_is_at_work(
    suite, out, tmp_path
):
    (first,) = together(suite, out, [[]], PAUSE="0.05")
    until_begun(out, 1)
    other = drivers.make_suite(tmp_path, RUNS)
    with (other / "counted.py").open("a") as file:
        file.write("# another\n")
    code, said = end(start(other, out))
    assert code == 2 and "Traceback" not in said
    assert f"process {first.pid}" in said and "the file of counted is another one there" in said
    drivers.all_end([first])
    check_done_once(out, RUNS)
    drivers.check_equal(out, suite / "calm")


def test_reading_never_fails_and_never_finds_half_a_run(suite, out, monkeypatch):
    started = together(suite, out, [[], []], PAUSE="0.02")
    wait_for(lambda: list(out.glob("runs/many/*/run.json")), seconds=120)
    command = [sys.executable, "-m", "gradrace"]
    digest = next(out.glob("runs/many/*/run.json")).parent.name
    questions = [
        ["show", digest, "-o", str(out)],
        ["export", "csv", "-o", str(out)],
        ["compare", str(suite / "calm"), str(out)],
        ["report", "-o", str(out)],
    ]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    asked = [subprocess.Popen([*command, *question], **streams) for question in questions]
    reads, most = 0, 0
    while any(driver.poll() is None for driver in started):
        found = frame.load(out)
        assert set(found.runs["status"]) == {"ok"} and set(found.runs["steps_done"]) == {
            drivers.STEPS
        }
        assert set(found.curves["digest"]) == set(found.runs["digest"])
        assert len(found.runs) >= most, "a run that was there is gone"
        reads, most = reads + 1, len(found.runs)
    drivers.all_end(started)
    ends = [end(question) for question in asked]
    assert [code for code, _ in ends] == [0] * 4, ends
    assert reads > 1
    drivers.check_equal(out, suite / "calm")


FULL = (1000, 1000)


def test_a_full_disk_ends_one_driver_and_not_the_others(suite, out):
    """The system refuses files of more than 1000 bytes to one that comes, and one at work."""
    one, other = together(suite, out, [[], []], PAUSE="0.05", GRADRACE_LEASE_S="3600")
    drivers.until_written(out, by=2)
    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, FULL)
    late = start(suite, out, before=full)
    resource.prlimit(one.pid, resource.RLIMIT_FSIZE, FULL)
    for driver in (late, one):
        code, said = end(driver)
        assert code == 2 and "Traceback" not in said
        assert f"{out}" in said and "cannot be written: " in said and "File too large" in said
    drivers.all_end([other])
    check_done_once(out, RUNS, [one.pid])
    drivers.check_equal(out, suite / "calm")
    assert not drivers.left_over(out)


def test_a_folder_that_cannot_be_written_is_named(suite, out):
    folder = out / "runs" / "many"
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    # root may write everywhere, unless it gives that up.
    caps = "-dac_override,-dac_read_search,-fowner"
    humble = ["setpriv", "--bounding-set", caps] if os.geteuid() == 0 else []
    command = [*humble, *drivers.command(suite, out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f"{folder}" in done.stderr and "cannot be written: Permission denied" in done.stderr
    folder.chmod(0o755)
    assert not list(folder.iterdir())


DIES = """
import os, sys
from gradrace.cli import main
from gradrace.sweep import population
def die(*of): os.kill(os.getpid(), 9)
population.{what} = die
main()
"""


@pytest.mark.parametrize("what", ["write_parquet", "replace_text"])
def test_a_driver_that_is_killed_while_it_writes_a_population(suite, out, what):
    lanes = ["--population", "6"]
    calm = out.with_name("calm")
    drivers.all_end([start(suite, calm, *lanes)])
    victim = [
        sys.executable,
        "-c",
        DIES.format(what=what),
        *drivers.command(suite, out, *lanes)[3:],
    ]
    assert subprocess.run(victim, capture_output=True).returncode == -9
    unfinished = [each for each in (out / "runs/many").glob("population-*") if each.is_dir()]
    assert unfinished and not any((each / "records.json").exists() for each in unfinished)
    # They end it at once, and a third, while they are at work, dies as the first one did.
    started = together(suite, out, [lanes, lanes], PAUSE="0.05")
    until_begun(out, 2, by=2)
    assert subprocess.run(victim, capture_output=True).returncode == -9
    drivers.all_end(started)
    drivers.check_equal(out, calm)
    drivers.all_end([start(suite, out, *lanes)])
    drivers.check_equal(out, calm)
    whole = (out / "runs/many").glob("population-*")
    assert all((each / "records.json").exists() for each in whole)
    assert not drivers.left_over(out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "a scheduler"])
def test_an_interrupted_drivers_claims_are_free_at_once(suite, out, number):
    # The lease is long: only what is given up can be taken.
    one, other = together(suite, out, [[], []], PAUSE="0.05", GRADRACE_LEASE_S="3600")
    until_begun(out, 8, by=2)
    one.send_signal(number)
    code, said = end(one)
    assert code == 130 and "finished runs are kept" in said
    folder = out / "runs/many"
    # Not of the other one: it is named in its claims.
    mine = [
        file
        for file in folder.glob("claims/*")
        if file.exists() and f"-{one.pid}-" in file.read_text()
    ]
    assert not mine and not list(folder.glob(f"drivers/*-{one.pid}-*"))
    drivers.all_end([other])
    check_done_once(out, RUNS, [one.pid])
    drivers.check_equal(out, suite / "calm")


def spans(output):
    """Of every record: whether it is timed, its driver, begin and end in seconds."""
    records = read_records(output, "many")
    timed = Counter((r.driver, r.spec.launch) for r in records if r.spec.measure == "timing")
    for record in records:
        begin, took = datetime.fromisoformat(record.started_at).timestamp(), record.wall_s
        is_timed = record.spec.measure == "timing"
        if is_timed:
            # Cells of a launch have equal shares of their process's time, import included.
            took = took * timed[record.driver, record.spec.launch] - record.import_s
        yield is_timed, record.driver, begin, begin + took


@pytest.mark.parametrize("options", [[[], []], [["--shard", "1/2"], ["--shard", "2/2"]]])
def test_nobody_trains_on_this_machine_while_another_times(tmp_path, out, options):
    timing = {"rule": "canonical", "launches": 4, "warmup_steps": 2, "blocks": 4, "block_steps": 3}
    suite = drivers.make_suite(tmp_path, 8, timing=timing, optimizers=["sgd", "counted"], seeds=8)
    drivers.all_end([start(suite, out, *each, env={"PAUSE": "0.01"}) for each in options])
    found = list(spans(out))
    timed = [each for each in found if each[0]]
    assert len(timed) == 8 and len(found) == 24
    assert len({driver for _, driver, *_ in found}) == 2
    for one, other in product(timed, found):
        if one[1] != other[1]:
            # In the whole of it, and a millisecond for the rounding of the record.
            assert one[3] <= other[2] + 0.002 or other[3] <= one[2] + 0.002, (one, other)
    assert any(a[1] != b[1] for a, b in combinations(found, 2))


def garbage(suite_folder):
    """Leftovers of a crash, another version or a stranger in the folders of drivers."""
    names = {folder: suite_folder / folder for folder in ("claims", "drivers")}
    for folder in names.values():
        folder.mkdir(parents=True)
        (folder / "empty").write_text("")
        (folder / "folder").mkdir()
        (folder / "folder" / "file").write_text("x")
        (folder / "link").symlink_to("/etc/hostname")
        os.mkfifo(folder / "pipe")
    future = time.time() + 1e6
    for name, text in {
        "host-1-0000000a.json": '{"schema": 1, "place": {"ho',
        "host-2-0000000b.json": "[]",
        "host-3-0000000c.json": '{"schema": 99}',
        "host-4-0000000d.json": "[" * 100_000,
        "../host-5-0000000e.json": "{}",
    }.items():
        (names["drivers"] / name).write_text(text)
        os.utime(names["drivers"] / name, (future, future))
    (names["drivers"] / "host-6-0000000f.json").mkdir()
    (names["drivers"] / "host-7-00000010.json").symlink_to("/etc/hostname")
    return names


def test_garbage_among_claims_and_drivers_stops_nobody(suite, out):
    folders = garbage(out / "runs" / "many")
    digests = [*read_plan(suite / "calm", "many").digests]
    dead = ["host-1-0000000a", "../../x", "\0", "é" * 100, "", "host-6-0000000f"]
    for number, digest in enumerate(digests[:24]):
        file = folders["claims"] / f"{digest}.{number}"
        file.write_text(dead[number % len(dead)])
        os.utime(file, (0, 0))
    (folders["claims"] / f"{digests[24]}.999999").write_text("host-1-0000000a")
    (folders["claims"] / f"{digests[25]}.3").symlink_to("/etc/hostname")
    (folders["claims"] / f"{digests[26]}.3").mkdir()
    (folders["claims"] / "enter.4").write_text("host-1-0000000a")
    drivers.all_end(together(suite, out, [[], []]))
    check_done_once(out, RUNS)
    drivers.check_equal(out, suite / "calm")


def test_a_hundred_thousand_stale_claims_cost_seconds(suite, out):
    claims = out / "runs" / "many" / "claims"
    claims.mkdir(parents=True)
    for number in range(100_000):
        os.close(os.open(claims / f"{number:024x}.0", os.O_CREAT | os.O_WRONLY))
    drivers.all_end(together(suite, out, [[]]))
    check_done_once(out, RUNS)
    assert not drivers.left_over(out)


def test_a_folder_that_goes_away_is_told(suite, out):
    (driver,) = together(suite, out, [[]], PAUSE="0.05")
    until_begun(out, 2)
    # In one step: the driver writes into it, so that it could not be emptied.
    out.rename(out.with_name("elsewhere"))
    code, said = end(driver)
    assert code in (2, 3) and "internal error" not in said and str(out) in said, said


def test_readers_of_a_folder_that_nobody_has_written_yet_say_so(out):
    with pytest.raises(UserError, match="no results there"):
        frame.load(out)
