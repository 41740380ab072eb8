"""The suites: TOML files beside this module. `asv run` executes the benchmarks in benchmarks/."""
