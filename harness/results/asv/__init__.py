"""asv: `tracks` says which figures are followed over commits; `export` writes stored results as
asv's files, with `benchmarks` (a suite as asv sees it) and `folder` (asv's results folder)."""
