"""Reference samples inside a bundle: real inputs with PyTorch's logits, scales and saliencies."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.bundle.manifest import Manifest
from sanp_targets.errors import InputError

_SCALE = "scale/"
_SALIENCY = "saliency/"


@dataclass(frozen=True)
class Reference:
    """n samples and what PyTorch computes for them.

    x float32 [n, C, H, W]; labels int64 [n]; logits float32 [n, classes]; scales: gated layer -> float32 [n, Co], 0 =
    closed; saliency: layer with a learned gate -> float32 [n, Co], the margin of each decision, which is the saliency
    before its ReLU minus the bound that it must exceed: positive = open. A layer without a learned gate has none.
    exact: logits in double precision, float64 [n, classes], of a network that decides for every pixel; else None. Their
    distance from `logits` shows what rounding alone can do to a network whose decisions are not recorded.
    """

    x: np.ndarray
    labels: np.ndarray
    logits: np.ndarray
    scales: Mapping[str, np.ndarray] = field(default_factory=dict)
    saliency: Mapping[str, np.ndarray] = field(default_factory=dict)
    exact: Optional[np.ndarray] = None

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def take(self, indices: Sequence[int]) -> "Reference":
        """The samples at these indices."""
        rows = np.asarray(indices, dtype=np.int64)
        return Reference(
            self.x[rows],
            self.labels[rows],
            self.logits[rows],
            {name: value[rows] for name, value in self.scales.items()},
            {name: value[rows] for name, value in self.saliency.items()},
            None if self.exact is None else self.exact[rows],
        )

    def arrays(self) -> Dict[str, np.ndarray]:
        """The arrays of reference.npz by name."""
        arrays = {"x": self.x, "labels": self.labels, "logits": self.logits}
        arrays.update({} if self.exact is None else {"exact": self.exact})
        arrays.update({_SCALE + name: value for name, value in self.scales.items()})
        arrays.update({_SALIENCY + name: value for name, value in self.saliency.items()})
        return arrays

    def dumps(self) -> bytes:
        """Content of reference.npz; equal samples give equal bytes."""
        buffer = io.BytesIO()
        np.savez(buffer, **self.arrays())  # type: ignore[arg-type]
        return buffer.getvalue()


def read_reference(path: Path, manifest: Manifest) -> Reference:
    """Read reference.npz and check it against the manifest; InputError if it is damaged or does not fit."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and numpy raise a dozen types for a damaged archive
        raise InputError(f"{path}: is not a readable archive of arrays ({error}); copy the bundle again") from error
    try:
        return from_arrays(arrays, manifest)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def from_arrays(arrays: Mapping[str, np.ndarray], manifest: Manifest) -> Reference:
    """Reference of named arrays; InputError naming the first array that is missing, extra or of the wrong kind."""
    required, optional = _expected(arrays, manifest)
    missing, extra = sorted(set(required) - set(arrays)), sorted(set(arrays) - set(required) - set(optional))
    if missing or extra:
        raise InputError(f"array(s) {missing + extra} are missing or extra, expected {sorted(required)}; compile again")
    for name, array in arrays.items():
        dtype, shape = {**optional, **required}[name]
        if array.dtype != np.dtype(dtype) or array.shape != shape:
            raise InputError(
                f"array {name} is {array.dtype} {list(array.shape)}, expected {dtype} {list(shape)}; compile again"
            )
        if not np.isfinite(array).all():
            raise InputError(f"array {name} holds NaN or infinity, expected finite reference values; compile again")
    return Reference(
        arrays["x"],
        arrays["labels"],
        arrays["logits"],
        {name: arrays[_SCALE + name] for name in manifest.gated},
        {name: arrays[_SALIENCY + name] for name in manifest.gated if _SALIENCY + name in arrays},
        arrays.get("exact"),
    )


_Kinds = Dict[str, Tuple[str, Tuple[int, ...]]]


def _expected(arrays: Mapping[str, np.ndarray], manifest: Manifest) -> Tuple[_Kinds, _Kinds]:
    n = len(arrays["labels"]) if "labels" in arrays and arrays["labels"].ndim == 1 else 0
    if n == 0:
        raise InputError("array labels is missing or empty, expected the class of at least one sample; compile again")
    required: _Kinds = {
        "x": ("float32", (n, *manifest.input["shape"])),
        "labels": ("int64", (n,)),
        "logits": ("float32", (n, manifest.classes)),
    }
    optional: _Kinds = {"exact": ("float64", (n, manifest.classes))}
    for name in manifest.gated:
        shape = (n, manifest.layer(name).c_out)
        required[_SCALE + name] = ("float32", shape)
        optional[_SALIENCY + name] = ("float32", shape)
    return required, optional
