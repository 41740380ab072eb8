"""Data that the pages' scripts load, as calls of theirs: rows of long tables, and runs, a file for
the page of each run, with its curves cut down to few points and its neighbours.

A page is opened from a folder as often as from a server; then a script may load scripts alone."""
