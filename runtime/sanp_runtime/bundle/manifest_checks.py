"""Do the parts of a manifest agree? Files, layers, widths, MACs, and what a backend reads."""

from __future__ import annotations

import re
from typing import Any, Mapping, Optional

from sanp_runtime.bundle import budgets
from sanp_runtime.bundle.manifest import REPAIR, Manifest
from sanp_runtime.bundle.manifest_options import first_wrong
from sanp_runtime.contract import INT8, MANIFEST_FILE, ONNXRUNTIME, TENSORRT, block_node, variants_of
from sanp_runtime.network.macs import dense_macs
from sanp_runtime.network.sizes import problem as problem_of_sizes
from sanp_runtime.network.support import AnyOf, Concat, Dense, Gate, Support
from sanp_targets.errors import InputError

# One path component, no leading dot: a manifest can never name anything outside its own directory.
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

# Outputs of nodes that TensorRT 8 must compute in float32, as trtexec spells them; "" is none that is a float.
_OUTPUT_TYPES = re.compile(r"|(fp32|int32)(\+(fp32|int32))*")


_NUMBER = (int, float)
_MAYBE_NUMBER = (int, float, type(None))
_STEP = {"step": (float,), "zero_point": (int,)}
# `Manifest.int8`, as whoever shows or judges it reads it.
_INT8 = {
    "calibration": (str,), "calibration_samples": (int,), "max_drop": _NUMBER, "byte_gates": (list,),
    "float32": {"*": (str,)},
    "check": {"samples": (int,), "before": _NUMBER, "after": _NUMBER, "same": _NUMBER,
              "gates": {"*": {"decisions": (int,), "changed": (int,), "largest_margin": _MAYBE_NUMBER}}},
    "layers": {"*": {"x": _STEP, "y?": _STEP, "weights": (list,), "error": _NUMBER, "snr_db": _MAYBE_NUMBER}},
}  # fmt: skip
# `Manifest.our_layers` and what was said of them.
_KERNELS = {
    "asked": (str,), "chosen": (str,), "layers": (list,), "ms?": {"ours": _NUMBER, "onnxruntime": _NUMBER},
}  # fmt: skip


def check(manifest: Manifest) -> None:
    """Raise InputError if the parts of a manifest contradict each other."""
    expected = variants_of(bool(manifest.gated), bool(manifest.parent), manifest.precision == INT8)
    if sorted(manifest.variants) != sorted(expected):
        fail("variants", sorted(manifest.variants), sorted(expected))
    for name in list(manifest.variants.values()) + list(manifest.files):
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name) or name == MANIFEST_FILE:
            fail("files", name, "plain file names without a folder")
    missing = sorted(set(manifest.variants.values()) - set(manifest.files))
    if missing:
        fail("files", sorted(manifest.files), f"also the variant files {missing}")
    _check_input(manifest.input)
    names = [output.name for output in manifest.outputs]
    if not names or len(set(names)) != len(names):
        fail("outputs", names, "at least one, each name once")
    if manifest.one_size and any(None in output.shape for output in manifest.outputs):
        fail("outputs", names, "sizes in numbers, for images of one size")
    _check_parent(manifest)
    _check_sizes(manifest)
    for key in ("name", "backend", "arch"):
        if not isinstance(manifest.target.get(key), str):
            fail(f"target.{key}", manifest.target.get(key), "a string")
    gated = tuple(row.name for row in manifest.layers if row.gated)
    if manifest.gated != gated:
        fail("gated", list(manifest.gated), f"the gated layers of the table, {list(gated)}")
    if len(set(manifest.names())) != len(manifest.layers):
        fail("layers", list(manifest.names()), "every layer name once")
    widths = {row.name: row.c_out for row in manifest.layers if row.gated}
    for row in manifest.layers:
        if min(row.c_in, row.c_out, row.groups) < 1 or row.gate_hidden < 0:
            fail(f"layers.{row.name}", [row.c_in, row.c_out, row.groups, row.gate_hidden], "positive counts")
        if _width(row.support, widths) != row.c_in or row.c_in % row.groups or row.c_out % row.groups:
            fail(f"layers.{row.name}", f"{row.c_in} -> {row.c_out} channels", "widths that fit support and groups")
        if row.follows is not None and (row.gated or not row.is_depthwise or _width(row.follows, widths) != row.c_out):
            fail(f"layers.{row.name}.follows", row.follows, "gates of as many channels as a depthwise layer has")
    _check_build(manifest)
    if manifest.dense_macs != dense_macs(manifest.layers):
        fail("dense_macs", manifest.dense_macs, f"{dense_macs(manifest.layers)}, the sum over the layer table")


def _check_parent(manifest: Manifest) -> None:
    row = manifest.parent
    if not row:
        return
    if set(row) - {"sizes"} != {"layers", "weights"} or row["weights"] not in ("trained", "untrained"):
        fail("parent", sorted(row), "layers, and weights that are trained or untrained")
    if (
        not isinstance(row["layers"], list)
        or not row["layers"]
        or any(layer.masked for layer in manifest.parent_layers)
    ):
        fail("parent.layers", row["layers"], "the layer table of a network without gates")


def _check_sizes(manifest: Manifest) -> None:
    if not isinstance(manifest.input.get("sizes", []), list) or not isinstance(manifest.parent.get("sizes", []), list):
        fail("input.sizes", manifest.input.get("sizes"), "a list of sizes")
    own = (manifest.input["shape"][1], manifest.input["shape"][2])
    for variant in manifest.variants:
        tables, layers = manifest.sizes_of(variant), manifest.layers_of(variant)
        wrong = problem_of_sizes(tables, own, layers, manifest.output_names) if tables else None
        if wrong is not None or [row.size for row in tables] != [row.size for row in manifest.sizes]:
            fail("input.sizes", wrong or "another list for a variant", "a table for every size that images may have")
    if manifest.sizes and manifest.any_size:
        fail("input.any_size", True, "a list of sizes, or any size")


def _check_build(manifest: Manifest) -> None:
    plugins, precision = manifest.build.get("plugin_layers", []), manifest.build.get("precision", "fp32")
    if not isinstance(plugins, list) or not set(map(str, plugins)) <= set(manifest.masked):
        fail("build.plugin_layers", plugins, "names of layers that are gated or follow a gate")
    expected = ("fp32", INT8) if manifest.target["backend"] == ONNXRUNTIME else ("fp32", "fp16", INT8)
    if precision not in expected:
        fail("build.precision", precision, " or ".join(expected))
    _check_rounded(manifest)
    _check_int8(manifest)
    _check_fold(manifest)
    _check_kernels(manifest)
    _check_blocks(manifest)
    wrong = budgets.problem(manifest.build, manifest.gated)
    if wrong is not None:
        fail("build.budgets", wrong, "budgets as `sanp compile --budgets` writes them")
    pixels = manifest.build.get("pixel_gated", [])
    if not isinstance(pixels, list) or not set(map(str, pixels)) <= set(manifest.names()) - set(manifest.gated):
        fail("build.pixel_gated", pixels, "names of layers without a channel gate")
    if manifest.target["backend"] == TENSORRT:
        _check_engines(manifest)


def _check_rounded(manifest: Manifest) -> None:
    row = manifest.build.get("bf16_weights", {"layers": {}})
    layers = row.get("layers") if isinstance(row, dict) else None
    if (
        not isinstance(layers, dict)
        or not set(layers) <= set(manifest.masked)
        or not all(type(error) is float and 0 <= error < 1 for error in layers.values())
    ):
        fail("build.bf16_weights", row, "relative errors below 1 of gated layers")


def _check_int8(manifest: Manifest) -> None:
    wrong = first_wrong(manifest.build, {f"{INT8}?": _INT8}, "build")
    if wrong is not None or bool(manifest.int8) != (manifest.precision == INT8):
        fail(f"build.{INT8}", wrong or manifest.precision, "the record of an int8 bundle, in such a bundle alone")
    if not manifest.int8:
        return
    layers, floats = manifest.int8["layers"], manifest.int8["float32"]
    known = {*layers, *floats}
    if not layers or set(layers) & set(floats) or not set(manifest.masked) <= known <= set(manifest.names()):
        fail(f"build.{INT8}", [*layers, *floats], "every gated layer once, as bytes or float32, and no unknown layer")
    gates = manifest.int8["byte_gates"]
    if not all(isinstance(name, str) and name in manifest.gated for name in gates):
        fail(f"build.{INT8}.byte_gates", gates, "names of gated layers")
    if not all(row["error"] >= 0 for row in layers.values()):
        fail(f"build.{INT8}.layers", [row["error"] for row in layers.values()], "relative errors of 0 or more")


def _check_kernels(manifest: Manifest) -> None:
    wrong = first_wrong(manifest.build, {"kernels?": _KERNELS}, "build")
    row = manifest.build.get("kernels", {"layers": []})
    if wrong is not None or not set(map(str, row["layers"])) <= set(manifest.names()):
        fail("build.kernels", wrong or row["layers"], "whose kernels were asked for and chosen, and names of layers")
    if row["layers"] and (manifest.gated or row["chosen"] != "ours"):
        fail("build.kernels", row["chosen"], "ours with layers, and only without gates")


def _check_blocks(manifest: Manifest) -> None:
    wrong = first_wrong(manifest.build, {"blocks?": {"*": (list,)}}, "build")
    if wrong is not None:
        fail("build.blocks", wrong, "the layers of each block")
    names = frozenset(manifest.names())
    seen: "set[str]" = set()
    for node, layers in manifest.blocks.items():
        found = {layer for layer in layers if isinstance(layer, str)}
        if len(layers) != 3 or len(found) != 3 or not found <= names or seen & found:
            fail(f"build.blocks.{node}", list(layers), "three layers of the table, each in one block")
        seen |= found
        leader, follower, last = map(manifest.layer, layers)
        ours = Gate(leader.name)
        if node != block_node(leader.name) or not leader.gated or (follower.follows, last.support) != (ours, ours):
            fail(f"build.blocks.{node}", list(layers), "a gated layer, one that follows it, and one that reads that")
    if manifest.blocks and (manifest.target["backend"] != ONNXRUNTIME or manifest.int8):
        fail("build.blocks", sorted(manifest.blocks), "none for TensorRT and for bytes")


def _check_fold(manifest: Manifest) -> None:
    row = manifest.build.get("fold", {"layers": {}})
    layers = row.get("layers") if isinstance(row, dict) else None
    if not isinstance(layers, dict) or not all(_is_fold(layer) for layer in layers.values()):
        fail("build.fold", row, "what became of each gated layer: before, kept, gate, scale and reason")
        return
    widths = {row.name: row.c_out for row in manifest.layers}
    for name, layer in layers.items():
        if widths.get(name) != len(layer["kept"]) or (name in manifest.gated) != (layer["gate"] == "stays"):
            fail(f"build.fold.layers.{name}", f"{len(layer['kept'])} channels", "the width and gate of the layer table")


def _is_fold(row: Any) -> bool:
    """Whether this describes a folded layer."""
    if not isinstance(row, dict) or type(row.get("before")) is not int or not isinstance(row.get("reason"), str):
        return False
    kept, scale = row.get("kept"), row.get("scale")
    if not isinstance(kept, list) or not all(type(at) is int and 0 <= at < row["before"] for at in kept):
        return False
    if not kept or kept != sorted(set(kept)) or row.get("gate") not in ("stays", "dropped", "fixed"):
        return False
    if not isinstance(scale, list) or not all(type(value) is float and value >= 0 for value in scale):
        return False
    return len(scale) == (0 if row["gate"] == "stays" else len(kept))


def _check_engines(manifest: Manifest) -> None:
    """What the TensorRT backend reads: batch sizes, and either no engines or one file for each variant."""
    batch = manifest.build.get("batch")
    sizes = [batch.get(key) for key in ("min", "opt", "max")] if isinstance(batch, dict) else [None]
    if any(type(size) is not int for size in sizes) or sorted([1, *sizes]) != [1, *sizes]:
        fail("build.batch", batch, "integers 1 <= min <= opt <= max")
    single = manifest.build.get("single_nodes", {})
    rows = [single.get(variant, {}) for variant in manifest.variants] if isinstance(single, dict) else [None]
    words = [word for row in rows if isinstance(row, dict) for word in row.values()]
    if not all(isinstance(row, dict) for row in rows) or not all(_OUTPUT_TYPES.fullmatch(str(word)) for word in words):
        fail("build.single_nodes", single, "the types of the outputs of every node that computes in float32")
    engines = manifest.build.get("engines")
    if engines is None:
        return
    rows = [engines.get(variant) for variant in manifest.variants] if isinstance(engines, dict) else []
    if not rows or any(not isinstance(row, dict) or row.get("file") not in manifest.files for row in rows):
        fail("build.engines", engines, f"a file of the bundle for each of {sorted(manifest.variants)}")
    if not isinstance(manifest.build.get("fingerprint"), dict):
        fail("build.fingerprint", manifest.build.get("fingerprint"), "what the engines were built with")


def _check_input(spec: Mapping[str, Any]) -> None:
    shape = spec.get("shape")
    if not (isinstance(shape, list) and len(shape) == 3 and all(type(v) is int and v > 0 for v in shape)):
        fail("input.shape", shape, "three positive integers [C, H, W]")
    if type(spec.get("any_size", False)) is not bool:
        fail("input.any_size", spec["any_size"], "true or false")
    if spec.get("dtype") != "float32" or not isinstance(spec.get("name"), str):
        fail("input", [spec.get("name"), spec.get("dtype")], "a name and the dtype float32")


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


def fail(key: str, found: Any, expected: Any) -> None:
    """Raise InputError: a part of a manifest, what it is, what it should be."""
    raise InputError(f"{MANIFEST_FILE}: {key} is {found!r:.300}, expected {expected}; {REPAIR}")
