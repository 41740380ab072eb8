"""One folder per framework, the only place that imports it.

`gradrace.registry` finds them by looking into this folder. All have the same files: `__init__`
(ADAPTER and the literals that are read without an import), session, layers, losses, optimizer,
batches, modes, policy, pieces; a framework leaves out what it does not need. A folder named after
a framework shadows nothing, because imports are absolute and this folder is never on sys.path.
`deferred` and `held_arrays` serve several of them.
"""
