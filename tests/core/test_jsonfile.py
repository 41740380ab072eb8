"""gradrace's own files: whole, of a schema that is understood, or refused by name."""

from __future__ import annotations

import pytest
from gradrace.errors import UserError
from gradrace.jsonfile import read_json, read_model, replace_text, replacing, writing
from gradrace.strict import Strict
from pydantic import Field


class Kept(Strict):
    schema_version: int = Field(alias="schema")
    title: str


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"schema": 3', "truncated or not JSON .*; make it again"),
        (b"\xff\xfe", "truncated or not JSON .*; make it again"),
        (b"[1]", "states no schema"),
        (b'{"a": 1}', "states no schema"),
        (b'{"schema": "3"}', "states no schema"),
        (b'{"schema": 4}', r"schema 4 is newer than this gradrace reads \(3\)"),
        (None, "cannot be read: No such file"),
    ],
)
def test_what_is_not_ours_is_refused_by_name(tmp_path, content, says):
    file = tmp_path / "kept.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=f"kept.json: .*{says}"):
        read_json(file, 3, "make it again")


def test_what_is_ours_is_read(tmp_path):
    for schema in (1, 3):
        replace_text(tmp_path / "kept.json", f'{{"schema": {schema}, "title": "é"}}')
        assert read_json(tmp_path / "kept.json", 3, "") == {"schema": schema, "title": "é"}
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"]


def test_a_file_that_could_not_be_written_to_its_end_is_as_it_was(tmp_path):
    file = tmp_path / "kept.json"
    replace_text(file, "before")
    with (
        pytest.raises(UserError, match="kept.json: cannot be written: no space"),
        writing(file),
        replacing(file) as partial,
    ):
        partial.write_text("half")
        raise OSError(28, "no space")
    assert file.read_text() == "before"


def test_a_model_is_read_or_refused_by_its_form(tmp_path):
    file = tmp_path / "kept.json"
    replace_text(file, '{"schema": 1, "title": "é"}')
    assert read_model(Kept, file, 1, "a note") == Kept(schema=1, title="é")
    replace_text(file, '{"schema": 1, "title": 3}')
    with pytest.raises(UserError, match=r"kept.json: not a note \(title: .*\); move it away"):
        read_model(Kept, file, 1, "a note")
