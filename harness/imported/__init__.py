"""Optimizers by import path, without a file of ours: `torch:schedulefree.AdamWScheduleFree`.

`../importpath` reads and writes the text. `optimizers`: the Optimizer that stands for a path.
`signature` reads a class's arguments; `aliases`: which of them means what; `arguments`: what the
native rule hands to the class. `../describing` asks a framework's process for all that.
"""
