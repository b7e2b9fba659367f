"""Reference samples inside a bundle: real inputs with PyTorch's outputs, scales and saliencies."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.contract import LOGITS
from sanp_runtime.network.sizes import Size, size_of, text_of
from sanp_targets.errors import InputError

_OUTPUT = "output/"
_EXACT = "exact/"
_OWN_ERROR = "own_error"
_SCALE = "scale/"
_SALIENCY = "saliency/"
_SIZE = "size/"  # size/320x256/x and so on: samples of another size


@dataclass(frozen=True)
class Reference:
    """n samples and what PyTorch computes for them.

    x float32 [n, C, H, W]; labels: what is true of them, numbers [n, ...], classes as int64 [n], None where nobody
    said; outputs: name -> float32 [n, ...]; scales: gated layer -> float32 [n, Co], 0 = closed; saliency: layer with a
    learned gate -> float32 [n, Co], the margin of each decision, which is the saliency before its ReLU minus the bound
    that it must exceed: positive = open. A layer without a learned gate has none. exact: the outputs in double
    precision, of a network that decides for every pixel; else None. Their distance from `outputs` shows what rounding
    alone can do to a network whose decisions are not recorded. own_error: how far PyTorch's own float32 is off, the
    largest distance from double precision with the same decisions on a few samples, as a share of the largest output
    in the sample; 0 where nobody knows. sizes: for every other (height, width) that images may have, a few samples of
    it.
    """

    x: np.ndarray
    labels: Optional[np.ndarray]
    outputs: Mapping[str, np.ndarray]
    scales: Mapping[str, np.ndarray] = field(default_factory=dict)
    saliency: Mapping[str, np.ndarray] = field(default_factory=dict)
    exact: Optional[Mapping[str, np.ndarray]] = None
    own_error: float = 0.0
    sizes: Mapping[Size, "Reference"] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @property
    def logits(self) -> np.ndarray:
        """The output `logits`, float32 [n, classes]; KeyError for a network without."""
        return self.outputs[LOGITS]

    @property
    def has_classes(self) -> bool:
        """Whether accuracy means something: there are logits, and a class for every sample."""
        if self.labels is None or LOGITS not in self.outputs:
            return False
        return self.labels.dtype == np.int64 and self.labels.ndim == 1 and self.logits.ndim == 2

    def take(self, indices: Sequence[int]) -> "Reference":
        """The samples at these indices; those of other sizes stay."""
        rows = np.asarray(indices, dtype=np.int64)
        return Reference(
            self.x[rows],
            None if self.labels is None else self.labels[rows],
            _rows(self.outputs, rows),
            _rows(self.scales, rows),
            _rows(self.saliency, rows),
            None if self.exact is None else _rows(self.exact, rows),
            self.own_error,
            self.sizes,
        )

    def arrays(self) -> Dict[str, np.ndarray]:
        """The arrays of reference.npz by name."""
        arrays = {"x": self.x, _OWN_ERROR: np.asarray(self.own_error, np.float64)}
        arrays.update({} if self.labels is None else {"labels": self.labels})
        arrays.update({_OUTPUT + name: value for name, value in self.outputs.items()})
        arrays.update({_EXACT + name: value for name, value in (self.exact or {}).items()})
        arrays.update({_SCALE + name: value for name, value in self.scales.items()})
        arrays.update({_SALIENCY + name: value for name, value in self.saliency.items()})
        for size, other in self.sizes.items():
            arrays.update({f"{_SIZE}{text_of(size)}/{name}": value for name, value in other.arrays().items()})
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
    own = {name: array for name, array in arrays.items() if not name.startswith(_SIZE)}
    found, sizes = _of_one_size(own, manifest), {}
    for key in sorted({name[len(_SIZE) :].partition("/")[0] for name in set(arrays) - set(own)}):
        head, size = f"{_SIZE}{key}/", size_of(key)
        rows = {name[len(head) :]: array for name, array in arrays.items() if name.startswith(head)}
        if size == (manifest.input["shape"][1], manifest.input["shape"][2]):
            raise InputError(f"samples of {key} come twice, expected other sizes beside them; export again")
        sizes[size] = _of_one_size(rows, manifest.at(size))
    return replace(found, sizes=sizes)


def _of_one_size(arrays: Mapping[str, np.ndarray], manifest: Manifest) -> Reference:
    required, optional = _expected(arrays, manifest)
    missing, extra = sorted(set(required) - set(arrays)), sorted(set(arrays) - set(required) - set(optional))
    if missing or extra:
        raise InputError(f"array(s) {missing + extra} are missing or extra, expected {sorted(required)}; export again")
    for name, array in arrays.items():
        if name == "labels":
            _check_labels(array, len(arrays["x"]))
            continue
        dtype, shape = {**optional, **required}[name]
        if array.dtype != np.dtype(dtype) or array.shape != shape:
            raise InputError(
                f"array {name} is {array.dtype} {list(array.shape)}, expected {dtype} {list(shape)}; compile again"
            )
        if not np.isfinite(array).all():
            raise InputError(f"array {name} holds NaN or infinity, expected finite reference values; compile again")
    names = manifest.output_names
    exact = {name: arrays[_EXACT + name] for name in names if _EXACT + name in arrays}
    return Reference(
        arrays["x"],
        arrays.get("labels"),
        {name: arrays[_OUTPUT + name] for name in names},
        {name: arrays[_SCALE + name] for name in manifest.gated},
        {name: arrays[_SALIENCY + name] for name in manifest.gated if _SALIENCY + name in arrays},
        exact if len(exact) == len(names) else None,
        float(arrays.get(_OWN_ERROR, 0.0)),
    )


def _check_labels(array: np.ndarray, n: int) -> None:
    narrow = array.dtype.kind in "iu" and array.ndim == 1 and array.dtype != np.int64
    if narrow or array.dtype.kind not in "biuf" or array.ndim < 1 or len(array) != n or not np.isfinite(array).all():
        raise InputError(
            f"array labels is {array.dtype} {list(array.shape)}, expected finite numbers for each of {n} samples, "
            "classes as int64; export again"
        )


def _rows(values: Mapping[str, np.ndarray], rows: np.ndarray) -> Dict[str, np.ndarray]:
    return {name: value[rows] for name, value in values.items()}


_Kinds = Dict[str, Tuple[str, Tuple[int, ...]]]


def _expected(arrays: Mapping[str, np.ndarray], manifest: Manifest) -> Tuple[_Kinds, _Kinds]:
    n = len(arrays["x"]) if "x" in arrays and arrays["x"].ndim else 0
    if n == 0:
        raise InputError("array x is missing or empty, expected at least one sample; export again")
    required: _Kinds = {"x": ("float32", (n, *manifest.input["shape"]))}
    optional: _Kinds = {"labels": ("", ()), _OWN_ERROR: ("float64", ())}
    for output in manifest.outputs:
        # Sizes that depend on the image are those of the samples, which have one size.
        found = arrays.get(_OUTPUT + output.name, np.zeros(0)).shape[1:]
        own = tuple(
            size if size is not None or index >= len(found) else found[index] for index, size in enumerate(output.shape)
        )
        required[_OUTPUT + output.name] = ("float32", (n, *own))  # type: ignore[arg-type]
        optional[_EXACT + output.name] = ("float64", (n, *own))  # type: ignore[arg-type]
    for name in manifest.gated:
        shape = (n, manifest.layer(name).c_out)
        required[_SCALE + name] = ("float32", shape)
        optional[_SALIENCY + name] = ("float32", shape)
    return required, optional
