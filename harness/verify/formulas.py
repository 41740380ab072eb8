"""How each library computes each optimizer at its own defaults, for docs/differences.md.

Read from the sources of torch 2.13, Keras 3.15, Optax 0.2.8 and, for torch's of other packages,
pytorch_optimizer 4.1, schedulefree 1.4.1, lion-pytorch 0.2.5, prodigyopt 1.1.2, dadaptation 3.2 and
heavyball 3.2; checked against the measured differences. g: gradient, p: parameter, t: step from 1,
lr_t: learning rate of the step, m and v: first and second moments, a hat: divided by 1 - beta^t.
"canonical": the rule that gradrace proves equal.
"""

from __future__ import annotations

from collections.abc import Mapping

_ADAM = "m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g²"
_KERAS_ADAM = (
    f"{_ADAM}; p -= lr √(1 - b2^t) / (1 - b1^t) · m / (√v + eps): eps is the paper's epsilon-hat"
)
_LR_OUTSIDE = "buf = mu buf + g; p -= lr_t buf: old gradients take the new rate"
_LR_INSIDE = "m = mu m - lr_t g; p += m: old gradients keep their old rates"


def _rule(canonical: str, **libraries: str) -> Mapping[str, str]:
    return {"canonical": canonical, **libraries}


FORMULAS: Mapping[str, Mapping[str, str]] = {
    "sgd": _rule("p -= lr_t g", torch="the same", tensorflow="the same", jax="the same"),
    "momentum": _rule(
        _LR_OUTSIDE, torch=_LR_OUTSIDE + "; dampening 0", tensorflow=_LR_INSIDE, jax=_LR_OUTSIDE
    ),
    "nesterov": _rule(
        "buf = mu buf + g; p -= lr_t (g + mu buf)",
        torch="the same",
        tensorflow="m = mu m - lr_t g; p += mu m - lr_t g: old gradients keep their old rates",
        jax="the same as canonical",
    ),
    "adagrad": _rule(
        "acc = acc + g²; p -= lr_t g / √(acc + eps), acc starts at 0.1",
        torch="p -= lr_t g / (√acc + eps), acc starts at 0; lr_t / (1 + (t - 1) lr_decay)",
        tensorflow="p -= lr_t g / √(acc + eps), acc starts at 0.1",
        jax="p -= lr_t g / √(acc + eps) where acc > 0, acc starts at 0.1",
    ),
    "adadelta": _rule(
        (
            "v = rho v + (1 - rho) g²; d = √(D + eps) / √(v + eps) g; D = rho D + (1 - rho) d²;"
            " p -= lr_t d"
        ),
        torch="the same; rho 0.9, eps 1e-6, lr 1",
        tensorflow="the same; rho 0.95, eps 1e-7, lr 1e-3",
        jax=(
            "the same; rho 0.9, eps 1e-6; with its default learning_rate=None the sign is not"
            " turned: it ascends"
        ),
    ),
    "rmsprop": _rule(
        "v = rho v + (1 - rho) g²; p -= lr_t g / √(v + eps)",
        torch="p -= lr_t g / (√v + eps): eps outside of the root; rho (called alpha) 0.99",
        tensorflow="p -= lr_t g / √(v + eps); rho 0.9",
        jax=("p -= lr_t g / √(v + eps), or outside with eps_in_sqrt=False; rho (called decay) 0.9"),
    ),
    "rmsprop_centered": _rule(
        "v and a = rho a + (1 - rho) g; p -= lr_t g / √(v - a² + eps)",
        torch="√(v - a²) + eps: v - a² may be below 0 by rounding, and the root is then no number",
        tensorflow="√(v - a² + eps)",
        jax="√(v - a² + eps)",
    ),
    "rmsprop_momentum": _rule(
        "buf = mu buf + lr_t g / √(v + eps); p -= buf: the rate inside of the buffer",
        torch="buf = mu buf + g / (√v + eps); p -= lr_t buf: the rate outside",
        tensorflow="the rate inside",
        jax="the rate inside, although Optax's SGD has it outside",
    ),
    "adam": _rule(
        f"{_ADAM}; p -= lr_t m̂ / (√v̂ + eps)",
        torch="the same; eps 1e-8",
        tensorflow=_KERAS_ADAM
        + ", effectively 1 / √(1 - b2^t) times larger (31.6 times at the first step); 1e-7",
        jax="the same as canonical (and eps_root 0 inside of the root); eps 1e-8",
    ),
    "amsgrad": _rule(
        f"{_ADAM}; u = max(u, v); p -= lr_t m̂ / (√(u / (1 - b2^t)) + eps)",
        torch="the same: the maximum of v as it is, corrected afterwards",
        tensorflow="the same maximum, eps as epsilon-hat, 1e-7",
        jax="the maximum of the corrected v̂: what is large in the first steps is kept for ever",
    ),
    "adamw": _rule(
        "p *= 1 - lr_t wd; then Adam",
        torch="the same; wd 0.01",
        tensorflow="p -= lr_t wd p; then Keras' Adam (epsilon-hat); wd 0.004",
        jax="p -= lr_t (m̂ / (√v̂ + eps) + wd p); wd 1e-4",
    ),
    "adamax": _rule(
        "m = b1 m + (1 - b1) g; u = max(b2 u, |g|); p -= lr_t / (1 - b1^t) · m / u",
        torch="u = max(b2 u, |g| + eps); p -= lr_t / (1 - b1^t) · m / u",
        tensorflow="u = max(b2 u, |g|); p -= lr_t / (1 - b1^t) · m / (u + eps)",
        jax="u = max(b2 u, |g| + eps), as torch",
    ),
    "nadam": _rule(
        (
            "p -= lr_t (b1 m / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t)) / (√v̂ + eps):"
            " momentum constant"
        ),
        torch=(
            "mu_t = b1 (1 - 0.96^(0.004 t) / 2), rising slowly; momentum_decay=inf makes it"
            " constant"
        ),
        tensorflow="mu_t = b1 (1 - 0.96^t / 2), hard-wired",
        jax="the canonical one",
    ),
    "radam": _rule(
        "Adam times a rectification r_t while rho_t > 5 (the paper: > 4), m̂ alone before",
        torch="r_t √(1 - b2^t) / (√v + eps): eps as epsilon-hat; defined for rho_t > 5",
        jax="r_t m̂ / (√v̂ + eps); defined for rho_t >= 5 (threshold)",
    ),
    "rprop": _rule(
        (
            "step size times 1.2 where g keeps its sign, times 0.5 where it turns (and g = 0"
            " then); p -= sign(g) size"
        ),
        torch="the same",
        jax="gives out each step's update one step late, nothing at the first",
    ),
    "lion": _rule(
        "p -= lr_t (sign(b1 m + (1 - b1) g) + wd p); m = b2 m + (1 - b2) g",
        torch="lion-pytorch: the same; wd off",
        tensorflow="the same; wd off",
        jax="the same; wd 1e-3",
    ),
    "adafactor": _rule(
        (
            "v of a matrix as outer product of its rows' and columns' means; update clipped to"
            " RMS 1; rate times max(1e-3, RMS(p)) and at most 1/√t"
        ),
        torch="the canonical one; factors the last two axes; wd before measuring RMS(p)",
        tensorflow="the canonical one; relative_step has no effect",
        jax=(
            "no cap by 1/√t; factors the two largest axes, only if both are at least 128; wd"
            " not times the rate; the decay of the moment is computed in float32 even in x64"
        ),
    ),
    "muon": _rule(
        (
            "momentum, then Newton-Schulz iterations towards the nearest orthogonal matrix;"
            " other shapes by AdamW"
        ),
        torch="matrices only; the iterations in bfloat16; factor √max(1, rows/columns); wd 0.1",
        tensorflow=(
            "other shapes by Adam; factor 0.2 √max(rows, columns); 1e-7 added to the norm; wd 0.004"
        ),
        jax="the momentum's bias corrected; other shapes by AdamW; factor √max(1, out/in); wd 0",
    ),
    "normuon": _rule(
        "Newton-Schulz of the mean gradient, each neuron over the root of its mean square, scaled"
        " to a root mean square of 0.2; other shapes by Adam",
        torch=(
            "pytorch_optimizer: Nesterov momentum; the iterations in bfloat16; the norm stays that"
            " of the orthogonalised step; other shapes by AdamW"
        ),
    ),
    "lamb": _rule(
        "r = m̂ / (√v̂ + eps); p -= lr_t |p| / |r| r, by tensor",
        torch=(
            "pytorch_optimizer: r = m / (√v + eps); p -= lr_t / (1 - b1^t) min(|p|, 10) / |r| r;"
            " all gradients clipped to norm 1; wd by itself"
        ),
        tensorflow="the same; wd applied by itself before; eps 1e-7",
        jax="the same; wd added to r before the ratio, as in the paper; eps 1e-6",
    ),
    "lars": _rule(
        "buf = mu buf + lr_t c |p| / |g| g; p -= buf, by tensor",
        torch="pytorch_optimizer: vectors without c |p| / |g|; old gradients take the new rate",
        jax="the same; c 1e-3",
    ),
    "lbfgs": _rule(
        (
            "two-loop recursion over 10 pairs, one step of length lr a batch, no line search,"
            " first direction g min(1, 1 / |g|)"
        ),
        torch=(
            "up to 20 iterations a step on the closure; 100 pairs; first direction divided by"
            " the sum of magnitudes"
        ),
        jax=(
            "one iteration with a zoom line search; 10 pairs; first direction divided by the"
            " norm; keeps pairs without curvature"
        ),
    ),
    "schedule_free_adamw": _rule(
        (
            "gradients at y = (1 - b1) z + b1 x; z moves by AdamW without momentum; x averages"
            " z with weights max(lr_1, ..., lr_t)²"
        ),
        torch="schedulefree: the canonical one",
        tensorflow=(
            "on TensorFlow the old z is read after it was changed, so that x is another average"
        ),
        jax=(
            "the canonical one; the warm-up counts the averaging weight from 1 and the rate from 0"
        ),
    ),
    "adabelief": _rule(
        "Adam with s = b2 s + (1 - b2)(g - m)² + eps for v",
        torch="pytorch_optimizer: the same",
        jax="the same",
    ),
    "adan": _rule(
        "moments of g, of d = g_t - g_(t-1), and of (g + b2 d)²; d's weighed by b2",
        torch="pytorch_optimizer: the same",
        jax="d weighed by 1 - b2",
    ),
    "ademamix": _rule(
        ("Adam with alpha times a second, slow moment added to the first; alpha and b3 constant"),
        torch="pytorch_optimizer: the same; alpha 5; t_alpha_beta3 warms both up",
        jax="the same; b3 and alpha may be schedules, as the paper warms them up",
    ),
    "adopt": _rule(
        "g / √v of the step before, clipped at (t - 1)^(1/4), then momentum",
        torch="pytorch_optimizer: clipped at t^(1/4)",
        jax="the same",
    ),
    "yogi": _rule(
        "v -= (1 - b2) sign(v - g²) g², v starts at 1e-6",
        torch="pytorch_optimizer: m starts at 1e-6 too",
        jax="m starts at 1e-6 too",
    ),
    "prodigy": _rule(
        "Adam whose rate is a running estimate of the distance to the solution, corrected for bias",
        torch="prodigyopt: the rate not corrected for bias unless asked to",
        jax="the same",
    ),
    "dadapt_adam": _rule(
        "Adam whose rate is a running lower bound of the distance, corrected for bias",
        torch="dadaptation: the rate not corrected for bias unless asked to",
        jax="the same",
    ),
    "schedule_free_sgd": _rule(
        "gradients at y = (1 - b) z + b x; z -= lr_t g; x averages z, weights max(lr_1..lr_t)²",
        torch="schedulefree: the same",
        jax="the same",
    ),
    "cautious_adamw": _rule(
        "AdamW's step where it goes along g, times n / (k + 1) for k of n elements; else 0",
        torch="pytorch_optimizer.AdEMAMix at alpha=0, cautious=True: the same; wd off",
    ),
    "grokfast_adamw": _rule(
        "AdamW on g + 2 s, s = 0.98 s + 0.02 g, which starts at the first g",
        torch="pytorch_optimizer: m / max(√v, eps); wd off",
    ),
    "mars_adamw": _rule(
        "AdamW on c = g + gamma b1 / (1 - b1) (g_t - g_(t-1)), c clipped to norm 1 by tensor",
        torch=(
            "pytorch_optimizer: (√(v + 1e-15) + eps) / √(1 - b2^t); vectors by AdamW at lr_1d 3e-3,"
            " wd 0.1"
        ),
    ),
    "shampoo": _rule(
        "L = L + g gᵀ, R = R + gᵀ g; p -= lr_t L^(-1/4) g R^(-1/4); L, R start at eps I",
        torch="pytorch_optimizer: the same; eps 1e-6",
    ),
    "psgd_kron": _rule(
        "momentum times QᵀQ, a Kronecker product of triangular matrices that is itself learned",
        torch="pytorch_optimizer: the root mean square of a step at most 1.1; Q in float32",
    ),
    "soap": _rule(
        "Adam on g in the eigenbases of L and R, which turn every 10 steps; the first step is left"
        " out; eps added to the uncorrected root",
        torch="pytorch_optimizer: the same; QR in float32",
    ),
    "sophia": _rule(
        "m / max(gamma h, eps) clipped to 1, h from Hutchinson's estimate",
        torch="pytorch_optimizer: m / max(h, eps) clipped to p = 0.01; here at the rate lr / p",
        jax="the same",
    ),
    "ftrl": _rule(
        "z = z + g - (√n' - √n) / lr p; p from z and n in closed form",
        tensorflow="z starts at 0, so that the first step throws the initial weights away",
    ),
    "asgd": _rule(
        "SGD whose iterates are averaged", torch="the same; the average is in the state, not in p"
    ),
}
