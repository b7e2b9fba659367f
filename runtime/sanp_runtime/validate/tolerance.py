"""How far two correct float32 evaluations of one network may lie apart.

Two correct kernels add the same products in another order. The classical bound on the error of a sum of K products is
K * eps relative to the sum of the magnitudes; it is attained only if every rounding error has the same sign. Rounding
errors behave like independent variables of mean zero, and then the error stays below c * sqrt(K) * eps except with a
probability of 2 K exp(-c^2 / 2) (Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM J.
Sci. Comput. 41, 2019); c = 8 makes that 3e-14 per product. A network adds such errors layer by layer, and each layer
passes on what came in with a gain of about one in relation to its largest output, so the budgets of the layers are
summed. What is compared is therefore

    |engine - reference| <= c * eps * sum over layers of sqrt(K_l) * largest magnitude in the sample

with K_l = kh * kw * c_in / groups. It is a yardstick and not a theorem, because a network may amplify errors by more:
every report therefore says which share of the tolerance was used.

With FP16 every stored value carries an independent rounding of at most u = 2^-11: the activations that a layer reads,
its weights, and what it writes; sums stay in float32. A rounding of operands perturbs each product by a factor of its
own, so that the error of a sum grows as the sum itself does in the root mean square, and not with sqrt(K): one layer
adds sqrt(3) * u, and L independent layers sqrt(3 L) * u, to the float32 budget above. The same c makes it a bound.

Weights that were rounded to bfloat16 when the bundle was made perturb each product in the same way, by the error that
was measured then: e_l, the root mean square of the changes of the weights of layer l over that of the weights. Such
layers together add c * sqrt(sum of e_l^2). That is more than a wrong kernel may cost, so logits of such a bundle are
compared twice: with PyTorch within this budget, and with standard operators on the same rounded weights within that of
float32. Gate decisions are compared with PyTorch's only, within this budget, because saliencies are not among the
outputs. A gate kernel that is wrong by less shows only in a bundle without rounding.

An int8 layer rounds its weights, what it reads and what it writes. Its e_l is the change of the logits that this
layer alone causes, relative and in the root mean square, measured with PyTorch's gates when the bundle was made. The
errors of layers are independent, so their budget is the same c * sqrt(sum of e_l^2). Nothing is known of the gates by
themselves: for them it is a yardstick.
"""

from __future__ import annotations

import math
from typing import Mapping, Optional, Sequence

import numpy as np

from sanp_runtime.network.layers import Layer

CONFIDENCE = 8.0
EPS = float(np.finfo(np.float32).eps)
HALF_ROUNDING = float(np.finfo(np.float16).eps) / 2


def fan_in(layer: Layer) -> int:
    """Products per output element of a layer: kh * kw * c_in / groups."""
    return layer.kernel[0] * layer.kernel[1] * layer.c_in // layer.groups


def relative_tolerance(
    layers: Sequence[Layer], precision: str = "fp32", rounded: Optional[Mapping[str, float]] = None
) -> float:
    """c * eps * sum of sqrt(fan-in) over these layers, to be multiplied by the largest magnitude.

    precision "fp16" adds c * 2^-11 * sqrt(3 * number of layers). rounded: layer -> relative error of weights that were
    rounded (`Manifest.rounded`); adds c * sqrt(sum of their squares).
    """
    single = CONFIDENCE * EPS * sum(math.sqrt(fan_in(layer)) for layer in layers)
    errors = [(rounded or {}).get(layer.name, 0.0) for layer in layers]
    single += CONFIDENCE * math.sqrt(sum(error * error for error in errors))
    return single + (CONFIDENCE * HALF_ROUNDING * math.sqrt(3 * len(layers)) if precision == "fp16" else 0.0)


def gate_tolerance(
    layers: Sequence[Layer], index: int, precision: str = "fp32", rounded: Optional[Mapping[str, float]] = None
) -> float:
    """Relative tolerance of the saliency of layer `index`: the layers before it, and the three sums of its own module.

    The module averages the input map (about as large as the output map), then adds c_in and gate_hidden products. It
    computes in float32 also in a network of FP16 or bytes, on a map that was rounded once.
    """
    layer = layers[index]
    own = math.sqrt(layer.out_hw[0] * layer.out_hw[1]) + math.sqrt(layer.c_in) + math.sqrt(max(layer.gate_hidden, 1))
    before = layers[:index] if precision == "fp32" else layers[: index + 1]
    return relative_tolerance(before, precision, rounded) + CONFIDENCE * EPS * own
