"""Certificates: processes that die, what people and machines read, bad input, exit codes."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import certify_worker
import jsonschema
import pytest
from gradrace.certify import file as certificate_file
from gradrace.certify.certificate import Certificate, json_schema
from gradrace.certify.driver import CertifyOptions, certify
from gradrace.certify.lane import Lane, LaneResult, Means
from gradrace.certify.request import Request
from gradrace.certify.text import show
from gradrace.commands.certify import hypers
from gradrace.errors import ExitCode, UserError
from gradrace.report.certificate import page
from paths import ROOT

DOCS = ROOT / "docs"
WORKER = (str(Path(certify_worker.__file__)),)


def certified(registry, what, **options):
    options = {"worker": WORKER, "timeout_s": 300.0, "command": ("gradrace", "certify"), **options}
    return certify(registry, f"torch:fake.{what}", CertifyOptions(**options))


def lines(certificate: Certificate) -> list[tuple[str, str, str]]:
    return [(each.check, each.outcome, each.text) for each in certificate.findings]


def in_time() -> float:
    return time.monotonic() + 300.0


def in_a_lane(what: str, deadline: float, **changes: object) -> LaneResult:
    fields = {
        "environment": dict(os.environ),
        "start_s": 300.0,
        "check_s": 300.0,
        "arguments": WORKER,
        **changes,
    }
    request = Request(path=f"torch:fake.{what}", parts=("battery",), budget_s=300.0)
    return Lane(request, Means(**fields), deadline, lambda check: None).run()


# -- what the checked code may do

MISHAPS = {
    "sound": ("passed", "all is well"),
    "refusing": ("not applicable", "it has no state"),
    "leaving": ("failed", "it raised SystemExit: 3"),
    "dying": ("failed", "did not survive this check: it died (exit code 7"),
    "crashing": ("failed", "did not survive this check: it died (SIGSEGV"),
    "printing": ("passed", "it prints"),
    "garbling": ("failed", "it wrote to the pipe"),
    "forking": ("passed", "it has a child"),
    "faulty": ("failed", "it climbs"),
}


def test_a_check_costs_itself_alone():
    found = in_a_lane("_and_".join(MISHAPS), in_time()).findings
    assert [each.check for each in found] == list(MISHAPS)
    for finding, (outcome, says) in zip(found, MISHAPS.values(), strict=True):
        assert finding.outcome == outcome and says in finding.text


def test_what_was_found_before_it_raised_stays():
    first, second, third = in_a_lane("raising_and_sound", in_time()).findings
    assert (first.outcome, second.outcome, third.check) == ("passed", "failed", "sound")
    assert second.text == "it raised ValueError: no such"


@pytest.mark.parametrize(
    ("check", "outcome", "says"),
    [
        ("hanging", "failed", "it stood still, without an answer, within 3 s"),
        # It may be slow: that depends on the machine.
        ("toiling", "not applicable", "no time left: it gave no answer within 3 s"),
    ],
)
def test_a_silent_check_is_ended_and_the_next_one_done(check, outcome, says):
    found = in_a_lane(f"{check}_and_sound", in_time(), check_s=3.0).findings
    assert [each.outcome for each in found] == [outcome, "passed"]
    assert says in found[0].text


def test_a_greedy_check_is_ended_and_the_next_one_done():
    found = in_a_lane("hogging_and_sound", in_time(), memory_bytes=300 << 20).findings
    assert [each.outcome for each in found] == ["failed", "passed"]
    assert "GiB of memory" in found[0].text


def test_checks_that_do_not_fit_are_not_done():
    found = in_a_lane("sound_and_hanging_and_faulty", time.monotonic() + 8.0).findings
    assert [each.outcome for each in found] == ["passed", *["not applicable"] * 2]
    assert all("no time left" in each.text for each in found[1:])


REFUSED = {
    "refused": (ExitCode.USAGE, "it is abstract; name a class"),
    "absent": (ExitCode.NOTHING_MEASURED, "not installed: nowhere (pip install nowhere)"),
    "left": (ExitCode.USAGE, "SystemExit: a licence is needed"),
    "died": (ExitCode.USAGE, "while it was imported and made, it died (exit code 9"),
    "online": (ExitCode.USAGE, "it calls for the network while it is imported and made: exa"),
    "refusing": (ExitCode.NOTHING_MEASURED, "nothing could be checked: it has no state"),
}


@pytest.mark.parametrize(("what", "code", "says"), [(k, *v) for k, v in REFUSED.items()])
def test_what_cannot_be_checked_says_why(registry, what, code, says):
    with pytest.raises(UserError, match=r"torch:fake") as raised:
        certified(registry, what)
    assert raised.value.exit_code == code and says in str(raised.value)


def test_a_class_that_hangs_where_it_is_imported():
    found = in_a_lane("hung", in_time(), start_s=5.0)
    assert found.refused and "within 5 s" in found.refused.reason


@pytest.mark.parametrize(
    ("like", "text"),
    [("jax:fake.sound", "jax:fake.sound: the steps of sound"), ("lion", "lion: none")],
)
def test_another_implementation_is_stepped_in_its_own_process(registry, like, text):
    (certificate,) = certified(registry, "sound", like=like).certificates
    assert certificate.findings[-1].text == text and certificate.like == like


@pytest.mark.parametrize(
    ("like", "says"),
    [
        ("jax:fake.refused", "--like jax:fake.refused: it is abstract"),
        ("lionn", "--like lionn: no known rule (did you mean 'lion'?)"),
    ],
)
def test_another_implementation_that_cannot_be_stepped(registry, like, says):
    with pytest.raises(UserError, match=re.escape(says)):
        certified(registry, "sound", like=like)


def test_a_python_that_is_none(registry):
    with pytest.raises(UserError, match="cannot be started"):
        certified(registry, "sound", interpreters={"torch": str(Path(sys.prefix) / "none")})


# -- readers


@pytest.fixture(scope="module")
def several(registry):
    return certified(registry, "sound_and_faulty_and_refusing_and_faulty")


def test_prints_of_the_import_are_noted(several):
    (note,) = several.certificates[0].notes
    assert note.startswith("it prints while it is imported and made: 'welcome to sound_and")


def test_the_schema_in_docs_is_current():
    kept = json.loads((DOCS / "certify.schema.json").read_text(encoding="utf-8"))
    say = "write: python -m gradrace.certify.schema > docs/certify.schema.json"
    assert kept == json_schema(), say


def test_json_validates_against_the_schema(several):
    schema = json.loads((DOCS / "certify.schema.json").read_text(encoding="utf-8"))
    content = json.loads(certificate_file.text(several))
    jsonschema.validate(content, schema)
    (certificate,) = content["certificates"]
    assert certificate["counts"] == {"passed": 1, "failed": 2, "not applicable": 1}
    assert certificate["result"] == "failed"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**content, "certificates": [{**certificate, "result": "ok"}]}, schema)


def test_the_text_has_a_line_for_each_check_and_the_verdict(several, tmp_path, capsys):
    show(several, tmp_path)
    text = capsys.readouterr().out
    for outcome, check in (("FAILED", "faulty"), ("passed", "sound"), ("n/a", "refusing")):
        assert re.search(rf"^\s*{outcome} +{check} ", text, re.MULTILINE)
    assert "fake 1.0" in text and "It FAILED: 1 passed, 2 failed, 1 not applicable" in text
    assert "faulty_2.py" in text


def test_the_page_is_whole_and_harmless(several):
    html = page(several)
    assert "twice &lt;b&gt;1e-16" in html and "<b>" not in html
    assert html.count("print(&#39;1.01&#39;)") == 2
    assert not re.search(r"""(src|href)=["'](?!#)|@import|url\(""", html), "it is offline"
    # The page's own, which nothing that was certified enters.
    assert html.count("<script") == 1 and "1.01" not in html.partition("<script")[2]


def test_scripts_are_kept_and_replaced(several, tmp_path):
    certificate_file.write(tmp_path, several)
    folder = certificate_file.folder_in(tmp_path, several.certificates[0])
    kept = {"certificate.json", "faulty.py", "faulty_2.py"}
    assert {each.name for each in folder.iterdir()} == kept
    script = (folder / "faulty.py").read_text()
    assert script.startswith("# torch:fake.") and script.endswith("import torch\nprint('1.01')\n")
    other = several.certificates[0].model_copy(update={"findings": ()})
    certificate_file.write(tmp_path, several.model_copy(update={"certificates": (other,)}))
    assert {each.name for each in folder.iterdir()} == {"certificate.json"}


# -- the command line


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["betas=[0.9, 0.95]", "nesterov=true"], {"betas": [0.9, 0.95], "nesterov": True}),
        (["mode=fast", "k=3", "deep=False"], {"mode": "fast", "k": 3, "deep": False}),
    ],
)
def test_hyperparameters_are_read(texts, expected):
    assert hypers(texts) == expected


@pytest.mark.parametrize("texts", [["betas"], ["=3"], ["a b=3"], ["k=1", "k=2"]])
def test_other_hyperparameters_are_refused(texts):
    with pytest.raises(UserError, match="--hyper"):
        hypers(texts)


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("adamww", {}, "no optimizer 'adamww' (did you mean 'adamw'?)"),
        ("torche:a.B", {}, "no framework 'torche' (did you mean 'torch'?)"),
        ("torch:AdamW", {}, "no import path"),
        ("torch:./none.py:Mine", {}, "no such file"),
        ("adamw", {"frameworks": ("torche",)}, "no framework 'torche'"),
        ("torch:a.B", {"frameworks": ("jax",)}, "leave --framework out"),
        ("torch:a.B", {"rule": "adamv"}, "--rule adamv: no known rule (did you mean"),
    ],
)
def test_bad_words_are_refused_before_anything_starts(registry, text, options, says):
    with pytest.raises(UserError) as raised:
        certify(registry, text, CertifyOptions(worker=("-c", "raise"), **options))
    assert says in str(raised.value)
