"""The quick reading of our own files' imports finds what a parser finds."""

from __future__ import annotations

import ast

import pytest
from gradrace import sources


@pytest.mark.parametrize("name", [name for name in sources._files_by_name() if name])
def test_the_quick_reading_of_imports_misses_none(name):
    file = sources._files_by_name()[name]
    importer = name + (".__init__" if file.name == "__init__.py" else "")
    text = file.read_bytes()
    parsed = set(sources._imports(ast.parse(text), importer))
    assert set(sources._imports(sources._tree(text, importer), importer)) >= parsed


@pytest.mark.parametrize(
    "text",
    [
        b"if True: from gradrace import plan",
        b"from gradrace import \\\n plan",
        b"def f():\n    import gradrace.plan",
    ],
)
def test_a_users_file_is_parsed_as_a_whole(text):
    found = list(sources._imports(sources._tree(text, "gradrace_mine"), "gradrace_mine"))
    assert sources._files_by_name()["gradrace.plan"] in found
