"""Malignant or benign: logistic regression with L2. Strictly convex, so it has one solution."""

from ..layers import Dense
from ..spec import Regularization, TaskSpec
from ._grid import WIDE

TASK = TaskSpec(
    name="breast_cancer_logreg",
    title="Breast cancer, logistic regression, L2 of 0.01",
    data="breast_cancer",
    input_shape=(30,),
    model=(Dense(units=1),),
    loss="binary_cross_entropy",
    regularization=Regularization(l2=0.01),
    batch_size=32,
    steps=330,
    eval_every=11,
    target=0.97,
    target_origin=WIDE,
)
