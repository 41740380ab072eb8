"""The report: what its tables say; its page is whole, safe, self-contained and reproducible."""

from __future__ import annotations

import math
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import records
from gradrace.errors import UserError
from gradrace.layers import Dense
from gradrace.record import Curve
from gradrace.report import tables, text, timing_text, writer
from gradrace.report.draw import breakdown, convergence, looks
from gradrace.report.names import OF_REPORT, page_names
from gradrace.results import compare, frame
from gradrace.spec import RunSpec
from gradrace.statistics import step_times
from records import (
    MACHINE,
    MEAN_OF_P25,
    STEP_US,
    Verdict,
    make_results,
    make_specs,
    make_task,
    page_of,
    suite_pages,
)

MARKUP = "<script>alert('x')</script> & <b>bold</b>"
TIMED_OUT = "no answer within 60 s"


class Page(HTMLParser):
    """Every start tag with its attributes, and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, name: str) -> list[str]:
        """Values of an attribute over the page."""
        return [value for _, attributes in self.tags if (value := attributes.get(name)) is not None]


OK = ("ok", "")
SGD_ON_TORCH = [OK, ("diverged", "the loss became inf"), ("failed", "out of memory")]


def judge(spec: RunSpec) -> Verdict:
    """One of everything."""
    where, of = spec.framework, spec.optimizer.name
    if (spec.task.name, where) == ("cnn", "tensorflow"):
        return "skipped", MARKUP
    if (spec.measure, where, of) == ("convergence", "torch", "sgd"):
        return SGD_ON_TORCH[spec.seed]
    if (spec.measure, where, of, spec.seed) == ("convergence", "jax", "sgd", 2):
        return "timeout", TIMED_OUT
    timed = (spec.measure, where, of) == ("timing", "jax", "adam")
    return ("failed", "no timing here") if timed else OK


def judge_rate(spec: RunSpec) -> Verdict:
    lost = spec.measure == "convergence" and spec.schedule.base_lr == 1.0
    return ("diverged", "inf") if lost else OK


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    make_results(folder, "main", make_specs(), judge, title=f"Main {MARKUP}", unrun=2)
    rates = {"rates": (0.001, 1.0), "schedules": ("constant", "cosine")}
    swept = make_specs(["mlp"], ["torch", "jax"], ["sgd"], range(2), **rates)
    make_results(folder, "rates", swept, judge_rate, title="Rates")
    return folder


@pytest.fixture(scope="module")
def frames(output: Path) -> frame.Frames:
    return frame.load(output)


@pytest.fixture(scope="module")
def written(frames: frame.Frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return writer.write(frames, tmp_path_factory.mktemp("report") / "html")


@pytest.fixture(scope="module")
def html(written: Path) -> str:
    """The pages of both suites."""
    return suite_pages(written.parent)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture(
    params=["index.html", "suite-main.html", "suite-rates.html", "run.html", "compare.html"]
)
def each(written: Path, request: pytest.FixtureRequest) -> str:
    """Each page."""
    return (written.parent / request.param).read_text(encoding="utf-8")


def row(table: pd.DataFrame, **where: Any) -> dict[Any, Any]:
    """The one row with these values."""
    same = [table[column] == value for column, value in where.items()]
    found = table[np.logical_and.reduce(same)]
    assert len(found) == 1, where
    return dict(found.iloc[0])


# Tables


REACHED_AT = {0: 20, 1: 40, 2: None, 3: None, 4: None}


def made(output: Path, *arguments: Any, **options: Any) -> frame.Frames:
    """Frames of a suite `demo`; arguments are those of make_specs."""
    of_results = {name: options.pop(name) for name in ("curve", "fields") if name in options}
    make_results(output, "demo", make_specs(*arguments, **options), **of_results)
    return frame.load(output)


def known_curve(spec: RunSpec) -> Curve:
    """Losses 1, seed + .5, seed at steps 20, 40, 60; an accuracy of .9 from REACHED_AT[seed] on."""
    at = REACHED_AT[spec.seed]
    evaluated = np.array([20, 40, 60])
    metric = np.where(evaluated >= at, 0.9, 0.5) if at else np.full(3, 0.4 + 0.1 * spec.seed)
    losses = np.array([1.0, spec.seed + 0.5, float(spec.seed)])
    return Curve(np.arange(60, dtype=float), evaluated, losses, metric)


def known(output: Path, seeds: int, **options: Any) -> frame.Frames:
    task = make_task("known", steps=60, target=0.85).model_copy(update={"eval_every": 20})
    options["curve"] = known_curve
    return made(output, [task], ["jax"], ["adam"], range(seeds), **options)


def test_summary_of_three_seeds_by_hand(tmp_path):
    found = row(tables.summary(known(tmp_path, 3), "demo"), task="known")
    assert found["runs"] == found["ok"] == found["attempts"] == 3
    ends, best = (
        [found[f"{of}_validation_loss_{s}"] for s in ("mean", "min", "max")]
        for of in ("final", "best")
    )
    assert ends == [1.0, 0.0, 2.0] and best == pytest.approx([2 / 3, 0.0, 1.0])
    assert found["final_validation_metric_mean"] == pytest.approx((0.9 + 0.9 + 0.6) / 3)
    assert (found["reached"], found["steps_to_target"]) == (2, 40.0)
    assert tables.steps_text(found) == "40 (2 of 3)"
    assert found["step_p25_s"] == pytest.approx(STEP_US["jax"] * 1e-6)
    assert found["step_mean_s"] == pytest.approx(MEAN_OF_P25 * STEP_US["jax"] * 1e-6)
    # Steps add up by the mean, not by p25.
    assert found["seconds_to_target"] == pytest.approx(40 * found["step_mean_s"])


def changed(spec: RunSpec, change: dict[str, Any]) -> RunSpec:
    """The run with these fields; those of its task and of its optimizer are set there."""
    parts = {"task": spec.task, "optimizer": spec.optimizer}
    for key, value in change.items():
        homes = [name for name, part in parts.items() if key in type(part).model_fields]
        of = homes[0] if homes and key != "name" else None
        parts |= {of: parts[of].model_copy(update={key: value})} if of else {key: value}
    return spec.model_copy(update=parts)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "jit"}, "only jit, canonical"),
        ({"rule": "native", "hyper": {}}, "only scan, native"),
        ({"hyper": {"beta": 0.5}}, "only scan, canonical, beta=0.5"),
        ({"dtype": "float64"}, ""),
        ({"threads": 2}, ""),
        ({"batch_size": 32}, ""),
        ({"input": "pipeline"}, ""),
        ({"model": (Dense(units=3),)}, ""),
    ],
)
def test_a_step_time_stands_beside_its_own_setting_alone(tmp_path, change, said):
    specs = make_specs([make_task("known", steps=60, target=0.85)], ["jax"], ["adam"], [0])
    other = [changed(spec, change) if spec.measure == "timing" else spec for spec in specs]
    make_results(tmp_path, "demo", other)
    frames = frame.load(tmp_path)
    table = tables.summary(frames, "demo")
    found = row(table[table["runs"] > 0], attempts=1)
    figures_ = ("step_p25_s", "step_mean_s", "first_call_s", "seconds_to_target")
    assert np.isnan([found[name] for name in figures_]).all()
    assert (found["timed_mode"], found["timed_instead"]) == ("", said)
    native = change.get("rule") == "native"
    assert np.isnan(found["native_p25_s"]) == (not native), "native is a figure of its own"
    # A timed setting keeps a row if it stands nowhere else.
    assert len(table) == (1 if native else 2)
    assert tables.pace(frames, "demo").empty
    assert tables.attempts(frames, "demo")["seconds"].isna().all()
    # In the summary, beside the curves and with the target.
    assert page_of(frames, tmp_path).count(said) >= (3 if said else 0)


def test_each_of_several_timings_stands_beside_its_own_setting(tmp_path):
    specs = make_specs(["mlp"], ["jax"], ["adam"], [0])
    both = [changed(spec, {"hyper": {"beta": beta}}) for spec in specs for beta in (0.1, 0.2)]
    slow = make_specs(["mlp"], ["jax"], ["adam"], [], native=True)
    make_results(tmp_path, "demo", [*both, *slow])
    frames = frame.load(tmp_path)
    cost = {"beta=0.1": 1e-3, "beta=0.2": 3e-3, "": 7e-3}
    for name in ("step_p25_s", "step_mean_s"):
        frames.runs[name] = frames.runs["hyper"].map(cost).where(frames.runs["measure"] == "timing")
    found = tables.summary(frames, "demo").set_index("hyper")
    assert found["step_p25_s"].to_dict() == pytest.approx({"beta=0.1": 1e-3, "beta=0.2": 3e-3})
    assert found["native_p25_s"].tolist() == pytest.approx([7e-3, 7e-3])
    assert set(found["native_mode"]) == {"jit"}


def test_a_step_time_of_another_machine_is_named_only(tmp_path):
    other = {"machine": MACHINE.model_copy(update={"processor": "Another"})}
    fields = {"timing": other, "convergence": {}}
    frames = known(tmp_path, 1, fields=lambda spec: fields[spec.measure])
    found = row(tables.summary(frames, "demo"), task="known", schedule="constant")
    assert np.isnan(found["seconds_to_target"]) and "on Another, 2 cores" in found["timed_instead"]


def test_the_mean_step_counts_slow_blocks_by_their_steps():
    blocks = np.array([10, 10, 1]), np.array([10e9, 10e9, 5e9])
    time = step_times.step_time(*blocks)
    assert (time.p25, time.mean) == pytest.approx((1.0, 25 / 21))
    passed = blocks[1].sum() * 1e-9
    assert time.mean * blocks[0].sum() == pytest.approx(passed), "steps x mean is the time"


def test_median_on_a_run_that_missed_is_censored(tmp_path):
    found = row(tables.summary(known(tmp_path, 5), "demo"), task="known")
    assert found["steps_to_target"] == np.inf
    assert tables.steps_text(found) == "> 60 (2 of 5)"
    seconds = (found[name] for name in ("seconds_to_target", "reached", "budget_s"))
    assert text.seconds_to_target(*seconds) == "> 0.00651"


def test_no_run_reaching_the_target_is_said(tmp_path):
    hard = made(tmp_path, [make_task("hard", target=1.5)], ["jax"], ["adam"])
    found = row(tables.summary(hard, "demo"), task="hard")
    assert tables.steps_text(found) == "not reached (0 of 3)"


def test_diverged_and_timed_out_runs_tried_the_target_but_failed_ones_did_not(frames):
    found = row(tables.summary(frames, "main"), task="mlp", framework="torch", optimizer="sgd")
    assert (found["ok"], found["diverged"], found["failed"], found["attempts"]) == (1, 1, 1, 2)
    assert text.counts(found) == "1 ok, 1 diverged, 1 failed"
    slow = row(tables.summary(frames, "main"), task="mlp", framework="jax", optimizer="sgd")
    assert (slow["timeout"], slow["attempts"]) == (1, 3)


def test_skipped_cells_stay_in_the_summary(frames):
    summary = tables.summary(frames, "main")
    found = row(summary, task="cnn", framework="tensorflow", optimizer="adam")
    assert found["skipped"] == 3 and np.isnan(found["final_validation_loss_mean"])
    assert tables.steps_text(found) == text.MISSING


def test_a_cell_without_timing_has_no_seconds(frames):
    found = row(tables.summary(frames, "main"), task="mlp", framework="jax", optimizer="adam")
    assert np.isnan(found["step_p25_s"])
    assert np.isnan(found["seconds_to_target"])
    assert found["timed_mode"] == ""
    assert found["steps_to_target"] > 0


def test_timing_alone_still_makes_summary_rows(tmp_path):
    make_results(tmp_path, "demo", [s for s in make_specs(["mlp"]) if s.measure == "timing"])
    compact = tables.summary_compact(frame.load(tmp_path), "demo")
    assert len(compact) == 6 and set(compact["step µs p25"]) == {"100", "400", "500"}


def test_several_launches_are_one_cell_with_a_range(tmp_path):
    times = tables.step_times(made(tmp_path, ["mlp"], ["jax"], ["adam"], [], launches=3), "demo")
    found = row(times, task="mlp")
    assert found["launches"] == 3
    assert found["step_p25_min_s"] == found["step_p25_max_s"] == pytest.approx(1e-4)


def test_compact_summary_is_text_for_a_terminal(frames):
    compact = tables.summary_compact(frames, "main")
    found = row(compact, task="mlp", framework="torch (eager)", optimizer="adam")
    assert found["status"] == "3 ok"
    assert found["step µs p25"] == "400"
    assert found["best val acc"].endswith("%")
    assert len(compact) == len(tables.summary(frames, "main")) == 12
    assert "lr 0.001" in " ".join(tables.summary_compact(frames, "rates")["optimizer"])


def test_chosen_rate_is_the_one_with_the_most_ok_runs(frames):
    assert set(tables.chosen(frames, "rates")["learning_rate"]) == {0.001}


def test_bands_are_mean_and_range_over_ok_runs(tmp_path):
    loaded = known(tmp_path, 3)
    bands = tables.bands(tables.curves(loaded, tables.chosen(loaded, "demo")))
    last = row(bands, metric="validation_loss", step=60.0)
    assert (last["mean"], last["min"], last["max"], last["runs"]) == (1.0, 0.0, 2.0, 3)


def test_training_loss_is_averaged_in_bins(tmp_path):
    rising = lambda spec: Curve(np.arange(120.0), *np.ones((3, 1)))
    loaded = made(tmp_path, [make_task("long", steps=120)], ["jax"], ["adam"], [0], curve=rising)
    points = tables.curves(loaded, tables.chosen(loaded, "demo"))
    assert (points["step"].tolist()[:2], points["value"].tolist()[:2]) == ([1.0, 3.0], [0.5, 2.5])


def test_learning_rates_count_diverged_runs(frames):
    rates = tables.learning_rates(frames, "rates")
    assert row(rates, setup="jax (scan)", learning_rate=1.0, series="sgd · cosine")["diverged"] == 2
    assert tables.learning_rates(frames, "main").empty


def test_schedules_are_shown_if_any_is_not_constant(frames):
    assert set(tables.schedule_curves(frames, "rates")["schedule"]) == {"constant", "cosine"}
    assert tables.schedule_curves(frames, "main").empty


def test_not_ok_lists_every_such_run_with_its_reason(frames):
    lost = tables.not_ok(frames, "main")
    runs = frames.runs[frames.runs["suite"] == "main"]
    assert lost["runs"].sum() == (runs["status"] != "ok").sum()
    assert {MARKUP, TIMED_OUT, "out of memory"} <= set(lost["reason"])
    assert tables.missing(frames, "main") == 2


# The page


def test_everything_a_reader_wrote_is_escaped(html, page):
    escaped = "&lt;script&gt;alert('x')&lt;/script&gt;"
    assert "alert('x')" not in html.replace("&#39;", "'").replace(escaped, "")
    code = [tag for tag, attributes in page.tags if tag == "script" and "type" not in attributes]
    assert len(code) == 2 * 2 and "<b>" not in html
    assert any(MARKUP in words for words in page.words)


def test_a_page_refers_to_nothing_outside(each):
    page, own = Page(each), r"#.*|data/.*|run\.html#.*|index\.html|suite-[a-z]+\.html"
    for name in ("src", "href", "xlink:href", "action", "srcset", "data", "poster"):
        assert all(re.fullmatch(own, value) for value in page.all(name)), name
    code = re.sub(r"^\s*//.*$", "", each, flags=re.M).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]|@import|<!ENTITY|<metadata", code)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", each))


def test_ids_are_unique_and_every_reference_has_one(each):
    page = Page(each)
    ids = Counter(page.all("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    local = [value[1:] for value in page.all("href") if value.startswith("#")]
    local += re.findall(r"url\(#([^)]*)\)", each)
    assert set(local) <= set(ids)
    assert set(" ".join(page.all("aria-labelledby")).split()) <= set(ids)


def test_every_figure_has_title_and_description(page):
    images = [attributes for tag, attributes in page.tags if tag == "svg"]
    tags = Counter(tag for tag, _ in page.tags)
    assert len(images) > 10 and all(image["role"] == "img" for image in images)
    assert tags["desc"] == len(images) and tags["title"] == len(images) + 2
    assert "#010203" not in page.all("style")
    assert any("currentColor" in style for style in page.all("style"))


def test_every_csv_is_linked_and_readable(written, page):
    files = {str(file.relative_to(written.parent)) for file in written.parent.glob("data/*/*.csv")}
    assert files == {value for value in page.all("href") if value.startswith("data/")}
    for file in files:
        assert len(pd.read_csv(written.parent / file)) > 0, file
    kept = pd.read_csv(written.parent / "data/main/runs.csv")
    assert len(kept) == 46 and kept["digest"].str.fullmatch("[0-9a-f]{24}").all()


def test_every_record_is_in_the_appendix_and_numbers_lead_there(frames, page):
    words = set(page.words)
    assert set(frames.records) <= words
    linked = set(" ".join(page.all("data-runs")).split())
    assert set(frames.records) <= linked


def test_sections_warnings_and_counts_are_there(html):
    for name in ("compared", "summary", "convergence", "target", "step-time", "runs"):
        assert f'id="main-{name}"' in html and f'id="rates-{name}"' in html
    assert 'id="rates-learning-rates"' in html and 'id="main-learning-rates"' not in html
    assert "Only 3 seeds" in html and "2 not run yet" in html and "Test Processor 3000" in html
    assert "jax 0.10.2" in html and "made up" in html


ONE_CELL = (["mlp"], ["torch"], ["sgd"], [0])
PAGES = {"index.html", "run.html", "compare.html", "suite-demo.html"}


def test_writing_again_is_equal_to_the_byte(tmp_path):
    make_results(tmp_path, "demo", make_specs(["mlp"], ["torch"]))
    first, second = (writer.write(frame.load(tmp_path), tmp_path / name) for name in ("one", "two"))
    assert {page.name for page in first.parent.glob("*.html")} == PAGES
    for name in PAGES:
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes(), name


def test_an_earlier_report_is_replaced_whole(tmp_path):
    frames, folder = made(tmp_path, *ONE_CELL), tmp_path / "html"
    writer.write(frames, folder)
    (folder / "data" / "demo" / "stale.csv").write_text("old")
    page = (folder / "suite-demo.html").read_text()
    (folder / "suite-gone.html").write_text(page)
    others = {"suite-mine.html": "<title>Mine</title>", "verify.html": page, "notes.txt": "x"}
    for name, content in others.items():
        (folder / name).write_text(content)
    writer.write(frame.load(tmp_path), folder)
    assert not (folder / "data" / "demo" / "stale.csv").exists()
    assert {p.name for p in folder.iterdir()} == {"data", ".figures", *PAGES, *others}


def test_suites_alike_but_for_case_have_pages_of_their_own():
    names = page_names(["index", "Run", "run", "RUN", "quick"])
    assert len({name.casefold() for name in names.values()}) == 5
    assert names["index"] == "suite-index.html" and names["quick"] == "suite-quick.html"
    assert all(OF_REPORT.fullmatch(name) for name in names.values())


def test_a_data_folder_of_somebody_else_is_left_alone(tmp_path):
    frames = made(tmp_path, *ONE_CELL)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.csv").write_text("mine")
    with pytest.raises(UserError, match="not of an earlier report"):
        writer.write(frames, tmp_path)
    assert (tmp_path / "data" / "thesis.csv").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    frames = made(tmp_path, *ONE_CELL)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=re.escape(str(tmp_path / "file"))):
        writer.write(frames, tmp_path / "file" / "html")


def outcome(measure: str, status: str) -> Any:
    return lambda spec: ("ok", "") if spec.measure == measure else (status, "because")


@pytest.mark.parametrize(
    ("judge", "absent"),
    [
        (outcome("convergence", "skipped"), "demo-fig-mlp-step-time"),
        (outcome("timing", "failed"), "demo-fig-mlp-convergence"),
        (outcome("neither", "skipped"), "demo-fig-mlp-convergence"),
        (outcome("neither", "diverged"), "demo-fig-mlp-seconds"),
    ],
)
def test_the_rest_is_shown_if_a_part_is_missing(tmp_path, judge, absent):
    make_results(tmp_path, "demo", make_specs(*ONE_CELL), judge)
    html = page_of(frame.load(tmp_path), tmp_path)
    assert f'id="{absent}"' not in html and "because" in html and 'id="demo-runs"' in html


@pytest.mark.parametrize("measure", ["convergence", "timing"])
def test_a_suite_of_one_measure_only(tmp_path, measure):
    specs = [spec for spec in make_specs(*ONE_CELL) if spec.measure == measure]
    make_results(tmp_path, "demo", specs)
    html = page_of(frame.load(tmp_path), tmp_path)
    assert ('id="demo-fig-mlp-convergence"' in html) == (measure == "convergence")
    assert ('id="demo-step-time"' in html) == (measure == "timing")


def test_a_suite_without_any_record_beside_another(tmp_path):
    make_results(tmp_path, "demo", make_specs(*ONE_CELL))
    waiting = make_specs(["cnn"], ["torch"], ["sgd"], [0])
    make_results(tmp_path, "waiting", waiting, unrun=len(waiting))
    html = page_of(frame.load(tmp_path), tmp_path)
    assert "2 not run yet" in html and "None of this suite has a record yet" in html


# Figures


def test_an_optimizer_keeps_its_colour_and_variants_differ_by_dash():
    rows = [("adam", "adam", ""), ("sgd · step", "sgd", "step"), ("sgd", "sgd", "")]
    runs = pd.DataFrame(rows, columns=["series", "optimizer", "variant"])
    found = looks.series_looks(runs, ["sgd", "adam"])
    assert found["sgd"].color == found["sgd · step"].color != found["adam"].color
    assert found["sgd"].dash != found["sgd · step"].dash


def test_time_zero_is_left_off_a_logarithmic_axis():
    times = {"fast": [0.0, 0.1, 0.2], "slow": [0.0, 1.0, 2.0]}
    points = [(setup, i, at) for setup, of in times.items() for i, at in enumerate(of)]
    bands = pd.DataFrame(points, columns=["setup", "step", "seconds"])
    spread = dict.fromkeys(("mean", "min", "max"), 3 - bands["step"])
    bands = bands.assign(series="adam", runs=1, **spread)
    axes = convergence.over_time(bands, {}, looks.looks(["fast", "slow"])).axes[0]
    assert axes.get_xscale() == "log"
    assert min(line.get_xdata().min() for line in axes.lines) == 0.1


def test_palette_is_legible_on_light_and_dark():
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    for colour in looks.PALETTE:
        value = luminance(colour)
        assert 1.05 / (value + 0.05) >= 2.9
        assert (value + 0.05) / (luminance("#14171b") + 0.05) >= 3, colour


SHOWN = {0.01234: "0.0123", 1.5: "1.50", 1234.5: "1234", 0.0: "0", 1e-9: "1.00e-09", np.nan: "–"}


@pytest.mark.parametrize(("value", "expected"), SHOWN.items())
def test_significant(value, expected):
    assert text.significant(value) == expected


# Timed cells


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> frame.Frames:
    """Two frameworks at three batch sizes, jax in two modes: five launches, each 1% slower than the
    one before, with parts and memory; torch's smallest batch was timed in one launch alone."""
    folder = tmp_path_factory.mktemp("timed")
    tasks = [make_task("mlp", batch_size=size) for size in (16, 64, 256)]
    parts = {"launches": 5, "breakdown": True, "memory": True, "native": True}
    specs = [
        spec
        for spec in make_specs(tasks, ["torch", "jax"], ["adam"], [], **parts)
        if spec.framework == "jax" or spec.task.batch_size > 16 or spec.launch == 0
    ]
    specs += [spec.model_copy(update={"mode": "scan"}) for spec in specs if spec.framework == "jax"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "LAUNCH_FACTOR", 1.01)
        make_results(folder, "timed", specs)
    return frame.load(folder)


def test_a_cell_is_the_geometric_mean_of_its_launches_with_a_t_interval(timed):
    found = row(frame.timing_cells(timed), framework="torch", batch_size=64)
    assert found["launches"] == found["planned"] == 5 and found["status"] == "ok"
    middle = STEP_US["torch"] * 1e-6 * 1.01**2
    assert found["step_p25_s"] == pytest.approx(middle, rel=1e-6)
    margin = 2.7764451 * math.log(1.01) * math.sqrt(2.5) / math.sqrt(5)
    assert found["step_p25_s_high"] == pytest.approx(middle * math.exp(margin), rel=1e-6)
    assert found["samples_per_s"] == pytest.approx(64 / middle, rel=1e-6)
    assert found["samples_per_s_low"] == pytest.approx(64 / found["step_p25_s_high"])
    assert found["steps_per_s_high"] == pytest.approx(1 / found["step_p25_s_low"])
    parts = (found["forward_s"], found["optimizer_s"])
    assert parts == pytest.approx((0.3 * middle, 0.2 * middle), rel=1e-6)
    arithmetic = STEP_US["torch"] * 1e-6 * np.mean(1.01 ** np.arange(5))
    derived = (found["backward_s"], found["remainder_s"])
    assert derived == pytest.approx((0.45 * arithmetic, 0.05 * arithmetic), rel=1e-6)
    assert found["parts_covered"] == pytest.approx(0.95, rel=1e-6)
    assert (found["import_s"], found["grown_bytes"]) == (2.0, 20 * 2**20)
    assert found["memory_method"] == "made up"
    assert len(found["digests"].split()) == 6


def test_one_launch_has_a_figure_and_no_interval(timed):
    found = row(frame.timing_cells(timed), framework="torch", batch_size=16)
    assert found["step_p25_s"] == pytest.approx(STEP_US["torch"] * 1e-6)
    assert np.isnan(found["step_p25_s_low"]) and np.isnan(found["samples_per_s_high"])
    cells = frame.timing_cells(timed)
    assert any("1 cell with fewer than 3 launches" in note for note in timing_text.notes(cells))
    shown = dict(zip(timing_text.names(cells), timing_text.cells(cells), strict=True))
    assert shown["mlp torch-eager adam batch_size=16"]["p25 µs"] == "400"
    assert re.fullmatch(r"408 \[\d+, \d+\]", shown["mlp torch-eager adam batch_size=64"]["p25 µs"])
    assert shown["mlp torch-eager adam batch_size=64"]["peak MiB"] == "+20.0"
    assert len(timing_text.parts(cells)) == 9


SETUPS = {"jax (jit)", "jax (scan)", "torch (eager)"}


def test_samples_a_second_are_drawn_if_batch_sizes_vary(timed, frames):
    rates = tables.throughput(tables.step_times(timed, "timed"))
    assert set(rates["setup"]) == SETUPS
    assert all(sizes.tolist() == [16, 64, 256] for _, sizes in rates.groupby("setup")["batch_size"])
    assert set(rates["panel"]) == {"adam"}
    assert tables.throughput(tables.step_times(frames, "main")).empty


def test_modes_are_compared_if_a_framework_has_several(timed, frames):
    assert set(tables.by_mode(tables.step_times(timed, "timed"))["setup"]) == SETUPS
    assert tables.by_mode(tables.step_times(frames, "main")).empty


def test_the_bars_of_a_step_are_as_long_as_its_parts(timed):
    times = tables.step_times(timed, "timed").iloc[:1]
    (axis,) = breakdown.breakdown(times).axes
    widths = [bar.get_width() for bar in axis.patches]
    parts = ["forward_s", "backward_s", "optimizer_s", "remainder_s", "step_p25_s"]
    expected = times[parts].iloc[0] * 1e6
    assert widths == pytest.approx(expected.tolist()), "the remainder fills the rest of the step"
    assert axis.patches[3].get_x() == pytest.approx(expected.iloc[:3].sum())


def test_parts_that_take_longer_than_the_step_overlap_its_end(timed):
    times = tables.step_times(timed, "timed").iloc[:1]
    longer = {"optimizer_s": times["optimizer_s"] * 2, "remainder_s": -0.15 * times["step_p25_s"]}
    (axis,) = breakdown.breakdown(times.assign(**longer)).axes
    remainder, step = axis.patches[3], 1e6 * float(times["step_p25_s"].iloc[0])
    bar = (remainder.get_x(), remainder.get_width())
    assert bar == pytest.approx((step, 0.15 * step), rel=1e-3)
    assert remainder.get_hatch()


def test_the_page_of_a_timed_suite_has_its_sections(timed, tmp_path):
    html = page_of(timed, tmp_path)
    ids = Counter(Page(html).all("id"))
    assert max(ids.values()) == 1, ids.most_common(3)
    drawn = [f"fig-mlp-{name}" for name in ("throughput", "modes", "breakdown")]
    for name in ("step-time", "throughput", "breakdown", "costs", *drawn):
        assert f'id="timed-{name}"' in html, name
    assert "1 of 9 timed cells had fewer than 3 launches" in html and "made up" in html
    data = tmp_path / "html/data/timed"
    parts = pd.read_csv(data / "step-parts.csv")
    assert len(parts) == 9
    assert parts["parts_covered"].tolist() == pytest.approx([0.95] * 9, rel=1e-3)
    kept = pd.read_csv(data / "step-times.csv")
    assert {"step_p25_s_low", "samples_per_s", "state_bytes", "grown_bytes"} <= set(kept)


def test_a_suite_without_parts_or_memory_has_no_such_sections(html):
    assert 'id="main-breakdown"' not in html and 'id="main-throughput"' not in html


def test_blocks_of_an_earlier_version_are_blocks_of_steps(tmp_path):
    """They have neither parts nor stolen ticks."""
    make_results(tmp_path, "demo", make_specs(["mlp"], ["jax"], ["adam"], []))
    (file,) = tmp_path.glob("runs/demo/*/steps.parquet")
    pd.read_parquet(file).drop(columns=["part", "steal_ticks"]).to_parquet(file)
    found = frame.load(tmp_path)
    assert set(found.steps["part"]) == {"step"} and set(found.steps["steal_ticks"]) == {0}
    assert found.runs["step_p25_s"].tolist() == pytest.approx([1e-4])


def test_memory_is_compared_as_step_times_are(timed):
    found = compare.compare(timed, timed, 0.1).rows
    assert found["figure"].value_counts().to_dict() == {"step_p25_s": 9, "peak_bytes": 9}
    assert set(found["verdict"]) == {"same"}
