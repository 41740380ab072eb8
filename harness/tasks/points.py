"""Functions of two numbers, to draw an optimizer's path on. The loss is the function itself.

Rosenbrock and Beale start as in Moré, Garbow & Hillstrom (1981), problems 1 and 5; Branin in the
middle of its usual domain; the quadratic with equal weight on its flat and its steep direction."""

from ..layers import Point, PointFunction
from ..spec import TaskSpec


def _task(
    name: PointFunction, title: str, start: tuple[float, float], minimum: float, steps: int = 500
) -> TaskSpec:
    return TaskSpec(
        name=name,
        title=title,
        data="point",
        input_shape=(1,),
        model=(Point(objective=name, start=start),),
        loss="output",
        metric="negative_loss",
        batch_size=1,
        steps=steps,
        eval_every=2,
        target=-(minimum + 1e-3),
        target_origin=f"0.001 above the minimum, {minimum:g}, known in closed form",
    )


QUADRATIC = _task(
    "quadratic", "Quadratic of two numbers with condition number 100", (10.0, 1.0), 0.0
)
ROSENBROCK = _task("rosenbrock", "Rosenbrock's valley from (-1.2, 1)", (-1.2, 1.0), 0.0, steps=1000)
BEALE = _task("beale", "Beale's function from (1, 1)", (1.0, 1.0), 0.0)
BRANIN = _task("branin", "Branin's function from (2.5, 7.5)", (2.5, 7.5), 0.397887)
