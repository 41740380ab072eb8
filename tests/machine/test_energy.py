"""Energy: made-up RAPL folders and NVML modules, and whatever can be wrong with either."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gradrace.adapters.numpy import ADAPTER
from gradrace.errors import UserError
from gradrace.executor import Job, PlannedRun, local
from gradrace.machine import energy
from gradrace.machine.energy import Meter, find
from gradrace.record import Energy, RunRecord
from gradrace.report import record_text, writer
from gradrace.results import frame
from gradrace.spec import RunSpec
from gradrace.sweep.store import read_records, suite_folder
from gradrace.worker.__main__ import Worker
from gradrace.worker.packed import unpacked
from records import make_results, make_specs, suite_pages
from waiting import wait_for

RANGE = 65_000_000_000


def domain(root: Path, name: str, title: str, value: Any, whole: Any = RANGE) -> Path:
    """A powercap domain."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{title}\n")
    (folder / "energy_uj").write_text(f"{value}\n")
    if whole is not None:
        (folder / "max_energy_range_uj").write_text(f"{whole}\n")
    return folder / "energy_uj"


class Card:
    """A fake pynvml: one value a reading of energy (mJ) and power (mW), the last for ever."""

    class NVMLError(Exception):
        pass

    def __init__(
        self, joules: Any = (0,), watts: Any = (0,), names: Any = ("H100",), others: int = 0
    ) -> None:
        self.names, self.others = names, others
        self.energy, self.power = self._values(joules), self._values(watts)
        self.asked: list[Any] = []

    def _values(self, given: Any) -> Iterator[Any]:
        yield from given
        while True:
            yield given[-1]

    def _next(self, values: Iterator[Any]) -> Any:
        value = next(values)
        if isinstance(value, Exception):
            raise value
        return value

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return len(self.names)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.asked.append(uuid)
        return uuid

    def nvmlDeviceGetName(self, handle: Any) -> Any:
        return self.names[handle] if isinstance(handle, int) else self.names[0]

    def nvmlDeviceGetComputeRunningProcesses(self, handle: Any) -> list[Any]:
        return [SimpleNamespace(pid=n) for n in range(1 + self.others)]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any) -> Any:
        self.asked.append(handle)
        return self._next(self.energy)

    def nvmlDeviceGetPowerUsage(self, handle: Any) -> Any:
        return self._next(self.power)


@pytest.fixture
def clock(monkeypatch) -> Any:
    """A clock that a test turns."""
    turned = SimpleNamespace(now=0.0)
    monkeypatch.setattr(time, "monotonic", lambda: turned.now)
    return turned


def found(device: Any, **options: Any) -> Any:
    counter = find(device, **options)
    assert not isinstance(counter, str), counter
    return counter


def with_card(monkeypatch, card: Card, **environment: str) -> Any:
    monkeypatch.setitem(sys.modules, "pynvml", card)
    return find("gpu", environment=environment)


# Name of the folder, name in it, first and last value; what counts of them.
DOMAINS = [
    ("intel-rapl:0", "package-0", 5_000_000, 7_500_000, 2.5),
    ("intel-rapl:1", "package-1", RANGE - 1_000_000, 500_000, 1.5),
    ("intel-rapl:0:0", "core", 0, 9_000_000, 0),
    ("intel-rapl:2", "psys", 0, 9_000_000, 0),
    ("intel-rapl-mmio:0", "package-0", 0, 9_000_000, 0),
]


def test_rapl_adds_up_packages_once_and_over_their_end(tmp_path, clock):
    files = [domain(tmp_path, *row[:3]) for row in DOMAINS]
    meter = Meter(found("cpu", powercap=tmp_path))
    clock.now = 1.0
    for file, row in zip(files, DOMAINS, strict=True):
        file.write_text(str(row[3]))
    read = meter.energy()
    assert read.joules == pytest.approx(sum(row[4] for row in DOMAINS))
    assert (read.source, read.reason) == ("RAPL package-0, package-1", "")
    clock.now = 2.0
    files[0].write_text("9000000")
    assert meter.energy() == read, "it has ended"


class Slowly:
    """A counter with the values of another, each of which a test sets and sees read."""

    def __init__(self, counter: Any, values: list[float]) -> None:
        self.source, self.joules = counter.source, counter.joules
        self.tick_s, self.every_s = 0.0, 0.001
        self.values, self.reads = values, 0

    def read(self) -> list[float]:
        self.reads += 1
        return [self.values[0]]

    def set(self, value: float) -> None:
        """Returns after a reading that began after the value was set."""
        self.values[0] = value
        seen = self.reads
        wait_for(lambda: self.reads > seen + 1)


def test_a_counter_that_starts_anew_often_is_read_in_between(tmp_path):
    domain(tmp_path, "intel-rapl:0", "package-0", 0, 100)
    counter = Slowly(found("cpu", powercap=tmp_path), [0.0])
    meter = Meter(counter)
    for turn in range(1, 11):
        # Whoever reads the first and the last value alone sees none of it.
        counter.set(60 * turn % 100)
    assert meter.energy().joules == pytest.approx(10 * 60e-6)
    wait_for(lambda: not any("_watch" in thread.name for thread in threading.enumerate()))


# What the file holds afterwards; whether its range is known; the reason.
BROKEN = [
    ("1000000", RANGE, "reset"),
    ("1000000", None, "reset"),
    ("900000000000000000", RANGE, "reset"),
    ("", RANGE, "no count"),
    ("nan", RANGE, "no count"),
    ("-1", RANGE, "no count"),
    ("a lot", RANGE, "no count"),
    (None, RANGE, "FileNotFoundError"),
]


@pytest.mark.parametrize(("after", "whole", "reason"), BROKEN)
def test_a_broken_rapl_counter_gives_a_reason_and_no_figure(tmp_path, clock, after, whole, reason):
    file = domain(tmp_path, "intel-rapl:0", "package-0", 20_000_000, whole)
    meter = Meter(found("cpu", powercap=tmp_path))
    clock.now = 1.0
    file.unlink() if after is None else file.write_text(after)
    read = meter.energy()
    assert read.joules is None and reason in read.reason


def test_rapl_that_is_not_there_or_not_ours_to_read(tmp_path, monkeypatch):
    assert "no RAPL" in str(find("cpu", powercap=tmp_path / "nowhere"))
    domain(tmp_path, "intel-rapl:0", "package-0", 1)

    def refuse(file: Path, *_: Any, **__: Any) -> str:
        if file.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(file))
        return "package-0"

    monkeypatch.setattr(Path, "read_text", refuse)
    assert "energy_uj: only root may read it" in str(find("cpu", powercap=tmp_path))


def test_the_energy_counter_of_a_card_is_shared_out_among_a_population(monkeypatch, clock):
    counter = with_card(monkeypatch, Card(joules=[0, 5_000, 105_000]))
    meter = Meter(counter, runs=50)
    clock.now = 2.0
    assert meter.energy() == Energy(joules=2.0, source="NVML energy counter of H100", runs=50)


def test_a_run_of_a_few_ticks_has_no_figure(monkeypatch, clock):
    meter = Meter(with_card(monkeypatch, Card(joules=[0, 0, 5_000])))
    clock.now = 0.9
    read = meter.energy()
    assert read.joules is None and read.reason.startswith("took less than 1 s")


def test_power_is_integrated_where_a_card_counts_no_energy(monkeypatch):
    old = Card(joules=[Card.NVMLError("Not Supported")], watts=[100_000, 100_000, 300_000])
    counter = with_card(monkeypatch, old)
    assert counter.source == "NVML power, ten times a second, of H100"
    assert counter.joules([100_000], [300_000], 2.0) == pytest.approx(400.0)
    slow, began = Slowly(counter, [0.0]), time.monotonic()
    meter = Meter(slow)
    slow.set(100_000)
    time.sleep(0.1)
    slow.set(0)
    joules, seconds = meter.energy().joules, time.monotonic() - began
    assert joules is not None and 5 <= joules <= 100 * seconds, "0 W at both ends"


# A card, its environment; what is found or the reason why nothing is.
CARDS: list[tuple[Any, dict[str, str], str]] = [
    (Card(joules=["none"]), {}, "no count"),
    (Card(joules=[float("nan")]), {}, "no count"),
    (Card(joules=[OSError("driver gone")]), {}, "driver gone"),
    (Card(names=()), {}, "IndexError"),
    (Card(), {"CUDA_VISIBLE_DEVICES": "7"}, "IndexError"),
    (Card(), {"CUDA_VISIBLE_DEVICES": "MIG-1"}, "MIG"),
    (Card(names=("A100", "H100")), {"CUDA_VISIBLE_DEVICES": "1"}, "several kinds"),
    (Card(names=("A100", "H100")), {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, "counter of A100"),
    (Card(names=(b"H100", b"H100")), {"CUDA_VISIBLE_DEVICES": "1"}, "counter of H100"),
    (Card(), {"CUDA_VISIBLE_DEVICES": "GPU-12,GPU-13"}, "counter of H100"),
]


@pytest.mark.parametrize(("card", "environment", "said"), CARDS)
def test_which_card_is_read(monkeypatch, card, environment, said):
    found = with_card(monkeypatch, card, **environment)
    assert said in (found if isinstance(found, str) else found.source)
    first = environment.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    if not isinstance(found, str):
        assert card.asked[-1] == (first if first.startswith("GPU") else int(first))


def test_without_the_library_or_the_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "gradrace[energy]" in str(find("gpu"))
    driverless = Card()
    driverless.nvmlInit = lambda: (_ for _ in ()).throw(Card.NVMLError("Driver Not Loaded"))
    assert with_card(monkeypatch, driverless) == "NVMLError: Driver Not Loaded"


# A card that answers when it is found, and later does not.
LATER = [
    (Card(joules=[9_000, 9_000, 1]), "reset"),
    (Card(joules=[1, 1, 10**15]), "reset"),
    (Card(joules=[1, 1, Card.NVMLError("GPU is lost")]), "GPU is lost"),
    (Card(joules=[1, 1, None]), "no count"),
    (Card(joules=[1, 1, 2], others=1), "other processes used H100"),
]


@pytest.mark.parametrize(("card", "reason"), LATER)
def test_a_card_that_fails_meanwhile_costs_no_run(monkeypatch, clock, card, reason):
    meter = Meter(with_card(monkeypatch, card))
    clock.now = 5.0
    read = meter.energy()
    assert read.joules is None and reason in read.reason


def test_runs_side_by_side_have_no_figure(tmp_path):
    assert "-j 1" in energy.meter("cpu", beside=True).energy().reason


@pytest.fixture
def records(tmp_path, monkeypatch, registry) -> Any:
    """What a worker of the NumPy reference makes of runs while a counter goes to a value."""
    file = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    counter = found("cpu", powercap=tmp_path)
    monkeypatch.setattr(counter, "tick_s", 0.0, raising=False)
    monkeypatch.setattr(energy, "counter", lambda device: counter)
    # Its own log and growth belong to a process of its own.
    monkeypatch.setattr("gradrace.worker.__main__.redirect_output", lambda log: None)
    monkeypatch.setattr("gradrace.worker.memory.private_bytes", lambda: 0)

    def recorded(*specs: RunSpec, value: str, lanes: int = 0, beside: bool = False) -> Any:
        file.write_text("0")
        out = io.BytesIO()
        worker = Worker(registry, ADAPTER, out, beside=beside)
        for name in ("_progress", "_chunk"):
            monkeypatch.setattr(worker, name, lambda *_: file.write_text(value))
        runs = [
            {"spec": spec.to_json(), "digest": f"{n:024}", "versions": {}, "sources": {}, "log": ""}
            for n, spec in enumerate(specs)
        ]
        worker.do(runs, lanes=lanes)
        said = json.loads(out.getvalue().splitlines()[-1])
        if not lanes:
            return RunRecord.model_validate(said["record"])
        planned = [SimpleNamespace(spec=s, digest=f"{n:024}") for n, s in enumerate(specs)]
        return [result.record for result in unpacked(said, planned)]

    return recorded


def test_a_worker_meters_its_runs_and_no_run_depends_on_it(records, make_run):
    spec = make_run()
    alone, beside = records(spec, value="70000"), records(spec, value="80000", beside=True)
    broken = records(spec, value="?")
    assert alone.energy.joules == pytest.approx(0.07)
    assert beside.energy.joules is None and "-j 1" in beside.energy.reason
    assert broken.energy.joules is None and "no count" in broken.energy.reason
    assert {r.status for r in (alone, beside, broken)} == {"ok"}
    assert alone.summary == beside.summary == broken.summary


def test_runs_of_a_population_share_its_energy(records, make_run):
    runs = [make_run(mode="population", lanes=4, seed=seed) for seed in range(3)]
    for record in records(*runs, value="90000", lanes=4):
        assert record.status == "ok" and record.lanes == 4
        assert record.energy.joules == pytest.approx(0.03) and record.energy.runs == 3


# Frameworks and devices of the jobs; whether one is timed; -j; whether a worker has company.
COMPANY = [
    (["numpy:cpu"], False, 2, True),
    (["numpy:cpu"], False, 1, False),
    (["numpy:cpu"], True, 2, False),
    (["jax:gpu"], False, 2, False),
    (["jax:gpu", "torch:gpu"], False, 2, True),
    (["jax:gpu", "torch:gpu"], False, 1, False),
    (["jax:gpu", "torch:cpu"], False, 2, False),
]


@pytest.mark.parametrize(("jobs", "alone", "workers", "company"), COMPANY)
def test_a_worker_knows_whether_others_may_use_its_device(
    tmp_path, monkeypatch, make_run, jobs, alone, workers, company
):
    """At its start: the driver has all jobs by then."""
    told = []

    def started(key: Any, slot: int, python: str, env: Any, hello: Any, *_: Any) -> Any:
        told.append(hello["beside"])
        raise OSError("enough")

    monkeypatch.setattr(local, "WorkerProcess", started)
    executor = local.LocalExecutor((), {}, 10.0, workers)
    for number, job in enumerate(jobs):
        framework, device = job.split(":")
        run = make_run(framework=framework, device=device)
        planned = PlannedRun(run, f"{number:024}", {}, {}, tmp_path / "log.txt")
        executor.submit(Job((planned,), alone=alone))
    with pytest.raises(UserError, match="enough"):
        list(executor.events())
    executor.close()
    assert told == [company]


def with_energy(output: Path, *given: Energy | None) -> frame.Frames:
    """Three runs with these."""
    make_results(output, specs=make_specs(["mlp"], ["jax"], ["adam"], launches=0))
    for record, each in zip(read_records(output, "demo"), given, strict=True):
        changed = record.model_copy(update={"energy": each})
        file = suite_folder(output, "demo") / record.digest / "run.json"
        file.write_text(json.dumps(changed.to_json()))
    return frame.load(output)


def test_frames_and_report_hold_the_figures_and_the_reasons(tmp_path):
    read = Energy(joules=6.0, source="RAPL package-0", runs=2)
    frames = with_energy(tmp_path, read, Energy(reason="no RAPL <here>"), None)
    assert frames.runs["joules"].tolist()[0] == 6.0
    assert frames.runs["joules_per_1000_steps"].tolist()[0] == pytest.approx(6000 / 60)
    assert frames.runs["joules"].isna().tolist() == [False, True, True]
    assert frames.runs["energy_source"].tolist() == ["RAPL package-0", "", ""]
    page = suite_pages(writer.write(frames, tmp_path / "html").parent)
    assert "Joules per 1000 steps" in page and "Energy, J" in page
    assert "RAPL package-0: 1 run" in page and "equal shares" in page
    assert "not known of 1 run: no RAPL &lt;here&gt;" in page
    told = [dict(record_text.described(record)).get("energy") for record in frames.records.values()]
    share = "6 J, 100 J per 1000 steps (RAPL package-0; an equal share of 2 runs)"
    assert told == [share, "unknown: no RAPL <here>", None]


def test_a_report_without_figures_has_no_column_for_them(tmp_path):
    frames = with_energy(tmp_path, Energy(reason="no RAPL"), Energy(reason="no RAPL"), None)
    page = suite_pages(writer.write(frames, tmp_path / "html").parent)
    assert "Joules" not in page and "Energy, J" not in page
    assert page.count("not known of 2 runs: no RAPL") == 1
