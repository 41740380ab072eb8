"""Texts that others wrote, made harmless: once where they enter a value, and once at each exit.

A record's reason, a suite's title or a package's version may hold anything: half a character, a
terminal's commands, markup, a spreadsheet's formula. `clean` is applied to every text of every
model (strict.Strict), so what is read from disk, from a plug-in or from a worker is clean as well.
The other functions know what one kind of reader would take for more than text. HTML is escaped by
its templates, JSON by `json.dumps`, whose output is ASCII."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Characters of one text at most: a reason is a line or two, a question a paragraph.
LONGEST = 4000

# Shown by their numbers instead. Controls but tab and newline: terminals obey them, XML 1.0 forbids
# most. Marks that turn the direction of writing: what is read then is not what is there. Separators
# of lines and paragraphs, which end a line for some readers only. Surrogates, which are half a
# character, and U+FFFE and U+FFFF, which are none.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str) -> str:
    """The text with its control characters, lone surrogates and the like written as `\\x1b` or
    `\\ud800`.
    """
    # Most texts are plain, and a record has dozens.
    if text.isascii() and text.isprintable():
        return text
    return _UNFIT.sub(_number, text.replace("\r\n", "\n"))


def clean(text: str) -> str:
    """`visible`, and of at most LONGEST characters, the last of which then say how many are left
    out.

    What is clean stays as it is.
    """
    shown = visible(text)
    if len(shown) <= LONGEST:
        return shown
    kept = LONGEST - 40
    return f"{shown[:kept]} … ({len(shown) - kept} more characters)"


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())


def for_script(value: Any) -> str:
    """JSON that is safe in a script, in a page or beside it: ASCII, without <, > and &. Lone
    surrogates are shown.
    """
    text = json.dumps(_visible_in(value), separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def for_xml(text: str) -> str:
    """Of characters that XML 1.0 allows; its markup is escaped by whoever writes the document."""
    return visible(text)


# What Markdown, or GitHub's, reads as more than text: emphasis, code, cells, mathematics, and the
# middle of a link.
_MARKS = re.compile(r"[\\`*|~$]|\](?=[(\[:])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# What GitHub turns into links by itself, mentions that send somebody a message among them. A
# backslash or an entity does not stop it: a space of no width does.
_LINKED = re.compile(
    r"@(?=\w)|#(?=\d)|\bGH-(?=\d)|\w+:(?=//)|www(?=\.)|\b(?:mailto|xmpp):(?=\S)", re.IGNORECASE
)
# At its beginning a text would be a heading, a list or a rule.
_BLOCK = re.compile(r"^(?:(#{1,6}(?=\s|$)|[+-](?=\s|$)|[=-]+(?=\s*$))|([0-9]{1,9})([.)])(?=\s|$))")


def for_markdown(text: str) -> str:
    """One line of Markdown that reads as the text does, and does nothing: no HTML, links, images,
    mentions or cells.
    """
    line = _LINKED.sub(lambda found: f"{found[0]}\u200b", one_line(visible(text)))
    line = "".join(_ENTITIES.get(each, each) for each in _MARKS.sub(r"\\\g<0>", line))
    return _BLOCK.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", line)


# What a spreadsheet takes for a formula, and the wide forms that some take for the same.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def for_csv(text: str) -> str:
    """The text of a cell, which no spreadsheet computes: an apostrophe stands before what would be
    a formula.

    A number is left as it is.
    """
    shown = visible(text)
    return (
        f"'{shown}" if shown.lstrip(" ").startswith(_FORMULA) and not _is_number(shown) else shown
    )


def csv_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `for_csv` of all its texts, headings included."""
    return _of_texts(table, for_csv)


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `visible` of all its texts: every format can hold it."""
    return _of_texts(table, visible)


def _of_texts(table: pd.DataFrame, change: Any) -> pd.DataFrame:
    import pandas as pd

    changed: dict[int, Any] = {}
    for place, dtype in enumerate(table.dtypes):
        if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
            continue
        column = table.iloc[:, place]
        # A long column has few different texts.
        texts = {
            each: new
            for each in column.unique()
            if isinstance(each, str) and (new := change(each)) != each
        }
        if texts:
            changed[place] = column.map(
                lambda each, texts=texts: texts.get(each, each) if isinstance(each, str) else each
            )
    names = [change(name) if isinstance(name, str) else name for name in table.columns]
    if not changed and names == list(table.columns):
        return table
    columns = [changed.get(place, table.iloc[:, place]) for place in range(len(names))]
    found = pd.concat(columns, axis=1)
    found.columns = pd.Index(names)
    return found


def _visible_in(value: Any) -> Any:
    """A JSON value with `visible` of all its texts, keys included."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {_visible_in(key): _visible_in(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_visible_in(each) for each in value]
    return value


def _number(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
