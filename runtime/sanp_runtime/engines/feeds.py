"""Check the arrays that a caller gives to an engine, so that every mistake is named before the backend sees it."""

from __future__ import annotations

import difflib
from typing import Any, Collection, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from sanp_runtime.bundle.manifest import Manifest
from sanp_runtime.contract import UNGATED, mask_input
from sanp_runtime.network.sizes import Size, text_of
from sanp_targets.errors import InputError


def check_images(x: Any, shape: Sequence[int], any_size: bool = False, listed: Collection[Size] = ()) -> np.ndarray:
    """x as a contiguous float32 array [N, C, H, W], N >= 1; InputError otherwise. any_size: whatever H and W.

    listed: the heights and widths that are taken, that of the shape if there are none.

    NaN and infinity are refused: no gate can be decided on them, and a kernel that skips a channel would not propagate
    the NaN that plain ONNX Runtime propagates.
    """
    sizes = [shape[0], "any height", "any width"] if any_size else [shape[0], "H", "W"] if len(listed) > 1 else shape
    expected = f"a float32 array [N, {', '.join(str(size) for size in sizes)}]"
    expected += f" with HxW one of {', '.join(map(text_of, listed))}" if len(listed) > 1 else ""
    if not isinstance(x, np.ndarray):
        raise InputError(f"the input is a {type(x).__name__}, expected {expected}; convert it with numpy.asarray")
    if x.dtype != np.float32:
        raise InputError(f"the input has dtype {x.dtype}, expected {expected}; convert it with x.astype(numpy.float32)")
    if x.ndim != len(shape) + 1:
        hint = "; add the batch axis with x[None]" if x.ndim == len(shape) else "; reshape it"
        raise InputError(f"the input has shape {list(x.shape)}, expected {expected}{hint}")
    if x.shape[1] != shape[0]:
        raise InputError(f"the input has {x.shape[1]} channels, expected {expected}; the layout is channels first")
    known = x.shape[2:] in listed or x.shape[2:] == tuple(shape[1:])
    if not known and not (any_size and min(x.shape[2:]) > 0):
        raise InputError(f"the input has images of {x.shape[2]}x{x.shape[3]}, expected {expected}; resize them")
    if x.shape[0] == 0:
        raise InputError(f"the input has no samples, expected {expected} with N >= 1; skip empty batches")
    if not np.isfinite(x).all():
        raise InputError(f"the input holds NaN or infinity, expected {expected} with finite values; clean the data")
    return np.ascontiguousarray(x)


def check_masks(masks: Optional[Mapping[str, Any]], manifest: Manifest, n: int, variant: str) -> Dict[str, np.ndarray]:
    """Feeds `mask.<layer>` for masks given by layer name, float32 [1 or N, Co] each; InputError otherwise.

    Also if the variant has no gates: those of standard operators have none.
    """
    if masks is None:
        return {}
    if not isinstance(masks, Mapping):
        raise InputError(f"masks is a {type(masks).__name__}, expected a dictionary from layer name to array")
    if masks and variant in UNGATED:
        cure = (
            "use the variant gated, open or replay" if manifest.gated else "leave them out, this network has no gates"
        )
        if manifest.pixel_gated:
            cure = "leave them out, this network decides for every pixel, and no mask reaches that"
        raise InputError(f"masks were given to the {variant} variant, which has no channel gates; {cure}")
    return {mask_input(str(name)): _mask(name, value, manifest, n) for name, value in masks.items()}


def _mask(name: Any, value: Any, manifest: Manifest, n: int) -> np.ndarray:
    if name not in manifest.gated:
        near = difflib.get_close_matches(str(name), manifest.gated, n=3, cutoff=0.5)
        hint = f"the nearest are {near}" if near else f"there are {list(manifest.gated)[:8]}"
        raise InputError(f"there is no gated layer {name!r}; {hint}")
    channels = manifest.layer(name).c_out
    expected = f"float32 [1 or {n}, {channels}]"
    if not isinstance(value, np.ndarray) or value.dtype != np.float32:
        found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(f"the mask of {name!r} is {found}, expected {expected}; convert it with astype(numpy.float32)")
    if value.ndim != 2 or value.shape[1] != channels or value.shape[0] not in (1, n):
        raise InputError(f"the mask of {name!r} has shape {list(value.shape)}, expected {expected}; reshape it")
    if not np.isfinite(value).all():
        raise InputError(f"the mask of {name!r} holds NaN or infinity, expected finite values; 1 lets the gate decide")
    if (value < 0).any():
        # Active inputs are found by adding scales; a negative one could cancel a positive one and hide a live channel.
        raise InputError(f"the mask of {name!r} holds negative values, expected 0 (off) or above; correct it")
    return np.ascontiguousarray(value)


def check_names(names: Any, known: Sequence[str]) -> Tuple[str, ...]:
    """Names of outputs, each one of `known` and once, at least one; InputError otherwise."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise InputError(f"outputs is {names!r:.100}, expected a sequence of names such as ({known[0]!r},)")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5) or list(known)[:8]
            raise InputError(f"there is no output {name!r}, expected some of {near}; `Engine.outputs` lists them all")
    if not names or len(set(names)) != len(names):
        raise InputError(f"outputs is {list(names)}, expected at least one name and each once; correct it")
    return tuple(names)


def output_arrays(
    shapes: Mapping[str, Tuple[int, ...]], out: Optional[Mapping[str, Any]], inputs: Sequence[np.ndarray]
) -> Dict[str, np.ndarray]:
    """An array for each output: that of `out`, which must fit, or a new one; InputError otherwise."""
    given = {} if out is None else out
    if not isinstance(given, Mapping):
        raise InputError(f"out is a {type(given).__name__}, expected a dictionary from output name to array")
    extra = [name for name in given if name not in shapes]
    if extra:
        raise InputError(f"out has an array for {extra[0]!r}, expected some of {list(shapes)}; name it in outputs too")
    arrays = {
        name: _output(name, given[name], shape) if name in given else np.empty(shape, np.float32)
        for name, shape in shapes.items()
    }
    whole = [*arrays.values(), *inputs]
    if any(np.may_share_memory(one, other) for i, one in enumerate(whole) for other in whole[:i]):
        raise InputError("arrays of out share memory, expected one of their own for each output; pass separate arrays")
    return arrays


def _output(name: str, value: Any, shape: Tuple[int, ...]) -> np.ndarray:
    expected = f"a float32 array {list(shape)}"
    if not isinstance(value, np.ndarray) or value.dtype != np.float32 or value.shape != shape:
        found = f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(f"the array for {name!r} is {found}, expected {expected}; make it with numpy.empty")
    if not value.flags.c_contiguous or not value.flags.writeable or not value.flags.aligned:
        raise InputError(f"the array for {name!r} is strided or read-only, expected {expected} in one writable block")
    return value
