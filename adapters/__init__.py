"""A folder a framework: the only place that imports it; read numpy/ first. All have the same files:
`__init__` (ADAPTER, and literals that are read without an import), session, layers, losses,
optimizer, batches, modes, policy, pieces; a framework leaves out what it does not need. `deferred`,
`held_arrays`, `large_data`, `calls` and `scripts` serve several. `gradrace.registry` finds a folder
by its being there. Imports are absolute and this folder is never on sys.path, so a folder named
torch shadows nothing.
"""
