"""How much a network amplifies rounding: its outputs when every input value moves by one rounding.

The tolerance of two correct evaluations expects that a layer passes errors on with a gain of about one
(`tolerance`). Deep networks that have hardly been trained, or whose norms divide by next to nothing, have a larger one:
a MobileNetV2 after two epochs answers with an error of 1e-3 of its largest logit in PyTorch's float32, measured against
double precision. So before a kernel is called wrong, the same network is asked again, a few times, with inputs that
differ by one unit in the last place, up or down at random. What that moves, no evaluation can get right. Errors of the
layers behind the first one add to it, which is why four times as much is allowed. A wrong kernel in a network that does
not amplify is found as before; in one that does, errors below its own noise cannot be seen by any comparison.
"""

from __future__ import annotations

from typing import Callable, Dict, Mapping

import numpy as np

from sanp_runtime.network.outputs import rows_of

DRAWS = 4
ALLOWED = 4.0
_UNIT = {"fp32": float(np.finfo(np.float32).eps), "fp16": float(np.finfo(np.float16).eps)}

Outputs = Mapping[str, np.ndarray]


def moved_by_rounding(run: Callable[[np.ndarray], Outputs], x: np.ndarray, precision: str = "fp32") -> Outputs:
    """Largest change of each sample in each output: name -> float64 [N]. NaN where an answer is NaN.

    run: images float32 [N, C, H, W] -> name -> [N, ...], the same decisions for every call. x: the images. precision:
    what feature maps are stored in, "fp32" or "fp16"; inputs move by one unit in the last place of it.
    """
    random = np.random.default_rng(0)
    first = {name: rows_of(np.asarray(value, np.float64)) for name, value in run(x).items()}
    largest: Dict[str, np.ndarray] = {name: np.zeros(len(x)) for name in first}
    for _ in range(DRAWS):
        signs = random.choice(np.array([-1.0, 1.0], np.float32), size=x.shape)
        for name, value in run((x * (1 + np.float32(_UNIT[precision]) * signs)).astype(np.float32)).items():
            change = np.abs(rows_of(np.asarray(value, np.float64)) - first[name]).max(axis=1)
            largest[name] = np.maximum(largest[name], change)
    return largest
