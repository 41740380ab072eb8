"""The process that computes runs: `__main__` serves a driver, as `python -m gradrace.worker`.

draft is a record in the making. train is the training loop, norms its optional diagnosis, populate
trains many runs in one program; clock times steps, after start has done the work of a process's
beginning; memory measures memory, resident reads the process's resident set. packed is how many
results travel to the driver."""
