"""`gradrace publish`: several reports in one folder; a run's address stays; others' files too."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from gradrace import UserError, load
from gradrace.cli import app
from gradrace.commands.publish import named
from gradrace.report import site
from records import make_results, make_specs
from typer.testing import CliRunner

Invoke = Callable[..., str]


def invoke(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["publish", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.output


def results(folder: Path, suite: str, seeds: int) -> Path:
    specs = make_specs(["mlp"], ["torch"], ["sgd"], range(seeds))
    make_results(folder, suite, specs, title=f"<b>{suite}</b>", question="Which & why?")
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results `a` and `b` and the site of both."""
    folder = tmp_path_factory.mktemp("published")
    results(folder / "a", "first", 1)
    results(folder / "b", "second", 1)
    (folder / "site").mkdir()
    (folder / "site" / "mine.txt").write_text("not ours")
    (folder / "b" / "html").mkdir()
    (folder / "b" / "html" / "verify.html").write_text(f"<!doctype html>{MARK}")
    (folder / "b" / "html" / "time.html").write_text("somebody else's")
    invoke(folder / "site", "-o", folder / "a", "-o", f"b-2={folder / 'b'}")
    return folder


MARK = '<meta name="generator" content="gradrace 1">'


def files(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_index_names_each_report(published):
    page = (published / "site" / "index.html").read_text()
    assert page.index('href="b-2/index.html"') and page.index('href="a/index.html"')
    assert "&lt;b&gt;first&lt;/b&gt;" in page and "<b>first</b>" not in page
    assert "Which &amp; why?" in page and "(2 runs)" in page and "newest run 2026-03-01" in page


def test_every_link_is_relative_and_leads_somewhere(published):
    pages = list((published / "site").rglob("*.html"))
    assert len(pages) >= 7
    for page in pages:
        found = re.findall(r'(?:href|src)="([^"#]+)', page.read_text())
        for link in found:
            assert not re.match(r"/|[a-z]+:", link) or link.startswith("data:"), (page, link)
            assert link.startswith("data:") or (page.parent / link).exists(), (page, link)


def test_pages_of_other_commands_are_copied(published):
    assert (published / "site" / "b-2" / "verify.html").exists()
    assert not (published / "site" / "b-2" / "time.html").exists()


def test_a_rerun_replaces_its_own_report_alone(published):
    place = published / "site"
    (digest,) = set(load(published / "a").runs.query("measure == 'convergence'")["digest"])
    run = place / "a" / "data" / "runs" / "first" / f"{digest}.js"
    others = {p: of for p, of in files(place).items() if "/a/" not in str(p) and p.parent != place}
    assert run.exists() and others
    results(published / "a", "first", 2)
    invoke(place, "-o", published / "a")
    assert run.exists(), "the address of a run stays"
    assert len(list(run.parent.glob("*.js"))) == 3
    assert files(place).items() >= others.items()
    assert (place / "mine.txt").read_text() == "not ours"
    index = (place / "index.html").read_text()
    assert "(3 runs)" in index and 'href="b-2/index.html"' in index


def test_a_report_that_was_removed_leaves_the_index(published, tmp_path):
    shutil.copytree(published / "site", tmp_path / "site")
    shutil.rmtree(tmp_path / "site" / "b-2")
    (tmp_path / "site" / "other").mkdir()
    (tmp_path / "site" / "other" / "report.json").write_text("{}")
    assert "b-2" not in site.index(tmp_path / "site").read_text()


def taken(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "mine.txt").write_text("not ours")


REFUSED = [
    (taken, "a: not an earlier report; choose another name"),
    (lambda folder: (folder / "index.html").write_text("<p>"), "not of an earlier"),
]


@pytest.mark.parametrize(("prepare", "said"), REFUSED)
def test_somebody_else_s_files_are_not_replaced(published, tmp_path, prepare, said):
    prepare(tmp_path)
    before = files(tmp_path)
    assert said in re.sub(r"\s+", " ", invoke(tmp_path, "-o", published / "a", code=2))
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (["x/results", "y/results"], "two reports are called 'results'"),
        (["a=x", "A=y"], "two reports are called 'a'"),
        (["..=x"], "'..' cannot be a name"),
        (["=x"], "'' cannot be a name"),
        (["a b=x"], "'a b' cannot be a name"),
    ],
)
def test_a_name_is_checked(outputs, said):
    with pytest.raises(UserError, match=re.escape(said)):
        named(outputs)


def test_a_report_is_called_as_its_folder_unless_it_is_named():
    found = named(["may/a", "c=d/e=f"])
    assert found == {"a": Path("may/a"), "c": Path("d/e=f")}
