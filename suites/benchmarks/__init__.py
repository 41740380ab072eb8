"""asv's benchmark_dir (see asv.conf.json): suites seen as a history over commits."""
