"""`gradrace certify`: whether an implementation of an optimizer is what it says.

`../stepping` makes and steps it. `finding`: the verdict of a `check`. `comparison`: its steps
beside those of rules and of other implementations (in `nearest/`). `training`: whether it trains.
`battery/`: checks that need no other implementation.
"""
