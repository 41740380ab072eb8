"""Checks and reads the user's files. declared: optimizers, tasks, data; space: their search spaces.

literals: an adapter's literals, read without importing it. executed: the files run as modules;
places: their lines, for messages of errors. imports: all that a file leads to, in one file, since
its text runs in other interpreters. absent: packages that are not installed."""
