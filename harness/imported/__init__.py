"""Optimizers by import path, without a file of ours: `torch:schedulefree.AdamWScheduleFree`.

`../importpath` reads and writes the text. `optimizers`: the Optimizer that stands for a path.
`aliases`: which argument of a library means what.
"""
