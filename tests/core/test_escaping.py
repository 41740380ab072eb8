"""Each function that makes texts harmless, then a record's texts through every way out."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from gate_cases import make_check, make_convergence, make_result, make_timing
from gradrace.certify.finding import Finding
from gradrace.cli import app
from gradrace.gate import GateResult
from gradrace.gate.text import junit, markdown
from gradrace.output.escaping import (
    LONGEST,
    clean,
    csv_table,
    for_csv,
    for_markdown,
    for_script,
    for_xml,
    plain_table,
    visible,
)
from gradrace.paired import PairedResult
from gradrace.record import Machine
from gradrace.report import record_text, writer
from gradrace.results import frame
from gradrace.strict import LONG_TEXT
from hypothesis import HealthCheck, given, settings
from nasty import ALL, TEXTS, UNFIT
from records import MACHINE, make_results, make_specs, make_task
from typer.testing import CliRunner

# What Markdown would act on, once escaped backslashes are taken out.
ACTIVE = re.compile(r"[<>]|(?<!\\)[|`*]|@(?=\w)|#(?=\d)|://|(?<!\\)\]\(|www\.")

# -- one function at a time


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 0.5 µs", "plain, 0.5 µs"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("a\r\nb\rc", "a\nb\\x0dc"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("half \ud800 a character", "half \\ud800 a character"),
        ("\x9b\x85\u2028\u202e\ufffe", "\\x9b\\x85\\u2028\\u202e\\ufffe"),
        ("x [/b]", "x [/b]"),
    ],
)
def test_what_is_no_text_is_shown_by_its_number(text: str, shown: str) -> None:
    assert visible(text) == clean(text) == shown


def test_a_text_has_a_limit_and_says_what_is_left_out() -> None:
    text = clean("x" * LONGEST + "yz")
    assert len(text) <= LONGEST and text.endswith("xxx … (42 more characters)")


def test_a_script_may_be_long_and_is_cleaned_as_well() -> None:
    given = {"part": "rule", "check": "x", "outcome": "failed", "text": "", "script": "a\n" * 5000}
    found = Finding.model_validate(given)
    assert found.script == given["script"]
    assert Finding.model_validate({**given, "script": "\x07"}).script == "\\x07"
    cut = Finding.model_validate({**given, "script": "a\n" * LONG_TEXT}).script
    assert len(cut) <= LONG_TEXT and cut.endswith("more characters)")


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_clean_texts_are_harmless_and_stay_as_they_are(text: str) -> None:
    once = clean(text)
    once.encode()
    assert not UNFIT.search(once) and clean(once) == once
    assert Machine(**{**MACHINE.model_dump(), "system": text}).system == once, (
        "every model cleans its texts"
    )


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1+cmd", "'-1+cmd"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        (" =1", "' =1"),
        ("-0.5", "-0.5"),
        ("+3e-4", "+3e-4"),
        ("-inf", "-inf"),
        ("1_0", "1_0"),
        ("-1_0", "'-1_0"),
        ("a=b", "a=b"),
        ("", ""),
        ("–", "–"),
        ("\r=1", "\\x0d=1"),
        ("＝1", "'＝1"),
    ],
)
def test_no_spreadsheet_computes_a_text(text: str, cell: str) -> None:
    assert for_csv(text) == cell


def test_tables_are_guarded_but_for_their_numbers() -> None:
    table = pd.DataFrame(
        {"=name": ["=1", None, "x"], "value": [-1.0, float("nan"), 2.0], "mixed": ["-1", -1, None]}
    )
    read = list(csv.reader(io.StringIO(csv_table(table).to_csv(index=False))))
    assert read == [
        ["'=name", "value", "mixed"],
        ["'=1", "-1.0", "-1"],
        ["", "", "-1"],
        ["x", "2.0", ""],
    ]
    assert plain_table(table) is table
    assert plain_table(pd.DataFrame({"a": ["\ud800"]}, dtype=object))["a"].tolist() == ["\\ud800"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("digits_mlp/torch-eager: 1.1 [1.0, 1.2]", "digits_mlp/torch-eager: 1.1 [1.0, 1.2]"),
        ("a | b\nc", "a \\| b c"),
        ("<img src=x> & `code`", "&lt;img src=x&gt; &amp; \\`code\\`"),
        ("[a](javascript:x)", "[a\\](javascript:x)"),
        ("@someone #12 GH-3", "@\u200bsomeone #\u200b12 GH-\u200b3"),
        ("https://example.org www.example.org", "https:\u200b//example.org www\u200b.example.org"),
        ("**bold** _it_ ~~no~~ $x$", "\\*\\*bold\\*\\* \\_it\\_ \\~\\~no\\~\\~ \\$x\\$"),
        ("# head", "\\# head"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("---", "\\---"),
        ("-0.5", "-0.5"),
        ("2.5", "2.5"),
        ("2. x", "2\\. x"),
    ],
)
def test_markdown_reads_as_the_text_does(text: str, written: str) -> None:
    assert for_markdown(text) == written


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_each_way_out_holds_any_text(text: str) -> None:
    script = for_script({text: [text]})
    assert (
        script.isascii()
        and not re.search("[<>&]", script)
        and json.loads(script) == {visible(text): [visible(text)]}
    )
    line = for_markdown(text)
    assert "\n" not in line and not ACTIVE.search(line.replace("\\\\", "§"))
    element = ET.Element("a", b=for_xml(text))
    element.text = for_xml(text)
    found = ET.fromstring(ET.tostring(element, encoding="unicode"))
    assert (found.get("b"), found.text or "") == (visible(text), visible(text))


# -- a record through every way out


class Tags(HTMLParser):
    """Elements by name, attributes by name, and the text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def hostile_results(output: Path, text: str) -> dict[str, Any]:
    """Three runs, one failed, whose files hold the text in every place of a record and a plan."""
    task = make_task("mlp").model_copy(update={"title": text, "target_origin": text})
    specs = [
        spec.model_copy(update={"variations": {"of a kind": text}})
        for spec in make_specs([task], ["jax"], ["adam"], range(2))
    ]
    plan = make_results(
        output, specs=specs, judge=lambda spec: ("failed", text) if spec.seed else ("ok", "")
    )
    folder = output / "runs" / "demo"
    for digest in plan.digests:
        change_json(folder / digest / "run.json", lambda record: with_texts(record, text))
        (folder / digest / "log.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
        change_json(
            folder / digest / "run.json",
            lambda record: record.update(artefacts=[*record["artefacts"], "log.txt"]),
        )
    change_json(folder / "plan.json", lambda plan: plan.update(title=text, question=text))
    return {"folder": folder, "digests": plan.digests}


def with_texts(record: dict[str, Any], text: str) -> None:
    record["spec"]["task"].update(title=text, target_origin=text)
    record["spec"]["variations"] = {"of a kind": text, text or "x": text}
    record["reason"] = text if record["status"] == "failed" else ""
    record["machine"].update(system=text, processor=text, python=text)
    for key in ("policy", "versions", "sources"):
        record[key] = {"a": text, text or "x": text}


def change_json(file: Path, change: Any) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def plain_page(tmp_path_factory: pytest.TempPathFactory) -> Tags:
    """The page of the same runs with a text that is harmless."""
    output = tmp_path_factory.mktemp("plain")
    hostile_results(output, "x")
    page = writer.write(frame.load(output), output / "html").with_name("suite-demo.html")
    return Tags(page.read_text(encoding="utf-8"))


NUMBERED = re.compile(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}")
WITHOUT_PATHS = settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("text", [ALL, "\ud800", "=1+1 [/b] </script>"])
def test_a_record_through_every_way_out(tmp_path: Path, plain_page: Tags, text: str) -> None:
    made = hostile_results(tmp_path, text)
    frames = frame.load(tmp_path)
    page = writer.write(frames, tmp_path / "html")
    check_pages(page, plain_page, clean(text))
    check_tables(tmp_path, page.parent)
    check_terminal(tmp_path, made["digests"], text)


@WITHOUT_PATHS
@given(TEXTS)
def test_any_text_of_a_record_through_every_way_out(
    tmp_path_factory: pytest.TempPathFactory, plain_page: Tags, text: str
) -> None:
    output = tmp_path_factory.mktemp("any")
    made = hostile_results(output, text)
    check_pages(writer.write(frame.load(output), output / "html"), plain_page, clean(text))
    check_tables(output, output / "html")
    check_terminal(output, made["digests"], text)


def check_pages(page: Path, plain: Tags, text: str) -> None:
    html = page.with_name("suite-demo.html").read_bytes().decode("utf-8")
    assert not UNFIT.search(html)
    found = Tags(html)
    for tag in ("script", "style", "img", "b", "iframe", "object", "base", "meta", "link"):
        assert found.tags[tag] == plain.tags[tag], tag
    assert {name for name in found.attributes if name.startswith("on")} == set()
    ours = ("#", "data/", "run.html#", "index.html", "suite-")
    assert all(link.startswith(ours) for link in found.links)
    assert " ".join(text.split()) in " ".join("".join(found.words).split())
    scripts = list(page.parent.glob("data/**/*.js"))
    assert len(scripts) >= 2
    for script in scripts:
        content = script.read_bytes().decode("ascii")
        name, _, rest = content.partition("(")
        assert (
            name in ("gradrace.run", "gradrace.rows")
            and rest.endswith(");\n")
            and not re.search("[<>&]", rest)
        )
        said = json.loads(rest[:-3])
        assert said["title"] == text and set(said["curves"]) <= {
            "train_loss",
            "validation_loss",
            "validation_metric",
            "learning_rate",
        }


def check_tables(output: Path, html: Path) -> None:
    for name in ("csv", "parquet"):
        done = CliRunner().invoke(
            app, ["export", name, "-o", str(output), "--to", str(output / name)]
        )
        assert done.exit_code == 0, done.output
    for file in (*html.glob("data/**/*.csv"), *(output / "csv").glob("*.csv")):
        text = file.read_bytes().decode("utf-8")
        assert not UNFIT.search(text)
        for row in csv.reader(io.StringIO(text)):
            for cell in row:
                assert for_csv(cell) == cell or cell.startswith("'"), (file.name, cell)
    for column in pd.read_parquet(output / "parquet" / "runs.parquet").select_dtypes(
        ["object", "string"]
    ):
        assert not UNFIT.search(str(column))


def check_terminal(output: Path, digests: tuple[str, ...], text: str) -> None:
    for arguments in (["show", digests[1]], ["show", digests[1], "--json"], ["report"]):
        done = CliRunner().invoke(app, [*arguments, "-o", str(output)])
        assert done.exit_code == 0, done.output
        assert not UNFIT.search(done.output)
    said = dict(record_text.lines(record_text.find(output, digests[1])))
    assert clean(text) in said["status"]


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_a_gate_through_junit_and_markdown(text: str) -> None:
    result = gate_of(text)
    for found in (result, GateResult.model_validate(result.to_json())):
        root = ET.fromstring(junit(found).partition("\n")[2])
        assert [suite.get("name") for suite in root] == ["gradrace.convergence", "gradrace.timing"]
        assert clean(text) in [problem.text or "" for problem in root.iter("error")]
        written = markdown(found)
        assert not UNFIT.search(written) and not re.search(
            r"@(?=\w)|#(?=\d)|://|(?<!\\)\]\(", written.replace("\\\\", "§")
        )
        assert Counter(re.findall(r"<[^>]*>", written)) == Counter(
            re.findall(r"<[^>]*>", markdown(gate_of("x")))
        )


def gate_of(text: str) -> GateResult:
    """A gate whose every text is this one."""
    checks = (make_check("failed", reason=text), make_check("changed", seed=1, id=text))
    side = {"label": text, "versions": {text: text}}
    timing = PairedResult.model_validate(
        {**make_timing("failed", reason=text).to_json(), "a": side, "b": side}
    )
    convergence = make_convergence("differs").model_copy(update={"checks": checks})
    return make_result(convergence, timing, suite=text, outcome=text, calibration=text)
