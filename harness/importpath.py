"""An optimizer's import path: FRAMEWORK:package.Class, or FRAMEWORK:file.py:Class."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .errors import UserError

_FORM = (
    "FRAMEWORK:package.Class, such as torch:schedulefree.AdamWScheduleFree, or"
    " FRAMEWORK:file.py:Class, such as torch:./mine.py:Mine"
)
# What people call a framework's optimizers -> the framework's name here.
_ALIASES = {"keras": "tensorflow", "optax": "jax"}
_FRAMEWORK = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# As spec.OptimizerName has it.
_FILE, _LONGEST = re.compile(r"[\w.+ -]+"), 200
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class ImportPath:
    """A class or factory of a framework, in a module or in a user's file.

    dotted: the path inside the module or file. `str` gives a text that `parse` takes; `name` is
    the name in specifications, without the file's folder."""

    framework: str
    dotted: str
    file: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """`keras:` means tensorflow, `optax:` means jax. UserError for a text of another form."""
        # Commands import this module at once, and pydantic takes long.
        from .strict import given

        framework, _, rest = text.partition(":")
        place, colon, dotted = rest.rpartition(":")
        file = Path(place) if colon else None
        fine = _FRAMEWORK.fullmatch(framework) and _DOTTED.fullmatch(dotted)
        if not fine or (file is None and "." not in dotted) or (file and file.suffix != ".py"):
            raise UserError(f"{given(text)}: no import path; expected {_FORM}")
        found = cls(_ALIASES.get(framework, framework), dotted, file)
        if file and not _FILE.fullmatch(file.name):
            raise UserError(
                f"{given(text)}: the file's name may have letters, digits, spaces and . _ + -"
            )
        if len(found.name) > _LONGEST:
            raise UserError(f"{given(text)}: {len(found.name)} characters; at most {_LONGEST}")
        return found

    def __str__(self) -> str:
        return ":".join([self.framework, *([str(self.file)] if self.file else []), self.dotted])

    @property
    def name(self) -> str:
        """The optimizer's name in specifications and reports."""
        return ":".join([self.framework, *([self.file.name] if self.file else []), self.dotted])

    def resolve(self) -> ImportPath:
        """With the file's absolute path, for a process in another folder."""
        return ImportPath(self.framework, self.dotted, self.file and self.file.resolve())


# What a registry is loaded from, beside our own things.
Plugin = Path | ImportPath


def is_import_path(text: str) -> bool:
    """Whether a name of an optimizer is meant as an import path."""
    head, colon, _ = text.partition(":")
    # `tune` also takes mine.py:NAME, an optimizer that a file declares.
    return bool(colon) and not head.endswith(".py")


def plugin_of(text: str) -> Plugin:
    """The plug-in of a text that a driver wrote with `str(plugin.resolve())`."""
    return ImportPath.parse(text) if is_import_path(text) else Path(text)


def files_of(plugins: Iterable[Plugin]) -> list[Path]:
    """The files that `--load` named; import paths left out."""
    return [plugin for plugin in plugins if isinstance(plugin, Path)]


def paths_of(plugins: Iterable[Plugin]) -> list[ImportPath]:
    """The import paths among them, also those that come as a Path of their text."""
    found = (plugin_of(str(plugin)) for plugin in plugins)
    return [plugin for plugin in found if isinstance(plugin, ImportPath)]


def sources_of(plugins: Iterable[Plugin]) -> list[Path]:
    """All files of users among them, those of import paths included."""
    found = (plugin if isinstance(plugin, Path) else plugin.file for plugin in plugins)
    return [file for file in found if file]
