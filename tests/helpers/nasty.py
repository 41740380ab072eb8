"""Texts that some reader takes for more than text, for tests of every way in and out."""

from __future__ import annotations

import re

from hypothesis import strategies as st

PIECES = (
    *("\ud800", "\udfff", "\x00", "\x07", "\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "\x7f"),
    *("\x85", "\r", "\n", "\t", "\u2028", "\u2029", "\u202e", "\ufffe", "\uffff"),
    *("\U0001f600", "é", "[/b]", "[bold]", "[link=file:///etc/passwd]", ":boom:"),
    *("</script><script>owned()</script>", "<!--", "-->", "]]>", "<img src=x onerror=owned()>"),
    *("&amp;", "'\"", "<b>", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(A1)", "＝1", "|", "`"),
    *("```", "**", "__", "~~", "[a](javascript:owned())", "![a](https://example.org/x.png)"),
    *("https://example.org", "www.example.org", "@someone", "#123", "GH-7", "someone/project#7"),
    *("# head", "- item", "$x$", "\\", "x", " ", "0.5", "{0}", "%s", "{{ 1 }}"),
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.characters(), max_size=8).map("".join)
# What no text may hold after it has been made harmless: terminals' commands, half characters and
# what XML 1.0 forbids.
UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
# All of the above in one text.
ALL = " ".join(PIECES)
