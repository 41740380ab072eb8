"""Pages of runs, and long tables: the scripts beside the page; nobody's words become markup."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradrace.errors import UserError
from gradrace.record import Curve
from gradrace.report import writer
from gradrace.report.content import SHOWN, Column, Table
from gradrace.report.content import TableCell as Cell
from gradrace.report.scripts import points
from gradrace.report.scripts.rows import rows_script
from gradrace.results import frame
from gradrace.spec import RunSpec
from gradrace.sweep.store import read_log
from records import make_curve, make_results, make_specs, make_task

OWNED = "document.title='owned'"
MARKUP = f'</script><script>{OWNED}</script> & <img src=x onerror="{OWNED}">'


def called(script: str, name: str) -> Any:
    """The argument of a script that is one call; parsed strictly, as JSON without NaN."""
    found = re.fullmatch(rf"gradrace\.{name}\((.*)\);\n", script, flags=re.S)
    assert found and script.isascii()
    return json.loads(found[1], parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def written(tmp_path: Path, **options: Any) -> tuple[frame.Frames, Path]:
    """Results with these options, and the folder of their report."""
    make_results(tmp_path / "results", "demo", **options)
    frames = frame.load(tmp_path / "results")
    return frames, writer.write(frames, tmp_path / "html").parent


def scripts(folder: Path) -> dict[str, Any]:
    """digest -> the argument of that run's script."""
    files = folder.glob("data/runs/demo/*.js")
    return {file.stem: called(file.read_text(), "run") for file in files}


def index(folder: Path) -> str:
    return (folder / "suite-demo.html").read_text(encoding="utf-8")


def alone(tmp_path: Path, task: Any = "mlp", schedules: Any = ("constant",), **options: Any) -> Any:
    """The script of the only run of a report."""
    specs = make_specs([task], ["jax"], ["adam"], [0], schedules=schedules, launches=0)
    (run,) = scripts(written(tmp_path, specs=specs, **options)[1]).values()
    return run


def long_curve(spec: RunSpec) -> Curve:
    """Steps that count up, the last one lost; of two evaluations the second has no metric."""
    train = np.arange(1000.0)
    train[-1] = np.inf
    return Curve(train, np.array([0, 1000]), np.array([2.0, 1.0]), np.array([0.5, np.nan]))


def test_every_run_has_a_script_that_its_digest_leads_to(tmp_path):
    ends = {1: ("skipped", "no such device")}
    frames, folder = written(tmp_path, judge=lambda spec: ends.get(spec.seed, ("ok", "")))
    found, html = scripts(folder), index(folder)
    assert set(found) == set(frames.records)
    for digest, run in found.items():
        record = frames.records[digest]
        assert f'href="run.html#demo/{digest}"' in html
        stated = (record.digest, record.status, record.reason)
        assert (run["digest"], run["status"], run["reason"]) == stated and digest == record.digest
        assert RunSpec.model_validate(run["spec"]) == record.spec
        facts = dict(run["facts"])
        assert facts["run"] == record.spec.id
        assert "Test Processor 3000" in facts["machine"]
        assert facts["versions"]
        measured = record.spec.measure if record.status == "ok" else ""
        assert bool(run["curves"]) == (measured == "convergence")
        assert ("step time" in facts) == (measured == "timing")


def test_long_curves_are_means_over_bins_and_count_values_that_are_not_finite(tmp_path):
    curves = alone(tmp_path, make_task("long", steps=1000), curve=long_curve)["curves"]
    train = curves["train_loss"]
    assert (train["bin"], train["lost"], train["first"]) == (3, 1, 999)
    assert len(train["values"]) == 334 <= points.POINTS
    assert train["values"][:2] == [1.0, 4.0] and train["values"][-1] is None
    assert train["steps"][:2] == [1.0, 4.0], "a bin stands at its middle"
    losses = {"bin": 1, "from": 0.0, "every": 1000.0, "values": [2.0, 1.0]}
    assert curves["validation_loss"] == losses
    assert curves["validation_metric"]["values"] == [0.5, None]
    assert curves["validation_metric"]["lost"] == 1
    assert curves["learning_rate"]["values"] == [0.001, 0.001], "that of the schedule, constant"


def test_a_schedule_is_drawn_as_planned(tmp_path):
    rates = alone(tmp_path, schedules=["cosine"])["curves"]["learning_rate"]["values"]
    assert len(rates) == 60
    assert rates[0] == 0.001
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 1e-4


def test_the_end_of_a_log_begins_with_a_whole_line(tmp_path):
    frames, _ = written(tmp_path, specs=make_specs(["mlp"], ["jax"], ["adam"], [0], launches=0))
    (digest,) = frames.records
    read = lambda size: read_log(tmp_path / "results", "demo", digest, size)
    assert read(20) == ""
    log = tmp_path / "results/runs/demo" / digest / "log.txt"
    log.write_bytes(b"first line\nsecond \xff line\nthird\n")
    assert read(20) == "third\n"
    assert read(25) == "second \ufffd line\nthird\n"
    assert read(500).startswith("first")


def table_of(count: int) -> Table:
    columns = [Column("Name"), Column("Size", "number")]
    rows = [
        [Cell(f"{MARKUP} {i}", runs="a b", flag="ok"), Cell(f"{i} µs", float(i), "note")]
        for i in range(count)
    ]
    return Table("demo-long", "Long", columns, rows, "data/demo/long.csv")


def test_a_long_table_has_its_rows_in_a_script():
    short, long = table_of(SHOWN), table_of(SHOWN + 1)
    assert short.script == "" and len(short.shown) == SHOWN
    assert long.script == "data/demo/demo-long.js" and len(long.shown) == SHOWN
    text = rows_script(long)
    assert text.startswith('gradrace.rows("demo-long", [[')
    rows = json.loads(text.removeprefix('gradrace.rows("demo-long", ').removesuffix(");\n"))
    assert len(rows) == SHOWN + 1 and text.isascii()
    assert rows[7] == [
        {"t": f"{MARKUP} 7", "r": "a b", "f": "ok"},
        {"t": "7 µs", "s": 7.0, "n": "note"},
    ]


def test_many_runs_stay_out_of_the_page(tmp_path):
    rates = [0.001 * 1.1**i for i in range(30)]
    specs = make_specs(["mlp"], ["torch", "jax"], ["adam"], range(4), rates=rates, launches=1)
    frames, folder = written(tmp_path, specs=specs)
    html = index(folder)
    assert len(frames.records) == 242 and html.count('href="run.html#') == SHOWN
    assert f"The first {SHOWN} of 242 rows" in html and 'data-rows="data/demo/demo-runs.js"' in html
    assert (folder / "data/demo/demo-runs.js").read_text().count("run.html#demo/") == 242


def test_metrics_that_are_not_numbers_break_nothing(tmp_path):
    def lost(spec: RunSpec) -> Curve:
        curve = make_curve(spec)
        nothing = np.full_like(curve.validation_metrics, np.nan)
        return Curve(curve.train_losses, curve.eval_steps, curve.validation_losses, nothing)

    specs = make_specs(["mlp"], ["torch", "jax"], ["adam"])
    frames, folder = written(tmp_path, specs=specs, curve=lost)
    assert frames.runs["best_validation_metric"].isna().all()
    assert 'id="demo-fig-mlp-convergence"' in index(folder)
    assert scripts(folder)


def test_suites_of_another_schema_are_refused_by_name_and_others_stand_as_parts(tmp_path):
    specs = make_specs(["mlp"], ["jax"], ["adam"], [0])
    make_results(tmp_path, "one", specs)
    shutil.copytree(tmp_path / "runs/one", tmp_path / "runs/two")
    plan = tmp_path / "runs/two/plan.json"
    plan.write_text(plan.read_text().replace('"one"', '"two"'))
    frames = frame.load(tmp_path)
    assert frames.runs["digest"].duplicated().any()
    assert not frames.curves.duplicated(["digest", "series", "step"]).any()
    folder = writer.write(frames, tmp_path / "html").parent
    for suite in ("one", "two"):
        assert f'id="{suite}"' in (folder / f"suite-{suite}.html").read_text(encoding="utf-8")
    one, two = (
        {file.stem: called(file.read_text(), "run")["curves"] for file in folder.glob(files)}
        for files in ("data/runs/one/*.js", "data/runs/two/*.js")
    )
    assert one == two, "a run in two suites has its curve once"
    file = next(tmp_path.glob("runs/two/*/run.json"))
    file.write_text(file.read_text().replace('"schema": 1', '"schema": 2', 1))
    with pytest.raises(UserError, match=f"{file}: schema 2 is newer"):
        frame.load(tmp_path)


NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
SWITCHES = "--headless --no-sandbox --disable-gpu --disable-background-networking --dump-dom"


@pytest.mark.skipif(CHROMIUM is None, reason="no browser here")
@pytest.mark.slow
def test_a_browser_draws_a_run_and_runs_nothing_that_it_says(tmp_path):
    specs = make_specs(["mlp"], ["jax"], ["adam"], [0], launches=0)
    make_results(tmp_path, "demo", specs, lambda spec: ("diverged", MARKUP), title=MARKUP)
    (file,) = tmp_path.glob("runs/demo/*/run.json")
    (file.parent / "log.txt").write_text(f"line one\n{MARKUP}\n")
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"artefacts": [*record["artefacts"], "log.txt"]}))
    page = writer.write(frame.load(tmp_path), tmp_path / "html").parent / "run.html"
    address = f"{page.as_uri()}#demo/{file.parent.name}"
    command = [str(CHROMIUM), *SWITCHES.split(), address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = done.stdout
    assert found.count('role="img"') == 3 and "<path" in found, "losses, metric, learning rate"
    assert f"<title>gradrace: {specs[0].id}</title>" in found and "owned'&lt;/script&gt;" in found
    assert "<img" not in found and "line one" in found and "not finite" in found
