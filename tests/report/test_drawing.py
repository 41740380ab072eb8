"""Figures are drawn together, the same by one process or several, and only if they are not kept."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial

import pandas as pd
import psutil
import pytest
from gradrace.report import drawing
from gradrace.report.draw.lazy import Drawn, Lazy
from gradrace.report.draw.looks import looks
from gradrace.report.drawing import Sketch
from gradrace.report.kept import Kept, is_drawing
from gradrace.results import frame
from records import make_results, make_specs

times = Lazy("times")
TABLE = pd.DataFrame(
    {"setup": ["a", "b"], "series": ["sgd", "sgd"], "first_call_s": [0.25, 0.5], "digests": "ab"}
)


def sketch(name="first", table=TABLE, title="First step", draw=times.first_calls):
    return Sketch(partial(draw, table, looks(table["setup"])), name, title, "Two dots.")


def drawn(sketches, kept=None, cores=1):
    drawing.draw(sketches, kept, cores)
    return [sketch.svg for sketch in sketches]


def many():
    """So many that two helpers pay. One of them cannot be told to another process."""
    found = [sketch(f"f{i}", TABLE.assign(first_call_s=[0.1 * i, 0.5])) for i in range(1, 13)]
    found[4].draw = lambda draw=found[4].draw: draw()
    return found


def test_helpers_draw_the_same_to_the_byte_and_are_gone_afterwards():
    before = psutil.Process().children()
    alone, together = drawn(many(), cores=1), drawn(many(), cores=3)
    assert alone == together and len(set(alone)) == 12
    assert all(svg.startswith("<svg ") for svg in alone)
    assert psutil.Process().children() == before


def test_the_figures_of_helpers_that_die_are_drawn_here(monkeypatch):
    expected = drawn(many())
    monkeypatch.setattr(drawing.sys, "executable", "/bin/false")
    assert drawn(many(), cores=3) == expected


@pytest.mark.parametrize("cores", [1, 3])
def test_a_figure_that_cannot_be_drawn_is_named(cores):
    sketches = many()
    sketches[0] = sketch("lost", TABLE.drop(columns="first_call_s"))
    # A browser of other tests may be there.
    before = psutil.Process().children()
    with pytest.raises(RuntimeError, match="the figure lost cannot be drawn"):
        drawn(sketches, cores=cores)
    assert psutil.Process().children() == before


def test_in_a_page_it_is_drawn_when_it_is_wanted():
    wanted = sketch()
    assert wanted.svg == "" and str(wanted) == wanted.svg == wanted.__html__() != ""


# What is kept


@pytest.fixture
def kept(tmp_path):
    """The folder of one figure that was kept, beside a file of somebody else."""
    folder = tmp_path / ".figures"
    folder.mkdir()
    (folder / "notes.svg").write_text("mine")
    first = Kept(folder)
    drawn([sketch()], first)
    first.save()
    return folder


def files(folder):
    return {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}


def test_a_kept_figure_is_not_drawn(kept):
    (file,) = set(kept.iterdir()) - {kept / "notes.svg"}
    text = file.read_text().replace("Two dots", "Kept dots")
    file.write_text(text)
    before = files(kept)
    again = Kept(kept)
    assert drawn([sketch()], again) == [text]
    again.save()
    assert files(kept) == before


CHANGED = {
    "name": lambda: sketch("other"),
    "title": lambda: sketch(title="Other"),
    "number": lambda: sketch(table=TABLE.assign(first_call_s=[0.25, 0.5000001])),
    "text": lambda: sketch(table=TABLE.assign(series=["sgd", "adam"])),
    "order": lambda: sketch(table=TABLE[::-1]),
    "function": lambda: sketch(
        draw=times.step_times,
        table=TABLE.assign(step_p25_s=1.0, step_median_s=2.0, step_p99_s=3.0, contended=0),
    ),
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_another_figure_is_drawn_and_replaces_what_is_not_used_any_more(kept, change):
    before, again = files(kept).keys(), Kept(kept)
    drawn([change()], again)
    again.save()
    now = files(kept).keys()
    assert len(now) == 2 and now & before == {"notes.svg"}


def test_what_draws_is_part_of_the_key(kept, monkeypatch):
    monkeypatch.setattr("gradrace.report.kept._source", lambda: "other")
    assert Kept(kept).find(Kept(kept).key(sketch().parts)) == ""


def test_a_function_of_somewhere_else_is_not_kept(tmp_path):
    key = Kept(tmp_path).key
    assert key([Drawn("os", "getcwd")]) == key([lambda: 0]) == "" != key([times.first_calls])


def test_a_link_in_place_of_the_folder_is_left_alone(kept, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(kept)
    through = Kept(link)
    assert through.find(through.key(sketch().parts)) == ""
    drawn([sketch("other")], through)
    through.save()
    assert len(files(kept)) == 2


HARMLESS = '<svg role="img"><style type="text/css">*{fill: red}</style><a href="run.html#s/d">x</a>'
ARMED = {
    "script": "<script>alert(1)</script>",
    "script by a second type": '<script type="module" type="application/json">1</script>',
    "script by a type in capitals": '<script TYPE="module" type="application/json">1</script>',
    "handler": '<g onclick="alert(1)"></g>',
    "link": '<a href="javascript:alert(1)">x</a>',
    "link in entities": '<a href="&#106;avascript:alert(1)">x</a>',
    "image": '<image href="https://example.org/x.png"/>',
    "style": '<g style="fill: url(https://example.org/)"></g>',
    "style in entities": '<g style="fill: url&#40;//example.org/)"></g>',
    "style in escapes": "<style>*{fill: u\\72l(//example.org/)}</style>",
    "import": "<style>@import '//example.org/';</style>",
    "foreign element": "<foreignObject></foreignObject>",
    "comment": "<desc><style><!-- </style><script>alert(1)</script> --></style></desc>",
    "half a tag": "<script x='",
}


@pytest.mark.parametrize("markup", ARMED.values(), ids=ARMED)
def test_a_kept_file_with_more_than_a_drawing_is_not_taken(markup):
    assert is_drawing(f"{HARMLESS}</svg>")
    assert not is_drawing(f"{HARMLESS}{markup}</svg>")


# The whole report

RERUN = """
import sys
from pathlib import Path
from gradrace.report import writer
from gradrace.results import frame
writer.write(frame.load("results"), Path("results/html"))
print([name for name in ("matplotlib", "seaborn", "sklearn", "scipy.stats") if name in sys.modules])
"""


def test_a_report_whose_figures_are_kept_draws_nothing(tmp_path):
    from gradrace.report import writer

    output = tmp_path / "results"
    make_results(output, specs=make_specs(("mlp",), ("torch", "jax"), breakdown=True))
    page = writer.write(frame.load(output), output / "html").parent
    text = (page / "suite-demo.html").read_text()
    figures = len(re.findall("<svg role", text))
    # The answer's picture is drawn twice: small, for the index.
    assert figures > 8 and len(files(page / ".figures")) == figures + 1
    done = subprocess.run(
        [sys.executable, "-c", RERUN], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n", done.stdout
    assert (page / "suite-demo.html").read_text() == text
