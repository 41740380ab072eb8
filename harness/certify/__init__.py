"""`gradrace certify`: whether an implementation of an optimizer is what it says. `../stepping`
makes and steps it; `finding` is the verdict of a `check`. `comparison`: its steps beside those of
rules and others (in `nearest/`); `battery/`: by itself; `training`. `certificate`, `file`, `text`,
`schema`: all verdicts. `subjects`, `driver`, `lane`: the driver and its processes; `request`,
`worker`, `noticed`, `checks`, `canonical`: what these do."""
