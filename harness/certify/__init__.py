"""`gradrace certify`: whether an implementation of an optimizer is what it says.

`instance`: one optimizer object of a framework, stepped by hand; each adapter has its own.
`scenario`: what is done with it, as data, so that a failure can be shown as a script. `finding`:
the verdict of a check.
"""
