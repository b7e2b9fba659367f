"""Weights that stand in a file and not in their model, where one ONNX file cannot hold them.

In memory such a tensor of a model has no values: it names the absolute path of a file, an offset and a length. Passes
see its values mapped from there, and a constant whose values lie in a mapped file is written as that place again. So
models of any size are small messages, which can be copied, checked and sealed like others.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import TensorProto, external_data_helper, helper
from onnx_graphsurgeon.ir.tensor import LazyValues

from sanp_runtime.bundle.files import temporary_beside
from sanp_targets.errors import ConfigError

# A protobuf message is smaller than 2 GiB; nodes, names and the layer table need less than the rest.
MOST_BYTES = (1 << 31) - (64 << 20)
# Below this size a tensor stays in its model: an entry in a file costs about as much.
SMALLEST = 1024
# ONNX Runtime maps these files; page alignment lets it do so without a copy.
ALIGNMENT = 4096
_CHUNK = 1 << 24


@dataclass(frozen=True)
class Place:
    """Where the bytes of a tensor stand."""

    path: str
    offset: int
    length: int


class Scratch:
    """A file that takes weights while a model is made; equal ones are stored once."""

    def __init__(self, folder: Path) -> None:
        try:
            handle, place = temporary_beside(folder / "weights")
        except OSError as error:
            raise _not_writable(folder, error) from error
        self.path, self._stream = str(place), os.fdopen(handle, "wb")
        self._size = 0
        self._known: dict[bytes, Place] = {}

    def put(self, array: np.ndarray) -> Place:
        """The place of these values, which are written unless they stand in a mapped file already."""
        found = place_of(array)
        if found is not None:
            return found
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        key = hashlib.sha256(content).digest()
        if key not in self._known:
            gap = -self._size % ALIGNMENT
            try:
                self._stream.write(bytes(gap))
                self._stream.write(content)
                self._stream.flush()
            except OSError as error:
                raise _not_writable(Path(self.path).parent, error) from error
            self._known[key] = Place(self.path, self._size + gap, len(content))
            self._size += gap + len(content)
        return self._known[key]

    def close(self) -> None:
        """Remove the file."""
        self._stream.close()
        Path(self.path).unlink(missing_ok=True)


_SCRATCH: ContextVar[Scratch | None] = ContextVar("scratch", default=None)
_MAPPED: dict[str, list[np.ndarray]] = {}


@contextmanager
def in_files(folder: Path | None) -> Iterator[None]:
    """Let models made meanwhile keep their weights in a file of this folder, which goes at the end; None: in memory.

    Only one at a time: models that were made in another one have to be written before it ends.
    """
    if folder is None:
        yield
        return
    scratch = Scratch(folder)
    token = _SCRATCH.set(scratch)
    try:
        yield
    finally:
        _SCRATCH.reset(token)
        _MAPPED.clear()
        scratch.close()


def scratch() -> Scratch | None:
    """The file that takes weights now, if there is one."""
    return _SCRATCH.get()


def external(model: onnx.ModelProto) -> list[TensorProto]:
    """The tensors of a model whose values stand in a file."""
    return [item for item in model.graph.initializer if external_data_helper.uses_external_data(item)]


def place(tensor: TensorProto) -> Place:
    """Where the values of such a tensor stand; KeyError or ValueError for one that does not say it."""
    row = {entry.key: entry.value for entry in tensor.external_data}
    return Place(row["location"], int(row["offset"]), int(row["length"]))


def moved(tensor: TensorProto, to: Place) -> None:
    """Let a tensor name a place."""
    tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", to.path), ("offset", to.offset), ("length", to.length)):
        tensor.external_data.add(key=key, value=str(value))


def tensor_at(name: str, array_type: np.dtype, shape: Sequence[int], where: Place) -> TensorProto:
    """A tensor of this type and shape whose values stand there."""
    tensor = TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(np.dtype(array_type)), dims=shape)
    moved(tensor, where)
    return tensor


def values(tensor: TensorProto) -> np.ndarray:
    """The values of any tensor; of an external one they are mapped and cannot be written."""
    if not external_data_helper.uses_external_data(tensor):
        return np.array(onnx.numpy_helper.to_array(tensor))
    at = place(tensor)
    end = at.offset + at.length
    files = _MAPPED.setdefault(at.path, [])
    if not files or files[-1].size < end:  # a scratch file grows; the older mapping keeps the views that were given out
        files.append(np.memmap(at.path, np.uint8, "r"))
    kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return np.asarray(files[-1])[at.offset : end].view(kind).reshape(tuple(tensor.dims))


def place_of(array: np.ndarray) -> Place | None:
    """Where exactly these bytes stand in a file, if the array is a part of a mapped one; else None."""
    if not _MAPPED or not array.flags.c_contiguous or array.nbytes == 0:
        return None
    start = array.__array_interface__["data"][0]
    for path, files in _MAPPED.items():
        for whole in files:
            offset = start - whole.__array_interface__["data"][0]
            if offset >= 0 and offset + array.nbytes <= whole.size:
                return Place(path, offset, array.nbytes)
    return None


class _Stored(LazyValues):
    """Values of a graph's constant that stand in a file."""

    def load(self) -> np.ndarray:
        return values(self.tensor)


def attach(graph: gs.Graph) -> None:
    """After an import: let constants read their values from where they stand."""
    for tensor in graph.tensors().values():
        lazy = tensor._values if isinstance(tensor, gs.Constant) else None
        if isinstance(lazy, LazyValues) and external_data_helper.uses_external_data(lazy.tensor):
            tensor._values, tensor.data_location = _Stored(lazy.tensor), None


def detach(graph: gs.Graph, kept: tuple[str, ...]) -> None:
    """Before an export: constants whose values stand in a file, or go to one now, become places.

    kept: beginnings of names that stay in the model. A graph without such values is left alone.
    """
    target = scratch()
    if target is None and not _MAPPED:
        return
    for tensor in graph.tensors().values():
        if not isinstance(tensor, gs.Constant) or isinstance(tensor._values, LazyValues):
            continue
        array = tensor._values
        where = place_of(array)
        if where is None and target is not None and array.nbytes >= SMALLEST and not tensor.name.startswith(kept):
            where = target.put(array)
        if where is not None:
            tensor._values = _Stored(tensor_at(tensor.name, array.dtype, array.shape, where))


def check(model: onnx.ModelProto) -> None:
    """onnx.checker with shape inference; tensors in files stand in as inputs. Raises what the checker raises."""
    large = {tensor.name for tensor in external(model)}
    if large:
        model, whole = onnx.ModelProto(), model
        model.CopyFrom(whole)
        rest = [tensor for tensor in model.graph.initializer if tensor.name not in large]
        gone = [tensor for tensor in model.graph.initializer if tensor.name in large]
        known = {item.name for item in model.graph.input}
        model.graph.input.extend(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            for tensor in gone
            if tensor.name not in known
        )
        del model.graph.initializer[:]
        model.graph.initializer.extend(rest)
    onnx.checker.check_model(model, full_check=True)


class Layout:
    """One file of weights: each place once, aligned, in the order in which they are added."""

    def __init__(self) -> None:
        self.size = 0
        self._rows: list[tuple[int, Place | bytes]] = []
        self._known: dict[Place | bytes, int] = {}

    def add(self, item: Place | bytes) -> int:
        """The offset of these bytes in the file."""
        if item not in self._known:
            self.size += -self.size % ALIGNMENT
            self._known[item] = self.size
            self._rows.append((self.size, item))
            self.size += item.length if isinstance(item, Place) else len(item)
        return self._known[item]

    def chunks(self) -> Iterator[bytes]:
        """The content of the file, in pieces."""
        at = 0
        for offset, item in self._rows:
            if offset > at:
                yield bytes(offset - at)
            yield from _read(item) if isinstance(item, Place) else [item]
            at = offset + (item.length if isinstance(item, Place) else len(item))

    def write(self, stream: BinaryIO) -> None:
        """Write the content."""
        for chunk in self.chunks():
            stream.write(chunk)

    def sha256(self) -> str:
        """Hash of the content."""
        return hash_of(self.chunks())


def hash_of(chunks: Iterable[bytes]) -> str:
    """sha256 of pieces, hexadecimal."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def _read(where: Place) -> Iterator[bytes]:
    with Path(where.path).open("rb") as stream:
        stream.seek(where.offset)
        left = where.length
        while left:
            chunk = stream.read(min(left, _CHUNK))
            if not chunk:
                raise ConfigError(f"{where.path}: ended early, expected {left} more bytes; write the model again")
            left -= len(chunk)
            yield chunk


def _not_writable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{folder}: cannot take the weights ({error.strerror or error}); choose a writable folder with free space"
    )
