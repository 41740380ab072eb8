"""A command's frozen options and what typer sees of them."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from gradrace import commands
from gradrace.cli import COMMANDS, GROUPS
from gradrace.commands.arguments import expanded, fill
from gradrace.commands.tune import STUDY
from gradrace.sweep import Options
from gradrace.tune.study import StudyFile
from typer import Argument, Option


def arguments(name):
    module = importlib.import_module(f"gradrace.commands.{name}")
    return {field.name for field in dataclasses.fields(module.Arguments)}


def test_every_file_with_arguments_is_a_command():
    folder = Path(commands.__file__).parent
    for place, named in {
        folder: COMMANDS,
        **{folder / name: own for name, own in GROUPS.items()},
    }.items():
        files = (f for f in place.glob("*.py") if "\nclass Arguments:" in f.read_text())
        assert {f.stem for f in files} == set(named)


Word = Annotated[str, Option("a", "--word", "-w", help="One word.")]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    first: Annotated[str, Argument(help="The first.")]
    word: Word
    other: Word = "b"
    paths: Annotated[tuple[Path, ...], Option((), "--path")]
    flag: Annotated[bool | None, Option(None, "--flag/--no-flag")]


def command(args: Arguments) -> None:
    """Does nothing."""


def test_typer_sees_a_parameter_for_each_field():
    assert expanded(command).__doc__ == command.__doc__
    seen = inspect.signature(expanded(command)).parameters
    assert list(seen) == ["first", "word", "other", "paths", "flag"]
    assert [each.default.default for each in seen.values()] == [..., "a", "b", (), None]
    types = [str, str, str, list[Path], bool | None]
    assert [each.annotation for each in seen.values()] == types


def test_a_command_gets_one_frozen_value():
    got = []

    def main(args: Arguments) -> None:
        got.append(args)

    given = {"first": "x", "word": "y", "other": "b", "flag": False}
    expanded(main)(**given, paths=[Path("p"), Path("q")])
    assert got == [Arguments(**given, paths=(Path("p"), Path("q")))]
    with pytest.raises(dataclasses.FrozenInstanceError):
        got[0].word = "z"


@pytest.mark.parametrize("name", ["run", "time"])
def test_no_option_of_a_sweep_is_forgotten(name):
    only_run = {"seeds", "shard", "workers", "scale", "train_fractions", "diagnose", "population"}
    set_by_time = {"clock_only", "timing"}
    wanted = {field.name for field in dataclasses.fields(Options)} - set_by_time - {"interpreters"}
    assert wanted - (only_run if name == "time" else set()) <= arguments(name)


def test_fill_takes_fields_of_the_same_name():
    @dataclass(frozen=True)
    class Half:
        word: str
        size: int

    given = Arguments(first="x", word="y", paths=(), flag=None)
    assert fill(Half, given, size=3) == Half("y", 3)
    assert fill(Half, given, word="z", size=3) == Half("z", 3)


def test_options_of_a_study_are_fields_of_its_file():
    assert set(STUDY) <= set(StudyFile.model_fields) & arguments("tune")
