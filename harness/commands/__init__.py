"""The commands, one file each: run, time, tune, compare, why, bisect, gate, baseline, calibrate,
export, merge, publish, verify, certify, report, show, plot, list (detail: one thing in full),
fetch, doctor, init. Read run first: typer reads its Arguments, main does the work. arguments hands
one to the other; options has the options of several commands, numbers their limits,
completion the words of a shell; sweeping, verifying, reporting, documents, ahead and printing
are steps, failures turns errors into exit codes. Heavy imports are late: --help is instant."""
