"""Which runs one population can train side by side, and which have to be trained alone."""

from __future__ import annotations

from collections.abc import Hashable

from gradrace import layers as kinds
from gradrace.adapter import LanesImpossible
from gradrace.adapters.torch import lane_trials
from gradrace.adapters.torch.stepping import training
from gradrace.layers import build
from gradrace.objective import alike, dropouts
from gradrace.plan import RunInputs
from gradrace.spec import RunSpec, canonical_json

# Task fields that say nothing about a step.
_NOT_IN_A_STEP = {"name", "title", "target", "target_origin", "early_stopping", "train_fraction"}
# Fields of layers that say what the weights start as.
_STARTS = ("initializer", "recurrent_initializer", "start")


def lane_key(run: RunSpec, inputs: RunInputs) -> Hashable:
    """See gradrace.adapter.PopulationAdapter; the run is in the mode that trains it alone."""
    if reason := _impossible(run, inputs):
        raise LanesImpossible(reason)
    task = alike(run.task).model_dump(mode="json", exclude=_NOT_IN_A_STEP)
    for layer in task["model"]:
        for name in _STARTS:
            layer.pop(name, None)
    layers = build(run.task.model, run.task.input_shape)
    shapes = [parameter.shape for built in layers for parameter in built.parameters]
    setup = (run.optimizer.name, run.optimizer.rule, run.dtype, run.device, run.threads)
    return canonical_json([task, shapes, setup]), lane_trials.recipe_key(run, inputs)


def _impossible(run: RunSpec, inputs: RunInputs) -> str | None:
    binding = inputs.optimizer.bindings[run.framework]
    dropping = dropouts(build(run.task.model, run.task.input_shape))
    if run.input == "pipeline":
        return "a population reads its batches from memory, not through an input pipeline"
    if run.diagnose:
        return "the norms of each layer's gradients are recorded in runs that are trained alone"
    if run.optimizer.groups:
        return "a run with parameter groups has several optimizers, and is trained alone"
    if any(isinstance(b.layer, kinds.Dropout) and b.layer.masks == "native" for b in dropping):
        return "native dropout draws from PyTorch's one generator, which lanes would share"
    if binding.loss_asked_for(run.optimizer.rule):
        return f"{binding.label} evaluates the loss itself, at points of its own choice"
    if inputs.optimizer.imported and (reason := training.needs_loss(run, inputs)):
        return f"{binding.label} {reason}"
    return lane_trials.not_by_itself(run, inputs.optimizer)
