"""The optimizers, one a module. `gradrace.registry` takes every Optimizer in this folder:
adabelief, adadelta, adafactor, adagrad, adam, adamax, adamw, adan, ademamix, adopt, amsgrad, asgd,
ftrl, lamb, lars, lbfgs, lion, momentum, muon, nadam, nesterov, prodigy, radam, rmsprop,
rmsprop_centered, rmsprop_momentum, rprop, schedule_free_adamw, sgd, sophia, yogi. They share
_rule and _shared."""
