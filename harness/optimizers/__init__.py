"""The optimizers, one module each, each with an `OPTIMIZER`; `gradrace.registry` finds them by
looking in this folder.
"""
