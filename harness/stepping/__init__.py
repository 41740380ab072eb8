"""One optimizer of a library, stepped by hand on given tensors; the words of `gradrace certify`.

`instance`: an optimizer object with its tensors; each adapter has its own. `scenario`: what is done
with it, as data, so that a failure can be shown as a script.
"""
