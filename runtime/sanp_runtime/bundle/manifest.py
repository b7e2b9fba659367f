"""The manifest of a bundle: what the files are, what they compute, where they come from; JSON, checked on reading."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import Any, Dict, FrozenSet, Mapping, Optional, Tuple

from sanp_runtime.contract import MANIFEST_FILE, TENSORRT, VARIANTS
from sanp_runtime.network.layers import Layer
from sanp_runtime.network.macs import dense_macs
from sanp_runtime.network.support import AnyOf, Concat, Dense, Gate, Support
from sanp_targets.errors import InputError

SCHEMA_VERSION = 2

# One path component, no leading dot: a manifest can never name anything outside its own directory.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHECKSUM = "manifest_sha256"
_REPAIR = "copy the bundle again or compile it again"


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and sha256 (hex) of one file of the bundle."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything about a bundle that is not weights.

    `input` is {"name", "shape": [C, H, W], "dtype": "float32", "normalisation": {...}}: normalisation describes what
    the caller has done to x; the engine does not do it. `build` says how the engines of a backend are made: for
    TensorRT `precision`, `plugin_layers`, `batch`, and once they exist `engines`, `plugin` and `fingerprint`; for ONNX
    Runtime `bf16_weights` if weights were rounded: `layers` with the errors of their weights, and `answers`. `files` is
    filled by BundleWriter. Free-form dictionaries (`made_by`, `device`, `policy`, `source`, `options`) are carried and
    shown, never interpreted.
    """

    name: str
    created: str
    target: Mapping[str, str]
    variants: Mapping[str, str]
    input: Mapping[str, Any]
    outputs: Tuple[str, ...]
    layers: Tuple[Layer, ...]
    gated: Tuple[str, ...]
    dense_macs: int
    classes: int
    dataset: str = ""
    made_by: Mapping[str, str] = field(default_factory=dict)
    device: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    build: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileEntry] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def layer(self, name: str) -> Layer:
        """The row of one layer; KeyError if there is none."""
        return {row.name: row for row in self.layers}[name]

    def names(self) -> Tuple[str, ...]:
        """Names of all layers in execution order."""
        return tuple(row.name for row in self.layers)

    @property
    def precision(self) -> str:
        """Type of feature maps and weights: "fp32" or "fp16"."""
        return str(self.build.get("precision", "fp32"))

    @property
    def rounded(self) -> Mapping[str, float]:
        """Layer whose weights were rounded to bfloat16 -> RMS of their changes over that of the weights."""
        row: Mapping[str, float] = self.build.get("bf16_weights", {}).get("layers", {})
        return row

    @property
    def engines_built(self) -> bool:
        """True if the bundle can run: a TensorRT bundle that was compiled elsewhere has no engines yet."""
        return self.target["backend"] != TENSORRT or "engines" in self.build

    @property
    def native(self) -> FrozenSet[str]:
        """Gated layers that were compiled to standard operators of the backend instead of our kernel."""
        return frozenset(self.gated) - frozenset(self.build.get("plugin_layers", self.gated))

    @property
    def gate_kernels(self) -> bool:
        """True if the channel gates run in our kernel: unless every layer is native."""
        return bool(frozenset(self.gated) - self.native)

    def with_files(self, files: Mapping[str, FileEntry]) -> "Manifest":
        """A copy that lists these files."""
        return replace(self, files=dict(files))

    def to_json(self) -> Dict[str, Any]:
        """Plain JSON, the inverse of `from_json`, with a checksum of its own."""
        row: Dict[str, Any] = dict(self.__dict__)
        row["layers"] = [layer.to_json() for layer in self.layers]
        row["files"] = {name: dict(entry.__dict__) for name, entry in sorted(self.files.items())}
        row.update(outputs=list(self.outputs), gated=list(self.gated))
        row[_CHECKSUM] = _checksum(row)
        return row

    def dumps(self) -> str:
        """The text of manifest.json."""
        return json.dumps(self.to_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"


def loads(text: str) -> Manifest:
    """Parse and check the text of a manifest.

    Raises InputError if it is not JSON, of another schema, damaged (its checksum differs) or inconsistent.
    """
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{MANIFEST_FILE} is not valid JSON ({error}); {_REPAIR}") from error
    try:
        return from_json(row)
    except RecursionError as error:
        raise InputError(f"{MANIFEST_FILE} is nested too deeply to be a manifest; {_REPAIR}") from error


def from_json(row: Any) -> Manifest:
    """Manifest of a parsed JSON object; the checks of `loads`."""
    if not isinstance(row, dict):
        raise InputError(f"{MANIFEST_FILE} holds a {type(row).__name__}, expected a JSON object; {_REPAIR}")
    version = row.get("schema_version")
    if version != SCHEMA_VERSION or type(version) is not int:
        raise InputError(_other_schema(version))
    content = {key: value for key, value in row.items() if key != _CHECKSUM}
    if row.get(_CHECKSUM) != _checksum(content):
        raise InputError(f"{MANIFEST_FILE} does not match its own checksum, so it was damaged or edited; {_REPAIR}")
    content.setdefault("build", {})  # written since TensorRT targets exist
    _check_fields(content)
    content["layers"] = tuple(Layer.from_json(item) for item in content["layers"])
    content["files"] = {name: _file_entry(name, item) for name, item in content["files"].items()}
    content.update(outputs=tuple(content["outputs"]), gated=tuple(content["gated"]))
    manifest = Manifest(**content)
    check(manifest)
    return manifest


def _other_schema(version: Any) -> str:
    if type(version) is not int:
        return f"{MANIFEST_FILE} has schema version {version!r}, expected the integer {SCHEMA_VERSION}; {_REPAIR}"
    age, cure = ("a newer", "install it")
    if version < SCHEMA_VERSION:
        age, cure = ("an older", "compile it again from the ONNX model, or use the version that made it")
    return (
        f"{MANIFEST_FILE} has schema version {version}, expected {SCHEMA_VERSION}: the bundle was made by {age} "
        f"version of the toolchain; {cure}"
    )


def listed_files(text: str) -> FrozenSet[str]:
    """Names of the files in a manifest of any schema, itself included; InputError if it is none or was damaged.

    For whoever replaces a bundle that this version cannot read.
    """
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{MANIFEST_FILE} is not valid JSON ({error}); {_REPAIR}") from error
    if not isinstance(row, dict) or not isinstance(row.get("files"), dict) or row.get(_CHECKSUM) != _checksum(row):
        raise InputError(f"{MANIFEST_FILE} is no undamaged manifest of a bundle; {_REPAIR}")
    return frozenset(row["files"]) | {MANIFEST_FILE}


def check(manifest: Manifest) -> None:
    """Raise InputError if the parts of a manifest contradict each other."""
    if sorted(manifest.variants) != sorted(VARIANTS):
        _fail("variants", sorted(manifest.variants), sorted(VARIANTS))
    for name in list(manifest.variants.values()) + list(manifest.files):
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name) or name == MANIFEST_FILE:
            _fail("files", name, "plain file names without a folder")
    missing = sorted(set(manifest.variants.values()) - set(manifest.files))
    if missing:
        _fail("files", sorted(manifest.files), f"also the variant files {missing}")
    _check_input(manifest.input)
    for key in ("name", "backend", "arch"):
        if not isinstance(manifest.target.get(key), str):
            _fail(f"target.{key}", manifest.target.get(key), "a string")
    gated = tuple(row.name for row in manifest.layers if row.gated)
    if manifest.gated != gated:
        _fail("gated", list(manifest.gated), f"the gated layers of the table, {list(gated)}")
    if len(set(manifest.names())) != len(manifest.layers):
        _fail("layers", list(manifest.names()), "every layer name once")
    widths = {row.name: row.c_out for row in manifest.layers if row.gated}
    for row in manifest.layers:
        if min(row.c_in, row.c_out, row.groups) < 1 or row.gate_hidden < 0:
            _fail(f"layers.{row.name}", [row.c_in, row.c_out, row.groups, row.gate_hidden], "positive counts")
        if _width(row.support, widths) != row.c_in or row.c_in % row.groups or row.c_out % row.groups:
            _fail(f"layers.{row.name}", f"{row.c_in} -> {row.c_out} channels", "widths that fit support and groups")
    _check_build(manifest)
    if manifest.dense_macs != dense_macs(manifest.layers):
        _fail("dense_macs", manifest.dense_macs, f"{dense_macs(manifest.layers)}, the sum over the layer table")


def _check_build(manifest: Manifest) -> None:
    plugins, precision = manifest.build.get("plugin_layers", []), manifest.build.get("precision", "fp32")
    if not isinstance(plugins, list) or not set(map(str, plugins)) <= set(manifest.gated):
        _fail("build.plugin_layers", plugins, "names of gated layers")
    if precision not in ("fp32", "fp16"):
        _fail("build.precision", precision, "fp32 or fp16")
    _check_rounded(manifest)
    if manifest.target["backend"] == TENSORRT:
        _check_engines(manifest)


def _check_rounded(manifest: Manifest) -> None:
    row = manifest.build.get("bf16_weights", {"layers": {}})
    layers = row.get("layers") if isinstance(row, dict) else None
    if (
        not isinstance(layers, dict)
        or not set(layers) <= set(manifest.gated)
        or not all(type(error) is float and 0 <= error < 1 for error in layers.values())
    ):
        _fail("build.bf16_weights", row, "relative errors below 1 of gated layers")


def _check_engines(manifest: Manifest) -> None:
    """What the TensorRT backend reads: batch sizes, and either no engines or one file for each variant."""
    batch = manifest.build.get("batch")
    sizes = [batch.get(key) for key in ("min", "opt", "max")] if isinstance(batch, dict) else [None]
    if any(type(size) is not int for size in sizes) or sorted([1, *sizes]) != [1, *sizes]:
        _fail("build.batch", batch, "integers 1 <= min <= opt <= max")
    engines = manifest.build.get("engines")
    if engines is None:
        return
    rows = [engines.get(variant) for variant in VARIANTS] if isinstance(engines, dict) else []
    if not rows or any(not isinstance(row, dict) or row.get("file") not in manifest.files for row in rows):
        _fail("build.engines", engines, f"a file of the bundle for each of {VARIANTS}")
    if not isinstance(manifest.build.get("fingerprint"), dict):
        _fail("build.fingerprint", manifest.build.get("fingerprint"), "what the engines were built with")


def _check_fields(row: Mapping[str, Any]) -> None:
    kinds = {
        key: kind
        for kind, keys in (
            (str, "name created dataset"),
            (dict, "target variants input made_by device policy source options build files"),
            (list, "outputs layers gated"),
            (int, "dense_macs classes schema_version"),
        )
        for key in keys.split()
    }
    if set(row) != set(kinds):
        wrong = sorted(set(row) ^ set(kinds))
        _fail("fields", wrong, f"exactly {sorted(kinds)}")
    for key, kind in kinds.items():
        if type(row[key]) is not kind:
            _fail(key, row[key], f"a value of type {kind.__name__}")
    if row["classes"] < 1 or not all(isinstance(name, str) for name in row["outputs"] + row["gated"]):
        _fail("classes, outputs, gated", [row["classes"], row["outputs"], row["gated"]], "a positive count and names")


def _check_input(spec: Mapping[str, Any]) -> None:
    shape = spec.get("shape")
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(v) is int and v > 0 for v in shape)):
        _fail("input.shape", shape, "three positive integers [C, H, W]")
    if spec.get("dtype") != "float32" or not isinstance(spec.get("name"), str):
        _fail("input", [spec.get("name"), spec.get("dtype")], "a name and the dtype float32")


def _file_entry(name: str, item: Any) -> FileEntry:
    ok = isinstance(item, dict) and set(item) == {"size", "sha256"} and type(item["size"]) is int
    if not (ok and item["size"] >= 0 and isinstance(item["sha256"], str) and _SHA256.fullmatch(item["sha256"])):
        _fail(f"files.{name}", item, "size and sha256")
    return FileEntry(item["size"], item["sha256"])


def _width(support: Support, widths: Mapping[str, int]) -> Optional[int]:
    """Channels of an expression; None if it names an unknown gate or its operands disagree."""
    if isinstance(support, Dense):
        return support.channels
    if isinstance(support, Gate):
        return widths.get(support.layer)
    parts = [_width(part, widths) for part in support.parts]
    if None in parts:
        return None
    if isinstance(support, Concat):
        return sum(part for part in parts if part is not None)
    assert isinstance(support, AnyOf)
    return parts[0] if len(set(parts)) == 1 else None


def _checksum(row: Mapping[str, Any]) -> str:
    """Hash of the values, not of the text: white space and the order of keys do not matter."""
    content = {key: value for key, value in row.items() if key != _CHECKSUM}
    try:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise InputError(f"{MANIFEST_FILE} holds NaN or infinity, expected numbers that JSON has; {_REPAIR}") from error
    return hashlib.sha256(text.encode()).hexdigest()


def _fail(key: str, found: Any, expected: Any) -> None:
    raise InputError(f"{MANIFEST_FILE}: {key} is {found!r:.300}, expected {expected}; {_REPAIR}")
