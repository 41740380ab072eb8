"""The suites (TOML files beside this module) and, in benchmarks/, what `asv run` executes."""
