"""asv's benchmark_dir (see asv.conf.json): race follows suites over the commits."""
