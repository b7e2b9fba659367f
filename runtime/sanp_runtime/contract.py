"""The names that export, compile and the device agree on: tensors, nodes, operators, variants, backends, files.

Everything that is written by one package and looked up by another is spelled here and nowhere else. docs/operators.md
says what the operators compute, runtime/README.md what the files hold.
"""

from __future__ import annotations

import re
from typing import Tuple

from sanp_targets import target

# Tensors of an exported model. N is the batch, Co the output channels of the gated layer.
INPUT = "input"  # float32 [N, C, H, W]
LOGITS = "logits"  # float32 [N, classes]: the output of a network that returns one matrix; others have their own names
MACS = "macs"  # float32 [N], only if the model was exported to count for itself
GATE_PREFIX = "gate."  # output gate.<layer>: the scale of every channel, float32 [N or 1, Co], 0 = closed
STEPS_PREFIX = "steps."  # output steps.<layer> of an int8 bundle's replay: int32 [N], see `Engine.steps_apart`
MASK_PREFIX = "mask."  # input mask.<layer>: float32 [1 or N, Co], 0 = forced off
THRESHOLD_PREFIX = "threshold."  # input threshold.<layer> of a bundle with budgets: float32 [1], what its gate compares
RESERVED_PREFIXES = (GATE_PREFIX, MASK_PREFIX, STEPS_PREFIX, THRESHOLD_PREFIX)  # no output of a network begins with one

# Operators, and the nodes of a gated layer that use them.
DOMAIN = "sanp"
GATED_CONV = "SanpGatedConv"
CHANNEL_GATE = "SanpChannelGate"
PIXEL_GATED_CONV = "SanpPixelGatedConv"
GATED_QLINEAR_CONV = "SanpGatedQLinearConv"
QLINEAR_CHANNEL_GATE = "SanpQLinearChannelGate"
MAX_POOL = "SanpMaxPool"  # of bytes
INVERTED_RESIDUAL = "SanpInvertedResidual"  # expansion, depthwise layer and projection in one, made by `compile`
ACTIVE_PREFIX = "sanp.active/"  # nodes that join the scales of several gates, for layers that read their sum
CONV_SUFFIX = "/conv"
GATE_SUFFIX = "/gate"
BLOCK_SUFFIX = "/block"

# The variants of a bundle, over one weights file. A network without gates has DENSE alone, which is the network itself.
GATED = "gated"  # learned gates: the network as trained
OPEN = "open"  # gates computed, every one forced open: what gating costs
REPLAY = "replay"  # no learned gates, mask.<layer> is the scale: the kernels alone
DENSE = "dense"  # standard convolutions without gates
PARENT = "parent"  # the network before channels were removed, standard convolutions; only where it is known
FLOAT_DENSE = "float_dense"  # of an int8 bundle, whose other variants are int8: the same network as float32, dense
FLOAT_GATED = "float_gated"  # and with its learned gates
VARIANTS = (GATED, OPEN, REPLAY, DENSE)  # of a network with gates
BLOCK_VARIANTS = (GATED, OPEN, REPLAY)  # in which inverted residual blocks may be one node each
UNGATED = (DENSE, FLOAT_DENSE, PARENT)  # variants without channel gates and masks
ALL_VARIANTS = (*VARIANTS, FLOAT_GATED, FLOAT_DENSE, PARENT)
# What `profile` compares as far as a bundle has them.
MEASURED = (PARENT, FLOAT_DENSE, FLOAT_GATED, DENSE, OPEN, GATED)
INT8 = "int8"  # precision of a bundle whose gated layers are bytes


def variants_of(gated: bool, parent: bool, int8: bool = False) -> Tuple[str, ...]:
    """The variants of a bundle: of a network with or without gates, whose parent is in it or not, of bytes or not."""
    floats = (FLOAT_GATED, FLOAT_DENSE) if int8 else ()
    return (VARIANTS if gated else (DENSE,)) + floats + ((PARENT,) if parent else ())


ONNXRUNTIME, TENSORRT = target.ONNXRUNTIME, target.TENSORRT  # which targets run with, so they are spelled there

# Files of a bundle.
MANIFEST_FILE = "manifest.json"
WEIGHTS_FILE = "weights.bin"
REFERENCE_FILE = "reference.npz"
LIBRARY_FILE = "libsanp_ops.so"
PLUGIN_FILE = "libsanp_trt.so"  # TensorRT: built on the device
SOURCES_FILE = "plugin-src.tar.gz"  # TensorRT: what it is built from
DEVICE_ARCHIVE = "device.pyz"  # TensorRT: this package, for a device that has none
RECIPE_FILE = "BUILD.txt"  # TensorRT: the same by hand


def gate_output(layer: str) -> str:
    """Output that holds the scale of a gated layer."""
    return GATE_PREFIX + layer


def steps_output(layer: str) -> str:
    """Output that counts, of an int8 layer, how far its bytes lie from those of standard operators."""
    return STEPS_PREFIX + layer


def mask_input(layer: str) -> str:
    """Input that forces channels of a gated layer off (in the variant `replay`: its scale)."""
    return MASK_PREFIX + layer


def threshold_input(layer: str) -> str:
    """Input that takes the place of the threshold of a layer's gate."""
    return THRESHOLD_PREFIX + layer


def gate_node(layer: str) -> str:
    """Node that decides the gate of a layer."""
    return layer + GATE_SUFFIX


def conv_node(layer: str) -> str:
    """Node that convolves, multiplies by the scale and skips what is closed."""
    return layer + CONV_SUFFIX


def block_node(expansion: str) -> str:
    """Node that computes an inverted residual block, called after the layer that begins it."""
    return expansion + BLOCK_SUFFIX


def variant_file(variant: str) -> str:
    """ONNX file of a variant."""
    return f"{variant}.onnx"


def engine_file(variant: str) -> str:
    """TensorRT engine of a variant."""
    return f"{variant}.engine"


def plain_name(name: str) -> str:
    """How TensorRT knows a node or tensor: what is not in [A-Za-z0-9_./-] as its code point, "a b" as "a_20_b"."""
    return re.sub(r"[^A-Za-z0-9_./-]", lambda match: f"_{ord(match.group()):x}_", name)
