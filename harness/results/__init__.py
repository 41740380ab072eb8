"""Stored results as tables: read `frame` first, then `compare` (two results side by side).

`columns` names the tables' columns; `asv` hands results to asv.
"""
