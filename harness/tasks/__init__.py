"""The tasks, one module each, each with a `TASK`; `gradrace.registry` finds them by looking in this
folder.
"""
