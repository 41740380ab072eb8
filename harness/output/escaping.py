"""Texts that others wrote, made harmless: once when they enter a value, and once at each exit.

A record's reason, a suite's title or a package's version may hold anything: half a character, a
terminal's commands, markup, a spreadsheet's formula. Every text of every model goes through `clean`
(strict.Strict): texts from disk, from a plug-in and from a worker. Each other function escapes for
one kind of reader. Templates escape HTML; `json.dumps` gives ASCII."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Most characters of one text: a reason is a line or two, a question a paragraph.
LONGEST = 4000

# Shown by their numbers: controls but tab and newline (terminals obey them, XML 1.0 forbids most);
# separators of lines and paragraphs (only some readers end a line there) and marks that turn the
# direction of writing (the eye then reads another text); surrogates, U+FFFE and U+FFFF (no
# characters).
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str) -> str:
    """The text with control characters, lone surrogates and the like as `\\x1b` or `\\ud800`."""
    # Most texts are plain, and a record has dozens.
    if text.isascii() and text.isprintable():
        return text
    return _UNFIT.sub(_number, text.replace("\r\n", "\n"))


def clean(text: str, longest: int = LONGEST) -> str:
    """`visible`, cut to so many characters that end with how many are left out.

    A clean text stays as it is."""
    shown = visible(text)
    if len(shown) <= longest:
        return shown
    kept = longest - 40
    return f"{shown[:kept]} … ({len(shown) - kept} more characters)"


def one_line(text: str) -> str:
    """Every run of white space becomes one space."""
    return " ".join(text.split())


def for_script(value: Any) -> str:
    """JSON for a script, in a page or beside it: ASCII without <, > and &, texts `visible`."""
    text = json.dumps(value, separators=(",", ":"))
    # If JSON escapes nothing, all texts are plain already: most are, and a report has thousands.
    if "\\" in text or "\x7f" in text:
        text = json.dumps(_visible_in(value), separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def for_xml(text: str) -> str:
    """Only characters that XML 1.0 allows; who writes the document escapes the markup."""
    return visible(text)


# Emphasis, code, cells, mathematics and the middle of a link, in Markdown or GitHub's.
_MARKS = re.compile(r"[\\`*|~$]|\](?=[(\[:])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# GitHub makes links of these, and its mentions send messages. No backslash or entity stops that; a
# space of no width does.
_LINKED = re.compile(
    r"@(?=\w)|#(?=\d)|\bGH-(?=\d)|\w+:(?=//)|www(?=\.)|\b(?:mailto|xmpp):(?=\S)", re.IGNORECASE
)
# At the beginning of a text: a heading, a list or a rule.
_BLOCK = re.compile(r"^(?:(#{1,6}(?=\s|$)|[+-](?=\s|$)|[=-]+(?=\s*$))|([0-9]{1,9})([.)])(?=\s|$))")


def for_markdown(text: str) -> str:
    """One line of Markdown that reads as the text: no HTML, links, images, mentions or cells."""
    line = _LINKED.sub(lambda found: f"{found[0]}\u200b", one_line(visible(text)))
    line = "".join(_ENTITIES.get(each, each) for each in _MARKS.sub(r"\\\g<0>", line))
    return _BLOCK.sub(lambda m: f"\\{m[1]}" if m[1] else f"{m[2]}\\{m[3]}", line)


# A formula for spreadsheets begins so; for some also with the wide forms.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def for_csv(text: str) -> str:
    """A cell's text with an apostrophe before a formula; a number is none."""
    shown = visible(text)
    is_formula = shown.lstrip(" ").startswith(_FORMULA) and not _is_number(shown)
    return f"'{shown}" if is_formula else shown


def csv_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `for_csv` of all texts, headings included."""
    return _of_texts(table, for_csv)


def plain_table(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `visible` of all texts, headings included: any format can hold it."""
    return _of_texts(table, visible)


def _of_texts(table: pd.DataFrame, change: Any) -> pd.DataFrame:
    import pandas as pd

    changed: dict[int, Any] = {}
    for place, dtype in enumerate(table.dtypes):
        if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
            continue
        column = table.iloc[:, place]
        # Long columns have few different texts.
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
