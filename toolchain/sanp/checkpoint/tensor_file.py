"""Tensors and JSON in one safetensors file that notices damage: the container of checkpoints and resume states."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sanp_runtime.bundle.files import write_atomically
from sanp_runtime.bundle.json_text import parse_json
from sanp_targets.errors import InputError

_HEADER_LIMIT = 64 * 1024 * 1024  # bytes of JSON; a damaged length field must not make us allocate terabytes


def write(path: Path, kind: str, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write atomically: a temporary file in the same folder, flushed to disk, then renamed.

    kind names what the file is ("checkpoint", "training-state"); description must be JSON. The digest over both and
    over every tensor's name, type, shape and bytes goes into the metadata. ConfigError if the folder cannot be written.
    """
    from safetensors.torch import save

    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps({"kind": kind, **description}, sort_keys=True, allow_nan=False)
    data = save(own, metadata={"sanp": text, "sha256": _digest(text, own)})
    write_atomically(path, data)


def read(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Description and tensors (on the CPU) of a file that `write` made.

    Raises InputError, in one sentence, if the file is missing, of another kind, truncated or changed in any bit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}), expected a {kind} file; check the path") from error
    try:
        metadata = _metadata(data)
        text, digest = metadata["sanp"], metadata["sha256"]
        description = parse_json(text)
        found = description.pop("kind")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is not a {kind} of this toolchain or its header is damaged; train or save it again"
        ) from error
    if found != kind:
        raise InputError(f"{path} is a {found}, expected a {kind}; pass the other file")
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{path} is truncated or damaged ({error}); copy it again or restore a backup") from error
    if _digest(text, tensors) != digest:
        raise InputError(f"{path} does not match its sha256: it was damaged or edited; copy it again")
    return description, tensors


def _metadata(data: bytes) -> dict[str, str]:
    """The string metadata of a safetensors file: 8 bytes of length, then JSON."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _HEADER_LIMIT):
        raise ValueError("header length")
    metadata = parse_json(data[8 : 8 + length].decode())["__metadata__"]
    if set(metadata) != {"sanp", "sha256"}:
        raise ValueError("metadata keys")
    return metadata


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """sha256 over the description and every tensor, in name order."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # Reinterpreted as bytes, because NumPy has no bfloat16.
        digest.update(np.ascontiguousarray(tensor.reshape(-1).view(torch.uint8).numpy()).tobytes())
    return digest.hexdigest()
