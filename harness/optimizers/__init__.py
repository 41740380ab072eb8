"""The optimizers, one a module. `gradrace.registry` takes every Optimizer in this folder:
adabelief, adadelta, adafactor, adagrad, adam, adamax, adamw, adan, ademamix, adopt, amsgrad, asgd,
cautious_adamw, dadapt_adam, ftrl, grokfast_adamw, lamb, lars, lbfgs, lion, mars_adamw, momentum,
muon, nadam, nesterov, normuon, prodigy, psgd_kron, radam, rmsprop, rmsprop_centered,
rmsprop_momentum, rprop, schedule_free_adamw, schedule_free_sgd, sgd, shampoo, soap, sophia, yogi.
They share _rule and _shared."""
