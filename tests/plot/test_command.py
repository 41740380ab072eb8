"""`gradrace plot`: files for papers."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pandas as pd
import pytest
from gradrace.cli import app
from gradrace.commands.plot import FIGURES, NAMES, TABLE, TABLES
from gradrace.plot import latex
from records import make_results, make_specs
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("results")
    make_results(output, "demo", make_specs(["mlp_a", "cnn"], ["jax"], seeds=range(2)))
    make_results(output, "other", make_specs(["mlp_a"], ["jax"], seeds=range(1)))
    return output


def plot(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    found = CliRunner().invoke(app, ["plot", *map(str, arguments)])
    return found.exit_code, found.stdout, found.stderr


@pytest.mark.parametrize("suffix", FIGURES)
def test_the_issue_s_line_and_the_same_file_twice(results, tmp_path, suffix):
    where = ("--suite", "demo", "--task", "mlp_a", "--results", results, "--width", "one")
    files = [tmp_path / f"{name}{suffix}" for name in ("one", "two")]
    for file in files:
        code, said, caption = plot("convergence", *where, "-o", file)
        assert (code, said.strip()) == (0, str(file))
        assert caption.startswith("mlp_a: ")
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_pdf_has_its_width_its_fonts_and_a_title(results, tmp_path):
    file = tmp_path / "new" / "fig.PDF"
    more = ("--suite", "other", "--results", results, "--width", "two", "-o", file)
    assert plot("time_to_target", *more)[0] == 0
    data = file.read_bytes()
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", data)
    assert box and float(box[1]) == pytest.approx(7.2 * 72)
    assert b"/TrueType" in data or b"/CIDFontType2" in data
    assert b"/Type3" not in data and b"mlp_a: time to target" in data
    assert b"CreationDate" not in data


def test_an_svg_needs_no_font(results, tmp_path):
    file = tmp_path / "fig.svg"
    assert plot("step_times", "--suite", "other", "--results", results, "-o", file)[0] == 0
    assert "<text" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", TABLES)
def test_the_summary_as_a_table(results, tmp_path, suffix):
    file = tmp_path / f"table{suffix}"
    assert plot(TABLE, "--suite", "demo", "--results", results, "-o", file)[0] == 0
    text = file.read_text(encoding="utf-8")
    assert len(re.findall("adam", text)) == 2
    assert ("mlp\\_a" in text) == (suffix == ".tex")
    assert ("\\toprule" in text) == (suffix == ".tex")


def test_texts_are_escaped_for_latex():
    table = pd.DataFrame({"a_b": ["50% & $5", "x^2~\\y"], "µs": ["1.5", "> 20"]})
    lines = latex.latex(table).splitlines()
    assert lines[1] == r"\begin{tabular}{lr}"
    assert lines[3] == r"a\_b & \textmu{}s \\"
    assert lines[5] == r"50\% \& \$5 & 1.5 \\"
    assert (
        lines[7] == r"x\textasciicircum{}2\textasciitilde{}\textbackslash{}y & \textgreater{} 20 \\"
    )
    assert latex.escaped("#{}[1]\n<b>|") == r"\#\{\}{[}1{]} \textless{}b\textgreater{}\textbar{}"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("convergance", "-o", "fig.pdf"), "nothing is called 'convergance' (did you mean 'conv"),
        (("convergence", "-o", "fig.gif"), "expected a file that ends in .pdf, .svg, .png"),
        (("table", "-o", "fig.pdf"), "expected a file that ends in .tex, .csv, .md"),
        (("convergence", "-o", "fig.pdf"), "2 suites; say suite= one of demo, other"),
        (("convergence", "abc", "-o", "fig.pdf"), "only compare takes runs"),
        (("schedules", "--suite", "demo", "--metric", "x", "-o", "f.pdf"), "has no such choice"),
        (
            ("performance_profile", "--suite", "demo", "--task", "cnn", "-o", "f.pdf"),
            "no such choice",
        ),
        (("convergence", "--suite", "demo", "-o", "fig.pdf"), "2 figures would do"),
        (
            ("step_times", "--suite", "other", "--width", "wide", "-o", "f.pdf"),
            "expected one or two",
        ),
        (
            ("step_times", "--suite", "demo", "--optimizer", "adm", "-o", "f.pdf"),
            "did you mean 'adam'",
        ),
    ],
)
def test_a_mistake_is_one_line(results, arguments, said):
    code, _, error = plot(*arguments, "--results", results)
    assert code in (2, 5) and said in " ".join(error.split())


def test_every_name_is_a_plot_and_every_plot_has_a_name():
    import gradrace

    assert set(gradrace.plot.__all__) == set(NAMES) < set(dir(gradrace.plot))
    assert all(inspect.isfunction(getattr(gradrace.plot, name)) for name in NAMES)


def test_runs_by_their_digests(results, tmp_path):
    from gradrace.results import frame

    found = frame.load(results, "other")
    digests = found.runs.loc[found.runs["measure"] == "convergence", "digest"]
    file = tmp_path / "runs.png"
    where = ("--suite", "other", "--results", results, "-o", file)
    code, _, caption = plot("compare", *(each[:10] for each in digests), *where)
    assert code == 0 and file.stat().st_size > 1000 and "single runs" in caption
