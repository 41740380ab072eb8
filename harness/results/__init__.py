"""Stored results as tables: read `frame` first, then `compare` (two results side by side, in
words: `compared_text`).

`columns` names the tables' columns; `choosing`, `best` and `shown` are what `Frames` can do; `asv`
hands results to asv.
"""
