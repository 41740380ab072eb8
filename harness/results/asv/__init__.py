"""asv: `tracks` says which figures are followed over commits; `export` writes stored results as
asv's files, with `benchmarks` (a suite as asv sees it) and `folder` (asv's results folder).
`shared`, a plug-in of asv, is an environment of this Python's libraries and a commit's gradrace."""
