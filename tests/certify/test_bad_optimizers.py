"""Bad input: files that are no optimizer, and optimizers that misbehave; all in one process."""

from __future__ import annotations

import json
import subprocess
import sys

import certify_many
import pytest
from bad_optimizers import BAD, fails_after


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    asked = {}
    for key, bad in BAD.items():
        file = folder / f"{key}.py"
        file.write_text(bad.source)
        request = {"path": f"torch:{file}:{bad.name}", "hyper": bad.hyper}
        asked[key] = {"request": request, "only": [bad.check]}
    (folder / "asked.json").write_text(json.dumps(asked))
    command = [sys.executable, certify_many.__file__, str(folder / "asked.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(answers, name):
    bad, answer = BAD[name], answers[name]
    if not bad.check:
        assert bad.says in answer["refused"] and not answer["found"]
    elif bad.check == "note":
        assert not answer["refused"] and bad.says in " ".join(answer["notes"])
    else:
        outcome, text, _ = answer["found"][bad.check]
        assert outcome == bad.outcome and bad.says in text


def test_the_command_says_what_failed(gradrace, tmp_path):
    """A class that cannot go on fails fast: JSON, page, scripts and exit code."""
    (tmp_path / "mine.py").write_text(fails_after(4))
    done = gradrace("certify", "torch:./mine.py:Mine", "--json", "--html", "a/page.html", "-q")
    assert done.returncode == 1, done.stderr
    (certificate,) = json.loads(done.stdout)["certificates"]
    assert certificate["result"] == "failed" and certificate["asked"] == "torch:mine.py:Mine"
    said = " ".join(each["text"] for each in certificate["findings"])
    assert "AssertionError: no" in said
    assert "AssertionError: no" in (tmp_path / "a" / "page.html").read_text()
    folder = tmp_path / "results" / "certify" / "torch_mine.py_Mine"
    scripts = [file for file in folder.glob("*.py") if "import mine" in file.read_text()]
    assert scripts and (folder / "certificate.json").is_file()
