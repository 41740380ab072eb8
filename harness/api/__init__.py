"""gradrace from Python: the commands as functions, which give results as frames and tables.

running.py: `run` and `time`. tuning.py, verifying.py, comparing.py: `tune`, `verify`, `compare`.
`gradrace.verify` and `gradrace.tune` are packages too: see doors.py beside this folder."""
