"""An optimizer of any package, by its import path; see gradrace.stepping for the words.

`making`: an optimizer of named tensors. `trying`: how a class is made and stepped. `driving`: a
step with given gradients. `training`: in real runs. `instance`: all of it for `gradrace certify`,
with `flat_state` and `script`.
"""
